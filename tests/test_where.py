"""Rows under a condition: exactly the model's own distribution, however they are come by."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

import pushforward as pf
from pushforward.data import TableSchema
from pushforward.data.tables.interval_set import allowed_intervals
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.where import parse_where, restrict, restrict_partition
from pushforward.errors import DataError
from pushforward.families.model import Model
from pushforward.nn.priors import Normal
from pushforward.nn.segments import Segments
from pushforward.runs.fitted import Fitted
from pushforward.sampling import conditional
from pushforward.space import Cells

N = 4000
SIGMAS = 4.0  # a true frequency strays so far once in 16,000 times


class Modes(Model):
    """Two modes of equal weight, by the sign of z; within each the columns are independent."""

    name = "modes"

    def __init__(self, space: Cells, classes: int = 0) -> None:
        super().__init__(space, classes)
        self.prior = Normal(1)
        generator = torch.Generator().manual_seed(3)
        parts = [torch.rand(2, max(classes, 1), k, generator=generator) for k in space.sizes]
        # (mode, class, cells): the probability of each cell
        self.table = torch.cat([(p / p.sum(-1, keepdim=True)) for p in parts], -1)
        self.segments = Segments(space.sizes)

    def logits(self, z: Tensor, c: Tensor | None) -> Tensor:
        own = torch.zeros(len(z), dtype=torch.long) if c is None else c.argmax(1)
        return self.table[(z[:, 0] > 0).long(), own].log()

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.segments.one_hot(self.cells(z, c)[0])

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.segments.draw(self.logits(z, c), share)


def sample_where(fitted: Fitted, n: int, where: Any, seed: int) -> SimpleNamespace:
    """Rows under a condition, and how they were obtained."""
    rows, info = fitted.sample(n, where=where, seed=seed, return_info=True)
    assert info.hits is not None
    return SimpleNamespace(frame=rows, **vars(info.hits))


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "age": rng.integers(17, 90, N),
            "x": rng.normal(size=N),
            "price": rng.gamma(2.0, size=N).round(2),
            "city": rng.choice(["Bonn", "Köln", "Ulm"], N),
            "income": rng.choice(["<=50K", ">50K"], N, p=[0.8, 0.2]),
            "flag": rng.random(N) < 0.3,
            "day": [dt.date(2020, 1, 1) + dt.timedelta(int(k)) for k in rng.integers(0, 900, N)],
            "gap": [None if i % 5 == 0 else i % 7 for i in range(N)],
        }
    )


def made(condition: str | None = None) -> Fitted:
    schema = pf.read(frame(), condition=condition).schema
    assert isinstance(schema, TableSchema)
    model = Modes(schema.space, 0 if schema.condition is None else len(schema.condition.classes))
    weights = model.state_dict()
    return Fitted(model, schema, {"best": weights, "final": weights}, {})


FITTED = made()
SCHEMA = FITTED.schema
assert isinstance(SCHEMA, TableSchema)
TABLE = SCHEMA
COLUMNS = {c.name: c for c in TABLE.columns}


def chances(fitted: Fitted, where: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
    """P(where | mode, class), and of each column P(fine cell, what is allowed of it | ...)."""
    parts = [chance * share for chance, share in zip(*by_fine_cell(fitted, where), strict=True)]
    return torch.stack([p.sum(-1) for p in parts]).prod(0), parts


def by_fine_cell(fitted: Fitted, where: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Of each column P(fine cell | mode, class), and how much of each fine cell is allowed.

    A digit is drawn independently of its cell here; one that its cell does not have counts as the
    nearest.
    """
    model, schema = fitted.model, fitted.schema
    assert isinstance(schema, TableSchema)
    assert isinstance(model, Modes)
    restriction = restrict(schema, where)
    within, at, chances, shares = dict(restriction.within), 0, [], []
    columns = torch.split(model.table, list(schema.space.sizes), -1)
    allowed = torch.split(restriction.share, list(schema.space.sizes))
    for j, p in enumerate(schema.fine_partitions):
        pairs = columns[at][..., None]
        if p.digits > 1:
            pairs = pairs * columns[at + 1][..., None, :]
        cell = torch.from_numpy(p.cell).flatten()
        chance = torch.zeros(*pairs.shape[:2], int(cell.max()) + 1, dtype=pairs.dtype)
        chances.append(chance.index_add_(2, cell, pairs.flatten(2)))
        shares.append(within.get(j, allowed[at] if p.digits == 1 else torch.ones(chance.shape[2])))
        at += 1 + (p.digits > 1)
    return chances, shares


def spread_of_chances(fitted: Fitted, where: dict[str, Any]) -> float:
    """The standard deviation of w, over the modes and the digits drawn of cells that are allowed.

    Where a column has digits, w is the chance of the cells of which some is allowed, times the
    allowed share of the fine cell drawn.
    """
    schema = fitted.schema
    assert isinstance(schema, TableSchema)
    mean, square = torch.ones(()), torch.ones(())
    within = dict(restrict(schema, where).within)
    for j, (chance, share) in enumerate(zip(*by_fine_cell(fitted, where), strict=True)):
        own = (chance * share).sum(-1)
        if j in within:
            p = schema.fine_partitions[j]
            some = np.zeros(int(p.cell.max()) + 1)
            for cells in p.cell:
                some[cells] = bool((share[np.unique(cells)] > 0).any())
            possible = (chance * torch.from_numpy(some)).sum(-1)
            square = square * possible * (chance * share**2).sum(-1)
        else:
            square = square * own**2
        mean = mean * own
    return math.sqrt(float(square.mean() - mean.mean() ** 2))


def first_cell(name: str) -> int:
    """Where the cells of a column of the table begin in a row."""
    j = [c.name for c in TABLE.columns].index(name)
    return sum(TABLE.space.sizes[: j + sum(p.digits > 1 for p in TABLE.fine_partitions[:j])])


def level_shares(values: pl.Series, levels: list[Any]) -> np.ndarray[Any, Any]:
    return np.array([(values == level).mean() for level in levels], np.float64)


def assert_conditional(fitted: Fitted, where: dict[str, Any], found: Any, column: str) -> None:
    """A column that is free: its categories are as frequent as the two modes make them."""
    schema = fitted.schema
    assert isinstance(schema, TableSchema)
    chance, parts = chances(fitted, where)
    at = [c.name for c in schema.columns].index(column)
    mode = chance / chance.sum()
    expected = (parts[at] / parts[at].sum(-1, keepdim=True) * mode[..., None]).sum((0, 1))
    levels = schema.columns[at].decode(np.arange(len(expected), dtype=float)).to_list()
    shares = level_shares(found.frame[column], levels)
    truth = expected.numpy()
    sigma = np.sqrt(truth * (1 - truth) / found.effective)
    assert (np.abs(shares - truth) < SIGMAS * sigma).all()


WHERES: list[dict[str, Any]] = [
    {"income": ">50K"},
    {"income": ">50K", "age": range(30, 40), "x": (0.1, None)},
    {"gap": [None, 3], "day": ("2020-02-01", dt.date(2021, 3, 31)), "flag": True},
    {"price": (None, 1.5), "income": ["<=50K", ">50K"], "gap": slice(1, 4)},
]


@pytest.mark.parametrize("where", WHERES)
def test_rows_follow_the_conditional_distribution(where: dict[str, Any]) -> None:
    found = sample_where(FITTED, 6000, where, seed=1)
    chance, _ = chances(FITTED, where)
    assert_conditional(FITTED, where, found, "city")
    assert found.effective == 6000
    assert abs(found.hit_rate - float(chance.mean())) < SIGMAS * found.error
    spread = spread_of_chances(FITTED, where) / math.sqrt(found.draws)
    assert abs(found.error / spread - 1) < 0.1
    restriction = restrict(TABLE, where)
    assert bool(restriction.allows(TABLE.encode(found.frame)).all())


def test_ranges_are_kept_in_the_users_own_values() -> None:
    rows = FITTED.sample(2000, seed=0, where={"age": range(30, 40), "price": (0.25, 1.75)})
    assert set(rows["age"]) == set(range(30, 40))
    assert rows["price"].is_between(0.25, 1.75).all()
    rows = FITTED.sample(2000, seed=0, where={"day": slice("2020-03-01", "2020-03-31")})
    assert rows["day"].is_between(dt.date(2020, 3, 1), dt.date(2020, 3, 31)).all()
    assert rows["day"].n_unique() == 31
    assert set(FITTED.sample(200, seed=0, where={"gap": [2, 4]})["gap"]) == {2, 4}


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    rows: pl.DataFrame = FITTED.sample(100_000, seed=9)
    return rows


def distance(a: pl.Series, b: pl.Series) -> float:
    return float(stats.ks_2samp(a.to_numpy(), b.to_numpy()).statistic)


def test_a_range_gives_what_filtering_gives(many: pl.DataFrame) -> None:
    """Within quantile bins too: the two-sample KS distance is that of equal distributions."""
    kept = many.filter(pl.col("x").is_between(-0.05, 0.4), pl.col("age") >= 45)
    rows = FITTED.sample(8000, seed=2, where={"x": (-0.05, 0.4), "age": (45, None)})
    bound = 1.95 * math.sqrt(1 / len(kept) + 1 / len(rows))  # exceeded once in 1000
    for column in ("x", "age", "price"):
        assert distance(kept[column], rows[column]) < bound, column


def test_without_a_condition_every_column_has_its_marginal(many: pl.DataFrame) -> None:
    parts, _ = by_fine_cell(FITTED, {})
    cells = TABLE.fine_cells(TABLE.cells(TABLE.encode(many)))
    for j, part in enumerate(parts):
        truth = part.mean((0, 1)).double()
        shares = torch.bincount(cells[:, j], minlength=len(truth)).double() / len(cells)
        sigma = (truth * (1 - truth) / len(cells)).sqrt()
        # 600 fine cells: one in 3,000 strays further than this
        assert bool(((shares - truth).abs() < 5 * sigma).all())


def test_rare_conditions_are_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "FEWEST_DRAWS", 2**17)
    monkeypatch.setattr(conditional, "PER_ROW", 20)
    monkeypatch.setattr(conditional, "PILOT", 2**14)
    monkeypatch.setattr(conditional, "BEYOND", 1e6)  # else rejection takes 25,000 draws
    where = {"income": ">50K", "age": (88, 89), "gap": 3, "flag": True}
    found = sample_where(FITTED, 4000, where, seed=4)
    chance, _ = chances(FITTED, where)
    assert 1e-4 < float(chance.mean()) < 1e-2
    assert found.draws > 2**17
    assert abs(found.hit_rate - float(chance.mean())) < SIGMAS * found.error
    assert 1000 < found.effective <= 4000
    assert_conditional(FITTED, where, found, "city")
    assert set(found.frame["age"]) == {88, 89}


def test_rare_conditions_are_met_by_draws_that_are_even(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows as ever, of a tenth of the draws: w is 0.7 % in one mode, 0.5 in the other.

    Of 100 draws 68 are accepted then, as w / b is 0.006 / (1.25 x 0.007) in the mean.
    """
    monkeypatch.setattr(conditional, "PILOT", 2**14)
    where = {"income": ">50K", "age": (60, 64), "gap": 3}
    found = sample_where(FITTED, 20_000, where, seed=4)
    chance, _ = chances(FITTED, where)
    assert float(chance.max()) < 0.02
    assert found.draws < 0.1 * 20_000 / float(chance.mean())
    assert found.effective == 20_000
    assert abs(found.hit_rate - float(chance.mean())) < SIGMAS * found.error
    assert_conditional(FITTED, where, found, "city")


def test_a_draw_beyond_all_before_costs_independent_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode that the first draws did not have, where the condition is likelier by far."""
    fitted = made()
    model = fitted.model
    assert isinstance(model, Modes)
    monkeypatch.setattr(conditional, "PILOT", 1)
    first = first_cell("income")
    model.table[:, :, first : first + 2] = torch.tensor([[[0.99, 0.01]], [[0.0, 1.0]]])
    calls = iter([-torch.ones(20_000, 1)])  # then both modes

    def sample(n: int, c: Tensor | None = None) -> Tensor:
        return next(calls, torch.where(torch.rand(n, 1) < 0.5, 1.0, -1.0))[:n]

    fitted.model.prior.sample = sample  # type: ignore[method-assign]
    found = sample_where(fitted, 6000, {"income": ">50K"}, seed=0)
    b = conditional.BEYOND * 0.01
    v, share = np.array([1.0, 1 / b]), np.array([0.01 / b, 1.0])  # of either mode, as accepted
    each = (share @ v) ** 2 / (share.sum() * (share @ v**2))
    # 82 rows are of before, 1.4 %; the share of either mode strays by 1.6 % of itself
    assert found.effective == pytest.approx(6000 * each, rel=0.05)


def test_few_independent_rows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where w is very uneven, the effective number is that of the draws that count."""
    fitted = made()
    model = fitted.model
    assert isinstance(model, Modes)
    monkeypatch.setattr(conditional, "FEWEST_DRAWS", 2**15)
    monkeypatch.setattr(conditional, "PER_ROW", 1)
    monkeypatch.setattr(conditional, "PILOT", 2**13)

    def sample(n: int, c: Tensor | None = None) -> Tensor:  # the second mode is rare
        return torch.where(torch.rand(n, 1) < 2e-4, 1.0, -1.0)

    first = first_cell("income")
    model.table[0, :, first : first + 2] = torch.tensor([1.0, 0.0])
    fitted.model.prior.sample = sample  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="worth .* independent ones"):
        rows = fitted.sample(2000, where={"income": ">50K"}, seed=0)
    assert set(rows["income"]) == {">50K"}


def test_a_condition_column_is_native() -> None:
    fitted = made("income")
    where = {"income": ">50K", "gap": [1, 2]}
    found = sample_where(fitted, 5000, where, seed=0)
    assert set(found.frame["income"]) == {">50K"}
    chance, _ = chances(fitted, {"gap": [1, 2]})
    share = float((frame()["income"] == ">50K").to_numpy().mean())
    assert found.hit_rate == pytest.approx(float(chance[:, 1].mean()) * share, rel=0.1)
    alone = sample_where(fitted, 1000, {"income": ">50K"}, seed=0)
    assert alone.draws < 10_000  # none is rejected
    assert alone.error == 0
    both = fitted.sample(4000, where={"income": ["<=50K", ">50K"]}, seed=0)
    rate = (both["income"] == ">50K").mean()
    known = fitted.schema.condition
    assert known is not None
    truth = known.frequencies[1]
    assert abs(rate - truth) < SIGMAS * math.sqrt(truth * (1 - truth) / 4000)


def test_classes_are_reweighted_by_how_often_they_meet_the_rest() -> None:
    """Bayes: P(class | gap = 3) is proportional to P(class) P(gap = 3 | class)."""
    fitted = made("income")
    rows = fitted.sample(8000, where={"gap": 3}, seed=1)
    chance, _ = chances(fitted, {"gap": 3})
    known = fitted.schema.condition
    assert known is not None
    joint = chance.mean(0) * torch.tensor(known.frequencies)
    truth = float(joint[1] / joint.sum())
    rate = (rows["income"] == ">50K").mean()
    assert abs(rate - truth) < SIGMAS * math.sqrt(truth * (1 - truth) / 8000)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"income": "50K"}, "no category '50K'; did you mean '>50K'"),
        ({"incomes": ">50K"}, "no column 'incomes'; did you mean 'income'"),
        ({"age": range(200, 300)}, "never had a value from 200 to 299; it has 17 .. 89"),
        ({"age": (None, 3)}, "never had a value"),
        ({"age": (40, 30)}, "low must not be above high, got 40 and 30"),
        ({"age": range(40, 30)}, "holds no value"),
        ({"age": []}, "no value is given for column 'age'"),
        ({"age": None}, "had no missing values"),
        ({"age": 30.5}, "takes no values"),
        ({"age": "old"}, "holds Int64, got 'old'"),
        ({"age": dt.date(2020, 1, 1)}, "holds Int64"),
        ({"x": 0.5}, "give a range"),
        ({"city": slice("A", "C")}, "has no order; give a list"),
        ({"day": "soon"}, "holds Date, got 'soon'"),
        ({"day": range(3)}, "holds no value of type Date"),
        ({"age": slice(1, 50, 2)}, "a slice must have two ends and no step"),
    ],
)
def test_conditions_that_make_no_sense(where: dict[str, Any], message: str) -> None:
    with pytest.raises(pf.DataError, match=message):
        FITTED.sample(5, where=where)


def test_what_is_never_generated_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "FEWEST_DRAWS", 2**14)
    fitted = made()
    assert isinstance(fitted.model, Modes)
    first = first_cell("income")
    fitted.model.table[:, :, first : first + 2] = torch.tensor([1.0, 0.0])
    with pytest.raises(pf.ModelError, match="never generated in 16384 draws"):
        fitted.sample(5, where={"income": ">50K", "age": 30}, seed=0)


def test_values_may_be_given_in_many_ways() -> None:
    same: list[tuple[str, Any, Any]] = [
        ("age", range(30, 40), (30, 39)),
        ("age", np.array([30, 31]), [30, 31]),
        ("age", {31, 30}, pd.Series([30, 31])),
        ("age", range(39, 29, -1), (29.5, "39")),
        ("age", range(30, 40, 3), [30, 33, 36, 39]),
        ("age", range(-(10**9), 10**9), (None, None)),
        ("age", (30, math.inf), (30, None)),
        ("price", slice(np.float32("-inf"), 2), (None, 2)),
        ("price", ("1", "inf"), (1, None)),
        ("day", (-math.inf, "2020-03-01"), (None, "2020-03-01")),
        ("price", 1, 1.0),
        ("price", range(1, 3), [1, 2]),
        ("gap", pd.NA, None),
        ("gap", [float("nan"), 3], [None, "3"]),
        ("flag", "true", True),
        ("flag", np.bool_(False), [False]),
        ("day", "2020-03-01", dt.date(2020, 3, 1)),
        ("day", np.datetime64("2020-03-01"), pd.Timestamp("2020-03-01")),
        ("city", ("Bonn", "Ulm"), ["Ulm", "Bonn"]),
    ]
    for name, one, other in same:
        a, b = allowed_intervals(COLUMNS[name], one), allowed_intervals(COLUMNS[name], other)
        np.testing.assert_array_equal(a.low, b.low)
        np.testing.assert_array_equal(a.high, b.high)
        assert a.missing == b.missing


@pytest.mark.parametrize("nothing", [math.nan, np.float32("nan"), pd.NA, pd.NaT])
def test_a_missing_value_is_no_end_of_a_range(nothing: Any) -> None:
    for ends in ((nothing, 40), (30, nothing), slice(nothing, 40)):
        with pytest.raises(pf.DataError, match=r"'age': an end .* got .*; give None for an open"):
            allowed_intervals(COLUMNS["age"], ends)
    for wrong in ((math.inf, None), (None, -math.inf)):
        with pytest.raises(pf.DataError, match="'age' holds Int64, got"):
            allowed_intervals(COLUMNS["age"], wrong)


def test_conditions_of_the_command_line_are_parsed() -> None:
    texts = ["income=>50K", "age>=30", "age<=40", "x=0..1", "gap=", "gap=3,4", "city=Bonn"]
    assert parse_where(texts, TABLE) == {
        "income": [">50K"],
        "age": ("30", "40"),
        "x": [("0", "1")],
        "gap": [[None], ["3", "4"]],
        "city": ["Bonn"],
    }
    for wrong in (["tempo=3"], ["age"], ["age>3"], ["age>=3", "age>=4"]):
        with pytest.raises(pf.DataError, match="--where"):
            parse_where(wrong, TABLE)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=12, max_size=60),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
    st.sampled_from([0, 2, None]),
)
@settings(max_examples=60, deadline=None)
def test_a_cut_column_gives_nothing_but_what_is_allowed(
    values: list[float], ends: tuple[float, float], digits: int | None
) -> None:
    rounded = [v if digits is None else round(v, digits) for v in values]
    schema = pf.read(pl.DataFrame({"v": rounded}), overrides={"v": "numeric"}).schema
    assert isinstance(schema, TableSchema)
    column = schema.columns[0]
    assert isinstance(column, NumericCodec)
    try:
        restriction = restrict(schema, {"v": (min(ends), max(ends))})
    except pf.DataError:
        return
    p = schema.fine_partitions[0].partition
    allowed = restrict_partition(p, restriction.allowed[0])
    left = dict(restriction.within).get(0, restriction.share)
    assert bool(((left >= 0) & (left <= 1)).all())
    assert np.isclose(allowed[0].mass.sum(), p.mass @ allowed[1][p.cell], atol=1e-9)
    cells = left.nonzero()[:, 0].repeat_interleave(50)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = restriction.quantile_table.draw_in_cells(cells[:, None])
    assert float(restriction.allows(rows).double().mean()) > 0.99  # rounding may carry one out


# --- balance


def test_a_balanced_table_has_as_many_rows_of_each_category() -> None:
    for fitted in (FITTED, made("income")):
        rows = fitted.sample(1001, balance="income", seed=3)
        assert sorted(rows["income"].value_counts()["count"]) == [500, 501]
        assert rows["income"][:100].n_unique() == 2  # in random order
        assert rows.equals(fitted.sample(1001, balance="income", seed=3))
    rows = FITTED.sample(60, balance="city", where={"income": ">50K", "age": (30, None)}, seed=0)
    assert rows["city"].value_counts()["count"].to_list() == [20, 20, 20]
    assert set(rows["income"]) == {">50K"}
    assert FITTED.sample(20, balance="flag", seed=0)["flag"].sum() == 10


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"balance": "x"}, "at least two categories to balance a table by"),
        ({"balance": "citi"}, "did you mean 'city'"),
        ({"balance": ["city", "flag"]}, "the name of one column, got a list; name one"),
        ({"balance": "city", "where": {"city": "Ulm"}}, "restricted by where= already"),
        ({"condition": "a", "where": {"city": "Ulm"}}, "neither where= nor balance="),
    ],
)
def test_balances_that_make_no_sense(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(pf.PushforwardError, match=message):
        FITTED.sample(10, **asked)


def test_one_column_is_asked_for() -> None:
    with pytest.raises(pf.ModelError, match="balance= takes the name of one column, got a list"):
        FITTED.sample(5, balance=["city", "flag"])
    for data in (pl.DataFrame({"a": range(20)}), np.zeros((20, 2))):
        with pytest.raises(pf.DataError, match="condition= takes the name of one column, got a"):
            pf.read(data, condition=["a", "b"])


def test_images_and_arrays_have_no_where(tmp_path: Path) -> None:
    fitted = pf.fit("ring", "vae", budget="2 steps", latent=2, width=16)
    with pytest.raises(pf.ModelError, match="where= takes tables"):
        fitted.sample(3, where={"x": 1})
    with pytest.raises(pf.ModelError, match="balance= takes a table's column"):
        fitted.sample(3, balance="x")


def test_a_rare_class_is_not_lost() -> None:
    """One row in a hundred, told by another column: kept at its rate, and balanced on request."""
    rng = np.random.default_rng(0)
    rare = rng.random(8000) < 0.01
    table = pl.DataFrame(
        {
            "kind": np.where(rare, "rare", "common"),
            "v": rng.normal(size=8000) + 3 * rare,
            "w": rng.choice(["a", "b"], 8000),
        }
    )
    fitted = pf.fit(table, "vae", budget="200 steps", latent=4, width=64, seed=0)
    truth, n = float(rare.mean()), 20_000
    rate = (fitted.sample(n, seed=1)["kind"] == "rare").mean()
    # the sampling errors of the training rows' rate, of the sample's, and a quarter for the fit
    sigma = math.sqrt(truth * (1 - truth) * (1 / 6400 + 1 / n))
    assert abs(rate - truth) < SIGMAS * sigma + truth / 4
    rows = fitted.sample(1000, balance="kind", seed=1)
    assert rows["kind"].value_counts()["count"].to_list() == [500, 500]


def test_constraints_and_conditions_go_together() -> None:
    """A column that a constraint has taken out of the model is checked on the user's own rows."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, 50, 2000)
    table = pl.DataFrame({"start": start, "end": start + rng.integers(0, 30, 2000)})
    data = pf.read(table, constraints=["start <= end"])
    fitted = pf.fit(data, "vae", budget="20 steps", latent=2, width=32, seed=0)
    found = sample_where(fitted, 500, {"end": (40, 45), "start": (20, None)}, seed=0)
    assert found.frame["end"].is_between(40, 45).all()
    assert (found.frame["start"] >= 20).all()
    assert (found.frame["start"] <= found.frame["end"]).all()
    every = fitted.sample(40_000, seed=1)
    rate = (every["end"].is_between(40, 45) & (every["start"] >= 20)).mean()
    sigma = math.hypot(found.error, math.sqrt(rate * (1 - rate) / 40_000))
    assert abs(found.hit_rate - rate) < SIGMAS * sigma


def test_no_condition_is_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FITTED.sample(5, where={}, seed=0).equals(FITTED.sample(5, seed=0))


@pytest.mark.parametrize("rare", [3, 12, 60])
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.UInt8])
def test_a_flag_of_zeros_and_ones_can_be_balanced(rare: int, dtype: pl.DataType) -> None:
    """However few ones there are: too few for an atom, too, they are one number."""
    ones = np.random.default_rng(0).permutation(200) < rare
    frame = pl.DataFrame({"fraud": ones.astype(np.int64), "v": np.arange(200) / 7})
    data = pf.read(frame.cast({"fraud": dtype}))
    fake = pf.fit(data, "vae", budget="1 step", batch_size=16).sample(20, seed=0, balance="fraud")
    assert fake["fraud"].dtype == dtype
    assert fake["fraud"].sort().to_list() == [0] * 10 + [1] * 10


def test_balance_says_what_to_do_for_a_range_of_numbers() -> None:
    numbers = {"age": np.arange(500) % 90, "real": np.arange(500) / 7}
    frame = pl.DataFrame({**numbers, "k": ["a", "b"] * 250})
    fitted = pf.fit(frame, "vae", budget="1 step", batch_size=16)
    for name in ("age", "real"):
        with pytest.raises(DataError) as caught:
            fitted.sample(4, balance=name)
        assert f"overrides={{'{name}': 'categorical'}}" in str(caught.value)
        assert "holds a range of numbers" in str(caught.value)
