"""Numbers that are names are drawn with what they occur with: against counts, draws and chance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from torch import Tensor

import pushforward as pf
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.partial import PartialRows
from pushforward.data.tables.partition import MIN_LEVEL_ROWS
from pushforward.data.tables.where import restrict
from pushforward.models.vae import VAE
from pushforward.sampling.completion import Completer, Known
from read_tables import positions

N, NUMBERS = 12_000, 1500
PLACES = np.array(["ATL", "BOS", "DEN", "LAX", "ORD", "SEA"])
LOW, HIGH = 2000, 6000


def routes(seed: int = 0) -> pl.DataFrame:
    """Each number goes to one place; a few rows hold it, and its neighbours go elsewhere."""
    rng = np.random.default_rng(seed)
    names = rng.choice(np.arange(1000, 9000), NUMBERS, replace=False)
    own, drawn = rng.integers(0, len(PLACES), NUMBERS), rng.integers(0, NUMBERS, N)
    day = rng.integers(0, 7, N).astype(str)
    return pl.DataFrame({"number": names[drawn], "place": PLACES[own[drawn]], "day": day})


@pytest.fixture(scope="module")
def data() -> Dataset:
    return pf.read(routes())


def schema_of(data: Dataset) -> TableSchema:
    assert isinstance(data.schema, TableSchema)
    return data.schema


def train(data: Dataset) -> pl.DataFrame:
    return routes()[data.splits["train"].numpy()]


def without(schema: TableSchema) -> TableSchema:
    return schema.with_hot_decks(())


def redrawn(schema: TableSchema, rows: Tensor, seed: int = 0) -> Tensor:
    return schema.draw_in_cells(schema.cells(rows), torch.Generator().manual_seed(seed))


def right(schema: TableSchema, rows: Tensor) -> float:
    """The share of rows whose number goes to their place."""
    own = dict(routes().select("number", "place").unique().iter_rows())
    pairs = schema.decode(redrawn(schema, rows)).select("number", "place").iter_rows()
    return float(np.mean([own.get(number) == place for number, place in pairs]))


def test_redrawn_numbers_go_to_their_place_and_stay_in_their_cell(data: Dataset) -> None:
    schema = schema_of(data)
    # 0.86 of the rows have numbers that five rows share, and the others one in two hundred by luck
    assert right(schema, data.rows) > 0.8
    assert right(without(schema), data.rows) < 0.3
    assert torch.equal(schema.cells(redrawn(schema, data.rows)), schema.cells(data.rows))
    (note,) = (note for note in data.notes if "are names" in note)
    assert note == "column 'number': its numbers are names, drawn by place"
    assert not schema.space.fine  # names are not ordered


def test_where_categories_do_not_go_together_the_first_alone_tells() -> None:
    """Of a carrier and a place that have no number in common, the one with fewer values counts."""
    frame = routes()
    carrier = [f"carrier {number % 3}" for number in frame["number"]]
    data = pf.read(frame.with_columns(carrier=pl.Series(carrier)))
    schema, order = schema_of(data), torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert [len(deck.parents) for deck in schema.hot_decks] == [1, 2]
    at, mixed = positions(schema), data.rows.clone()
    mixed[:, at["place"]] = data.rows[order, at["place"]]
    drawn = redrawn(schema, mixed)[:, at["number"]].long()
    known = set(frame["number"].to_list())
    is_known = np.array([number in known for number in drawn.tolist()])
    own = drawn.numpy() % 3 == mixed[:, at["carrier"]].long().numpy()
    assert own[is_known].mean() > 0.85  # a third by chance


def test_a_value_is_drawn_as_often_as_the_rows_of_its_cell_and_place_have_it(data: Dataset) -> None:
    schema, (rows, _) = schema_of(data), data.subset("train")
    at = positions(schema)
    number = at["number"]
    fine = schema.fine_cells(schema.cells(rows))[:, [number, at["place"]]]
    keys, counts = fine.unique(dim=0, return_counts=True)
    same = (fine == keys[counts.argmax()]).all(1)
    values, often = np.unique(rows[same, number].numpy(), return_counts=True)
    many = rows[same][:1].expand(40_000, -1)
    by_histogram = Counter(redrawn(without(schema), many)[:, number].tolist())
    shared = often >= MIN_LEVEL_ROWS
    n, rest = often.sum() + 0.1, often[~shared].sum() + 0.1
    h = np.array([by_histogram[v] / 40_000 for v in values])
    p = np.where(shared, often, 0) / n + rest / n * h
    drawn = Counter(redrawn(schema, many)[:, number].tolist())
    seen = np.array([drawn[v] for v in values[shared]])
    observed = np.append(seen, 40_000 - seen.sum())
    expected = 40_000 * np.append(p[shared], 1 - p[shared].sum())
    assert shared.sum() >= 1
    assert stats.chisquare(observed, expected).pvalue > 1e-3  # type I error


def test_no_value_that_few_rows_of_a_place_share_is_stored(data: Dataset) -> None:
    (deck,) = schema_of(data).hot_decks
    counts = dict(train(data)["number"].value_counts().iter_rows())  # each is of one place
    stored = deck.value.long().tolist()
    assert {number for number, n in counts.items() if n >= MIN_LEVEL_ROWS} == set(stored)
    assert deck.count.long().tolist() == [counts[number] for number in stored]


def test_chance_has_no_deck_and_neither_has_what_shall_not_be_stored() -> None:
    rng, frame = np.random.default_rng(1), routes()
    shuffled = frame.with_columns(pl.Series("number", rng.permutation(frame["number"])))
    apart = frame.with_columns(number=pl.Series(rng.permutation(10 * N)[:N]))
    for chance in (shuffled, apart):
        assert not schema_of(pf.read(chance)).hot_decks
    assert not schema_of(pf.read(frame, rare="name")).hot_decks


def test_a_deck_comes_back_from_json(data: Dataset) -> None:
    schema = schema_of(data)
    again = schema_from_json(schema.to_json())
    assert isinstance(again, TableSchema)
    assert torch.equal(redrawn(again, data.rows), redrawn(schema, data.rows))


def test_under_a_condition_numbers_are_those_that_are_drawn_without_it(data: Dataset) -> None:
    """Which share of a row's draws is allowed, and how those are spread: against many draws."""
    schema = schema_of(data)
    at = positions(schema)["number"]
    restricted = restrict(schema, {"number": (LOW, HIGH)})
    fine = schema.fine_cells(schema.cells(data.rows))
    chance = restricted.chance_within(fine)
    once = redrawn(schema, data.rows)[:, at]
    allowed = (once >= LOW) & (once <= HIGH)
    assert bool(allowed[chance == 1].all() and not allowed[chance == 0].any())
    edge = (chance > 0) & (chance < 1)  # cells that the condition cuts
    often = data.rows[edge].repeat_interleave(500, 0)
    free = redrawn(schema, often)[:, at]
    free = free[(free >= LOW) & (free <= HIGH)]
    error = (chance[edge] * (1 - chance[edge])).mean().div(len(often)).sqrt()
    assert int(edge.sum()) > 30
    assert abs(len(free) / len(often) - float(chance[edge].mean())) < 4 * float(error)
    torch.manual_seed(0)
    many = fine[edge].repeat_interleave(500, 0)
    kept = many[torch.rand(len(many)) < restricted.chance_within(many)]
    drawn = restricted.draw_in_cells(kept)[:, at]
    assert bool(((drawn >= LOW) & (drawn <= HIGH)).all())
    assert stats.ks_2samp(drawn.numpy(), free.numpy()).pvalue > 1e-3  # type I error


def test_a_known_number_tells_of_its_place(data: Dataset) -> None:
    """Bayes: with a deck p(place | number) is as without, times p(number | cell, place)."""
    schema, draws = schema_of(data), 4000
    torch.manual_seed(0)
    model = VAE(schema.space, latent=2, width=16).eval()
    number = int(schema.hot_decks[0].value[len(schema.hot_decks[0].value) // 2])
    given = PartialRows.of(schema, pl.DataFrame({"number": [number]}))
    known = Known.of(given, torch.zeros(1, dtype=torch.long), torch.device("cpu"))
    found = []
    for each in (without(schema), schema):
        completer = Completer(model, each, 0, particles=20_000, enough=20_000, rounds=1)
        cells = completer.complete(known, draws).cells[0]
        found.append(cells)
    own, place = (positions(schema)[name] for name in ("number", "place"))
    before, after = (torch.bincount(c[:, place], minlength=len(PLACES)) / draws for c in found)
    rows, _ = data.subset("train")
    fine = schema.fine_cells(schema.cells(rows))
    cell = fine[(rows[:, own] == number).nonzero()[0, 0], own]
    h = float((redrawn(without(schema), rows[fine[:, own] == cell][:1].expand(40_000, -1))[:, own]
               == number).double().mean())  # fmt: skip
    odds = []
    for k in range(len(PLACES)):
        values = rows[(fine[:, own] == cell) & (fine[:, place] == k), own].tolist()
        counts = Counter(values)
        shared = {v: n for v, n in counts.items() if n >= MIN_LEVEL_ROWS}
        rest, n = len(values) - sum(shared.values()) + 0.1, len(values) + 0.1
        odds.append((shared.get(number, 0) / h + rest) / n if shared else 1.0)
    expected = before * torch.tensor(odds)
    expected = expected / expected.sum()
    assert float(after.max()) > 2 * float(before.max())
    # of so many draws, and of h by as many
    torch.testing.assert_close(after, expected, atol=0.05, rtol=0)
