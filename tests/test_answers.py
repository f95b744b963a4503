"""What a fitted model answers: against sums over all rows that a tiny table can have."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import TableSchema
from pushforward.data.tables import partition
from pushforward.data.tables.partial import PartialRows
from pushforward.errors import DataError, ModelError
from pushforward.nn.particles import resampled
from pushforward.random import isolated
from pushforward.runs.fitted import Fitted, build
from pushforward.sampling.completion import Completer
from pushforward.sampling.likelihood import HeldOutBits
from pushforward.sampling.prediction import Predictor, Target
from pushforward.space import Cells
from read_tables import lacking_keys, positions

SIGMAS = 4.0  # a true frequency strays so far once in 16,000 times
DRAWS = 1000
CPU = torch.device("cpu")


def tiny(n: int = 600) -> pl.DataFrame:
    """Two categories and a number whose bins have fine digits."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 3, n)
    size = np.where(rng.random(n) < 0.7, colour, rng.integers(0, 4, n))
    return pl.DataFrame(
        {
            "colour": np.array(["red", "green", "blue"])[colour],
            "x": rng.normal(size=n),
            "size": np.array(["S", "M", "L", "XL"])[size],
        }
    )


def wild(frame: pl.DataFrame, model: str = "vae", **options: Any) -> Fitted:
    """A model that nobody trained, whose codes say a lot and whose encoder is wrong."""
    condition, rules = options.pop("condition", None), options.pop("constraints", None)
    schema = pf.read(frame, condition=condition, constraints=rules, relations=False).schema
    network = build(model, schema, {"latent": 1, "width": 16, **options}, 0, CPU)
    with isolated(CPU, 5), torch.no_grad():
        for name, parameter in network.named_parameters():
            loud = 1.5 if name.startswith(("decoder.trunk", "generator.trunk")) else 0.0
            wide = 0.1 if "write" in name else 0.0  # more, and a few codes bear all
            parameter.mul_(1 + loud).add_(wide * torch.randn_like(parameter))
    weights = network.state_dict()
    return Fitted(network, schema, {"best": weights, "final": weights}, {})


class Enumerated:
    """The probability of every row of cells, by an integral over the code, one number."""

    def __init__(self, fitted: Fitted) -> None:
        schema = fitted.schema
        assert isinstance(schema, TableSchema)
        self.schema = schema
        space = schema.space
        assert isinstance(space, Cells)
        rows = torch.tensor(list(itertools.product(*map(range, space.sizes))))
        digits = [fine.at for fine in space.fine]
        shares = [torch.tensor(fine.shares) for fine in space.fine]
        for at, share in zip(digits, shares, strict=True):
            rows = rows[share[rows[:, at - 1], rows[:, at]] > 0]
        self.rows, x = rows, schema.expand(rows)
        codes = torch.linspace(-6, 6, 161)
        density = (-0.5 * codes.double().square()).exp()
        with torch.no_grad():
            chances = torch.stack([self.chance(fitted, x, code) for code in codes])
        self.p = density / density.sum() @ chances

    @staticmethod
    def chance(fitted: Fitted, x: Tensor, code: Tensor) -> Tensor:
        """p(x|z) of expanded rows."""
        decode: Any = fitted.model.decode
        p: Tensor = decode(code.expand(len(x), 1)).log_prob(x).double().exp()
        return p

    def given(self, known: Mapping[int, int]) -> Tensor:
        """The probability of each row and of what is known: 0 where they disagree."""
        agree = torch.ones(len(self.rows), dtype=torch.bool)
        for column, cell in known.items():
            agree &= self.rows[:, column] == cell
        return self.p * agree


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "MAX_BINS", 4)  # few cells, and so several digits in each
        return wild(tiny())


@pytest.fixture(scope="module")
def every(fitted: Fitted) -> Enumerated:
    return Enumerated(fitted)


def test_enumerated_rows_are_all_rows_and_codes_say_much(fitted: Fitted, every: Enumerated) -> None:
    assert float(every.p.sum()) == pytest.approx(1, abs=1e-5)
    assert len(every.schema.space.fine) == 1
    x = every.schema.expand(every.rows)
    one = every.chance(fitted, x, torch.tensor(1.0))
    assert 0.5 * float((one - every.p).abs().sum()) > 0.3  # total variation


def place_of(schema: TableSchema, name: str) -> int:
    """Where a column lies in a row of cells, in which fine digits follow those that have some."""
    before = schema.fine_partitions[: positions(schema)[name]]
    return sum(1 + (partition.digits > 1) for partition in before)


def cells_of(schema: TableSchema, row: Mapping[str, Any]) -> dict[int, int]:
    """The cells of what is known, by their positions in a row of cells."""
    rows = PartialRows.of(schema, pl.DataFrame([row]))
    share = rows.share(torch.tensor([0]))[0].split(list(schema.space.sizes))
    return {at: int(own.argmax()) for at, own in enumerate(share) if own.sum() == 1}


GIVEN: list[dict[str, Any]] = [
    {"size": "XL"},
    {"x": 0.3},  # the last column that is modelled: all others are drawn before it
    {"colour": "red", "size": "M"},
    {"colour": "blue", "x": -1.2},
]


def assert_frequencies(found: Tensor, expected: Tensor, draws: float) -> None:
    """Frequencies of independent draws, each by itself; rare ones by Poisson's wider tail."""
    sigma = (expected * (1 - expected) / draws).clamp(min=0).sqrt()
    apart = (found - expected).abs()
    assert bool((apart < SIGMAS * sigma + SIGMAS**2 / 2 / draws).all()), (apart / sigma).max()


@pytest.mark.parametrize("row", GIVEN, ids="-".join)
def test_completed_rows_follow_the_sum_over_all_rows(
    row: dict[str, Any], fitted: Fitted, every: Enumerated
) -> None:
    """Each draw is from particles of its own: they are independent, and almost without bias."""
    schema = every.schema
    joint = every.given(cells_of(schema, row))
    rows = PartialRows.of(schema, pl.DataFrame([row] * DRAWS))
    parts = [d for _, d in Completer(fitted.model, schema, 1, 64, 32.0).drawn(rows, 1)]
    cells = torch.cat([d.cells[:, 0] for d in parts])
    x = schema.expand(cells)
    expected = joint / joint.sum() @ schema.expand(every.rows).double()
    assert_frequencies(x.double().mean(0), expected, DRAWS)
    pairs = schema.expand(every.rows).double()
    of_both = pairs.T @ (pairs * (joint / joint.sum())[:, None])
    assert_frequencies((x.T @ x).double().flatten() / DRAWS, of_both.flatten(), DRAWS)
    # the estimate of p(known) has no bias: its mean is within the error of the mean, for a fixed
    # number of rounds (the second has codes of the encoder)
    fixed = Completer(fitted.model, schema, 2, 16, math.inf, 2).drawn(rows, 1)
    chance = torch.cat([d.log_chance for _, d in fixed]).exp()
    error = float(chance.std()) / math.sqrt(DRAWS)
    assert abs(float(chance.mean()) - float(joint.sum())) < SIGMAS * error
    assert error < 0.02 * float(joint.sum())


def predicted(fitted: Fitted, row: Mapping[str, Any], target: str, rows: int) -> NDArray[Any]:
    """The probabilities of a target's values for the same row many times, by many particles."""
    schema = fitted.schema
    assert isinstance(schema, TableSchema)
    own = Predictor(Completer(fitted.model, schema, 0, 512, 256.0), Target.of(schema, target))
    frame = pl.DataFrame([row] * rows)
    return own.probabilities(PartialRows.of(schema, frame, missing_known=True))


@pytest.mark.parametrize(
    ("row", "target"),
    [
        ({"x": 0.3, "size": "L"}, "colour"),
        ({"colour": "red"}, "size"),
        ({"size": "S"}, "x"),
    ],
)
def test_the_probabilities_of_a_value_are_those_of_the_sum(
    row: dict[str, Any], target: str, fitted: Fitted, every: Enumerated
) -> None:
    joint, at = every.given(cells_of(every.schema, row)), place_of(every.schema, target)
    expected = torch.zeros(every.schema.space.sizes[at], dtype=torch.float64)
    expected.index_add_(0, every.rows[:, at], joint / joint.sum())
    each = predicted(fitted, row, target, 32)
    # the error of a mean, and the bias of a ratio of means, which is about its variance
    error = each.std(0) / math.sqrt(32) + each.std(0).max() ** 2
    assert (np.abs(each.mean(0) - expected.numpy()) < SIGMAS * error).all()
    assert each.std(0).max() < 0.05
    few = fitted.predict_proba(pl.DataFrame([row] * 32), target).to_numpy()
    assert few.sum(1) == pytest.approx(1)
    assert np.abs(few.mean(0) - expected.numpy()).max() < 0.05


def test_the_likelihood_of_a_row_is_that_of_the_sum(fitted: Fitted, every: Enumerated) -> None:
    frame = tiny().head(16)
    rows = every.schema.cells(every.schema.encode(frame))
    exact = torch.stack([every.p[(every.rows == row).all(1)].sum() for row in rows]).log2()
    few, many = (fitted.log_prob(frame, codes=codes) for codes in (1, 32_768))
    # bits, of codes whose weights vary: the largest standard error of these rows is .027
    assert np.abs(many - exact.numpy()).max() < 0.08
    assert few.mean() < exact.mean()  # a bound
    assert np.array_equal(fitted.log_prob(frame, codes=1), few)


@pytest.mark.parametrize("codes", [1, 3])
def test_the_estimate_of_a_probability_has_no_bias(
    codes: int, fitted: Fitted, every: Enumerated
) -> None:
    """Its mean over many times the same row is p, within the error of the mean."""
    row = tiny().head(1)
    cells = every.schema.cells(every.schema.encode(row))[0]
    exact = float(every.p[(every.rows == cells).all(1)].sum())
    found = np.exp2(fitted.log_prob(pl.concat([row] * 4000), codes=codes))
    assert abs(found.mean() - exact) < SIGMAS * found.std() / math.sqrt(4000)
    assert found.std() / math.sqrt(4000) < 0.05 * exact


def test_rows_under_a_condition_count_their_class() -> None:
    """p(c | x) by the classes' own likelihoods, whichever way the class is asked for."""
    fitted = wild(tiny(), condition="size", likelihood="categorical")
    sizes = ["L", "M", "S", "XL"]
    frame = pl.DataFrame({"colour": ["red"] * 4, "x": [0.1] * 4, "size": sizes})
    log_p = np.exp2(fitted.log_prob(frame, codes=8192))
    expected, row = log_p / log_p.sum(), {"colour": "red", "x": 0.1}
    each = predicted(fitted, row, "size", 16)
    error = each.std(0) / 4 + each.std(0).max() ** 2 + 0.01  # that of 8192 codes
    assert (np.abs(each.mean(0) - expected) < SIGMAS * error).all()
    known = fitted.sample(given=pl.DataFrame({"size": ["XL"] * 50}), seed=0)
    assert set(known["size"]) == {"XL"}
    drawn = fitted.sample(given=pl.DataFrame([row] * 1000), seed=0)["size"]
    found = torch.tensor([(drawn == size).mean() for size in sizes])
    assert_frequencies(found, torch.from_numpy(expected), 500)  # half for particles and codes


def test_a_gan_completes_by_its_own_draws_and_has_no_likelihood() -> None:
    gan = wild(tiny(), "gan")
    found = gan.sample(given=pl.DataFrame({"size": ["XL", "S"] * 20}), seed=0)
    assert found["size"].to_list() == ["XL", "S"] * 20
    chances = gan.predict_proba(tiny().head(5), "colour").to_numpy()
    assert chances.sum(1) == pytest.approx(1)
    with pytest.raises(ModelError, match=r"'gan' has no likelihood.*a VAE has one"):
        gan.log_prob(tiny().head(2))
    with pytest.raises(ModelError, match="no likelihood"):
        wild(tiny(), "vae-gan").log_prob(tiny().head(2))


@pytest.mark.parametrize("k", [4, 64])
def test_resampled_particles_keep_the_mean_weight(k: int) -> None:
    """Systematic: each particle lives on floor or ceil of k times its share; so does the mean."""
    torch.manual_seed(0)
    log_w = 2 * torch.randn(500, k, dtype=torch.float64)
    log_w[0] = -torch.inf  # an impossible row
    log_w[1] = 0.3  # a row of equal weights
    fate = resampled(log_w.flatten(), k)
    assert fate is not None
    ancestors, fresh = (own.view(500, k) for own in fate)
    assert torch.allclose(fresh.logsumexp(1), log_w.logsumexp(1))
    assert torch.equal(ancestors[:2] - k * torch.arange(2)[:, None], torch.arange(k).expand(2, k))
    counts = torch.zeros(500 * k).index_add_(0, ancestors.flatten(), torch.ones(500 * k))
    share = k * log_w[1:].softmax(1)
    moved = (fresh[1:, :1] == fresh[1:]).all(1) & (log_w[1:].std(1) > 0)
    apart = (counts.view(500, k)[1:] - share)[moved].abs()
    assert float(apart.max()) < 1 + 1e-6
    # over rows the counts are right on average: within the error of a mean of bounded numbers
    assert abs(float((counts.view(500, k)[1:] - share)[moved, 0].mean())) < SIGMAS / math.sqrt(500)
    assert resampled(torch.zeros(2 * k), k) is None


def rich(n: int = 500) -> pl.DataFrame:
    """A table with constraints of every kind, parts of a time, missing values, identifiers."""
    rng = np.random.default_rng(1)
    city = rng.integers(0, 4, n)
    price, count = rng.integers(1, 60, n), rng.integers(1, 9, n)
    start = rng.integers(0, 40, n)
    day = dt.datetime(2024, 1, 1)
    return pl.DataFrame(
        {
            "key": [f"K-{i:05d}" for i in rng.permutation(n)],
            "city": np.array(["Bonn", "Ulm", "Graz", "Linz"])[city],
            "land": np.array(["DE", "DE", "AT", "AT"])[city],
            "price": price,
            "count": count,
            "total": price * count,
            "start": start,
            "end": start + rng.integers(0, 20, n),
            "age": [None if i % 9 == 0 else int(a) for i, a in enumerate(rng.integers(18, 80, n))],
            "when": [
                day + dt.timedelta(days=int(d), hours=int(h))
                for d, h in zip(rng.integers(0, 300, n), rng.choice([9, 12, 18], n), strict=True)
            ],
        }
    )


RULES = ["combine(city, land)", "total = price * count", "start <= end"]


@pytest.fixture(scope="module")
def ruled() -> Fitted:
    data = pf.read(rich(), constraints=RULES, relations=False)
    assert isinstance(data.schema, TableSchema)
    assert data.schema.constraint_set.parts, "the time is modelled by its parts"
    network = build("vae", data.schema, {"latent": 1, "width": 16}, 0, CPU)
    weights = network.state_dict()
    return Fitted(network, data.schema, {"best": weights, "final": weights}, {})


HOLES = [{"city"}, {"land"}, {"city", "land"}, {"total"}, {"price", "total"}, {"end"}, {"age"}]
HOLES += [{"start", "end"}, {"when"}, {"key"}, {"age", "when", "land"}, set()]


def with_holes(frame: pl.DataFrame) -> pl.DataFrame:
    """Row i lacks the i-th of the sets of columns."""
    return frame.with_columns(
        pl.Series([None if name in HOLES[i % len(HOLES)] else v for i, v in enumerate(frame[name])])
        .cast(frame[name].dtype)
        .alias(name)
        for name in frame.columns
    )


@pytest.mark.parametrize("how", ["draw", "most likely"])
def test_missing_cells_are_filled_and_all_others_stay(ruled: Fitted, how: Any) -> None:
    holes = with_holes(rich().tail(4 * len(HOLES)))
    filled = ruled.impute(holes, how=how, seed=0)
    assert filled.schema == holes.schema
    assert filled.null_count().sum_horizontal().item() == 0
    for name in holes.columns:
        known = holes[name].is_not_null()
        assert filled[name].filter(known).equals(holes[name].filter(known)), name
    assert (filled["total"] == filled["price"] * filled["count"]).all()
    assert (filled["start"] <= filled["end"]).all()
    lands = {"Bonn": "DE", "Ulm": "DE", "Graz": "AT", "Linz": "AT"}
    assert filled["land"].to_list() == [lands[city] for city in filled["city"]]
    assert ruled.impute(holes, how=how, seed=0).equals(filled)


def test_rows_are_continued_from_the_columns_that_are_given(ruled: Fitted) -> None:
    given = rich().head(60).select("when", "land", "start", "price", "count")
    rows = ruled.sample(given=given, seed=3)
    assert rows.columns == rich().columns
    assert rows.select(given.columns).equals(given)
    assert rows["key"].n_unique() == 60
    assert rows["age"].null_count() > 0, "what is not known may be missing, as in the data"


@pytest.fixture(scope="module")
def dated() -> Fitted:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i % 90) for i in range(200)]
    columns = {"n": range(200), "day": days, "kind": ["a", "b"] * 100}
    schema = pf.read(pl.DataFrame(columns)).schema
    network = build("vae", schema, {"latent": 1, "width": 8}, 0, CPU)
    weights = network.state_dict()
    return Fitted(network, schema, {"best": weights, "final": weights}, {})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("n", [3.0, 3.4, 3.9], "'n', row 2: the column holds Int64, so 3.4 would become 3; give"),
        ("n", ["3", "3.4", "4"], "'n', row 2: the column holds Int64, so 3.4 would become 3"),
        ("n", [Decimal("3.5")] * 3, "'n', row 1: the column holds Int64, so 3.5 would become 3"),
        (
            "day",
            [dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 9), None],
            "'day', row 2: the column holds Date, so 2024-01-02 09:00:00 would become 2024-01-02",
        ),
    ],
)
def test_what_the_column_cannot_hold_is_not_rounded(
    name: str, values: list[Any], message: str, dated: Fitted
) -> None:
    rows = pl.DataFrame({"n": [1, 2, 3], "day": [dt.date(2024, 1, 2)] * 3, "kind": ["a"] * 3})
    rows = rows.with_columns(pl.Series(name, values))
    asked: list[Callable[[], Any]] = [
        lambda: dated.sample(given=rows.select(name), seed=1),
        lambda: dated.impute(rows),
        lambda: dated.log_prob(rows.fill_null(dt.datetime(2024, 1, 2))),
        lambda: dated.predict_proba(rows, "kind"),
    ]
    for ask in asked:
        with pytest.raises(DataError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_whole_floats_and_midnights_are_what_the_column_holds(dated: Fitted) -> None:
    midnight = dt.datetime(2024, 1, 2)
    given = pl.DataFrame({"n": [3.0, math.nan, 4.0], "day": [midnight, midnight, None]})
    rows = dated.sample(given=given, seed=1)
    assert rows.dtypes[:2] == [pl.Int64, pl.Date]
    assert rows["n"][0] == 3
    assert rows["n"][2] == 4
    assert rows["day"][:2].to_list() == [midnight.date()] * 2


def test_pandas_comes_back_as_pandas() -> None:
    frame = pd.DataFrame({"a": ["x", "y", None] * 40, "b": [1.5, None, 2.5, 3.0] * 30})
    frame["c"] = [True, False] * 60
    schema = pf.read(frame).schema
    network = build("vae", schema, {"latent": 1, "width": 8}, 0, CPU)
    weights = network.state_dict()
    fitted = Fitted(network, schema, {"best": weights, "final": weights}, {})
    filled = fitted.impute(frame, seed=0)
    assert isinstance(filled, pd.DataFrame)
    assert filled.isna().sum().sum() == 0
    assert (filled["a"][frame["a"].notna()] == frame["a"].dropna()).all()
    chances = fitted.predict_proba(frame, "a")
    assert list(chances.columns) == ["x", "y"]
    assert set(fitted.predict_proba(frame, ["a", "b"])) == {"a", "b"}


@pytest.mark.parametrize("condition", [None, "a"])
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_no_rows_have_no_answers_of_the_same_form(library: Any, condition: str | None) -> None:
    rng = np.random.default_rng(0)
    frame = library({"a": ["x", "y"] * 60, "b": rng.random(120), "n": rng.integers(0, 9, 120)})
    if library is pd.DataFrame:
        frame.index = pd.Index(rng.choice(["u", "v"], 120), name="key")
    fitted = wild(frame, condition=condition)
    answers: dict[str, Callable[[Any], Any]] = {
        "impute": lambda rows: fitted.impute(rows, seed=0),
        "most likely": lambda rows: fitted.impute(rows, how="most likely", seed=0),
        "given": lambda rows: fitted.sample(given=rows, seed=0),
        "predict a": lambda rows: fitted.predict_proba(rows, "a", seed=0),
        "predict b": lambda rows: fitted.predict_proba(rows, "b", seed=0),
        "predict both": lambda rows: fitted.predict_proba(rows, ["a", "b"], seed=0)["b"],
    }
    for answer in answers.values():
        none, some = answer(frame[:0]), answer(frame[:2])
        assert (len(none), len(some)) == (0, 2)
        if isinstance(none, pd.DataFrame):
            pd.testing.assert_frame_equal(none, some[:0])
        else:
            assert none.schema == some.schema


def test_ranges_are_written_in_the_columns_own_decimals_and_steps() -> None:
    rng, n = np.random.default_rng(1), 600
    u = rng.random(n)
    times = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=int(20_000 * v)) for v in u]
    columns: dict[str, tuple[Any, str]] = {
        "cents": ((5000 * u).round(2), r"\d+\.\d\d"),
        "small": (pl.Series((9 * u).round(1), dtype=pl.Float32), r"\d\.\d"),
        "changes": ((3 * u - 1.5).round(3), r"-?\d\.\d{3}"),
        "whole": (np.where(u < 0.1, np.nan, (1000 * u).round()), r"\d+"),
        "fives": (5 * (1000 * u).astype(int), r"\d*[05]"),
        "nickels": ((1000 * u).round() / 20, r"\d+\.\d[05]"),
        "text": ([f"${5000 * v:,.2f}" for v in u], r"\d+\.\d\d"),
        "hours": (times, r"20\d\d-\d\d-\d\d \d\d:00:00"),
    }
    frame = pl.DataFrame({name: values for name, (values, _) in columns.items()})
    schema = pf.read(frame, relations=False).schema
    assert isinstance(schema, TableSchema)
    for name, (_, pattern) in columns.items():
        ranges = [value for value in Target.of(schema, name).values if isinstance(value, str)]
        assert len(ranges) > 5
        for text in ranges:
            assert all(re.fullmatch(pattern, end) for end in text.split("..")), f"{name}: {text}"


def refused(ruled: Fitted) -> dict[str, tuple[Any, str]]:
    frame = rich().head(3)
    unknown = frame.with_columns(pl.Series("city", ["Bonn", "Rom", "Ulm"]))
    huge = frame.with_columns(pl.Series("age", [20, 999, 30]))
    total = frame.with_columns(
        pl.Series("price", [None if i == 1 else v for i, v in enumerate(frame["price"])])
    )
    wrong = frame.with_columns(land=pl.lit("AT"), city=pl.lit("Bonn"))
    return {
        "category": (lambda: ruled.impute(unknown), r"'city', row 2: unknown category 'Rom'"),
        "column": (lambda: ruled.sample(given=frame.rename({"age": "agee"})), "'agee'; did you"),
        "lacking": (lambda: ruled.impute(frame.drop("age")), "lack the column.s. 'age'"),
        "how": (lambda: ruled.impute(frame, how="mean"), "unknown how='mean'"),  # type: ignore
        "range": (lambda: ruled.log_prob(huge), r"'age', row 2: 999 is out of the range"),
        "tied": (
            lambda: ruled.impute(total),
            r"row 2: 'total' is known, .* 'price', which is not; give 'price' as well, or leave",
        ),
        "combination": (lambda: ruled.impute(wrong), "does not hold in 3 of 3 rows"),
        "target": (lambda: ruled.predict_proba(frame, "citi"), "no column 'citi'"),
        "determined": (lambda: ruled.predict_proba(frame, "total"), "computed from other columns"),
        "identifier": (lambda: ruled.predict_proba(frame, "key"), "'key' holds identifiers"),
        "nothing": (lambda: ruled.sample(given=frame.select("key")), "some of the columns"),
        "both": (lambda: ruled.sample(3, given=frame), "given= goes with seed="),
        "neither": (ruled.sample, "how many rows"),
        "codes": (lambda: ruled.log_prob(frame, codes=0), "codes must be at least 1"),
    }


ASKED = ["category", "column", "lacking", "how", "range", "tied", "combination", "target"]
ASKED += ["determined", "identifier", "nothing", "both", "neither", "codes"]


@pytest.mark.parametrize("what", ASKED)
def test_what_cannot_be_answered_is_refused_in_one_line(what: str, ruled: Fitted) -> None:
    ask, message = refused(ruled)[what]
    with pytest.raises((DataError, ModelError), match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_numbers_out_of_range_count_as_the_nearest_if_asked_to(ruled: Fitted) -> None:
    frame = rich().head(2)
    ages = rich()["age"].drop_nulls()
    assert ages.max() == 79
    end, beyond = (frame.with_columns(pl.lit(age).alias("age")) for age in (79, 999))
    assert np.allclose(ruled.log_prob(end), ruled.log_prob(beyond, clip=True))


def test_a_constant_target_is_refused() -> None:
    frame = pl.DataFrame({"a": ["x"] * 60, "b": [1, 2, 3] * 20})
    with pytest.raises(
        DataError, match=r"'a' has one value, x, in .*: there is nothing to predict"
    ):
        wild(frame).predict_proba(frame, "a")


def test_what_is_never_generated_is_refused_by_its_row() -> None:
    fitted = wild(tiny(), "gan")
    with torch.no_grad():
        for module in fitted.model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.zero_()
                module.bias.zero_()
        last = [m for m in fitted.model.modules() if isinstance(m, torch.nn.Linear)]
        cells = fitted.schema.space.sizes  # type: ignore[union-attr]
        for module in last:
            if module.out_features == sum(cells):
                module.bias[0] = -1e4
    rare = min(["red", "green", "blue"], key=str)
    with pytest.raises(ModelError, match=r"row 2: in [\d,]+ draws the model never generated"):
        fitted.sample(given=pl.DataFrame({"colour": ["red", rare]}), seed=0)


def test_data_that_are_no_table_are_refused() -> None:
    fitted = on_a_ring()
    with pytest.raises(ModelError, match="impute takes a model of tables"):
        fitted.impute(None)


def on_a_ring() -> Fitted:
    schema = pf.read("ring").schema
    network = build("vae", schema, {"latent": 1, "width": 8}, 0, CPU)
    weights = network.state_dict()
    return Fitted(network, schema, {"best": weights, "final": weights}, {})


@pytest.fixture(scope="module")
def files(ruled: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, and rows beside it."""
    folder = tmp_path_factory.mktemp("answers")
    data = pf.read(rich(), constraints=RULES, relations=False)
    pf.fit(data, "vae", budget="5 steps", width=8, latent=1).save(folder / "run")
    with_holes(rich().head(2 * len(HOLES))).write_csv(folder / "holes.csv")
    rich().head(9).write_csv(folder / "rows.csv")
    return folder


def test_the_command_line_answers(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, rows, out = (str(files / name) for name in ("run", "rows.csv", "out.csv"))
    assert run_command(["impute", run, str(files / "holes.csv"), "-o", out, "--seed", "1"]) == 0
    filled = pl.read_csv(out, try_parse_dates=True)
    assert filled.null_count().sum_horizontal().item() == 0
    assert filled["city"].drop_nulls().is_in(["Bonn", "Ulm", "Graz", "Linz"]).all()
    given = str(files / "given.csv")
    rich().head(9).select("price", "when").write_csv(given)
    assert run_command(["sample", run, "--given", given, "-o", out, "--seed", "1"]) == 0
    continued = pl.read_csv(out, try_parse_dates=True)
    assert continued.columns == rich().columns
    assert continued["price"].equals(rich()["price"].head(9))
    assert run_command(["predict", run, rows, "--target", "age", "-o", out]) == 0
    assert pl.read_csv(out).sum_horizontal().to_list() == pytest.approx([1] * 9)
    capsys.readouterr()
    assert run_command(["log-prob", run, rows, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 9
    assert run_command(["log-prob", run, rows, "-o", out]) == 0
    assert -pl.read_csv(out)["log_prob"].mean() == pytest.approx(found["bits"])  # type: ignore
    assert f"{found['bits']:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["impute", "run", "rows.csv", "-o", "out.csv", "--how", "mean"], "how"),
        (["predict", "run", "rows.csv", "--target", "citi", "-o", "out.csv"], "no column 'citi'"),
        (["log-prob", "run", "none.csv"], "no such file"),
        (["sample", "run", "--given", "rows.csv", "-n", "3", "-o", "out.csv"], "given= goes with"),
    ],
)
def test_what_the_command_line_refuses_is_one_line(
    arguments: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = [str(files / a) if a == "run" or a.endswith(".csv") else a for a in arguments]
    assert run_command(placed) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_held_out_bits_say_that_they_are_a_bound() -> None:
    bits = HeldOutBits.of(torch.tensor([-1.0, -3.0]))
    assert (bits.value, bits.rows) == (2.0, 2)
    assert bits.error == pytest.approx(1.0)
    assert "upper bound" in str(bits)


def test_a_column_that_a_constraint_makes_a_number_is_known_with_nothing_else() -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"three": [3] * 120, "v": rng.normal(size=120)})
    data = pf.read(table, constraints=["three = 3"])
    fitted = pf.fit(data, "vae", budget="3 steps", seed=0, width=16, latent=2)
    holes = table.head(4).with_columns(v=pl.Series([None, 0.5, None, -0.5]))
    filled = fitted.impute(holes, seed=0)
    assert filled["three"].to_list() == [3] * 4
    assert filled["v"].to_list()[1::2] == [0.5, -0.5]
    assert fitted.sample(given=table.select("v").head(3), seed=0)["three"].to_list() == [3] * 3
    assert np.isfinite(fitted.log_prob(table.head(3))).all()


def keyed(n: int = 600) -> pl.DataFrame:
    """A value by a key, and a side that one of the keys has."""
    frame, rng = lacking_keys(n), np.random.default_rng(1)
    side = pl.Series("side", rng.choice(["left", "right"], n))
    own = pl.when(pl.col("key") == "a").then(pl.lit("left")).otherwise(side)
    return frame.select(own.alias("side"), "key", "value")


LOOKUP = "value = lookup(key)"


def test_a_key_that_is_found_by_its_value_follows_the_sum_over_all_rows() -> None:
    """Of the keys those that have the value, or have none: then the rest is it, or is missing."""
    fitted = wild(keyed(), constraints=[LOOKUP])
    every = Enumerated(fitted)
    schema = every.schema
    names = [column.name for column in schema.columns]
    assert names == ["side", "key", "value not looked up"]
    rows = PartialRows.of(schema, pl.DataFrame({"value": ["u"] * DRAWS}))
    parts = [d for _, d in Completer(fitted.model, schema, 1, 64, 32.0).drawn(rows, 1)]
    cells = torch.cat([d.cells[:, 0] for d in parts])
    _, keys, rests = (np.array([None, *getattr(c, "levels", ())]) for c in schema.columns)
    agree = np.isin(keys, ["a", "b", "f"]) | (keys == None)  # noqa: E711  # of each
    free = torch.from_numpy(agree)[every.rows[:, 1]]
    free &= torch.from_numpy((rests == "u") | (rests == None))[every.rows[:, 2]]  # noqa: E711
    joint = every.p * free
    x, pairs = schema.expand(cells), schema.expand(every.rows).double()
    assert_frequencies(x.double().mean(0), joint / joint.sum() @ pairs, DRAWS)


@pytest.mark.parametrize("how", ["draw", "most likely"])
def test_keys_that_may_be_missing_are_completed(how: Any) -> None:
    fitted, frame = wild(keyed(), constraints=[LOOKUP]), keyed().head(200)
    values = frame.select("value")
    drawn = fitted.sample(given=values, seed=0)
    filled = fitted.impute(frame.with_columns(key=pl.lit(None, pl.String)), how=how, seed=0)
    assert filled.null_count().sum_horizontal().item() == 0
    allowed = {"u": "abf", "w": "cdf", "z": "ef", "q": "f"}
    for rows in (drawn, filled):
        assert rows.select("value").equals(values)
        pairs = rows.select("key", "value").drop_nulls().iter_rows()
        assert all(key in allowed[value] for key, value in pairs)


def countries(n: int = 1500) -> pl.DataFrame:
    """A status by one of 100 keys, and numbers some of which are missing together."""
    rng = np.random.default_rng(3)
    country, wealth = rng.permutation(n) % 100, rng.normal(size=n)
    country[:10] = 100 + np.arange(10)  # one row each, not all of them for training
    together, other = rng.random(n) < 0.2, rng.random(n) < 0.1
    numbers = {
        "gdp": np.where(together, np.nan, wealth.round(2)),
        "population": np.where(together | other, np.nan, rng.integers(1, 900, n)),
        "schooling": np.where(together & (rng.random(n) < 0.5), np.nan, (wealth + 9).round(1)),
        "alcohol": np.where(other, np.nan, rng.gamma(2, size=n).round(2)),
    }
    return pl.DataFrame(
        {
            "country": [f"Land {c:02d}" for c in country],
            "year": rng.integers(2000, 2016, n),
            "status": np.array(["developing", "developed"])[(country % 5 == 0).astype(int)],
        }
        | numbers
    ).with_columns(pl.col(*numbers).fill_nan(None))


def lacking(frame: pl.DataFrame, share: float, seed: int = 0) -> pl.DataFrame:
    """A table with holes in so many of its cells."""
    rng = np.random.default_rng(seed)
    holes = [pl.Series(rng.random(len(frame)) < share) for _ in frame.columns]
    return frame.with_columns(
        pl.when(hole).then(None).otherwise(pl.col(name)).alias(name)
        for name, hole in zip(frame.columns, holes, strict=True)
    )


def assert_filled(fitted: Fitted, holes: pl.DataFrame, how: Any = "draw") -> pl.DataFrame:
    """Fill in holes: none is left, what is known stays."""
    filled: pl.DataFrame = fitted.impute(holes, how=how, seed=0)
    assert filled.schema == holes.schema
    assert filled.null_count().sum_horizontal().item() == 0
    for name in holes.columns:
        known = holes[name].is_not_null()
        assert filled[name].filter(known).equals(holes[name].filter(known)), name
    return filled


@pytest.mark.filterwarnings("ignore:.*independent draws")  # nobody trained the model
@pytest.mark.parametrize("hidden", [["country"], ["country", "alcohol"], ["country", "status"], []])
def test_gaps_beside_a_key_that_is_not_known_are_filled(hidden: list[str]) -> None:
    fitted = wild(countries(), constraints=["status = lookup(country)"])
    assert isinstance(fitted.schema, TableSchema)
    assert fitted.schema.implied, "values are missing together"
    assert not np.asarray(fitted.schema.columns[0].partition.mass).all(), "an unseen country"
    rows = countries().head(60)
    rows = rows.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in hidden)
    filled = assert_filled(fitted, rows if hidden else lacking(rows, 0.15))
    status = dict(countries().filter(pl.len().over("country") > 1)["country", "status"].iter_rows())
    pairs = filled.filter(pl.col("country").is_in([*status]))["country", "status"].iter_rows()
    assert all(status[country] == own for country, own in pairs)


@pytest.mark.filterwarnings("ignore:.*independent draws")
@pytest.mark.parametrize("how", ["draw", "most likely"])
def test_a_value_that_is_missing_for_some_keys_is_filled(how: Any) -> None:
    """By a draw of it where the key is known; else the key is one that has a value."""
    rng, n = np.random.default_rng(0), 900
    key, other = rng.integers(0, 6, n), rng.integers(0, 3, n)
    gone = (key == 0) | ((key == 1) & (other == 1))
    letters = [f"{'uvwxyz'[k]}{o}" for k, o in zip(key, other, strict=True)]
    table = pl.DataFrame(
        {
            "key": [f"K{k}" for k in key],
            "other": [f"O{o}" for o in other],
            "value": [None if g else text for g, text in zip(gone, letters, strict=True)],
            "none": ["s" if k > 2 else None for k in key],
            "x": rng.normal(size=n),
        }
    )
    rules = ["value = lookup(key, other)", "none = lookup(key)"]
    fitted, rows = wild(table, constraints=rules), table.head(150)
    for hidden in ([], ["value"], ["key", "value"], ["key", "other", "value"], ["key", "none"]):
        missing = [pl.lit(None, pl.String).alias(name) for name in hidden]
        assert_filled(fitted, rows.with_columns(missing), how)


@pytest.mark.filterwarnings("ignore:.*independent draws")
@pytest.mark.parametrize("how", ["draw", "most likely"])
def test_a_formula_has_a_value_in_rows_that_are_filled(how: Any) -> None:
    """Its divisor is not 0, unless that is known: 16 draws all are with a chance of 6^-16."""
    rng, n = np.random.default_rng(0), 600
    frame = pl.DataFrame({"a": rng.integers(1, 50, n), "b": rng.integers(0, 6, n)})
    ratio = pl.when(pl.col("b") > 0).then((pl.col("a") / pl.col("b")).round(2))
    frame = frame.with_columns(ratio.alias("ratio"), kind=pl.Series(rng.choice(["u", "v"], n)))
    for condition in (None, "kind"):
        data = pf.read(frame, constraints=["ratio = a / b"], condition=condition, relations=False)
        fitted = pf.fit(data, "vae", budget="3 steps", seed=0, width=16, latent=1)
        holes = frame.with_columns(b=pl.lit(None, pl.Int64), ratio=pl.lit(None, pl.Float64))
        filled = assert_filled(fitted, holes.head(100), how)
        assert (filled["b"] > 0).all()
    known = fitted.impute(frame.head(100), how=how, seed=0)
    assert known.equals(frame.head(100)), "what a formula says to be missing is"


def test_a_class_that_is_missing_is_filled() -> None:
    """Of 200 classes drawn by frequency, half of them missing, one is with 1 - 2^-200."""
    rng, n = np.random.default_rng(0), 600
    kind = [None if i % 2 else "ab"[i % 4 // 2] for i in range(n)]
    frame = pl.DataFrame(
        {"kind": kind, "x": rng.normal(size=n)}, schema_overrides={"kind": pl.String}
    )
    fitted = wild(frame, condition="kind")
    holes = frame.head(200).with_columns(kind=pl.lit(None, pl.String))
    assert_filled(fitted, holes)
    assert fitted.sample(given=holes.select("x"), seed=0)["kind"].null_count() > 0


def test_what_a_rest_implies_to_be_missing_is_filled() -> None:
    """A note that only rows outside the dictionary have: all others have no rest, and no note."""
    rng, n = np.random.default_rng(0), 3000
    key = rng.choice(list("abcd"), n).astype(object)
    value = np.array([k.upper() for k in key], object)
    odd = np.arange(n) % 100 == 0
    key[odd], value[odd] = "e", rng.choice(list("PQ"), odd.sum())
    note = [text if o else None for o, text in zip(odd, rng.choice(["new", "old"], n), strict=True)]
    columns = {"key": key.tolist(), "value": value.tolist(), "note": note}
    frame = pl.DataFrame(columns)
    fitted = wild(frame, constraints=[LOOKUP])
    assert isinstance(fitted.schema, TableSchema)
    names = [column.name for column in fitted.schema.columns]
    rest, own = names.index("value not looked up"), names.index("note")
    assert (rest, own) in fitted.schema.implied
    assert_filled(fitted, frame.head(150))


def test_a_column_that_is_modelled_by_its_parts_is_predicted_in_ranges_of_its_own() -> None:
    """By how often rows are continued that way: both sum over the same chain."""
    g = np.random.default_rng(0)
    kind = g.choice(["cheap", "dear"], 2000)
    whole = np.floor(np.exp(3 + (kind == "dear") + 0.5 * g.normal(size=2000)))
    price = (whole + g.choice([0.99, 0.49, 0.95], 2000, p=[0.7, 0.2, 0.1])).round(2)
    frame = pl.DataFrame({"kind": kind, "price": price})
    fitted = pf.fit(frame, "vae", budget="100 steps", width=32, latent=1, seed=0)
    assert isinstance(fitted.schema, TableSchema)
    assert fitted.schema.constraint_set.parts
    given = pl.DataFrame({"kind": ["cheap"]})
    chances = fitted.predict_proba(given, "price", seed=0)
    assert chances.sum_horizontal()[0] == pytest.approx(1)
    n = 4000
    drawn = fitted.sample(given=pl.concat([given] * n), seed=1)["price"]
    ends = {name: [float(end) for end in name.split("..")] for name in chances.columns}
    for name, (low, high) in ends.items():
        inner = [e for n, e in ends.items() if n != name and low <= e[0] <= high]  # atoms of a bin
        own = drawn.filter(drawn.is_between(low, high))
        held = len(own) - sum(own.is_between(*atom).sum() for atom in inner)
        p = chances[name][0]
        # of rare ranges a few rows more: their number is not normal
        assert held / n == pytest.approx(p, abs=SIGMAS * math.sqrt(p * (1 - p) / n) + 1e-3)


def test_ranges_of_days_are_whole_months() -> None:
    """Not all have 31 days: a range ends before the next one begins."""
    g = np.random.default_rng(0)
    days = pl.Series(
        [dt.date(2019, 1, 1) + dt.timedelta(int(k)) for k in g.integers(0, 1500, 4000)]
    )
    days = days.filter((days.dt.day() < 4) | pl.Series(g.random(4000) < 0.1))
    schema = pf.read(pl.DataFrame({"day": days})).schema
    assert isinstance(schema, TableSchema)
    assert [step.layout for step in schema.constraint_set.parts] == ["month"]
    ends = sorted(
        [dt.date.fromisoformat(end) for end in str(value).split("..")]
        for value in Target.of(schema, "day").values
    )
    assert all(low.day == 1 for low, _ in ends)
    days_between = [(low - high).days for (_, high), (low, _) in itertools.pairwise(ends)]
    assert days_between == [1] * (len(ends) - 1)
