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
from typing import Any

from pushforward.measures import all_measures, artefacts, prdc, register

MeasureFunction = Callable[..., Any]

REQUIRED = ("Sees", "Misses", "Null", "Cost")  # of every measure, shown before the arguments
SECTIONS = (*REQUIRED, "Args", "Returns", "Raises", "Reference")
TITLES = {"Args": "Arguments"}
MODULES = {
    "closed_form": "For two known densities",
    "samples": "From two samples",
    "neighbours": "By nearest neighbours",
    "learned": "Learned by a critic",
    "likelihood": "Likelihood of rows under a decoder",
    "conditional": "Of rows that are drawn given a part of each",
    "tables": "For tables",
    "images": "For images",
    "privacy": "Privacy: do the generated rows reveal training rows?",
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
    """Return file name -> text of the index and of every page."""
    measures: dict[str, MeasureFunction] = {**all_measures(), "prdc": prdc, "artefacts": artefacts}
    documented = measures | {"register": register}
    each = {f"{name}.md": _page(name, function) for name, function in documented.items()}
    return {"README.md": _index(measures)} | each


def sections(measure: MeasureFunction) -> dict[str, str]:
    """Return the docstring's sections by title; the text before the first has the title ""."""
    text = inspect.getdoc(measure) or ""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):$", text, flags=re.MULTILINE)
    bodies = (inspect.cleandoc("\n" + body) for body in parts[2::2])
    titled = {
        title: _capital(body) if title in REQUIRED else body
        for title, body in zip(parts[1::2], bodies, strict=True)
    }
    return {"": parts[0].strip()} | titled


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _module(measure: MeasureFunction) -> str:
    return measure.__module__.removeprefix("pushforward.measures.").split(".")[0]


def _index(measures: dict[str, MeasureFunction]) -> str:
    lines = [
        "# The measures",
        "",
        "A number between two distributions, from samples of both. Each page has the formula, what",
        "the measure sees and misses, its value without a difference (the null), its cost and its",
        "source. All are functions of `pushforward.measures`: `pushforward measure REAL FAKE`",
        "applies those that suit the data, and `pushforward selftest` tests each of them.",
    ]
    for module, title in MODULES.items():
        own = {name: measure for name, measure in measures.items() if _module(measure) == module}
        lines += ["", f"## {title}", "", "| measure | what it is |", "|---|---|"]
        lines += [f"| [`{name}`]({name}.md) | {_summary(m)} |" for name, m in own.items()]
    lines += ["", "## Your own measure", "", "[`register`](register.md) adds a function to these."]
    return "\n".join(lines) + "\n"


def _summary(measure: MeasureFunction) -> str:
    return sections(measure)[""].splitlines()[0]


def _page(name: str, measure: MeasureFunction) -> str:
    titled = sections(measure)
    call = f"```python\n{_call(name, measure)}\n```"
    parts = [f"# `{name}`", titled.pop(""), call]
    for title in SECTIONS:
        if title in titled:
            body = _arguments(titled[title]) if title in {"Args", "Raises"} else titled[title]
            parts.append(f"## {TITLES.get(title, title)}\n\n{body}")
    return "\n\n".join([*parts, "[All measures](README.md)"]) + "\n"


def _call(name: str, measure: MeasureFunction) -> str:
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
