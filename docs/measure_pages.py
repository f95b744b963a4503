"""Write one page for each measure, and their index, from the docstrings.

    python docs/measure_pages.py [--out docs/measures]

A measure is a public function of `pushforward.measures` that returns a `Measurement`.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from pathlib import Path

from pushforward.measures import all_measures, prdc

Measure = Callable[..., object]

TOLD = ("Sees", "Misses", "Null", "Cost")  # what a reader has to know before the arguments
SECTIONS = (*TOLD, "Args", "Returns", "Raises", "Reference")
TITLES = {"Args": "Arguments"}
MODULES = {
    "closed_form": "Both densities are known",
    "samples": "From samples, by hand",
    "neighbours": "By nearest neighbours",
    "learned": "Learned by a critic",
    "likelihood": "Likelihood of a decoder",
    "tables": "Tables",
    "privacy": "Privacy: is anything given away about the training rows?",
}


def main() -> None:
    """Write all pages into a folder, and remove those of measures that are gone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "measures")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    written = pages()
    for old in folder.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (folder / name).write_text(text)


def pages() -> dict[str, str]:
    """Return file name -> text of the index and of every measure's page."""
    measures = all_measures()
    shared = {"prdc": prdc}  # it holds what its four measures have in common
    every: dict[str, Measure] = {**measures, **shared}
    return {"README.md": _index(every)} | {f"{n}.md": _page(n, r) for n, r in every.items()}


def sections(measure: Measure) -> dict[str, str]:
    """Return the docstring's parts by name; what stands before the first is "" (the empty name)."""
    text = inspect.getdoc(measure) or ""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):$", text, flags=re.MULTILINE)
    bodies = [inspect.cleandoc("\n" + body) for body in parts[2::2]]
    told = dict(zip(parts[1::2], bodies, strict=True))
    return {"": parts[0].strip()} | told | {n: _capital(told[n]) for n in TOLD if n in told}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _module(measure: Measure) -> str:
    return measure.__module__.removeprefix("pushforward.measures.").split(".")[0]


def _index(measures: dict[str, Measure]) -> str:
    lines = [
        "# The measures",
        "",
        "A number between two distributions, from samples of both. Each page has the formula, what",
        "the measure sees and misses, what no difference gives, its cost and its source. All are",
        "functions of `pushforward.measures`: `pushforward measure REAL FAKE` applies those",
        "that suit the data, `pushforward selftest` checks each against its closed form.",
    ]
    for module, title in MODULES.items():
        own = {name: r for name, r in measures.items() if _module(r) == module}
        lines += ["", f"## {title}", "", "| measure | what it is |", "|---|---|"]
        lines += [f"| [`{name}`]({name}.md) | {_summary(r)} |" for name, r in own.items()]
    return "\n".join(lines) + "\n"


def _summary(measure: Measure) -> str:
    return sections(measure)[""].splitlines()[0]


def _page(name: str, measure: Measure) -> str:
    told = sections(measure)
    call = f"```python\n{_call(name, measure)}\n```"
    parts = [f"# `{name}`", told.pop(""), call]
    for title in SECTIONS:
        if title in told:
            body = _arguments(told[title]) if title in {"Args", "Raises"} else told[title]
            parts.append(f"## {TITLES.get(title, title)}\n\n{body}")
    return "\n\n".join([*parts, "[All measures](README.md)"]) + "\n"


def _call(name: str, measure: Measure) -> str:
    """Return the call with its defaults, and without types."""
    parameters = inspect.signature(measure).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return f"pf.measures.{name}{inspect.Signature(bare)}"


def _arguments(body: str) -> str:
    """Return `name: what it is` lines, continued ones joined, as a list."""
    joined = re.sub(r"\n[ \t]+", " ", body)
    return "\n".join(re.sub(r"^(\*{0,2}\w+): ", r"- `\1`: ", line) for line in joined.splitlines())


if __name__ == "__main__":
    main()
