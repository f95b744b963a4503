"""A saved model holds no rows: every file of a run is searched for values that only one row has.

What a file may hold of single rows is documented: the smallest and the largest value of a column
(as its bounds), and the names of categories.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

import pushforward as pf
from pushforward.data import Dataset, TableSchema
from pushforward.files import read_tensors

ROWS = 400
MODELS = ("vae", "gan")
Floats = NDArray[np.float64]


def people() -> pl.DataFrame:
    """A table in which almost every value of four columns identifies one person."""
    rng = np.random.default_rng(0)
    pay = np.exp(rng.normal(10, 1, ROWS))
    born = [datetime(1950, 1, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 2**30, ROWS)]
    return pl.DataFrame(
        {
            "name": [f"person-{i:05d}-{v:.0f}" for i, v in enumerate(1e6 * rng.random(ROWS))],
            "pay": pay,
            "price": (1e4 * rng.random(ROWS)).round(2),
            "account": rng.integers(10**6, 10**9, ROWS),
            "born": born,
            "job": rng.choice(["nurse", "baker", "smith"], ROWS),
            "town": rng.choice(["Ulm", "Bonn", "Graz", "Bern"], ROWS),
            "member": rng.random(ROWS) < 0.3,
        }
    ).with_columns(pay=pl.when(pl.col("town") != "Ulm").then("pay"))


@dataclass(frozen=True)
class Saved:
    """A comparison's folder, and what must not be in it."""

    data: Dataset
    frame: pl.DataFrame
    folder: Path

    def files(self, within: str) -> list[Path]:
        return sorted(p for p in (self.folder / within).rglob("*") if p.is_file())

    @property
    def single(self) -> Floats:
        """Encoded numbers of one row alone, without the extremes of the training rows."""
        schema = self.data.schema
        assert isinstance(schema, TableSchema)
        both = (self.data.rows, self.data.subset("train")[0])
        pairs = zip(*(schema.numeric(rows).numpy().T for rows in both), strict=True)
        return np.concatenate([_alone(values, trained) for values, trained in pairs])

    @property
    def texts(self) -> set[str]:
        """Names, numbers and times of single rows, as people and programs write them."""
        frame = self.frame.with_columns(pl.col("born").dt.to_string("iso"))
        written = {
            text
            for name in ("name", "born", "pay", "price", "account")
            for text in frame[name].cast(pl.String).drop_nulls().sort()
        }
        trained = frame[self.data.splits["train"].tolist()]
        bounds = {str(end) for c in trained.iter_columns() for end in (c.min(), c.max())}
        # 6 characters are no coincidence in a file of digits; fewer may be.
        return {text for text in written - bounds if len(text) >= 6}


def _alone(values: Floats, trained: Floats) -> Floats:
    """Return the values that are there once, but for the smallest and largest trained one."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    alone = distinct[counts == 1]
    return np.setdiff1d(alone, [np.nanmin(trained), np.nanmax(trained)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    frame = people()
    data = pf.read(frame)
    out = tmp_path_factory.mktemp("rows") / "out"
    pf.compare(data, list(MODELS), seeds=1, out=out, budget=24, latent=4, width=16)
    return Saved(data, frame, out)


def numbers_in(path: Path) -> Iterator[Floats]:
    """Yield every list of numbers and every tensor of a file."""
    if path.suffix == ".safetensors":
        tensors, text = read_tensors(path)
        yield from (t.double().numpy() for t in tensors.values())
        parsed = [json.loads(text)] if text.startswith(("{", "[")) else []
    else:
        parsed = [json.loads(line) for line in _documents(path)]
    for document in parsed:
        yield from _lists(document)


def _documents(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _lists(value: Any) -> Iterator[Floats]:
    """Yield the numbers of a JSON value: each list by itself, and single ones."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _lists(inner)
    elif isinstance(value, list):
        flat = [v for v in value if isinstance(v, int | float)]
        yield np.array(flat, dtype=np.float64)
        for inner in value:
            yield from _lists(inner) if isinstance(inner, dict | list) else ()
    elif isinstance(value, int | float):
        yield np.array([value], dtype=np.float64)


def test_what_is_searched_for_would_be_found(saved: Saved) -> None:
    assert len(saved.single) > 3 * ROWS
    assert len(saved.texts) > 4 * ROWS
    names = {p.name for p in saved.files("runs")}
    expected = {"config.json", "schema.json", "anatomy.json", "history.jsonl", "scorecard.json"}
    assert expected | {f"{n}.safetensors" for n in ("weights", "best", "state")} <= names
    real = next(p for p in saved.files("samples") if p.stem == "real")
    assert any(np.isin(values, saved.single).any() for values in numbers_in(real))


@pytest.mark.parametrize("model", MODELS)
def test_no_number_of_a_single_row_is_in_a_file(saved: Saved, model: str) -> None:
    rounded = np.unique(saved.single.astype(np.float32)).astype(np.float64)
    secrets = np.concatenate([saved.single, rounded])
    for path in saved.files(f"runs/{model}-0"):
        for values in numbers_in(path):
            leaked = values[np.isin(values, secrets)]
            assert not len(leaked), f"{path.name} holds {leaked[:3]}"


@pytest.mark.parametrize("model", MODELS)
def test_no_text_of_a_single_row_is_in_a_file(saved: Saved, model: str) -> None:
    for path in saved.files(f"runs/{model}-0"):
        raw = path.read_bytes()
        leaked = [text for text in saved.texts if text.encode() in raw]
        assert not leaked, f"{path.name} holds {leaked[:3]}"


@pytest.mark.parametrize("model", MODELS)
def test_no_number_of_a_single_row_is_in_a_files_bytes(saved: Saved, model: str) -> None:
    whole = saved.single[saved.single == np.trunc(saved.single)]
    secrets = {np.float64: saved.single, np.float32: saved.single, np.int64: whole}
    for path in saved.files(f"runs/{model}-0"):
        raw = path.read_bytes()[8:]  # safetensors begin with the length of their header
        for kind, numbers in secrets.items():
            held = np.frombuffer(raw[: len(raw) // 8 * 8], kind)
            with np.errstate(invalid="ignore"):
                assert not np.isin(held, numbers.astype(kind)).any(), f"{path.name}, {kind}"


@pytest.mark.parametrize("model", MODELS)
def test_no_whole_row_is_in_a_file(saved: Saved, model: str) -> None:
    """Neither as encoded nor as the networks see it, nor the common values of one in a list."""
    rows = saved.data.rows
    forms = [rows, saved.data.schema.expand(rows).double(), saved.data.schema.features(rows)]
    known = {form.shape[1]: {row.tobytes() for row in _plain(form)} for form in forms}
    for path in saved.files(f"runs/{model}-0"):
        for values in numbers_in(path):
            for width, own in known.items():
                if values.ndim and values.shape[-1] % width == 0 and values.size:
                    held = _plain(torch.from_numpy(values).reshape(-1, width))
                    assert not any(row.tobytes() in own for row in held), path.name


def _plain(rows: torch.Tensor) -> Floats:
    return np.ascontiguousarray(np.nan_to_num(rows.double().numpy(), nan=-1e300))


@pytest.mark.parametrize("model", MODELS)
def test_no_index_of_the_training_rows_is_in_a_file(saved: Saved, model: str) -> None:
    """No list of different whole numbers below the number of rows, as long as a part of them."""
    for path in saved.files(f"runs/{model}-0"):
        for values in numbers_in(path):
            flat = values.ravel()
            whole = flat[(flat == np.rint(flat)) & (flat >= 0) & (flat < ROWS)]
            different = len(np.unique(whole))
            assert different < ROWS // 4 or different < len(whole) / 2, path.name


def test_what_is_kept_for_the_report_holds_no_training_row(saved: Saved) -> None:
    """The samples hold test rows and generated ones; the rows of ceiling and floor are not kept."""
    index = saved.data.splits["train"]
    train = np.unique(saved.data.rows[index].numpy())
    single = saved.single[np.isin(saved.single, train)]
    files = [*saved.files("samples"), saved.folder / "comparison.json"]
    files += [saved.folder / "references.json"]
    for path in files:
        for values in numbers_in(path):
            leaked = values[np.isin(values, single)]
            assert not len(leaked), f"{path.name} holds {leaked[:3]}"
