"""Numbers that repeat another column's in some rows: found, told, and generated as often."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
import torch

import pushforward as pf
from pushforward.data import TableSchema, read, schema_from_json
from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.number_chances import SPREAD, log_chance_in_cell
from pushforward.data.tables.partial import PartialRows
from pushforward.data.tables.repeat_cases import Cases
from pushforward.errors import DataError
from pushforward.runs.fitted import Fitted
from pushforward.sampling.completion import Completer

Said = defaultdict[int, list[tuple[str | None, ...]]]

N = 4000
SIGMAS = 4.5
FULL, NONE = 0.25, 0.2  # shares of the bills that are paid in full, or not at all


def bills(n: int = N) -> pl.DataFrame:
    """Bills, what was paid of them (all, nothing, or hundreds), and what a later one repeats."""
    rng = np.random.default_rng(0)
    bill = np.round(rng.lognormal(8, 1, n)).astype(int)
    how, some = rng.random(n), np.floor(bill * rng.random(n) / 100).astype(int) * 100
    paid = np.where(how < FULL, bill, np.where(how < FULL + NONE, 0, some))
    fee = np.round(rng.gamma(2, 30, n), 2)
    again = np.where(rng.random(n) < 0.4, fee, np.round(rng.gamma(2, 30, n), 2))
    known = pl.Series(rng.random(n) < 0.9)
    later = pl.Series(again).set(~known, None)
    return pl.DataFrame({"bill": bill, "paid": paid, "fee": fee, "again": later})


def schema_of(frame: pl.DataFrame, *, relations: bool = True) -> TableSchema:
    schema = read(frame, relations=relations).schema
    assert isinstance(schema, TableSchema)
    return schema


def found(schema: TableSchema) -> dict[str, tuple[str, ...]]:
    return {repeat.column: repeat.sources for repeat in schema.constraint_set.repeats}


def test_repeats_are_found_told_and_kept_in_the_schema() -> None:
    frame = bills()
    data, expected = read(frame), {"paid": ("bill",), "again": ("fee",)}
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert found(schema) == expected
    assert [step.column.name for step in schema.constraint_set.parts] == ["paid"]
    assert any(note.startswith("column 'paid' repeats 'bill' in 2") for note in data.notes)
    again = schema_from_json(schema.to_json())
    assert again.to_json() == schema.to_json()
    rows = schema.encode(frame)
    assert again.decode(rows).equals(frame)
    assert torch.equal(schema.repeated(rows).nan_to_num(-1.0), rows.nan_to_num(-1.0))
    assert found(schema_of(frame, relations=False)) == {}


def test_the_most_frequent_of_several_sources_comes_first_and_names_may_be_taken() -> None:
    rng = np.random.default_rng(0)
    high, low = np.round(100 + rng.random((2, N)) * 50, 3)
    which = rng.random(N)
    close = np.where(which < 0.1, high, np.where(which < 0.3, low, np.round(100 + which * 50, 3)))
    taken = rng.choice(["a", "b"], N)
    schema = schema_of(pl.DataFrame({"high": high, "low": low, "close": close, "close is": taken}))
    assert found(schema) == {"close": ("low", "high")}
    (repeat,) = schema.constraint_set.repeats
    assert repeat.name == "close is'"
    few = {"high": [1.0, 1.0], "low": [1.0, np.nan], "close": [1.0, np.nan]}
    told = repeat.told({name: np.array(values) for name, values in few.items()})
    assert told.to_list() == ["= low", "its own"]  # both: the first; missing: none


def test_numbers_that_are_near_or_few_or_frequent_repeat_nothing() -> None:
    """Of 40 tables: independent numbers, counts, and numbers that are equal by being near."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(50, 20, 1000).round()
        columns = {
            "x": x,
            "near": x + rng.normal(0, 2, 1000).round(),  # equal in a fifth of the rows
            "count": rng.poisson(2, 1000),
            "other count": rng.poisson(2, 1000),
            "zero or not": np.where(rng.random(1000) < 0.5, 0, rng.normal(50, 20, 1000).round()),
            "zero or more": np.where(rng.random(1000) < 0.5, 0, rng.normal(50, 20, 1000).round()),
        }
        assert found(schema_of(pl.DataFrame(columns))) == {}, seed


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    data = read(bills(), split=(0.8, 0.1, 0.1), seed=0)
    return pf.fit(data, "vae", budget="500 steps", seed=0, width=64, refine=False)


def equal(rows: pl.DataFrame, a: str, b: str) -> float:
    return float(np.mean((rows[a] == rows[b]).fill_null(value=False).to_numpy()))


def test_generated_rows_repeat_as_often(fitted: Fitted) -> None:
    """The shares are raked by the last 1/2 + 1/3 + ... of 2,048 rows: within their error."""
    n = 8000
    rows, real = fitted.sample(n, seed=1), bills()
    for a, b in [("paid", "bill"), ("again", "fee")]:
        share = equal(real, a, b)
        error = math.sqrt(share * (1 - share) * (1 / n + 1 / 2048 + 1 / N))
        assert abs(equal(rows, a, b) - share) < SIGMAS * error
    assert rows["paid"].is_between(0, real["paid"].max()).all()


def test_what_is_repeated_meets_a_condition_on_either_column(fitted: Fitted) -> None:
    where = {"paid": (1000, 5000), "again": (20, 60)}
    rows = fitted.sample(1000, where=where, seed=2)
    assert rows["paid"].is_between(1000, 5000).all()
    assert rows["again"].is_between(20, 60).all()
    assert equal(rows, "paid", "bill") > 0.2
    assert equal(rows, "again", "fee") > 0.2
    low = fitted.sample(1000, where={"fee": (20, 30)}, seed=3)
    repeating = low.filter(pl.col("again") == pl.col("fee"))
    assert len(repeating) > 200
    assert repeating["again"].is_between(20, 30).all()


def test_completed_rows_repeat_what_is_known(fitted: Fitted) -> None:
    """Given the source, its very number is repeated; given the column, it stays as it is."""
    real = bills(400)
    filled = fitted.sample(given=real.select("bill", "fee"), seed=1)
    assert filled["bill"].equals(real["bill"])
    # the model's share is raked by some 2,000 rows to that of the training rows
    error = math.sqrt(FULL * (1 - FULL) * (1 / 400 + 1 / 2048 + 1 / N))
    assert abs(equal(filled, "paid", "bill") - FULL) < SIGMAS * error
    backwards = fitted.sample(given=real.select("paid"), seed=1)
    assert backwards["paid"].equals(real["paid"])


def test_conditions_on_a_column_that_repeats_are_exact(fitted: Fitted) -> None:
    """Against rows drawn without it: which rows repeat, how far the fee goes, the hit rate."""
    low, high = 60.0, 66.0
    every = fitted.sample(120_000, seed=4)
    free = every.filter(pl.col("again").is_between(low, high))
    rows = fitted.sample(3000, where={"again": (low, high)}, seed=5)
    a, b = equal(rows, "again", "fee"), equal(free, "again", "fee")
    share = (a * len(rows) + b * len(free)) / (len(rows) + len(free))
    error = math.sqrt(share * (1 - share) * (1 / len(rows) + 1 / len(free)))
    assert 0.1 < share < 0.9
    assert abs(a - b) < SIGMAS * error
    means = [float(np.mean(own["fee"].to_numpy())) for own in (rows, free)]
    spread = float(np.std(free["fee"].to_numpy()))
    assert abs(means[0] - means[1]) < SIGMAS * spread * math.sqrt(1 / len(rows) + 1 / len(free))


def assert_as_often(found: Mask, expected: Mask) -> None:
    """Two samples: the difference of their shares is within its error."""
    n, m = len(found), len(expected)
    share = (found.sum() + expected.sum()) / (n + m)
    assert 0.05 < share < 0.95
    error = math.sqrt(share * (1 - share) * (1 / n + 1 / m))
    assert abs(found.mean() - expected.mean()) < SIGMAS * error


@pytest.fixture(scope="module")
def every(fitted: Fitted) -> pl.DataFrame:
    rows: pl.DataFrame = fitted.sample(120_000, seed=4)
    return rows


@pytest.mark.parametrize(
    ("a", "b", "ends"), [("again", "fee", (30, 60, 100)), ("paid", "bill", (1000, 3000, 9000))]
)
def test_what_a_known_number_repeats_is_filled_in(
    a: str, b: str, ends: tuple[float, ...], fitted: Fitted, every: pl.DataFrame
) -> None:
    """As often as in generated rows with such numbers; where one is in parts, too."""
    some = every.filter(pl.col(a).is_between(ends[0], ends[-1]))
    given = some.head(800)
    filled = fitted.sample(given=given.select(a), seed=1)
    first = given.head(50).select(a)
    assert fitted.sample(given=first, seed=1).equals(fitted.sample(given=first, seed=1))
    assert filled[a].equals(given[a])
    for low, high in itertools.pairwise(ends):
        of_both = [own.filter(pl.col(a).is_between(low, high)) for own in (filled, some)]
        assert_as_often(*((own[a] == own[b]).to_numpy() for own in of_both))


def test_real_numbers_are_filled_in_as_often_as_they_repeat(fitted: Fitted) -> None:
    """The model's own share is near that of the training rows, see above."""
    real = bills(2000).drop_nulls()
    filled = fitted.sample(given=real.select("again"), seed=1)
    share = equal(bills().drop_nulls(), "again", "fee")
    error = math.sqrt(share * (1 - share) * (1 / len(real) + 1 / 2048 + 1 / N))
    assert abs(equal(filled, "again", "fee") - share) < SIGMAS * error


def test_the_chance_of_a_known_number_has_no_bias(fitted: Fitted, every: pl.DataFrame) -> None:
    """Added over all numbers between two: how many of the generated rows are there."""
    low, high = 60.0, 64.0
    numbers = (pl.int_range(6000, 6401, eager=True) / 100).alias("again").to_frame()
    schema = fitted.schema
    assert isinstance(schema, TableSchema)
    given = PartialRows.of(schema, numbers)
    assert given.cases(torch.arange(len(given))).owner.bincount().tolist() == [2] * 401
    drawn = [d for _, d in Completer(fitted.model, schema, 0, 64, math.inf, 2).drawn(given, 1)]
    assert all((d.particles == 2 * 2 * 64).all() for d in drawn)  # of two cases in two rounds
    assert all((d.effective < 2 * 2 * 64).all() for d in drawn)
    chance = float(torch.cat([d.log_chance for d in drawn]).exp().sum())
    share = float(every["again"].is_between(low, high).fill_null(value=False).mean())  # type: ignore[arg-type]
    # the sum is over 401 estimates, of 128 particles and more each
    error = math.sqrt(share / len(every) + chance**2 / 401 / 128)
    assert abs(chance - share) < SIGMAS * error < 0.15 * share


@pytest.mark.parametrize(("known", "asked"), [("again", "fee"), ("fee", "again")])
def test_the_probabilities_of_a_column_count_what_repeats_it_or_it_repeats(
    known: str, asked: str, fitted: Fitted, every: pl.DataFrame
) -> None:
    """That it is where the known number is: as often as in generated rows."""
    rows = every.drop_nulls().head(20_000)
    chances = fitted.predict_proba(rows.head(100).select(known), asked, seed=0)
    ranges = [[float(end) for end in str(name).split("..")] for name in chances.columns]
    low, high = np.array([[ends[0], ends[-1]] for ends in ranges]).T

    def within(name: str) -> Mask:
        numbers = rows[name].to_numpy()[:, None]
        return np.asarray((numbers >= low) & (numbers <= high))

    together = (within(known) & within(asked)).any(1)
    found = (chances.to_numpy() * within(known)[:100]).sum(1)
    share, spread = together.mean(), float(found.std())
    error = math.sqrt(share * (1 - share) / len(rows) + spread**2 / 100)
    assert abs(found.mean() - share) < SIGMAS * error < 0.08


def chained(n: int = N) -> pl.DataFrame:
    """One number of three repeats the second or the first, the second the first."""
    rng = np.random.default_rng(0)
    x, y, z = rng.gamma(3, 20, (3, n)).round(2)
    x, y = x.round(1), y.round(1)
    y = np.where(rng.random(n) < 0.4, x, y)
    how = rng.random(n)
    z = np.where(how < 0.4, y, np.where(how < 0.6, x, z))
    return pl.DataFrame({"x": x, "y": y, "z": z})


def test_what_is_repeated_may_repeat_another() -> None:
    """Of a number that is known: which of four ways it came about, as often as it is generated."""
    data = read(chained())
    fitted = pf.fit(data, "vae", budget="20 steps", seed=0, width=16, refine=False)
    assert isinstance(fitted.schema, TableSchema)
    assert found(fitted.schema) == {"y": ("x",), "z": ("y", "x")}
    every = fitted.sample(100_000, seed=0).filter(pl.col("z").is_between(30, 80))
    given = every.head(1000)
    filled = fitted.sample(given=given.select("z"), seed=1)
    for to_y, to_x in itertools.product([True, False], repeat=2):
        of_both = [
            (((own["z"] == own["y"]) == to_y) & ((own["z"] == own["x"]) == to_x)).to_numpy()
            for own in (filled, every)
        ]
        assert_as_often(*of_both)


def cases_of(schema: TableSchema, rows: dict[str, list[float | None]]) -> tuple[Cases, Said]:
    """The cases of some rows, and for each of a row's cases what it says, None for not known."""
    given = PartialRows.of(schema, pl.DataFrame(rows))
    cases = given.cases(torch.arange(len(given)))
    said = Said(list)
    for at, of_row in enumerate(cases.owner.tolist()):
        told = [
            schema.columns[r.at].levels[int(cases.rows[at, r.at])] if known else None  # type: ignore[attr-defined]
            for r in schema.repeaters
            for known in [bool(cases.known[at, r.at])]
        ]
        said[of_row].append(tuple(told))
    return cases, said


def test_known_numbers_tell_what_a_number_can_repeat() -> None:
    schema = schema_of(chained())
    rows: dict[str, list[float | None]] = {
        "x": [None, 50.0, 50.0, 50.0, None, None, None],
        "y": [None, None, None, 50.0, 50.0, 20.0, None],
        "z": [50.0, 50.0, 20.0, 50.0, 50.0, 50.0, 50.05],
    }
    cases, said = cases_of(schema, rows)
    own = "its own"
    expected: list[set[tuple[str | None, ...]]] = [
        {("= x", "= y"), (own, "= y"), (None, "= x"), (None, own)},
        {("= x", "= y"), (None, "= x")},  # z is x, and not its own
        {(own, "= y"), (None, own)},  # if z is y, y is not x
        {("= x", "= y")},
        {("= x", "= y"), (own, "= y")},
        {(own, "= x"), ("= x", own), (own, own)},  # z is not y, nor is x both
        {(None, own)},  # x and y have one decimal
    ]
    assert [set(said[k]) for k in range(7)] == expected
    assert [len(said[k]) for k in range(7)] == [len(one) for one in expected]
    first = cases.owner == 0
    of_y, of_z = schema.repeaters
    assert of_z.column.step is not None, "z is modelled by its parts"
    for place in (*of_y.sources, of_y.column, of_z.column):
        numbers = place.read(cases.rows[first])
        assert set(numbers[~np.isnan(numbers)]) == {50.0}
    # of the last row there is one case, which weighs nothing beside others
    assert cases.log_chance(schema)[-1] == 0
    assert (cases.log_chance(schema)[first] < 0).all()


def test_a_row_has_so_many_cases_at_most() -> None:
    rng = np.random.default_rng(0)
    columns = dict[str, Floats]()
    for k in range(6):
        x, y = np.round(rng.gamma(3, 20, (2, 1000)), 1)
        columns |= {f"x{k}": x, f"y{k}": np.where(rng.random(1000) < 0.5, x, y)}
    frame = pl.DataFrame(columns)
    schema = schema_of(frame)
    assert len(schema.repeaters) == 6
    some = {f"y{k}": frame[f"y{k}"].head(3).to_list() for k in range(6)}
    some["y0"][0] = some["y1"][0] = some["y2"][0] = None
    cases, said = cases_of(schema, some)
    assert cases.owner.bincount().tolist() == [8, 16, 16]
    assert {own[:2] for own in said[1]} == {(None, None)}
    assert {own[:3] for own in said[0]} == {(None, None, None)}
    fitted = pf.fit(read(frame), "vae", budget="3 steps", seed=0, width=16, refine=False)
    filled = fitted.sample(given=pl.DataFrame(some), seed=0)
    assert filled.null_count().sum_horizontal().item() == 0
    for name, numbers in some.items():
        kept = [own is None or own == new for own, new in zip(numbers, filled[name], strict=True)]
        assert all(kept)


def test_the_chances_of_numbers_in_a_cell_are_how_often_they_are_drawn() -> None:
    """And add up to one."""
    frame = bills()
    schema = schema_of(frame)
    at = [column.name for column in schema.columns].index("fee")
    p = schema.fine_partitions[at].partition
    steps = np.round(p.bounds[[0, -1]] * 100).astype(int)
    numbers = np.arange(*steps) / 100
    chance = np.exp(log_chance_in_cell(numbers, schema.fine_partitions[at], 0.01))
    piece = np.searchsorted(p.bounds[1:-1], numbers, side="right")
    total = np.bincount(p.cell[piece], chance)
    assert total == pytest.approx(np.ones(len(total)), abs=1e-9)
    draws = 200_000
    cells = schema.cells(schema.encode(frame.head(1))).expand(draws, -1)
    value, count = np.unique(schema.draw_in_cells(cells)[:, at].numpy(), return_counts=True)
    expected = chance[np.round(value * 100).astype(int) - steps[0]]
    error = np.sqrt(expected * (1 - expected) / draws)
    assert len(value) > 10
    assert (np.abs(count / draws - expected) < SIGMAS * error + 2 * SPREAD * expected).all()


@pytest.mark.parametrize("name", ["y", "a b", "= x", "x is"])
def test_odd_names_and_types_repeat_as_well(name: str) -> None:
    """Of single precision beside double, and with NaN in both, which repeats nothing."""
    rng = np.random.default_rng(0)
    x = np.floor(rng.normal(100, 30, N)) + 0.1
    y = np.where(rng.random(N) < 0.3, x, np.floor(rng.normal(100, 30, N)) + 0.2)
    missing = rng.random(N) < 0.2
    x[missing], y[missing] = np.nan, np.nan
    frame = pl.DataFrame({"x": x, name: y.astype(np.float32)})
    data = read(frame)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert list(found(schema).values()) == [("x",)]
    (note,) = (note for note in data.notes if "repeats" in note)
    assert 0.22 < float(note.split("in ")[1].split("%")[0]) / 100 < 0.26
    assert schema.decode(schema.encode(frame)).equals(frame)


def test_a_table_without_the_column_is_refused(fitted: Fitted) -> None:
    with pytest.raises(DataError, match="lacks the column"):
        fitted.log_prob(bills(20).drop("again"))


def test_the_likelihood_of_a_row_counts_what_it_repeats(fitted: Fitted) -> None:
    """That `again` is the fee to a cent costs a bit or two, not the bits of a number."""
    real = bills().filter(pl.col("fee").is_between(30, 60)).head(100)
    same = fitted.log_prob(real.with_columns(again="fee"))
    apart = fitted.log_prob(real.with_columns(again=pl.col("fee") + 0.01))
    assert float((same - apart).mean()) > 2


def test_private_schemas_repeat_nothing() -> None:
    data = read(bills(1000), relations=True)
    made = pf.fit(data, "vae", budget="2 steps", epsilon=5.0, seed=0, width=16)
    assert isinstance(made.schema, TableSchema)
    assert made.schema.constraint_set.repeats == ()
