"""Rare categories are drawn with what they occur with, unless that is chance or says too much."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import mutual_info_score

import pushforward as pf
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.information import excess_information
from pushforward.data.tables.partition import MIN_LEVEL_ROWS
from pushforward.data.tables.where import restrict

N, PLANES = 20_000, 3000
CARRIERS = np.array(["AA", "DL", "UA", "WN"])


def planes(seed: int = 0) -> pl.DataFrame:
    """Each plane flies for one carrier, and from one of its two bases; the delay is noise."""
    rng = np.random.default_rng(seed)
    plane = np.minimum(rng.gamma(1.0, PLANES / 2, N).astype(int), PLANES - 1)
    owner, base = rng.integers(0, 4, PLANES), rng.integers(0, 2, PLANES)
    base = 2 * owner + base
    return pl.DataFrame(
        {
            "plane": [f"N{p:04d}" for p in plane],
            "carrier": CARRIERS[owner[plane]],
            "base": [f"base {b}" for b in base[plane]],
            "delay": rng.normal(size=N).round(3),
        }
    )


@pytest.fixture(scope="module")
def data() -> Dataset:
    return pf.read(planes())


def plane_codec(data: Dataset) -> CategoricalCodec:
    assert isinstance(data.schema, TableSchema)
    codec = data.schema.columns[0]
    assert isinstance(codec, CategoricalCodec)
    return codec


def redrawn(data: Dataset) -> pl.DataFrame:
    assert isinstance(data.schema, TableSchema)
    rows, generator = data.rows[data.splits["train"]], torch.Generator().manual_seed(0)
    drawn = data.schema.quantise(data.schema.expand(rows), generator)
    frame = data.schema.decode(drawn)
    assert isinstance(frame, pl.DataFrame)
    return frame


def test_redrawn_planes_fly_for_their_own_carrier_and_from_their_base(data: Dataset) -> None:
    frame, fake = planes(), redrawn(data)
    counts = dict(frame[data.splits["train"].numpy()]["plane"].value_counts().iter_rows())
    seen = fake.filter(pl.Series([counts[p] >= MIN_LEVEL_ROWS for p in fake["plane"]]))
    for column in ("carrier", "base"):
        own = dict(frame.select("plane", column).unique().iter_rows())
        right = np.mean([own[p] == value for p, value in seen.select("plane", column).iter_rows()])
        assert right > 0.99, column  # in one cell 1/4 of the carriers, 1/8 of the bases were right
    (note,) = (note for note in data.notes if "share 9 cells" in note)
    assert note == "column 'plane': the rarer categories share 9 cells, by base"


def test_each_category_is_as_frequent_as_before(data: Dataset) -> None:
    ungrouped = plane_codec(pf.read(planes().select("plane")))
    assert np.array_equal(plane_codec(data).partition.mass, ungrouped.partition.mass)
    train = planes()[data.splits["train"].numpy()]["plane"]
    drawn = redrawn(data)["plane"]
    few = [p for p, n in train.value_counts().iter_rows() if n < MIN_LEVEL_ROWS]
    # groups are drawn as often as they occur, so is the rest: exactly
    assert drawn.is_in(few).sum() == train.is_in(few).sum()


def test_a_category_of_few_rows_says_nothing_about_them(data: Dataset) -> None:
    partition = plane_codec(data).partition
    counts = np.round(partition.mass * len(data.splits["train"]))
    few = (counts > 0) & (counts < MIN_LEVEL_ROWS)
    assert few.sum() > 100
    assert len(np.unique(partition.cell[few])) == 1
    shared = np.flatnonzero(np.bincount(partition.cell) > 1)
    assert (np.bincount(partition.cell, counts)[shared] >= 20).all()
    assert np.unique(partition.cell).tolist() == list(range(partition.n_cells))


def test_the_rarest_go_by_letters_that_tell() -> None:
    """Planes of fewer than five rows end in their carrier's letters, and are drawn for it."""
    frame = planes().with_columns(plane=pl.col("plane") + pl.col("carrier"))
    data = pf.read(frame)
    (note,) = (note for note in data.notes if "rarer categories share" in note)
    assert "by base and their last" in note
    partition, fake = plane_codec(data).partition, redrawn(data)
    assert (fake["plane"].str.slice(-2) == fake["carrier"]).all()
    counts = np.round(partition.mass * len(data.splits["train"]))
    few = (counts > 0) & (counts < MIN_LEVEL_ROWS)
    cells = np.unique(partition.cell[few])
    assert len(cells) == len(CARRIERS)
    rows = np.bincount(partition.cell[few], counts[few])[cells]
    assert (rows >= 20).all()  # so that a cell says nothing about what few rows hold


def test_chance_groups_nothing() -> None:
    rng = np.random.default_rng(1)
    shuffled = planes().with_columns(pl.Series("plane", rng.permutation(planes()["plane"])))
    alone = plane_codec(pf.read(shuffled))
    assert alone.partition.n_cells == 256
    assert not any("share 9 cells" in note for note in pf.read(shuffled).notes)


def test_other_ways_to_handle_rare_categories_stay() -> None:
    assert plane_codec(pf.read(planes(), rare="name")).pooled.sum() == 0
    assert plane_codec(pf.read(planes(), rare="keep")).pooled.sum() == 0


def test_a_condition_tells_too_and_schemas_come_back_from_json() -> None:
    data = pf.read(planes().drop("base"), condition="carrier")
    partition = plane_codec(data).partition
    assert partition.n_cells == 256 + 4
    restored = schema_from_json(data.schema.to_json())
    assert isinstance(restored, TableSchema)
    assert np.array_equal(restored.columns[0].partition.cell, partition.cell)
    assert torch.equal(restored.encode(planes()), data.rows)


def test_where_a_rare_plane_is_asked_for_its_group_gives_it(data: Dataset) -> None:
    assert isinstance(data.schema, TableSchema)
    codec = plane_codec(data)
    grouped = codec.pooled & (codec.partition.cell >= 256)
    code = int(np.flatnonzero(grouped & (codec.partition.mass > 0))[0])
    restricted = restrict(data.schema, {"plane": [codec.levels[code]]})
    cells = torch.zeros(50, len(data.schema.columns), dtype=torch.long)
    cells[:, 0] = int(restricted.share[: codec.partition.n_cells].argmax())
    assert cells[0, 0] == codec.partition.cell[code]
    drawn = restricted.quantile_table.draw_in_cells(cells, torch.Generator().manual_seed(0))
    assert (drawn[:, 0] == code).all()


def test_the_information_is_that_of_a_table_less_that_of_a_permutation() -> None:
    rng = np.random.default_rng(0)
    b = rng.integers(0, 6, 5000)
    a = np.where(rng.random(5000) < 0.5, b, rng.integers(0, 40, 5000))
    by_chance = mutual_info_score(a, np.random.default_rng(0).permutation(b))
    assert excess_information(a, b) == pytest.approx(mutual_info_score(a, b) - by_chance)
    # without a relation 2 n I deviates by sqrt(2 d): 5 deviations in none of 40 pairs
    pairs = [(rng.integers(0, 900, 5000), rng.integers(0, 12, 5000)) for _ in range(40)]
    assert all(excess_information(x, y) == 0 for x, y in pairs)
