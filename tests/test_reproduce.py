"""The lines that repeat a comparison read the same data, whatever the options of reading were."""

from __future__ import annotations

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pushforward as pf
from comparisons import fabricate
from pushforward.cli.main import run_command
from pushforward.data import Dataset
from pushforward.errors import PushforwardError
from pushforward.report import reproduce
from pushforward.report.folder import FolderContents, read_folder

RNG = np.random.default_rng(0)
N = 60


def table(folder: Path, *, header: bool = True) -> str:
    rows = [f"{k % 7},{k % 3 + 1},{'abcdefg'[k % 7 * (k % 5 == 0)]},{k / 8}" for k in range(N)]
    lines = [*["low,high one,it's,x"][: int(header)], *rows]
    (folder / "t.csv").write_text("\n".join(lines))
    return str(folder / "t.csv")


def arrays(folder: Path) -> str:
    digits = RNG.integers(0, 3, N)
    np.savez(folder / "a.npz", a=RNG.normal(size=(N, 3)), b=RNG.random((N, 12, 12)), y=digits)
    return str(folder / "a.npz")


def pictures(folder: Path) -> str:
    for k in range(N // 3):
        (folder / "p" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (16, 20 + k % 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "p" / "ab"[k % 2] / f"{k}.png")
    return str(folder / "p")


def metadata(folder: Path) -> Path:
    kinds = {"low": "categorical", "high one": "numerical", "it's": "categorical", "x": "numerical"}
    columns = {name: {"sdtype": kind} for name, kind in kinds.items()}
    (folder / "m.json").write_text(json.dumps({"columns": columns}))
    return folder / "m.json"


READINGS: dict[str, Any] = {
    "plain": lambda f: (table(f), {}),
    "kinds": lambda f: (
        table(f),
        {"overrides": {"low": "categorical", "high one": "categorical"}, "condition": "it's"},
    ),
    "rules": lambda f: (table(f), {"constraints": ["0 <= low <= 6", "x >= 0"], "rare": "name"}),
    "metadata": lambda f: (table(f), {"metadata": metadata(f)}),
    "no header": lambda f: (table(f, header=False), {"header": False, "name": "mine"}),
    "array": lambda f: (arrays(f), {"key": "b", "kind": "array", "condition": "label"}),
    "range": lambda f: (arrays(f), {"key": "b", "kind": "images", "range": (0, 1)}),
    "range as text": lambda f: (arrays(f), {"key": "b", "range": "-0.5..1.5", "kind": "images"}),
    "resize": lambda f: (pictures(f), {"resize": (12, 10), "crop": True, "condition": "folder"}),
    "resize to a square": lambda f: (pictures(f), {"resize": 9}),
    "crop": lambda f: (pictures(f), {"crop": True}),
    "built-in": lambda _: ("wine", {"condition": "target"}),
}
ONLY_PYTHON: dict[str, Any] = {
    "split": lambda f: (table(f), {"split": (0.6, 0.2, 0.2), "seed": 3}),
    "metadata in memory": lambda f: (table(f), {"metadata": json.loads(metadata(f).read_text())}),
    "labels": lambda f: (Path(arrays(f)), {"key": "a", "labels": np.arange(N) % 2}),
    "data in memory": lambda _: (
        pd.DataFrame({5: RNG.normal(size=N), "k": ["a", "b"] * (N // 2)}),
        {"condition": "k", "overrides": {5: "numeric"}},
    ),
}


def contents_of(data: Dataset, folder: Path) -> FolderContents:
    fabricate(folder / "out", data)
    return read_folder(folder / "out")


class StopError(PushforwardError):
    """Raised in place of a comparison, with the data that it was given."""


def given_to_compare(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def compare(data: Any, *_: Any, **__: Any) -> None:
        found.append(data)
        raise StopError("that is all")

    monkeypatch.setattr(pf, "compare", compare)
    monkeypatch.setattr("pushforward.report.set_up", compare)
    return found


def digest_by_python(contents: FolderContents, given: list[Any], names: dict[str, Any]) -> str:
    with pytest.raises(StopError):
        exec(reproduce.script(contents), names)
    return pf.read(given[-1]).digest


@pytest.mark.parametrize("reading", READINGS)
def test_both_lines_read_the_same_data(
    reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, arguments = READINGS[reading](tmp_path)
    data = pf.read(source, **arguments)
    contents, given = contents_of(data, tmp_path), given_to_compare(monkeypatch)
    words = shlex.split(reproduce.command(contents))
    assert words[0] == "pushforward"
    run_command(words[1:])
    assert len(given) == 1
    assert given[0].digest == data.digest
    assert digest_by_python(contents, given, {}) == data.digest


@pytest.mark.parametrize("reading", ONLY_PYTHON)
def test_what_no_command_line_repeats_is_said(
    reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, arguments = ONLY_PYTHON[reading](tmp_path)
    data = pf.read(source, **arguments)
    contents, given = contents_of(data, tmp_path), given_to_compare(monkeypatch)
    assert reproduce.command(contents).startswith("# No command line repeats ")
    names = {"data": source, "labels": arguments.get("labels")}
    assert digest_by_python(contents, given, names) == data.digest


def test_every_argument_of_read_is_repeated() -> None:
    known = {*reproduce.FLAGS, *reproduce.OF_NO_DATA, "source", "labels", "seed", "split"}
    assert known == set(inspect.signature(pf.read).parameters)
