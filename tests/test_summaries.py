"""What is kept of a table for the report: counts that pool many rows, associations, no row."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.comparison.summaries import EXAMPLE_ROWS, TableSummary, _edges, summarise
from pushforward.data.tables.partition import min_pooled
from pushforward.measures.tables import association


def table(n: int = 600) -> pl.DataFrame:
    """Numbers with a heavy tail, whole numbers, days, categories of which one is rare."""
    rng = np.random.default_rng(0)
    days = pl.Series(rng.integers(10_000, 20_000, n), dtype=pl.Int32).cast(pl.Date)
    return pl.DataFrame(
        {
            "pay": np.exp(rng.normal(10, 1.5, n)),
            "age": rng.integers(18, 95, n),
            "born": days,
            "town": ["Ys", *rng.choice(["Ulm", "Bonn", "Graz"], n - 1)],
            "few": [7.0, None, *rng.choice([1.5, 2.5], n - 2)],
        }
    )


def test_counts_are_those_of_the_rows() -> None:
    real, fake = table(), table().sample(400, seed=1)
    for column in summarise(fake, real).columns:
        values = fake[column.name].drop_nulls()
        assert column.missing == len(fake) - len(values)
        if column.kind == "category":
            expected = [sum(str(v) == c for v in values) for c in column.bins]
        else:
            ms = 86_400_000 if column.kind == "time" else 1
            inner = column.bins[1:-1]
            numbers = values.to_physical().to_numpy() * float(ms)
            expected = np.histogram(numbers, [-np.inf, *inner, np.inf])[0].tolist()
        assert column.counts == expected


def test_a_rare_category_is_not_named() -> None:
    by_name = {column.name: column for column in summarise(table(), table()).columns}
    assert sorted(by_name["town"].bins) == ["Bonn", "Graz", "Ulm"]
    assert sorted(by_name["few"].bins) == ["1.5", "2.5"]


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, min_size=11, max_size=300, unique=True), st.booleans())
def test_a_bin_has_none_or_many_of_the_real_values(values: list[float], whole: bool) -> None:
    real = np.unique(np.rint(values)) if whole else np.array(values)
    if len(real) < 2:
        return
    edges = _edges(real, whole=whole)
    counts = np.histogram(real.clip(edges[0], edges[-1]), edges)[0]
    assert np.all((counts == 0) | (counts >= min(min_pooled(len(real)), len(real))))
    assert counts.sum() == len(real)
    assert np.all(np.diff(edges) > 0)


def test_edges_are_round_numbers_and_not_those_of_rows() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-7, 0.01, 1.0, 1e5, 1e9):
        real = scale * rng.lognormal(size=1000)
        edges = _edges(real, whole=False)
        assert not np.isin(edges, real).any()
        assert {float(f"{edge:.4g}") for edge in edges} == set(edges.tolist())
    years = rng.integers(1900, 2020, 1000).astype(float)
    assert np.all(_edges(years, whole=True) % 1 == 0.5)


def test_values_on_an_edge_are_counted_with_those_above() -> None:
    real = np.repeat(np.arange(0, 61) / 10, 30)  # 0.1, 0.2, ... as they are written
    edges = _edges(real, whole=False)
    counts = np.histogram(real, edges)[0]
    pairs = zip(edges[:-1], [*edges[1:-1], np.inf], strict=True)
    assert counts.tolist() == [((real >= low) & (real < high)).sum() for low, high in pairs]
    assert {float(f"{edge:.6g}") for edge in edges} == set(edges.tolist())


def test_associations_are_the_measures() -> None:
    real, fake = table(), table().sample(300, seed=1)
    held = np.array(summarise(fake, real).associations)
    np.testing.assert_allclose(held, association(fake, like=real).to_numpy(), atol=5.1e-5)


def test_rows_are_kept_only_if_asked_for() -> None:
    assert summarise(table(), table()).examples == []
    kept = summarise(table(), table(), EXAMPLE_ROWS).examples
    assert len(kept) == EXAMPLE_ROWS
    assert [row[3] for row in kept] == table()["town"].head(EXAMPLE_ROWS).to_list()
    assert kept[1][4] == "–"


def test_a_summary_is_plain_json() -> None:
    summary = summarise(table(), table(), 2)
    assert TableSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary


@pytest.mark.parametrize("rows", [1, 2, 12])
def test_few_rows_have_few_counts(rows: int) -> None:
    summary = summarise(table().head(rows), table().head(rows))
    for column in summary.columns:
        assert all(count == 0 or count >= 2 for count in column.counts)
