"""A table that is streamed is the table that is held: one schema, one digest, the same cells."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import forked
import pushforward as pf
from pushforward.data import TableSchema, read, sources
from pushforward.data.split import shuffled_indices
from pushforward.data.tables import stream
from pushforward.errors import DataError
from pushforward.training.batches import Batches, _compact
from read_tables import positions

N = 3000
CPU = torch.device("cpu")


def everything(n: int = N) -> pl.DataFrame:
    """Columns of every kind, most of them with missing values, the last rows unlike the first."""
    rng = np.random.default_rng(0)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    seconds = [int(s) for s in rng.integers(0, 10**8, n)]
    columns = {
        "normal": rng.normal(size=n),
        "cents": np.round(rng.gamma(2, 30, n), 2),
        "late digits": [0.5] * (n - 1) + [0.125],
        "single": pl.Series(rng.normal(size=n).astype(np.float32)),
        "exact": pl.Series([Decimal(s % 10**6) / 1000 for s in seconds], dtype=pl.Decimal(12, 3)),
        "counts": rng.poisson(9, n),
        "huge": pl.Series([2**63 + s for s in seconds], dtype=pl.UInt64),
        "late wide": [*range(n - 1), 2**60],
        "nan": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "words": [f"w{min(int(k), 1500)}" for k in rng.zipf(1.1, n)],
        "late word": ["a", "b"] * (n // 2 - 1) + ["b", "c"],
        "id": [f"u-{i:06d}" for i in rng.permutation(n)],
        "flag": rng.random(n) < 0.3,
        "level": pl.Series(rng.choice(["low", "high"], n), dtype=pl.Categorical()),
        "enum": pl.Series(rng.choice(["z", "a"], n), dtype=pl.Enum(["z", "a", "never"])),
        "day": [date(2000, 1, 1) + timedelta(days=s % 9000) for s in seconds],
        "stamp": [start + timedelta(seconds=s) for s in seconds],
        "late stamp": [datetime(2020, 1, 1)] * (n - 1) + [datetime(9999, 1, 1, microsecond=1)],
        "clock": [time(s % 24, 30 * (s % 2)) for s in seconds],
        "lapse": [timedelta(milliseconds=s) for s in seconds],
        "void": [None] * n,
        "constant": [7] * n,
    }
    frame = pl.DataFrame(columns)
    holes = pl.Series(rng.random(n) < 0.05)
    some = pl.when(~holes).then(pl.col("normal", "counts", "words", "id", "flag", "day", "lapse"))
    return frame.with_columns(some.name.suffix(", holes"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Parquet file is large, and read in some ten batches and groups of columns."""
    monkeypatch.setattr(sources, "MAX_ROWS_IN_MEMORY", 0)
    monkeypatch.setattr(sys.modules["pushforward.data.read"], "MAX_ROWS_IN_MEMORY", 0)
    # what is missing together is learned of a table in memory only
    monkeypatch.setattr(sys.modules["pushforward.data.read"], "implied_missing", lambda _: ())
    monkeypatch.setattr(stream, "BATCH_ROWS", 257)
    monkeypatch.setattr(stream, "SAMPLE_VALUES", 5 * N)


def parquet(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_parquet(folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("condition", [None, "words, holes", "flag, holes"])
@pytest.mark.parametrize("rare", ["draw", "name"])
def test_a_streamed_table_is_the_table_that_is_held(
    tmp_path: Path, condition: str | None, rare: Any
) -> None:
    frame = everything().with_columns(pl.col("words, holes").str.slice(0, 2))
    in_memory = read(frame, condition=condition, rare=rare, relations=False)
    streamed = read(parquet(frame, tmp_path), condition=condition, rare=rare)
    assert streamed.schema.to_json() == in_memory.schema.to_json()
    assert streamed.digest == in_memory.digest
    assert torch.equal(streamed.rows.nan_to_num(-1), in_memory.rows.nan_to_num(-1))
    assert {n: p.tolist() for n, p in streamed.splits.items()} == {
        n: p.tolist() for n, p in in_memory.splits.items()
    }
    assert (streamed.labels is None) == (in_memory.labels is None) == (condition is None)
    if streamed.labels is not None and in_memory.labels is not None:
        assert torch.equal(streamed.labels, in_memory.labels)
    assert streamed.notes[1:] == in_memory.notes
    assert len(streamed) == len(in_memory)
    assert streamed.sizes == in_memory.sizes
    assert streamed.streamed is not None
    order = in_memory.splits["train"].sort().values
    assert torch.equal(streamed.streamed.codes, in_memory.schema.compact(in_memory.rows[order]))
    if in_memory.labels is not None and streamed.streamed.labels is not None:
        assert streamed.streamed.labels.tolist() == in_memory.labels[order].tolist()
    if rare == "draw":
        assert_frame_equal(
            streamed.raw("test").drop("id", "id, holes"),
            in_memory.raw("test").drop("id", "id, holes"),
        )


def texts(n: int = N) -> pl.DataFrame:
    """Columns of text, most of which the last row tells to be other than they looked."""
    rng = np.random.default_rng(1)
    cents = rng.integers(1, 10**7, n)
    day = [date(2020, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 1500, n)]
    early = [d.replace(day=d.day % 12 + 1) for d in day]  # either may be the month
    stamp = [datetime(2020, 1, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 10**8, n)]
    columns: dict[str, Any] = {
        "dollars": [f"${c / 100:,.2f}" for c in cents[1:]] + ["($3.50)"],
        "late decimals": [str(c) for c in cents[1:]] + ["0.25"],
        "whole or missing": ["NA", *map(str, cents[2:]), None],
        "point or group": [f"{c % 900 + 100},{c % 1000:03d}" for c in cents],
        "late group": [f"{c % 1000}" for c in cents[1:]] + ["1.234.567"],
        "too long": [f"{c:019d}".replace("0", "1") for c in cents[1:]] + ["9" * 19],
        "late word": [str(c) for c in cents[1:]] + ["none of them"],
        "late day": [f"{d:%d/%m/%Y}" for d in early[1:]] + ["31/12/2021"],
        "open": [f"{d:%d/%m/%Y}" for d in early],
        "other open": [f"{d:%d.%m.%y}" for d in early],
        "iso": [f"{d}" for d in day[:-1]] + [None],
        "no date": [f"{d}" for d in day[1:]] + ["2021-02-29"],
        "stamp": [f"{t:%Y-%m-%d %H:%M:%S}" for t in stamp],
        "fraction": [
            f"{t:%Y-%m-%dT%H:%M:%S}.{c % 999 + 1:03d}Z" for t, c in zip(stamp, cents, strict=True)
        ],
        "half days": [f"{t:%b %d, %Y %I:%M %p}" for t in stamp],
        "clock": [f"{t:%H:%M}" for t in stamp],
        "void": [None] * n,
        "dashes": ["-"] * n,
        "code": [f"{c % 50:03d}" for c in cents],
        "amount": [f"{c % 20 * 500:,}" for c in cents],
        "id": [f"u-{i:06d}" for i in rng.permutation(n)],
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


STATED = {"code": "numeric", "amount": "categorical"}


@pytest.mark.parametrize("overrides", [{}, STATED])
def test_text_that_is_streamed_is_read_as_text_that_is_held(
    overrides: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = texts()
    # A stream is searched neither for relations nor for what rare categories occur with.
    reading = importlib.import_module("pushforward.data.read")
    monkeypatch.setattr(reading, "group_rare", lambda schema, *_: (schema, ()))
    held = read(frame, overrides=overrides, relations=False)
    monkeypatch.setattr(sources, "MAX_ROWS_IN_MEMORY", 0)
    monkeypatch.setattr(stream, "BATCH_ROWS", 257)
    streamed = read(parquet(frame, tmp_path), overrides=overrides)
    assert isinstance(held.schema, TableSchema)
    assert isinstance(streamed.schema, TableSchema)
    own = [column.to_json() for column in streamed.schema.columns]
    assert own == [column.to_json() for column in held.schema.columns]
    assert streamed.digest == held.digest
    assert {n for n in streamed.notes if "streamed" not in n} == set(held.notes)
    test = held.splits["test"].numpy()
    remade = [i.name for i in held.schema.identifiers]
    spelled = frame[test].with_columns(pl.col("whole or missing").replace("NA", None))
    if overrides:
        spelled = spelled.with_columns(pl.col("code").cast(pl.Int64).cast(pl.String))
    assert_frame_equal(streamed.raw("test").drop(remade), spelled.drop(remade))


@pytest.mark.usefixtures("small")
def test_a_lazy_frame_is_streamed_and_a_small_one_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(everything(), tmp_path)
    query = pl.scan_parquet(path).filter(pl.col("counts") > 8).select("normal", "words", "day")
    streamed = read(query)
    in_memory = read(query.collect())
    assert streamed.streamed is not None
    assert streamed.digest == in_memory.digest
    monkeypatch.setattr(sys.modules["pushforward.data.read"], "MAX_ROWS_IN_MEMORY", N)
    assert read(query).streamed is None
    assert read(query).digest == in_memory.digest
    with pytest.raises(DataError, match=r"the lazy frame cannot be read: .*nowhere"):
        read(query.select("nowhere"))


@pytest.mark.usefixtures("small")
def test_what_is_held_of_a_large_table_is_capped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frequencies from a sample: quantiles within the DKW bound, and all training rows encoded."""
    monkeypatch.setattr(stream, "MAX_ROWS_PER_SPLIT", 100)
    monkeypatch.setattr(stream, "MAX_SAMPLE_ROWS", 1000)
    frame = everything()
    streamed = read(parquet(frame, tmp_path))
    assert {name: len(index) for name, index in streamed.splits.items()} == dict.fromkeys(
        ("train", "validation", "test"), 100
    )
    assert streamed.sizes == {"train": N - 200, "validation": 100, "test": 100}
    assert (len(streamed), len(streamed.rows)) == (N, 300)
    assert "3,000 rows are streamed: 2,800 for training" in streamed.notes[0]
    order = shuffled_indices(N, 0, np.int64)
    in_memory = np.sort(np.concatenate([order[:100], order[2800:]]))
    assert_frame_equal(
        streamed.schema.decode(streamed.rows).drop("id", "id, holes"),
        frame[in_memory].drop("id", "id, holes"),
    )
    assert isinstance(streamed.schema, TableSchema)
    cells = streamed.schema.columns[positions(streamed.schema)["normal"]].partition
    everyone = np.sort(frame["normal"].to_numpy()[order[:2800]])
    below = np.searchsorted(everyone, cells.bounds[1:-1]) / 2800
    # DKW: 2 exp(-2 n e^2) = 1e-4 at n = 1000 is e = 0.07; a piece pools 20 of these rows
    assert np.abs(np.cumsum(cells.mass)[:-1] - below).max() < 0.07 + 20 / 1000


@pytest.mark.usefixtures("small")
def test_batches_come_from_all_training_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_ROWS_PER_SPLIT", 50)
    frame = pl.DataFrame({"v": np.arange(N) % 50, "c": ["x", "y", "y"] * (N // 3)})
    streamed = read(parquet(frame, tmp_path), condition="c")
    for most in (10**9, 0):  # shuffled, and drawn anew
        monkeypatch.setattr("pushforward.training.batches.SHUFFLED", most)
        batches = Batches(streamed, 300, 0, CPU, 2)
        drawn = [batches() for _ in range(20)]
        x = torch.cat([x for x, _ in drawn])
        c = torch.cat([c for _, c in drawn if c is not None])
        seen = x.sum(0)
        # 6,000 rows, 120 of each value: binomial sd 11, so five of them, and the split's own 5
        assert bool(((seen[:50] - 120).abs() < 60).all())
        assert float(c.mean(0)[1]) == pytest.approx(2 / 3, abs=0.03)
        again = Batches(streamed, 300, 0, CPU, 2)
        again.drawn = 19
        assert torch.equal(again()[0], drawn[-1][0])
    everyone = torch.cat([x for x, _ in batches.epoch()])
    assert len(everyone) == streamed.sizes["train"]
    monkeypatch.setattr("pushforward.training.batches.ENOUGH", 600)
    assert sum(len(x) for x, _ in batches.epoch()) == 600


@pytest.mark.usefixtures("small")
def test_a_model_is_trained_on_a_streamed_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"v": np.arange(N) % 50, "c": ["x", "y", "y"] * (N // 3)})
    streamed = read(parquet(frame, tmp_path))
    fitted = pf.fit(streamed, "vae", budget="20 steps", out=tmp_path / "run")
    assert fitted.sample(10).schema == frame.schema


def test_a_streamed_file_is_gone_with_its_dataset(tmp_path: Path) -> None:
    """Nothing is left in the folder for temporary files, not even while it is in use."""
    parquet(pl.DataFrame({"v": np.arange(N)}), tmp_path)
    code = (
        "import os, sys, tempfile; from pathlib import Path\n"
        "from pushforward.data import read, sources\n"
        "sources.MAX_ROWS_IN_MEMORY = 0\n"
        "folder = Path(sys.argv[1]); tempfile.tempdir = str(folder)\n"
        "data = read(folder / 't.parquet')\n"
        "assert data.streamed is not None and [p.name for p in folder.iterdir()] == ['t.parquet']\n"
    )
    said = forked.ended("-c", code, tmp_path)
    assert said.status == 0, said.stderr


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("frame", "keywords", "message"),
    [
        (pl.DataFrame({"t": ["1"] * 20 + ["x"]}), {"overrides": {"t": "numeric"}}, "row 21 is 'x'"),
        (pl.DataFrame({"t": [1.0] * 15 + [np.inf]}), {}, "row 16 is inf"),
        (pl.DataFrame({"t": [[1]] * 20}), {}, "'t' must hold numbers, text"),
        (pl.DataFrame({"t": range(200)}), {"condition": "t"}, "at most 100 classes, got 200"),
        (pl.DataFrame({"t": range(20)}), {"condition": "s"}, "no column 's'"),
        (pl.DataFrame({"t": range(5)}), {}, "at least 10 rows"),
    ],
)
def test_large_tables_that_cannot_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    frame: pl.DataFrame,
    keywords: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(stream, "BATCH_ROWS", 7)
    with pytest.raises(DataError, match=message):
        read(parquet(frame, tmp_path), **keywords)


# --- codes


@pytest.mark.parametrize("levels", [3, 256, 257, 40_000])
def test_compact_rows_expand_as_the_encoded_ones(levels: int) -> None:
    n = max(2 * levels, 500)
    frame = pl.DataFrame(
        {"v": np.random.default_rng(0).normal(size=n), "w": [f"w{i % levels}" for i in range(n)]}
    )
    data = read(frame, rare="keep", overrides={"w": "categorical"})
    sizes = {3: torch.uint8, 256: torch.uint8, 257: torch.int16, 40_000: torch.int32}
    codes = data.schema.compact(data.rows)
    assert codes.dtype == sizes[levels]
    assert codes.shape == (n, 3)  # cell and digit of v, cell of w
    some = slice(0, 600)
    assert torch.equal(data.schema.expand(codes[some]), data.schema.expand(data.rows[some]))


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_other_data_are_compact_as_they_are(name: str) -> None:
    data = read(name)
    assert data.schema.compact(data.rows) is data.rows
    assert torch.equal(_compact(data)[0], data.subset("train")[0])


def test_chunks_of_compact_rows_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushforward.training.batches.CHUNK", 77)
    data = read(everything())
    assert isinstance(data.schema, TableSchema)
    rows, _ = _compact(data)
    assert rows.dtype == torch.int16  # 1000 words and more share their rare cell: 256, and NaN
    assert torch.equal(rows, data.schema.compact(data.subset("train")[0]))
