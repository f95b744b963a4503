"""What training cost, and the commands that repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from shlex import quote
from statistics import fmean
from typing import Any

from pushforward.comparison.contrasts import MATTERS
from pushforward.data.reading import ReadCall
from pushforward.report.figures import TextTable
from pushforward.report.folder import FolderContents, Run
from pushforward.report.numbers import duration, memory, quantity
from pushforward.runs.folder import Json, repeating, steps_of
from pushforward.training.settings import Settings

MISSING = "–"
FLAGS = {  # of the command line, for the arguments of `read`
    "condition": "--condition",
    "key": "--key",
    "overrides": "--override",
    "rare": "--rare",
    "constraints": "--constraint",
    "metadata": "--metadata",
    "kind": "--kind",
    "range": "--range",
    "resize": "--resize",
    "crop": "--crop",
    "header": "--no-header",
    "relations": "--no-relations",
}
OF_NO_DATA = ("name",)  # arguments that leave the rows as they are
PAIRS = {"range": "..", "resize": "x"}  # what stands between two numbers


def costs(contents: FolderContents) -> TextTable:
    """Return seconds, steps, samples, parameters and memory of every model: means over seeds."""
    head = ["Model", "Training time", "Steps", "Samples seen", "Samples / s", "Parameters"]
    rows = [[model, *_cost(runs)] for model, runs in contents.runs.items()]
    return TextTable([*head, "Peak memory"], rows)


def _cost(runs: Sequence[Run]) -> list[str]:
    finished = [run for run in runs if run.cost and run.records]
    if not finished:
        return [MISSING] * 6
    seconds = fmean(run.cost["seconds"] for run in finished)
    samples = fmean(run.records[-1]["samples"] for run in finished)
    steps = fmean(run.records[-1]["step"] for run in finished)
    parameters = fmean(run.cost["parameters"] for run in finished)
    peak = fmean(run.cost["peak_memory"] for run in finished)
    per_second = quantity(samples / max(seconds, 1e-9))
    amounts = [quantity(steps), quantity(samples), per_second, quantity(parameters)]
    return [duration(seconds), *amounts, memory(peak)]


def command(contents: FolderContents) -> str:
    """Return the command line that repeats this comparison, or why none does."""
    reading = contents.reading
    only_python = _only_python(reading)
    if only_python:
        return f"# No command line repeats {only_python}: the Python lines below do."
    flags: Json = {
        "models": ",".join(_labelled(contents)),
        "seeds": _seeds(contents.comparison.seeds),
    }
    flags |= _arguments(contents)
    flags |= {"measures": ",".join(flags["measures"])} if "measures" in flags else {}
    for model, runs in contents.runs.items():
        flags |= {f"{model}.{name}": value for name, value in runs[0].options.items()}
    flags["out"] = _out(contents)
    words = [f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in flags.items()]
    words += [f"--ignore {code}" for code in contents.comparison.ignore]
    words += ["--example-rows"] if contents.description.get("example_rows") else []
    words = [*_reading_flags(reading), *words]
    return " ".join(["pushforward compare", quote(reading.source or ""), *words])


def script(contents: FolderContents) -> str:
    """Return the Python lines that repeat this comparison."""
    seeds = contents.comparison.seeds
    given: Json = {"seeds": len(seeds) if _are_first(seeds) else seeds} | _arguments(contents)
    options = {model: runs[0].options for model, runs in contents.runs.items() if runs[0].options}
    given |= {"options": options} if options else {}
    given |= {"example_rows": True} if contents.description.get("example_rows") else {}
    given |= {"ignore": list(ignored)} if (ignored := contents.comparison.ignore) else {}
    given["out"] = _out(contents)
    features = contents.description.get("features")
    lines = [f"    {name}={value!r}," for name, value in given.items()]
    lines += [f"    features={features['name']},"] if features else []
    call = [f"result = pf.compare(\n    {_data(contents)},", f"    {_models(contents)!r},"]
    return "\n".join(["import pushforward as pf", "", *call, *lines, ")"])


def runs(contents: FolderContents) -> TextTable:
    """Return the steps of every run, and the line that repeats it."""
    rows = [
        [f"{model}, seed {run.seed}", quantity(_steps(run)), _fit(contents, run)]
        for model, by_seed in contents.runs.items()
        for run in by_seed
    ]
    note = "A budget in seconds was turned into these steps, so these lines give the same weights."
    return TextTable(["Run", "Steps", "Python"], rows, note=note)


def versions(contents: FolderContents) -> TextTable:
    """Return what identifies the data and the software."""
    config = contents.first_run.config
    facts = {"data (SHA-256)": contents.description["digest"]} | config.get("versions", {})
    facts |= {"precision of training": config.get("precision") or "float32"}
    facts |= {"threads": config["threads"]} if "threads" in config else {}
    return TextTable(["", ""], [[name, str(value)] for name, value in facts.items()])


def _arguments(contents: FolderContents) -> Json:
    """Return the arguments that the command line and Python share, where they are not defaults."""
    run = contents.first_run
    given: Json = {"budget": run.settings["budget"]}
    for name in ("measures", "target"):
        given |= {name: contents.description[name]} if contents.description.get(name) else {}
    matters = contents.comparison.matters
    given |= {"matters": matters} if matters != MATTERS else {}
    return given | _settings(run, "budget")


def _fit(contents: FolderContents, run: Run) -> str:
    """Return the line that trains one model on one seed again."""
    given: Json = {"budget": repeating(run.config["schedule"][0]), "seed": run.seed}
    given |= _settings(run, "budget", "seed")
    given["precision"] = run.config.get("precision") or "float32"
    words = "".join(f", {name}={value!r}" for name, value in (given | run.options).items())
    return f"pf.fit({_data(contents)}, {contents.description['sources'][run.model]!r}{words})"


def _data(contents: FolderContents) -> str:
    """Return the data as a call takes them: by name, or read as they were; `data` is an object."""
    reading = contents.reading
    source = "data" if reading.source is None else repr(reading.source)
    arguments = [
        f"{name}={name if value is None else repr(value)}"
        for name, value in reading.arguments.items()
    ]
    return f"pf.read({', '.join([source, *arguments])})" if arguments else source


def _only_python(reading: ReadCall) -> str:
    """Return what of a reading no command line can repeat, in words; empty where all can be."""
    lacking = [f"{n}=" for n in reading.arguments if n not in {*FLAGS, *OF_NO_DATA}]
    lacking += ["metadata="] * isinstance(reading.arguments.get("metadata"), Mapping)
    return ", ".join([*["data in memory"] * (reading.source is None), *lacking])


def _reading_flags(reading: ReadCall) -> Iterator[str]:
    """Yield the options of the command line that read the data as they were read."""
    for name, value in reading.arguments.items():
        if name in FLAGS:
            texts = [None] if isinstance(value, bool) else _spelled(name, value)
            yield from (
                FLAGS[name] if text is None else f"{FLAGS[name]} {quote(text)}" for text in texts
            )


def _spelled(name: str, value: Any) -> list[str]:
    """Return an argument as the command line takes it, once for each time that it is given."""
    if isinstance(value, Mapping):
        return [f"{column}={kind}" for column, kind in value.items()]
    if name in PAIRS and not isinstance(value, str | int):
        return [PAIRS[name].join(map(str, value))]
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value])]


def _models(contents: FolderContents) -> list[str] | dict[str, str]:
    """Return the models as `compare` takes them: by label, if one was given."""
    sources = {label: contents.description["sources"][label] for label in contents.models}
    plain = all(contents.runs[label][0].has_own_name for label in sources)
    return list(sources.values()) if plain else sources


def _labelled(contents: FolderContents) -> list[str]:
    """Return the models as the command line takes them."""
    models = _models(contents)
    return models if isinstance(models, list) else [f"{k}={v}" for k, v in models.items()]


def _seeds(seeds: Sequence[int]) -> str:
    """Return seeds as the command line takes them: how many, or a list with commas."""
    listed = ",".join(map(str, seeds))
    return str(len(seeds)) if _are_first(seeds) else listed + "," * (len(seeds) == 1)


def _are_first(seeds: Sequence[int]) -> bool:
    """Whether the seeds are 0, 1, ..., as a number of seeds gives them."""
    return list(seeds) == list(range(len(seeds)))


def _steps(run: Run) -> int:
    return steps_of(run.config)


def _settings(run: Run, *without: str) -> dict[str, Any]:
    """Return the settings of training that are not the defaults, without some and the seed."""
    defaults = {f.name: f.default for f in fields(Settings) if f.name not in {*without, "seed"}}
    return {n: run.settings[n] for n, value in defaults.items() if run.settings.get(n) != value}


def _out(contents: FolderContents) -> str:
    return f"runs/{contents.comparison.folder.resolve().name}"
