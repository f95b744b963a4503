"""A private schema: what it asks of rows changes by one count with a row, whatever the table."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from pushforward.data import Dataset, read
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.private import (
    NoisyCounts,
    cell_shares,
    private_table,
    questions,
    require_private,
)
from pushforward.data.tables.private import numbers as private_numbers
from pushforward.data.tables.private.numbers import noisy_partition
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError
from read_tables import positions

ROWS = 3000


def table(rows: int = ROWS) -> pl.DataFrame:
    """Every kind of column, some with missing values, some with a value that one row has."""
    rng = np.random.default_rng(0)
    names = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    names[7] = "the only one"
    amounts = np.where(rng.random(rows) < 0.6, 0.0, rng.lognormal(3, 1, rows).round(2))
    day, second = date(2024, 1, 1), datetime(2024, 1, 1, 12)
    return pl.DataFrame(
        {
            "age": rng.integers(18, 90, rows),
            "name": pl.Series(names.tolist(), dtype=pl.String),
            "amount": [None if i % 10 == 0 else a for i, a in enumerate(amounts.tolist())],
            "depth": rng.normal(-5000.0, 900.0, rows),
            "day": [day + timedelta(int(d)) for d in rng.integers(0, 365, rows)],
            "at": [second + timedelta(minutes=int(m)) for m in rng.integers(0, 10**6, rows)],
            "yes": rng.random(rows) < 0.3,
            "code": pl.Series(rng.integers(0, 4, rows)),
        }
    )


@pytest.fixture(scope="module")
def data() -> Dataset:
    kinds = {"code": "categorical"}
    return read(table(), relations=False, overrides=kinds, split=(0.8, 0.1, 0.1))


def counts(data: Dataset, sigma: float, seed: int = 0) -> NoisyCounts:
    schema = data.schema
    assert isinstance(schema, TableSchema)
    return NoisyCounts(sigma, questions(schema), 1e-6, np.random.default_rng(seed))


def only(data: Dataset, index: torch.Tensor) -> Dataset:
    return replace(data, splits={**data.splits, "train": index})


class Recorded(NoisyCounts):
    """Remembers what it was asked, and answers as another one did."""

    def __init__(self, like: NoisyCounts, answers: list[Any] | None = None) -> None:
        super().__init__(like.sigma, like.questions, like.chance, like.generator)
        self.asked: list[Any] = []
        self.answers: list[Any] = []
        self.given = answers

    def __call__(self, counts: Any) -> Any:
        self.asked.append(np.array(counts))
        answer = super().__call__(counts) if self.given is None else self.given[len(self.answers)]
        self.answers.append(answer)
        return answer


@pytest.mark.parametrize("sigma", [0.5, 20.0])
def test_a_row_less_changes_one_count_of_each_question_by_one(data: Dataset, sigma: float) -> None:
    """Sensitivity 1: the same answers given, each question of the two tables differs by one row."""
    train = data.splits["train"]
    first = Recorded(counts(data, sigma))
    private_table(data, first)
    assert len(first.asked) <= questions(require_private(data))
    assert isinstance(data.schema, TableSchema)
    names = data.rows[:, positions(data.schema)["name"]]
    (unique,) = (names[train] == names[7]).nonzero()[:, 0].tolist()
    for left_out in (0, unique, len(train) - 1):
        rest = torch.cat([train[:left_out], train[left_out + 1 :]])
        second = Recorded(counts(data, sigma), first.answers)
        private_table(only(data, rest), second)
        assert len(second.asked) == len(first.asked)
        for more, less in zip(first.asked, second.asked, strict=True):
            assert more.shape == less.shape
            assert np.abs(more - less).sum() <= 1


def test_no_more_is_asked_than_is_accounted_for(data: Dataset) -> None:
    few = counts(data, 1.0)
    few.questions = 3
    with pytest.raises(RuntimeError, match="more was asked"):
        private_table(data, few)


def test_the_noise_has_the_deviation_that_is_accounted_for(data: Dataset) -> None:
    noisy = counts(data, 7.0)(np.zeros(20_000, np.int64))
    # the error of a standard deviation of n numbers is sigma / sqrt(2 n): 5 of them
    assert abs(noisy.std() - 7.0) < 5 * 7.0 / np.sqrt(2 * len(noisy))
    assert abs(noisy.mean()) < 5 * 7.0 / np.sqrt(len(noisy))


def test_a_category_of_one_row_is_named_as_seldom_as_is_accounted_for() -> None:
    chance, columns, trials = 0.2, 4, 4000
    asked = NoisyCounts(5.0, 1, chance, np.random.default_rng(1))
    named = asked(np.ones((trials, columns), np.int64)) > asked.nameable(columns)
    share = named.any(1).mean()
    expected = 1 - (1 - chance / columns) ** columns  # 0.185, below the union bound
    assert share <= chance
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / trials)


def test_with_little_noise_the_schema_is_that_of_the_rows(data: Dataset) -> None:
    found = private_table(data, counts(data, 0.5))
    by_name = {column.name: column for column in found.schema.columns}
    train = data.raw("train")
    assert found.size == pytest.approx(len(train), abs=4)
    for name in ("age", "amount", "day", "at", "depth"):
        low, high = by_name[name].partition.extent
        values = by_name[name].encode(train[name])
        # an end of a column lies where the count of a leaf exceeds the noise: a few rows are cut
        assert np.mean((values < low) | (values > high)) < 0.01, name
    assert by_name["amount"].decimals == 2
    assert by_name["depth"].decimals is None
    assert by_name["age"].partition.missing is None
    assert by_name["amount"].partition.missing == pytest.approx(0.1, abs=0.02)
    zero = by_name["amount"].partition
    at = int(np.flatnonzero(zero.atom == 0)[0])
    assert zero.mass[at] == pytest.approx(train["amount"].eq(0).sum() / len(train), abs=0.01)
    assert by_name["name"].levels == ("a", "b", "c")  # type: ignore[attr-defined]  # categories
    assert by_name["yes"].levels == (False, True)  # type: ignore[attr-defined]
    seen = found.schema.expand(found.rows).mean(0)
    assert float((seen - cell_shares(found.schema)).abs().sum()) < 0.05 * len(
        found.schema.space.sizes
    )


def test_it_comes_back_in_the_users_own_form(data: Dataset) -> None:
    found = private_table(data, counts(data, 20.0))
    frame = found.schema.decode(found.rows)
    assert frame.schema == data.raw("train").schema
    known = TableSchema.from_json(found.schema.to_json())
    assert torch.equal(known.expand(found.rows), found.schema.expand(found.rows))


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("sigma", [0.0, 3.0, 300.0])
@pytest.mark.parametrize("shift", [-70_000.0, -50.0, 0.0, 1e9])
def test_a_partition_covers_the_line(integers: bool, sigma: float, shift: float) -> None:
    rng = np.random.default_rng(2)
    steps = (rng.normal(0, 40, 2000) + shift).round(0 if integers else 6)
    steps[::50] = np.nan
    asked = NoisyCounts(sigma, private_numbers.QUESTIONS, 1e-6, rng)
    p, inside = noisy_partition(steps, asked, len(steps), integers=integers)
    assert (np.diff(p.bounds) > 0).all()
    assert p.mass.sum() + (p.missing or 0) == pytest.approx(1)
    assert (p.mass >= 0).all()
    assert set(p.cell) | ({0} if p.missing is not None else set()) == set(range(p.n_cells))
    low, high = p.extent
    present = inside[~np.isnan(inside)]
    assert ((present >= low) & (present <= high)).all()
    if sigma == 0:  # the shares are then those of the rows, up to those that are missing
        piece = np.searchsorted(p.bounds, present, side="right") - 1
        shares = np.bincount(piece, minlength=len(p.mass)) / len(steps)
        cells = np.bincount(p.cell, p.mass - shares, p.n_cells)
        assert np.abs(cells).max() < 2e-3


def test_a_condition_has_noisy_classes() -> None:
    data = read(table(), relations=False, condition="name")
    found = private_table(data, counts(data, 2.0))
    assert found.schema.condition is not None
    assert found.schema.condition.classes == ("a", "b", "c")
    shares = np.array(found.schema.condition.frequencies)
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.05)
    assert found.labels is not None
    assert int(found.labels.max()) == 2  # the only one counts as the most frequent class


@pytest.mark.parametrize("sigma", [0.5, 20.0])
def test_a_schema_of_categories_that_are_missing_can_be_written(sigma: float) -> None:
    """What noisy counts decide is plain True and False."""
    for absent in (0, 3, 300):
        texts = [None] * absent + ["q", "r"] * ((400 - absent) // 2)
        data = read(pl.DataFrame({"m": pl.Series(texts, dtype=pl.String)}), relations=False)
        learned = private_table(data, counts(data, sigma)).schema
        assert json.loads(json.dumps(learned.to_json()))["columns"]


def test_a_rare_category_gives_no_name_away(data: Dataset) -> None:
    text = str(private_table(data, counts(data, 20.0)).schema.to_json())
    assert "the only one" not in text
    assert "the only one" in str(data.schema.to_json())


def test_what_has_no_private_form_is_refused() -> None:
    frame = table(300)
    keyed = frame.with_columns(pl.Series("key", [f"user-{i:05d}" for i in range(300)]))
    cases: list[tuple[Any, str]] = [
        (read(keyed, relations=False), "'key' holds identifiers"),
        (read(frame, relations=False, constraints="0 <= age"), "'age >= 0'"),
        (read(frame, relations=False, rare="name"), "rare='name'"),
        (read(np.random.default_rng(0).normal(size=(50, 3))), "epsilon= is for tables"),
        (read("digits"), "epsilon= is for tables"),
    ]
    for data, message in cases:
        with pytest.raises(DataError, match=message) as raised:
            require_private(data)
        assert "\n" not in str(raised.value)


def learned(frame: Any, answers: list[Any] | None = None) -> tuple[TableSchema, list[Any]]:
    """Return a private schema, and the noisy answers that it was learned from."""
    data = read(frame, relations=False, split=(0.8, 0.1, 0.1))
    asked = Recorded(counts(data, 50.0), answers)
    found = private_table(data, asked)
    return found.schema, asked.answers


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_how_one_rows_value_is_missing_is_not_in_the_schema(library: str) -> None:
    rng = np.random.default_rng(0)
    whole = {"x": rng.normal(size=1000), "k": rng.choice(["u", "v", "w"], 1000).astype(object)}
    gap = {name: values.copy() for name, values in whole.items()}
    place = int(read(pl.DataFrame({"x": whole["x"]}), split=(0.8, 0.1, 0.1)).splits["train"][3])
    gap["x"][place] = np.nan
    if library == "pandas":
        gap["k"][place] = np.nan
        frames: list[Any] = [pd.DataFrame(whole), pd.DataFrame(gap)]
    else:
        texts = pl.Series("k", whole["k"].tolist(), dtype=pl.String)
        frames = [pl.DataFrame([pl.Series("x", own["x"]), texts]) for own in (whole, gap)]
    first, answers = learned(frames[0])
    second, _ = learned(frames[1], answers)
    assert first.to_json() == second.to_json()


def test_a_category_of_the_users_that_is_called_rare_joins_the_rare() -> None:
    rng = np.random.default_rng(0)
    names = [*["(rare)"] * 1000, *["a"] * 600, *(f"name {i}" for i in range(400))]
    frame = pl.DataFrame({"s": rng.permutation(names), "n": rng.integers(0, 9, 2000)})
    data = read(frame, relations=False, overrides={"s": "categorical"}, split=(0.8, 0.1, 0.1))
    found = private_table(data, counts(data, 5.0)).schema
    column = found.codecs["s"]
    assert isinstance(column, CategoricalCodec)
    assert column.levels == ("a", "(rare)")
    assert len(found.encode(frame)) == 2000
