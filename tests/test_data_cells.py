"""Cells: they preserve the distribution of a column, and reveal no single row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pushforward.data.tables.cell_table import CellTable
from pushforward.data.tables.quantile_table import QuantileTable
from read_tables import ADULT, quantised_rows, read_table


def test_an_atom_is_generated_as_often_as_it_occurs() -> None:
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(20_000) < 0.9, 0.0, rng.lognormal(8, 2, 20_000))
    _, dataset = read_table(pl.DataFrame({"gain": gain}))
    assert (quantised_rows(dataset)["gain"] == 0).sum() == (gain == 0).sum()


@pytest.mark.parametrize(
    ("name", "draw"),
    {
        "normal": lambda rng: rng.normal(size=20_000),
        "heavy tail": lambda rng: rng.lognormal(0, 3, 20_000),
        "half whole": lambda rng: np.where(rng.random(20_000) < 0.5, 3.0, rng.normal(size=20_000)),
        "counts": lambda rng: rng.poisson(9, 20_000),
        "many counts": lambda rng: rng.geometric(0.004, 20_000),
        "two far heaps": lambda rng: rng.choice([0, 10**9], 20_000) + rng.integers(0, 500, 20_000),
        "prices": lambda rng: np.round(rng.gamma(2, 30, 20_000), 2),
    }.items(),
)
def test_redrawing_leaves_the_distribution_alone(name: str, draw: Any) -> None:
    values = draw(np.random.default_rng(1))
    _, dataset = read_table(pl.DataFrame({"v": values}))
    again = quantised_rows(dataset)["v"].to_numpy()
    assert ks_2samp(values, again).statistic < 0.003
    assert again.mean() == pytest.approx(values.mean(), rel=0.02, abs=0.02 * values.std())


@pytest.mark.shared("adult-train.csv")
def test_adult_survives_its_cells() -> None:
    schema, dataset = read_table(ADULT)
    real, fake = schema.decode(dataset.rows), quantised_rows(dataset)
    errors = {}
    for column in schema.columns:
        a, b = real[column.name], fake[column.name]
        if column.kind == "numeric":
            errors[column.name] = float(ks_2samp(a.to_numpy(), b.to_numpy()).statistic)
        else:
            shares = [
                s.value_counts(normalize=True, name="share").sort(column.name) for s in (a, b)
            ]
            errors[column.name] = float((shares[0]["share"] - shares[1]["share"]).abs().sum()) / 2
    assert max(errors.values()) < 0.004
    assert sum(errors.values()) / len(errors) < 0.001
    assert (fake["capital-gain"] == 0).mean() == (real["capital-gain"] == 0).mean()


def test_no_piece_of_a_bin_pools_fewer_than_twenty_rows() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    schema, dataset = read_table(pl.DataFrame({"v": values}), split=(0.98, 0.01, 0.01))
    cells = schema.columns[0].partition
    train = len(dataset.splits["train"])
    pieces = cells.mass[cells.mass > 0] * train
    assert np.isnan(cells.atom).all()
    # a skewed segment is cut in two at its mean, which adds nothing that is not pooled
    assert np.add.reduceat(pieces, np.arange(0, len(pieces) - 1, 2)).min() > 19.9
    assert schema.space.sizes == (64, 4)  # and of up to four pieces, cut ones among them
    assert cells.shares.min() * train > 40


def test_values_that_repeat_off_any_grid_are_those_that_are_generated() -> None:
    """Logarithms of 400 prices in 8,000 rows; those of a row or two have no piece of their own."""
    rng = np.random.default_rng(2)
    fares = np.log(rng.choice(np.arange(100, 500), 8000))
    rare = np.log(rng.uniform(600, 700, 20))
    _, dataset = read_table(pl.DataFrame({"fare": np.append(fares, rare)}))
    drawn = quantised_rows(dataset)["fare"].to_numpy()
    known, counts = np.unique(fares, return_counts=True)
    assert (counts >= 5).all()
    assert np.isin(drawn[drawn < np.log(600)], known).mean() > 0.97  # training rows have fewer
    assert not np.isin(drawn, rare).any()


def test_a_rare_value_is_no_atom() -> None:
    values = np.concatenate([np.zeros(3000), np.arange(1, 400), [57.0] * 18])
    schema, _ = read_table(pl.DataFrame({"v": values}))
    assert set(schema.columns[0].partition.atom[~np.isnan(schema.columns[0].partition.atom)]) == {0}


def test_a_bin_does_not_generate_the_atom_it_surrounds() -> None:
    rng = np.random.default_rng(0)
    sparse = np.repeat([5, 6, 8, 9], 8)  # fewer than 20 rows each: pooled, around the atom 7
    values = np.concatenate([np.full(2000, 7), np.full(2000, 1), sparse])
    rng.shuffle(values)
    _, dataset = read_table(pl.DataFrame({"v": values}))
    fake = quantised_rows(dataset)["v"]
    assert (fake == 7).sum() == 2000
    assert set(fake.to_list()) <= {1, 5, 6, 7, 8, 9}


def test_integers_are_rounded_without_bias() -> None:
    values = np.tile(np.arange(1000), 20)
    schema, dataset = read_table(pl.DataFrame({"v": values}), split=(0.98, 0.01, 0.01))
    x = schema.expand(dataset.rows).repeat(20, 1)
    drawn = schema.quantise(x, torch.Generator().manual_seed(0))[:, 0].long()
    counts = np.bincount(drawn.numpy(), minlength=1000)
    assert counts.min() > 250  # of 400 each; half a step at a bin's edge would make some 200
    assert counts.max() < 560


@pytest.mark.parametrize("decimals", [2, 11, 12])
def test_generated_numbers_have_the_decimals_of_the_column(decimals: int) -> None:
    """10^11 is no float32 number: a scale in single precision would miss the grid."""
    steps = np.random.default_rng(0).integers(-(10**12), 10**12, 2000)
    schema, dataset = read_table(pl.DataFrame({"v": steps / 10.0**decimals}))
    assert schema.columns[0].decimals == decimals
    drawn = quantised_rows(dataset)["v"].to_numpy()
    np.testing.assert_array_equal(drawn, np.round(drawn * 10.0**decimals) / 10.0**decimals)


def nearly_whole(n: int = 1600, odd: float | None = None, share: float = 0.0) -> NDArray[Any]:
    """Whole numbers, some replaced by others: `odd` or, without it, any of the same range."""
    rng = np.random.default_rng(0)
    values = rng.integers(6, 290, n).astype(np.float64)
    others = rng.uniform(6, 290, n) if odd is None else np.full(n, odd)
    return np.where(np.arange(n) < share * n, others, values)


ON_A_GRID: dict[str, tuple[int, Any]] = {
    "one odd value": (0, lambda _: nearly_whole(odd=100 + 1 / 3, share=1 / 1600)),
    "one in twenty-five": (0, lambda _: nearly_whole(share=0.04)),
    "six digits": (0, lambda _: nearly_whole(odd=9.299999, share=0.01)),
    "sums of cents": (2, lambda rng: rng.integers(100, 99_999, (2, 2000)).T / 100 @ [1, 1]),
    "mostly 0": (
        0,
        lambda rng: np.where(rng.random(1600) < 0.9, 0, nearly_whole(odd=7 / 3, share=0.05)),
    ),
    "thousands": (-3, lambda _: 1000 * nearly_whole() + (np.arange(1600) == 5) / 3),
    "single precision": (1, lambda _: (nearly_whole(odd=1e-5, share=0.002) / 10).astype("f4")),
}


@pytest.mark.parametrize("name", ON_A_GRID)
def test_generated_numbers_lie_on_the_grid_of_nearly_all(name: str) -> None:
    decimals, make = ON_A_GRID[name]
    values = np.random.default_rng(1).permutation(make(np.random.default_rng(0)))
    schema, dataset = read_table(pl.DataFrame({"v": values}))
    drawn = quantised_rows(dataset)["v"].to_numpy()
    rounded = np.round(drawn.astype(np.float64), decimals)
    np.testing.assert_array_equal(drawn, rounded.astype(drawn.dtype))
    assert values.min() - 1e-9 <= drawn.min() <= drawn.max() <= values.max() + 1e-9
    assert drawn.mean() == pytest.approx(values.mean(), rel=0.02)
    assert bool((schema.encode(pl.DataFrame({"v": values}))[:, 0] == torch.tensor(values)).all())


def test_integers_with_exceptions_are_rounded_without_bias() -> None:
    values = np.append(np.tile(np.arange(1000.0), 20), 100 + 1 / 3)
    schema, dataset = read_table(pl.DataFrame({"v": values}), split=(0.98, 0.01, 0.01))
    x = schema.expand(dataset.rows).repeat(20, 1)
    drawn = schema.quantise(x, torch.Generator().manual_seed(0))[:, 0].long()
    counts = np.bincount(drawn.numpy(), minlength=1000)
    assert counts.min() > 250
    assert counts.max() < 560


WITH_A_PATTERN: dict[str, Any] = {
    "mostly 0": lambda rng: np.where(rng.random(3000) < 0.97, 0.0, rng.random(3000)),
    "a number of its own": lambda rng: np.where(
        rng.random(3000) < 0.97, rng.integers(0, 1000, 3000), 1 / 3
    ),
    "below 1": lambda rng: np.where(
        rng.random(3000) < 0.97, rng.integers(0, 1000, 3000), rng.random(3000)
    ),
    "one in ten": lambda _: nearly_whole(share=0.1),
}


@pytest.mark.parametrize("name", WITH_A_PATTERN)
def test_exceptions_that_have_a_pattern_are_generated(name: str) -> None:
    values = np.random.default_rng(1).permutation(WITH_A_PATTERN[name](np.random.default_rng(0)))
    _, dataset = read_table(pl.DataFrame({"v": values}))
    drawn = quantised_rows(dataset)["v"].to_numpy()
    share = (values % 1 > 0).mean()
    assert (drawn % 1 > 0).mean() > 0.8 * share


def test_columns_without_exceptions_keep_their_decimals() -> None:
    """And those of so few decimals that they are modelled by their parts."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "real": rng.normal(size=800),
            "cents": rng.integers(0, 10**6, 800) / 100,
            "tenths": np.where(rng.random(800) < 0.01, 2.5, rng.integers(0, 9, 800)),
            "single": rng.normal(size=800).astype(np.float32),
            "tiny": rng.lognormal(-20, 3, 800),
            "fine": rng.integers(0, 10**9, 800) / 10**7,
        }
    )
    schema, _ = read_table(frame)
    decimals = [column.decimals for column in schema.columns]
    assert decimals[:3] + decimals[4:] == [None, 2, 1, None, 7]
    assert not any("has_exceptions" in column.to_json() for column in schema.columns)


def test_float_noise_leaves_a_value_in_the_middle_of_its_atom() -> None:
    schema, dataset = read_table(pl.DataFrame({"v": [0.3, 0.1 + 0.2] * 300 + [1.5] * 400}))
    ranks = schema.features(dataset.rows)[:, 0] / math.sqrt(6)
    assert ranks[0] == ranks[1] == pytest.approx(schema.columns[0].partition.shares[0] / 2)


def test_unseen_numbers_find_the_nearest_cell_and_come_back() -> None:
    schema, _ = read_table(pl.DataFrame({"v": np.random.default_rng(0).normal(size=500)}))
    strange = pl.DataFrame({"v": [-1e9, 1e9]})
    rows = schema.encode(strange)
    assert schema.decode(rows).equals(strange)
    first, last = schema.cells(rows)[:, 0].tolist()
    assert (first, last) == (0, schema.space.sizes[0] - 1)


def test_quantising_a_relaxed_row_takes_the_most_probable_cell() -> None:
    schema, dataset = read_table(pl.DataFrame({"c": ["a", "b", "c"] * 40, "v": np.arange(120) % 6}))
    x = schema.expand(dataset.rows)
    noisy = 0.6 * x + 0.4 * torch.softmax(torch.randn(x.shape), 1)
    assert torch.equal(schema.cells(schema.quantise(noisy)), schema.cells(dataset.rows))


def test_features_count_each_column_alike() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "flat": rng.random(4000),
            "heavy": rng.lognormal(0, 4, 4000),
            "coin": rng.choice(["a", "b"], 4000).tolist(),
            "holes": [None if hole else v for v, hole in enumerate(rng.random(4000) < 0.2)],
        }
    )
    schema, dataset = read_table(frame)
    features = schema.features(dataset.rows)
    assert features.shape == (4000, 3 + 2 + 1)  # three ranks, a coin, a flag for the holes

    def expected(columns: list[int]) -> float:
        return float(2 * features[:, columns].var(0).sum())

    assert expected([0]) == pytest.approx(1, rel=0.02)
    assert expected([1]) == pytest.approx(1, rel=0.02)
    assert expected([3, 4]) == pytest.approx(0.5, rel=0.02)  # the probability to differ
    ranks = features[:, 1] / math.sqrt(6)
    order = np.argsort(np.argsort(frame["heavy"].to_numpy())) / 4000
    assert np.abs(ranks.numpy() - order).max() < 0.02
    hole = torch.tensor(frame["holes"].is_null().to_numpy())
    assert torch.equal(features[:, 5] == 1, hole)
    assert bool((features[:, 2][hole] == 0.5 * math.sqrt(6)).all())


def test_an_atom_has_its_middle_rank() -> None:
    schema, dataset = read_table(pl.DataFrame({"v": [0.5] * 600 + [1.5] * 400}))
    low, high = (schema.features(dataset.rows)[i, 0].item() / math.sqrt(6) for i in (0, 999))
    share = schema.columns[0].partition.shares
    assert low == pytest.approx(share[0] / 2, abs=1e-6)
    assert high == pytest.approx(1 - share[1] / 2, abs=1e-6)


def test_the_schema_holds_no_row() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, 2))
    schema, _ = read_table(pl.DataFrame(values, schema=["a", "b"]))
    stored = set()
    for column in schema.columns:
        stored |= set(column.partition.bounds.tolist()) | set(column.partition.atom.tolist())
    assert not any(a in stored and b in stored for a, b in values.tolist())


# --- lookup tables


def mixed(n: int = 900, levels: int = 300) -> pl.DataFrame:
    """Narrow and wide columns side by side, with and without missing values."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=n)
    return pl.DataFrame(
        {
            "normal": normal,
            "word": [f"w{i % levels}" for i in range(n)],
            "flag": [None if i % 7 == 0 else i % 3 == 0 for i in range(n)],
            "void": [None] * n,
            "holes": [None if v > 1 else v for v in normal],
            "count": rng.poisson(3, n),
        }
    )


FRAMES = {
    "all kinds": mixed(),
    "categories": mixed()[["word", "flag", "void"]],
    "numbers": mixed()[["normal", "holes", "count"]],
    "nothing": mixed()[["void"]],
    "no number at all": pl.DataFrame({"v": pl.Series([None] * 30, dtype=pl.Float64)}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_cells_are_those_of_each_partition(name: str) -> None:
    schema, dataset = read_table(FRAMES[name])
    cells = schema.cells(dataset.rows).numpy()
    fine = {digit.at for digit in schema.space.fine}
    cells = cells[:, [at for at in range(cells.shape[1]) if at not in fine]]
    for j, column in enumerate(schema.columns):
        p, values = column.partition, dataset.rows[:, j].numpy()
        piece = (np.searchsorted(p.bounds, values, side="right") - 1).clip(0, len(p.cell) - 1)
        expected = np.where(np.isnan(values), 0, p.cell[piece] if len(p.cell) else 0)
        np.testing.assert_array_equal(cells[:, j], expected)


@pytest.mark.parametrize("name", FRAMES)
def test_values_are_drawn_by_the_quantile_function_of_each_partition(name: str) -> None:
    schema, dataset = read_table(FRAMES[name])
    drawn = schema.draw_in_cells(schema.cells(dataset.rows), torch.Generator().manual_seed(0))
    cells = schema.fine_cells(schema.cells(dataset.rows))
    uniform = torch.rand(cells.mT.shape, generator=torch.Generator().manual_seed(0)).double()
    for j, column in enumerate(schema.columns):
        p = schema.fine_partitions[j].partition
        for i in range(0, len(cells), 10):
            cell, u = int(cells[i, j]), float(uniform[j, i]) + 2.0**-25
            if p.missing is not None and cell == 0:
                assert bool(drawn[i, j].isnan())
                continue
            own = np.flatnonzero((p.cell == cell) & (p.mass > 0))
            total = np.cumsum(p.mass[own]) / p.mass[own].sum()
            k = int(np.searchsorted(total, u))
            within = (u - (total[k - 1] if k else 0)) * p.mass[own].sum() / p.mass[own[k]]
            low, high = p.bounds[own[k]], p.bounds[own[k] + 1]
            exact = low + within * (high - low) if np.isnan(p.atom[own[k]]) else p.atom[own[k]]
            if column.decimals is not None:
                exact = np.round(exact * 10**column.decimals) / 10**column.decimals
            assert float(drawn[i, j]) == pytest.approx(
                np.clip(exact, *p.extent), rel=1e-9, abs=1e-9
            )


def test_lookup_tables_grow_with_the_pieces_alone() -> None:
    """A column of 20,000 levels does not make those beside it wide."""
    n = 40_000
    numbers = {f"n{i}": np.random.default_rng(i).normal(size=n) for i in range(10)}
    frame = pl.DataFrame({**numbers, "word": [f"w{i % 20_000}" for i in range(n)]})
    schema, _ = read_table(frame, overrides={"word": "categorical"})
    pieces = sum(len(column.partition.cell) + 1 for column in schema.columns)
    partitions = [column.partition for column in schema.columns]
    decimals = [column.decimals for column in schema.columns]
    for table in (CellTable.of(schema.columns), QuantileTable.of(partitions, decimals)):
        assert max(tensor.numel() for tensor in vars(table).values()) <= 2 * pieces
