"""The parameters that commands share, and the checks that need no heavy library."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from pushforward.errors import (
    DataError,
    MeasureError,
    ModelError,
    PushforwardError,
    RunError,
    nearest,
)
from pushforward.models.catalogue import parse
from pushforward.training.settings import Budget as TrainingBudget

OPENML = "openml:"
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d+)?")


def builtin_names() -> list[str]:
    """Return the names of the built-in data sets, read from the source of the tables of them."""
    tables = [("pushforward.data.builtin", "SKLEARN"), ("pushforward.data.toys", "TOYS")]
    return [name for module, table in tables for name in _keys(module, table)]


def _keys(module: str, name: str) -> list[str]:
    """Return the keys of the dictionary that a module assigns to a name."""
    value = _assigned(module, name)
    assert isinstance(value, ast.Dict)
    return [ast.literal_eval(key) for key in value.keys if key is not None]


def _assigned(module: str, name: str) -> ast.expr:
    """Return the expression that a module assigns to a name."""
    for node in parse(module).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(t is not None and ast.unparse(t) == name for t in targets):
            return cast(ast.expr, value)
    raise KeyError(name)


def measure_names() -> set[str]:
    """Return the names of the library's measures, read from the source of their registry."""
    module = "pushforward.measures._registry"
    of_kind = _assigned(module, "MEASURES")
    assert isinstance(of_kind, ast.Dict)
    shared = [_assigned(module, name) for name in ("NEIGHBOURS", "ARTEFACTS", "SHARED")]
    nodes = [*shared, *of_kind.values]
    return {name for node in nodes for name in _names(node)}


def _names(node: ast.expr) -> Iterator[str]:
    """Return the texts that are a dictionary's keys, or in a tuple among what it takes along."""
    keys = node.keys if isinstance(node, ast.Dict) else []
    taken = [v for k, v in zip(keys, getattr(node, "values", ()), strict=True) if k is None]
    tuples = [t for part in (taken or [node]) for t in ast.walk(part) if isinstance(t, ast.Tuple)]
    for part in [*keys, *(element for found in tuples for element in found.elts)]:
        if isinstance(part, ast.Constant):
            yield str(part.value)


def known_measures(text: str | None) -> list[str] | None:
    """Return the measures in a text; MeasureError for an unknown name (the nearest is named)."""
    names, known = listed(text), {*measure_names(), "all"}
    for name in names or []:
        if re.sub(r"[\s-]+", "_", name.lower()) not in known:
            raise MeasureError(f"no measure {name!r}: {nearest(name, known)}")
    return names


def existing_data(source: str | None) -> str | None:
    """Return what names data; DataError when there is no such file or built-in."""
    if source is None or source.startswith(OPENML) or Path(source).exists():
        return source
    names = builtin_names()
    if source not in names:
        msg = f"no such file or built-in: {source!r}; {nearest(source, names)}"
        raise DataError(msg)
    return source


def folder_with(name: str, what: str) -> Callable[[Path], Path]:
    """Return a check that a folder holds a file; its RunError says that it is not `what`."""

    def check(folder: Path) -> Path:
        if not (folder / name).exists():
            msg = f"{folder} is not the folder of a {what}: it has no {name}"
            raise RunError(msg)
        return folder

    return check


def recorded_model(folder: Path) -> str:
    """Return what names the model of a run; RunError when there is no run in the folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["class"] or config["identity"]["model"])
    except FileNotFoundError:
        msg = f"there is no run in {folder} to train on: leave --more out"
        raise RunError(msg) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / 'config.json'} is broken ({error}); delete the folder and train again"
        raise RunError(msg) from error


def one_of(
    *choices: str, error: type[PushforwardError] = ModelError
) -> Callable[[typer.CallbackParam, str], str]:
    """Return a check that a value is among the choices; its error suggests the nearest."""

    def check(option: typer.CallbackParam, value: str) -> str:
        if value not in choices:
            msg = f"unknown {option.opts[-1]} {value!r}: {nearest(value, choices)}"
            raise error(msg)
        return value

    return check


def optional(
    check: Callable[[typer.CallbackParam, str], str],
) -> Callable[[typer.CallbackParam, str | None], str | None]:
    """Return a check of an option that may be left out."""

    def check_given(option: typer.CallbackParam, value: str | None) -> str | None:
        return None if value is None else check(option, value)

    return check_given


def spelled(pattern: str, example: str) -> Callable[[typer.CallbackParam, str], str]:
    """Return a check that a value is spelled in some way; its DataError gives an example."""

    def check(option: typer.CallbackParam, value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            msg = f"{option.opts[-1]} must be spelled like {example}, got {value!r}"
            raise DataError(msg)
        return value

    return check


def valid_budget(text: str | None) -> str | None:
    """Return a budget's text; ModelError when it cannot be read."""
    if text is not None:
        TrainingBudget.parse(text)
    return text


def valid_device(name: str) -> str:
    """Return a device's name; ModelError for what is never one (PyTorch checks if it is here)."""
    if DEVICE.fullmatch(name) is None:
        msg = f"unknown device {name!r}: use auto, cpu, cuda, or cuda:1 for the second GPU"
        raise ModelError(msg)
    return name


def listed(text: str | None) -> list[str] | None:
    """Return the names in a text, which commas separate."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def read_overrides(texts: list[str] | None) -> dict[str, str]:
    """Return the kinds of columns by name, from COLUMN=KIND; DataError for another form."""
    overrides = {}
    for text in texts or []:
        name, equals, kind = text.rpartition("=")
        if not equals or not name.strip():
            raise DataError(f"--override {text!r}: expected COLUMN=KIND, such as zip=categorical")
        overrides[name.strip()] = kind.strip()
    return overrides


def read_seeds(text: str) -> int | list[int]:
    """Return how many seeds ("3"), or which ones ("0,1,5"); ModelError for anything else."""
    try:
        seeds = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        seeds = []
    few = not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds)
    if few or ("," not in text and seeds == [0]):
        msg = (
            f"--seeds must be a number, such as 3, or different seeds, such as 0,1,5; got {text!r}"
        )
        raise ModelError(msg)
    return seeds if "," in text else seeds[0]


def print_json(value: Any) -> None:
    """Print a value as JSON, on one line."""
    sys.stdout.write(json.dumps(value) + "\n")


def named_checkpoint(name: str) -> Literal["best", "final"]:
    """Return a checkpoint as the library takes it; its spelling is checked already."""
    return "final" if name == "final" else "best"


def write_rows(rows: Any, target: Path, schema: Any = None) -> None:
    """Write a data frame, and say so."""
    from pushforward.data import write

    typer.echo(f"{len(rows)} rows: {write(rows, target, schema=schema)}")


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="File or folder of the data, or a built-in data set: digits, wine, ring, moons, ...",
        callback=existing_data,
    ),
]
Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="Folder of the run.", callback=folder_with("config.json", "run")
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        help="Length of each training: 60s, 2m, 1h, 500 (steps) or '1e6 samples'.",
        callback=valid_budget,
    ),
]
Condition = Annotated[
    str | None,
    typer.Option(
        help="Column to condition on; for images and arrays: label, folder, or the name of an "
        "array of labels."
    ),
]
Key = Annotated[
    str | None, typer.Option(help="Array to read from an .npz file that holds several.")
]
Constraint = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE",
        help="Rule that all rows of a table obey, such as 'start <= end'. Repeatable.",
    ),
]
NoRelations = Annotated[
    bool,
    typer.Option(
        "--no-relations",
        help="Do not look for relations that hold in every row of a table, such as amount = price "
        "* quantity.",
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="The first line of a CSV file is data, not names."),
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=KIND",
        help="Kind of a column of a table: categorical, numeric, integer, datetime, boolean or "
        "identifier. Repeatable.",
    ),
]
Rare = Annotated[
    str,
    typer.Option(
        help="What to do with rare categories: draw them as often as they occur, but together; "
        "name them '(rare)'; or keep each of them.",
        callback=one_of("draw", "name", "keep", error=DataError),
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        help="What an array of three or four axes holds: images, or array for vectors.",
        callback=optional(one_of("array", "images", error=DataError)),
    ),
]
PixelRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW..HIGH",
        help="Values of black and white pixels, such as 0..1. By default all pixels tell.",
        callback=optional(spelled(rf"{NUMBER}\.\.{NUMBER}", "0..1")),
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Width and height of all images of a folder, such as 32x32.",
        callback=optional(spelled(r"\d+([xX]\d+)?", "32x32")),
    ),
]
Crop = Annotated[
    bool,
    typer.Option(
        "--crop",
        help="Cut what does not fit the proportions of --resize, or all images to the smallest.",
    ),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        help="JSON file that describes the columns of a table, as SDV writes it.",
        exists=True,
        dir_okay=False,
    ),
]
Checkpoint = Annotated[
    str,
    typer.Option(
        help="Weights to use: best (on validation rows) or final.",
        callback=one_of("best", "final"),
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where to compute: auto (a GPU if there is one), cpu or cuda.", callback=valid_device
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Rows in a batch. By default it depends on the kind of data.")
]
Ema = Annotated[
    float,
    typer.Option(help="Decay of the moving average of the generating networks; 0 turns it off."),
]
ClipGradNorm = Annotated[
    float | None,
    typer.Option(help="Largest norm of a gradient; longer ones are shortened. By default any."),
]
LearningRate = Annotated[
    float | None, typer.Option(help="Learning rate of all networks. By default the model's own.")
]
Precision = Annotated[
    str, typer.Option(help="Numbers that networks are trained with: auto, float32 or bfloat16.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        help="End a run after so many checks in a row (of the ten on validation rows) that were no "
        "better. By default never."
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        help="Tables: after training, fit a classifier that tells training rows from generated "
        "ones, and let it choose among the latter.",
    ),
]
OwnModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Class of a run whose model is your own: my_models.py:MyModel or "
        "package.module:MyModel.",
    ),
]
OwnNetworks = Annotated[
    str | None,
    typer.Option(
        "--networks",
        help="Class of a run whose networks are your own: my_networks.py:MyNetworks.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
