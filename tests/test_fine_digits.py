"""Fine digits: what they say of a value, and the models that draw them, against plain loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import cast

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from torch import Tensor

import pushforward as pf
from pushforward.data.tables.fine_digits import MAX_DIGITS, FinePartition
from pushforward.data.tables.schema import TableSchema
from pushforward.families.decoders import WithDecoder
from pushforward.models.vae import VAE
from pushforward.nn.likelihoods import Autoregressive, Categorical, Likelihood, Observation
from pushforward.nn.relations import Relations, relations
from pushforward.nn.segments import Segments
from pushforward.random import isolated
from pushforward.sampling import blocks
from pushforward.space import Cells, FineDigit
from read_tables import read_table

N = 40_000
# categories; a number with a missing cell, an atom and two bins, and its digits; another number
DIGIT = FineDigit(
    2,
    ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.5, 0.25, 0.25), (0.3, 0.0, 0.7)),
    ((None,) * 3, (0.1,) * 3, (0.3, 0.45, 0.55), (0.7, 0.7, 0.9)),
    ((None,) * 3, (-2.0,) * 3, (-0.5, 0.0, 0.3), (0.8, 0.8, 2.0)),
    ((None,) * 3, (None,) * 3, (None,) * 3, (None,) * 3),
)
SPACE = Cells(
    (2, 4, 3, 3),
    (None, None, None, 0.1, 0.4, 0.8, 1 / 6, 0.5, 5 / 6, 0.2, 0.5, 0.8),
    (None, None, None, -2.0, -0.1, 1.3, 0.2, 0.5, 0.8, -1.0, 0.0, 1.5),
    (None, None, None, None, None, None, 1 / 6, 0.5, 5 / 6, -1.2, 0.3, 1.1),
    (DIGIT,),
)
FIRST = (0, 2, 6, 9)
EVERY = torch.tensor(list(itertools.product(*map(range, SPACE.sizes))))


def normal(n: int = 20_000) -> tuple[TableSchema, pf.Dataset]:
    g = np.random.default_rng(0)
    x = np.where(g.random(n) < 0.2, 0.0, g.normal(size=n))
    some = pl.Series(np.where(g.random(n) < 0.1, np.nan, x), nan_to_null=True)
    return read_table(pl.DataFrame({"x": some, "y": x + 0.01 * g.normal(size=n)}))


# --- data


def test_digits_say_where_in_its_bin_a_value_lies() -> None:
    schema, data = normal(40_000)
    cells, values = schema.cells(data.rows), data.rows[:, 1]
    assert schema.space.sizes[3] == MAX_DIGITS
    cell, digit = cells[:, 2], cells[:, 3]
    whole = FinePartition.of(schema.columns[1].partition).coarse
    for k in np.unique(whole.cell[np.isnan(whole.atom)]):
        own = cell == int(k)
        low, high = (
            [f(values[own & (digit == d)]) for d in digit[own].unique()] for f in (min, max)
        )
        assert all(a <= b for a, b in zip(high[:-1], low[1:], strict=True))
        # as many rows each: pieces of a bin hold as many as each other, to one piece of many
        counts = torch.bincount(digit[own])
        held = counts[counts > 0].double()
        assert float(held.max()) < 3 * float(held.mean())


def test_an_atom_and_a_missing_value_have_the_digit_0() -> None:
    schema, data = normal()
    cells, values = schema.cells(data.rows), data.rows[:, 0]
    assert not bool(cells[values.isnan() | (values == 0), 1].any())


def test_a_drawn_value_lies_in_its_fine_cell() -> None:
    schema, data = normal()
    cells = schema.cells(data.rows)
    drawn = schema.draw_in_cells(cells, torch.Generator().manual_seed(0))
    # the ends of a gap between two pieces belong to the one below
    assert float((schema.cells(drawn) == cells).double().mean()) > 0.999
    spread = float((drawn - data.rows)[:, 1].abs().median())
    coarse = QUARTER_OF_A_BIN * float(data.rows[:, 1].std())
    assert spread < coarse / 4


QUARTER_OF_A_BIN = 0.01  # of a standard deviation, the median distance in the middle of a normal


def test_digits_that_a_cell_does_not_have_count_as_the_nearest() -> None:
    schema, _ = normal()
    p = schema.fine_partitions[1]
    for cell, shares in enumerate(p.shares):
        held = np.flatnonzero(shares)
        for digit in range(p.digits):
            nearest = held[np.abs(held - digit).argmin()]
            assert p.cell[cell, digit] == p.cell[cell, nearest]
    assert len(np.unique(p.cell)) == (p.shares > 0).sum() == p.partition.n_cells


def test_ranks_places_and_shares_are_those_of_the_rows() -> None:
    schema, data = normal()
    rows = data.subset("train")[0]
    cells, space = schema.cells(rows)[:, 2:].numpy(), schema.space
    digit = space.fine[1]
    y = rows[:, 1].numpy()
    rank = np.argsort(np.argsort(y)) / len(y)
    place = (y - y.mean()) / y.std()
    shares, ranks, places = (
        np.array(t, np.float64) for t in (digit.shares, digit.ranks, digit.places)
    )
    for cell in np.unique(cells[:, 0]):
        own = cells[:, 0] == cell
        for k in np.unique(cells[own, 1]):
            both = own & (cells[:, 1] == k)
            # ends of pieces are rounded by a 16th of their width
            assert shares[cell, k] == pytest.approx(both.sum() / own.sum(), abs=0.05)
            assert ranks[cell, k] == pytest.approx(rank[both].mean(), abs=0.001)
            assert places[cell, k] == pytest.approx(place[both].mean(), abs=0.15)


def test_logarithms_are_those_of_the_rows() -> None:
    """Of numbers that are positive but for a few, which count as the smallest that is."""
    g = np.random.default_rng(0)
    y = np.exp(0.5 * g.normal(size=20_000))
    few, many = (np.where(np.arange(len(y)) % every == 0, 0.0, y) for every in (200, 50))
    schema, data = read_table(
        pl.DataFrame(
            {"y": y, "few": few[::-1], "many": g.permutation(many), "below": -g.permutation(y)}
        )
    )
    space, rows = schema.space, data.subset("train")[0]
    cells, starts = schema.cells(rows).numpy(), np.cumsum([0, *space.sizes])
    log = np.log(rows[:, 0].numpy())
    log = (log - log.mean()) / log.std()
    digit = space.fine[0]
    for cell, k in np.unique(cells[:, :2], axis=0):
        own = (cells[:, 0] == cell) & (cells[:, 1] == k)
        # ends of pieces are rounded by a 16th of their width; the outermost are the widest
        assert digit.logs[cell][k] == pytest.approx(log[own].mean(), abs=0.15)
    digits = {fine.at for fine in space.fine}
    _, second, third, fourth = (
        space.logs[starts[at] : starts[at + 1]]
        for at in range(len(space.sizes))
        if at not in digits
    )
    known = [log for log in second if log is not None]
    assert len(known) == len(second)
    assert known == sorted(known)  # 0 comes first
    assert set(third) == set(fourth) == {None}


def test_few_values_and_categories_have_no_digits() -> None:
    schema, _ = read_table(pl.DataFrame({"k": ["a", "b"] * 500, "v": np.arange(1000) % 7}))
    assert schema.space.fine == ()


def test_the_space_is_rebuilt_from_json() -> None:
    schema, _ = normal(2000)
    again = TableSchema.from_json(schema.to_json())
    assert again.space == schema.space


# --- models


def wild(head: Likelihood) -> Likelihood:
    """A head whose weights are far from their start; of widths and tails a little is far."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            scale = 0.03 if name.endswith(("width", "tail")) else 0.3
            parameter.copy_(scale * torch.randn_like(parameter))
    return head.requires_grad_(False).eval()


def outputs() -> Tensor:
    return torch.randn(1, sum(SPACE.sizes), generator=torch.Generator().manual_seed(1))


def table_of(head: Likelihood) -> Tensor:
    x = Segments(SPACE.sizes).one_hot(EVERY)
    scores: Tensor = head(outputs().expand(len(EVERY), -1)).log_prob(x)
    return scores.detach().double().exp()


HEADS: dict[str, Callable[[Cells], Likelihood]] = {
    "chain": Autoregressive,
    "independent": Categorical,
}


@pytest.mark.parametrize("name", HEADS)
def test_the_probabilities_of_all_rows_sum_to_one(name: str) -> None:
    table = table_of(wild(HEADS[name](SPACE)))
    assert float(table.sum()) == pytest.approx(1, abs=1e-5)
    possible = torch.tensor(DIGIT.shares)[EVERY[:, 1], EVERY[:, 2]] > 0
    assert float(table[~possible].sum()) < 1e-8


def drawn_rows(name: str) -> Tensor:
    torch.manual_seed(2)
    out = outputs().expand(N, -1)
    with torch.no_grad():
        p = cast(Observation, wild(HEADS[name.split(maxsplit=1)[0]](SPACE))(out))
        return p.rsample() if name.endswith("relaxed") else p.sample()


@pytest.mark.parametrize("name", ["chain", "chain relaxed", "independent", "independent relaxed"])
def test_rows_are_drawn_as_often_as_the_likelihood_says(name: str) -> None:
    exact = table_of(wild(HEADS["chain" if "chain" in name else "independent"](SPACE)))
    parts = drawn_rows(name).split(list(SPACE.sizes), 1)
    code = torch.zeros(N, dtype=torch.int64)
    for part in parts:
        code = code * part.shape[1] + part.argmax(1)
    seen, often = torch.bincount(code, minlength=len(EVERY)), exact * N >= 5
    assert not bool(seen[exact == 0].any())
    seldom = ~often & (exact > 0)
    observed = torch.cat([seen[often], seen[seldom].sum()[None] + 1]).double()
    expected = torch.cat([exact[often] * N, (exact[seldom].sum() * N + 1)[None]])
    expected = expected / expected.sum() * observed.sum()
    assert stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-3  # type I error


def test_a_relaxed_chain_passes_to_each_column_the_gradient_of_its_probabilities() -> None:
    """d sum(w x) / d outputs_j = p_j (w_j - <p_j, w_j>) / T, p_j given the columns before as drawn.

    The conditional probabilities p_j are sums over the table of all rows.
    """
    chain, temperature = cast(Autoregressive, wild(Autoregressive(SPACE))), 0.5
    chain.temperature = temperature
    torch.manual_seed(3)
    out = outputs().expand(50, -1).detach().clone().requires_grad_()
    x = cast(Observation, chain(out)).rsample()
    weight = torch.randn(x.shape)
    (ours,) = torch.autograd.grad((weight * x).sum(), [out])
    table = table_of(chain)
    parts = x.detach().split(list(SPACE.sizes), 1)
    drawn = torch.stack([part.argmax(1) for part in parts], 1)
    expected = torch.zeros_like(ours)
    for i, row in enumerate(drawn):
        start = 0
        for j, size in enumerate(SPACE.sizes):
            same = (EVERY[:, :j] == row[:j]).all(1)
            p = torch.stack([table[same & (EVERY[:, j] == k)].sum() for k in range(size)])
            soft = (p / p.sum()).clamp_min(1e-30).pow(1 / temperature)
            soft = soft / soft.sum()
            own = weight[i, start : start + size].double()
            expected[i, start : start + size] = soft * (own - (soft * own).sum()) / temperature
            start += size
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-3)


def test_a_relaxed_chain_draws_the_same_where_networks_compute_in_half_precision() -> None:
    """Narrow lines need all digits: a draw in bfloat16 would be of another distribution."""
    chain = cast(Autoregressive, wild(Autoregressive(SPACE)))
    out, drawn = outputs().expand(4000, -1), list[torch.Tensor]()
    for half in (False, True):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            drawn.append(cast(Observation, chain(out)).rsample().detach().round())
    assert drawn[0].equal(drawn[1])


@pytest.mark.parametrize("likelihood", ["autoregressive", "categorical"])
def test_networks_draw_in_half_precision_and_cells_do_not(
    likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same noise hardly a cell is another: logits move by 2^-9 of themselves."""
    schema, _ = normal(2000)
    model = VAE(schema.space, latent=4, width=32, likelihood=likelihood)
    wild(cast(WithDecoder, model).decoder.likelihood)
    drawn = []
    for half in (False, True):
        monkeypatch.setattr(blocks, "has_bfloat16", lambda _, half=half: half)
        with isolated(model.device, 0):
            drawn.append(schema.cells(blocks.imagine(model.eval(), schema, 20_000)))
    others = (drawn[0] != drawn[1]).double().mean(0)
    # a cell moves with half the sum of the moves of chances, here at most 2^-8; those after it, too
    assert 0 < float(others[0]) < 0.01
    assert float(others.max()) < 0.05


def test_an_independent_digit_has_the_shares_of_its_cell() -> None:
    """p(digit | cell) is proportional to the cell's share times exp(logit)."""
    out = outputs()
    table = table_of(Categorical(SPACE)).reshape(SPACE.sizes).sum((0, 3))
    expected = torch.tensor(DIGIT.shares).double() * out[0, 6:9].double().exp()
    torch.testing.assert_close(
        table / table.sum(1, keepdim=True), expected / expected.sum(1, keepdim=True)
    )


def test_lines_are_the_formula_in_each_coordinate() -> None:
    torch.manual_seed(0)
    x, units = Segments(SPACE.sizes).one_hot(EVERY), torch.randn(2, len(EVERY), 5)
    carriers: list[Callable[[float], float]] = [NormalDist().inv_cdf, float, float]
    every = [cast(Relations, own) for own in relations(SPACE, 5)]
    numbers_told = torch.cat([lines.places(x) for lines in every], 1)
    for lines, of_cells, of_digits, carry in zip(
        every,
        (SPACE.ranks, SPACE.places, SPACE.logs),
        (DIGIT.ranks, DIGIT.places, DIGIT.logs),
        carriers,
        strict=True,
    ):
        with torch.no_grad():
            for parameter in lines.parameters():
                parameter.copy_(0.2 * torch.randn_like(parameter))
        lines.requires_grad_(False)
        found, within = lines(x, units, numbers_told)
        found[:, 6:9] += within
        a, g = lines.slopes(), lines.steps()
        assert bool((g[2:, 0] == 0).all())
        assert bool((g[9:, 1] == 0).all())
        for i in range(0, len(EVERY), 5):
            kind, cell, digit, _ = EVERY[i].tolist()
            told = sum(
                float(a[c, 0, 1]) * (0.0 if table[cell][digit] is None else f(table[cell][digit]))
                for c, (table, f) in enumerate(
                    zip((DIGIT.ranks, DIGIT.places, DIGIT.logs), carriers, strict=True)
                )
            )
            m = [g[kind, 0], g[kind, 1] + g[2 + cell, 1] + g[6 + digit, 1] + told]
            for j, at in enumerate((1, 3)):
                heard = 3.0 * units[j, i]
                centre = float(3.0 * lines.centre[j] + m[j] + heard @ lines.shift[j])
                kappa = 1.5 * math.exp(12.0 * float(lines.tail[j]))
                log_s = float(12.0 * lines.width[j] + heard @ lines.widen[j])
                s = math.exp(log_s) * math.sqrt(kappa / 1.5)
                places = {FIRST[at] + k: of_cells[FIRST[at] + k] for k in range(SPACE.sizes[at])}
                if j == 0:
                    places |= {6 + k: of_digits[cell][k] for k in range(3)}
                for place, known in places.items():
                    own = 0.0 if known is None else carry(known)
                    expected = -kappa * math.log1p(((own - centre) / s) ** 2)
                    ranked = SPACE.ranks[place] is not None
                    assert float(found[i, place]) == pytest.approx(expected * ranked, 1e-4, 2e-4)


def test_a_column_hears_only_of_those_before_it() -> None:
    head = wild(Autoregressive(SPACE))
    assert isinstance(head, Autoregressive)
    base = torch.tensor([0, 2, 1, 0])
    owner = Segments(SPACE.sizes).segment_ids
    before = head.context(Segments(SPACE.sizes).one_hot(base[None]))[0]
    for at, size in enumerate(SPACE.sizes):
        moved = base.clone()
        moved[at] = (base[at] + 1) % size
        change = (head.context(Segments(SPACE.sizes).one_hot(moved[None]))[0] - before).abs()
        assert float(change[owner <= at].max()) == 0
        assert all(float(change[owner == later].max()) > 0 for later in range(at + 1, 4))


def test_the_chain_is_the_formula() -> None:
    """Without digits and lines: logits_j = V_j act(sum_{i<j} W_i x_i), column by column."""
    sizes = (3, 4, 2, 5)
    head = wild(Autoregressive(Cells(sizes), units=6))
    assert isinstance(head, Autoregressive)
    torch.manual_seed(3)
    cells = torch.stack([torch.randint(size, (20,)) for size in sizes], 1)
    found = head.context(head.segments.one_hot(cells)).split(list(sizes), 1)
    read, write = (w().detach().split(list(sizes)) for w in (head.read, head.write))
    heard = torch.zeros(20, 6)
    for at in range(len(sizes)):
        expected = torch.where(heard > 0, heard, 0.2 * heard) @ write[at].T
        torch.testing.assert_close(found[at], expected)
        heard = heard + read[at][cells[:, at]]


def test_of_more_columns_than_groups_neighbours_do_not_hear_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 5 columns in 2 groups, the first 3 are one group; what is drawn is what is scored."""
    monkeypatch.setattr(Autoregressive, "MOST", 2)
    space = Cells((2,) * 5)
    head = wild(Autoregressive(space, units=6))
    assert isinstance(head, Autoregressive)
    assert head.group == [0, 0, 0, 1, 1]
    every = torch.cartesian_prod(*[torch.arange(2)] * 5)
    out = torch.zeros(1, 10)
    scores = head(out.expand(32, -1)).log_prob(head.segments.one_hot(every)).detach().exp()
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    by_group = scores.reshape(8, 4)
    assert bool((by_group / by_group.sum(1, keepdim=True)).std(0).max() > 0.01)
    marginal = by_group.sum(1).reshape(2, 2, 2)  # of the first group: independent columns
    alone = [marginal.sum(rest) for rest in ((1, 2), (0, 2), (0, 1))]
    torch.testing.assert_close(marginal, torch.einsum("i,j,k->ijk", *alone))
    torch.manual_seed(4)
    drawn = head(out.expand(N, -1)).cells(None)[0]
    seen = torch.bincount(drawn @ torch.tensor([16, 8, 4, 2, 1]), minlength=32)
    expected = scores.double() / scores.double().sum() * N
    assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-3  # type I error


def test_a_column_that_nearly_follows_from_another_does_so_when_generated() -> None:
    """y = x + 0.01 e: what is generated is as near to x as an eighth of a bin allows."""
    g = np.random.default_rng(0)
    x = g.normal(size=4000)
    frame = pl.DataFrame({"x": x, "y": x + 0.01 * g.normal(size=4000)})
    fitted = pf.fit(pf.read(frame), "vae", budget="150 steps", seed=0)
    rows = fitted.sample(4000, seed=0)
    # 0.0067 in the data, 0.8 apart; measured 0.012
    assert float((rows["x"] - rows["y"]).abs().median()) < 0.05
