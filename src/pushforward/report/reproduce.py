"""What training cost, and what it takes to run it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from shlex import quote
from statistics import fmean
from typing import Any

from pushforward.data import TableSchema
from pushforward.report.figures import Sheet
from pushforward.report.folder import Found, Run
from pushforward.report.numbers import duration, memory, quantity
from pushforward.runs.folder import Json, steps_of
from pushforward.training.settings import Settings


def costs(found: Found) -> Sheet:
    """Return seconds, steps, samples, parameters and memory of every model: means over seeds."""
    head = ["Model", "Training time", "Steps", "Samples seen", "Samples / s", "Parameters"]
    rows = [[model, *_cost(runs)] for model, runs in found.runs.items()]
    return Sheet([*head, "Peak memory"], rows)


def _cost(runs: Sequence[Run]) -> list[str]:
    finished = [run for run in runs if run.cost and run.records]
    if not finished:
        return ["–"] * 6
    seconds = fmean(run.cost["seconds"] for run in finished)
    samples = fmean(run.records[-1]["samples"] for run in finished)
    steps = fmean(run.records[-1]["step"] for run in finished)
    parameters = fmean(run.cost["parameters"] for run in finished)
    peak = fmean(run.cost["peak_memory"] for run in finished)
    rate = quantity(samples / max(seconds, 1e-9))
    amounts = [quantity(steps), quantity(samples), rate, quantity(parameters)]
    return [duration(seconds), *amounts, memory(peak)]


def command(found: Found) -> str:
    """Return the command line of this comparison."""
    run = _first(found)
    flags: Json = {"models": ",".join(found.models), "seeds": len(found.comparison.seeds)}
    flags |= {"budget": run.settings["budget"]} | _given(run, "budget")
    flags |= {"condition": found.about["condition"]} if found.about["condition"] else {}
    for model, runs in found.runs.items():
        flags |= {f"{model}.{name}": value for name, value in runs[0].options.items()}
    flags["out"] = _out(found)
    words = [f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in flags.items()]
    words += [f"--constraint {quote(text)}" for text in _constraints(found)]
    return " ".join(["pushforward compare", quote(found.about["data"]), *words])


def script(found: Found) -> str:
    """Return the Python lines of this comparison."""
    run = _first(found)
    given: Json = {"seeds": len(found.comparison.seeds), "budget": run.settings["budget"]}
    given |= {"condition": found.about["condition"]} if found.about["condition"] else {}
    given |= _given(run, "budget")
    options = {model: runs[0].options for model, runs in found.runs.items() if runs[0].options}
    given |= {"options": options} if options else {}
    given["out"] = _out(found)
    lines = [f"    {name}={value!r}," for name, value in given.items()]
    call = [f"result = pf.compare(\n    {_data(found)},", f"    {found.models!r},", *lines]
    return "\n".join(["import pushforward as pf", "", *call, ")"])


def runs(found: Found) -> Sheet:
    """Return the exact steps of every run, and the line that repeats it."""
    rows = [
        [f"{model}, seed {run.seed}", quantity(_steps(run)), _fit(found, run)]
        for model, own in found.runs.items()
        for run in own
    ]
    note = "A budget in seconds was turned into these steps, so the weights can be had again."
    return Sheet(["Run", "Steps", "Python"], rows, note=note)


def versions(found: Found) -> Sheet:
    """Return what identifies the data and the software."""
    run = _first(found)
    facts = {"data (SHA-256)": str(found.about["digest"])} | run.config.get("versions", {})
    facts |= {"networks computed in": run.config.get("precision") or "float32"}
    return Sheet(["", ""], [[name, str(value)] for name, value in facts.items()])


def _fit(found: Found, run: Run) -> str:
    condition = found.about["condition"]
    given: Json = {"budget": f"{_steps(run)} steps", "seed": run.seed}
    given |= ({"condition": condition} if condition else {}) | _given(run, "budget", "seed")
    given["precision"] = run.config.get("precision") or "float32"
    words = "".join(f", {name}={value!r}" for name, value in (given | run.options).items())
    return f"pf.fit({_data(found)}, {run.model!r}{words})"


def _data(found: Found) -> str:
    """Return the data as a call takes it: by name, or read with its constraints."""
    name, said = found.about["data"], _constraints(found)
    if not said:
        return repr(name)
    condition = found.about["condition"]
    given = f", condition={condition!r}" if condition else ""
    return f"pf.read({name!r}{given}, constraints={said!r})"


def _constraints(found: Found) -> list[str]:
    """Return what must hold in every row of a table, as text."""
    schema = found.schema
    return list(map(str, schema.rules.statements)) if isinstance(schema, TableSchema) else []


def _steps(run: Run) -> int:
    return steps_of(run.config)


def _first(found: Found) -> Run:
    return found.runs[found.models[0]][0]


def _given(run: Run, *named: str) -> dict[str, Any]:
    """Return the settings that are not the defaults, the named ones and the seed apart."""
    defaults = {f.name: f.default for f in fields(Settings) if f.name not in {*named, "seed"}}
    return {n: run.settings[n] for n, value in defaults.items() if run.settings.get(n) != value}


def _out(found: Found) -> str:
    return f"runs/{found.comparison.folder.resolve().name}"
