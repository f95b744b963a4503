"""The columns of a table drawn and scored: against enumeration, loops and autograd."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pushforward.families.model import Model
from pushforward.models import find
from pushforward.nn.likelihoods import Autoregressive, Categorical, Likelihood
from pushforward.nn.raking import Raking
from pushforward.nn.segments import Segments, draw
from pushforward.space import Cells

SIZES = (2, 3, 1, 4)
SPACE = Cells(SIZES)
N = 40_000
EVERY = torch.tensor(list(itertools.product(*map(range, SIZES))))
ALLOWED = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.25, 0.8, 1.0, 0.0, 0.3, 1.0])

SMALL: dict[str, Any] = {"latent": 4, "width": 16}


def chain() -> Autoregressive:
    """A chain whose context matters: its last layer starts at 0."""
    torch.manual_seed(0)
    head = Autoregressive(SPACE).eval()
    nn.init.normal_(head.write.weight)
    return head


HEADS: dict[str, Callable[[], Likelihood]] = {
    "autoregressive": chain,
    "categorical": lambda: Categorical(SPACE),
}


def outputs() -> Tensor:
    return torch.randn(1, sum(SIZES), generator=torch.Generator().manual_seed(1))


def table_of(head: Likelihood) -> Tensor:
    """The probability of every row, by the head's own log-likelihood."""
    x = Segments(SIZES).one_hot(EVERY)
    scores: Tensor = head(outputs().expand(len(EVERY), -1)).log_prob(x)
    return scores.detach().double().exp()


@pytest.mark.parametrize("name", HEADS)
def test_the_probabilities_of_all_rows_sum_to_one(name: str) -> None:
    assert float(table_of(HEADS[name]()).sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("allowed", [None, ALLOWED], ids=["free", "restricted"])
def test_rows_are_drawn_as_often_as_the_likelihood_says(name: str, allowed: Tensor | None) -> None:
    """Accepted with the probability that comes with it, a row has p times what is allowed of it."""
    head = HEADS[name]()
    exact = table_of(head)
    if allowed is not None:
        factors = [allowed[o + i] for o, i in zip((0, 2, 5, 6), EVERY.T, strict=True)]
        exact = exact * torch.stack(factors).prod(0)
    torch.manual_seed(2)
    with torch.no_grad():
        p = head(outputs().expand(N, -1))
        assert p.cells is not None
        cells, chance = p.cells(allowed)
    kept = cells[torch.rand(N) < chance]
    index = (kept[:, None] == EVERY).all(2).float().mean(0) * len(kept) / N
    # a binomial share has the standard error sqrt(p (1 - p) / N); 4.5 of them for 24 rows
    error = (exact * (1 - exact) / N).sqrt()
    assert bool(((index - exact).abs() <= 4.5 * error + 1e-9).all())
    # and the mean chance is the probability of all that is allowed
    bound = 4.5 * float(chance.std()) / math.sqrt(N) + 1e-6
    assert float(chance.mean()) == pytest.approx(float(exact.sum()), abs=bound)


def test_a_column_hears_only_of_those_before_it() -> None:
    head = chain()
    slope = torch.autograd.functional.jacobian(
        lambda x: head.context(x[None])[0], torch.rand(sum(SIZES))
    )
    owner = Segments(SIZES).segment_ids
    before = owner[None, :] < owner[:, None]
    assert float(slope[~before].abs().max()) == 0
    # ... and of all of those
    heard = torch.zeros(4, 4).index_put_(
        (owner[:, None].expand_as(slope), owner.expand_as(slope)), slope.abs(), accumulate=True
    )
    assert bool((heard[torch.tril_indices(4, 4, -1).unbind()] > 0).all())


def test_the_chain_is_the_independent_head_at_the_start() -> None:
    x = Segments(SIZES).one_hot(EVERY)
    row = outputs().expand(len(EVERY), -1)
    expected = Categorical(SPACE)(row).log_prob(x)
    torch.testing.assert_close(Autoregressive(SPACE)(row).log_prob(x), expected)


def test_its_units_are_left_out_in_training_alone() -> None:
    x, head = Segments(SIZES).one_hot(EVERY), chain()
    torch.testing.assert_close(head.context(x), head.context(x))
    draws = torch.stack([head.context(x, drop=True).detach() for _ in range(2000)])
    # inverted dropout keeps the mean; 5 standard errors
    torch.testing.assert_close(
        draws.mean(0),
        head.eval().context(x),
        rtol=0,
        atol=5 * float(draws.std(0).max()) / math.sqrt(2000),
    )


def test_segments_draw_one_segment_as_the_function_does() -> None:
    logits = torch.randn(N, 5, generator=torch.Generator().manual_seed(3))
    allowed = torch.tensor([1.0, 0.0, 0.2, 1.0, 0.7])
    expected = logits.double().softmax(1) * allowed
    frequency = (expected / expected.sum(1, keepdim=True)).mean(0)
    torch.manual_seed(4)
    for entry, chance in (
        Segments((5,)).draw(logits, allowed),
        draw(logits, torch.rand(N, 1), allowed),
    ):
        torch.testing.assert_close(chance, expected.sum(1), rtol=1e-5, atol=1e-6)
        observed = torch.bincount(entry.flatten(), minlength=5) / N
        assert float((observed - frequency).abs().max()) < 4.5 * math.sqrt(0.25 / N)
        assert observed[1] == 0


def test_sums_of_segments_are_exact_in_half_precision() -> None:
    logits = 30 * torch.randn(8, sum(SIZES), generator=torch.Generator().manual_seed(5))
    segments = Segments(SIZES)
    expected = segments.logsumexp(logits)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(segments.logsumexp(logits), expected)


def test_raking_gives_each_column_the_shares_of_the_training_rows() -> None:
    """As many codes as there are rows: after it, expected shares are those of the data."""
    segments, raking, rows = Segments(SIZES), Raking(sum(SIZES)), 2000
    logits = 0.5 * torch.randn(rows, sum(SIZES), generator=torch.Generator().manual_seed(6))
    observed = torch.tensor([0.4, 0.6, 0.2, 0.3, 0.5, 1.0, 0.25, 0.15, 0.3, 0.3])
    before = segments.softmax(logits).mean(0)
    raking.fit(observed, lambda: segments.softmax(raking(logits)).mean(0), rows)
    raked = segments.softmax(raking(logits)).mean(0)
    assert float((before - observed).abs().max()) > 0.1
    # what is left after five iterations, and of one row in 2,000 that smooths both sides
    torch.testing.assert_close(raked, observed, rtol=0, atol=2e-3)


def test_raking_moves_no_logit_by_more_than_one() -> None:
    segments, raking = Segments((2,)), Raking(2)
    never = torch.tensor([[9.0, -9.0]])
    raking.fit(torch.tensor([0.5, 0.5]), lambda: segments.softmax(raking(never))[0], 100)
    assert raking.offset.abs().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["vae", "r3gan"])
def test_an_untrained_model_that_has_settled_has_the_columns_of_the_data(name: str) -> None:
    torch.manual_seed(7)
    model = find(name)(SPACE, **SMALL).eval()
    shares = [torch.tensor(p) for p in ([0.6, 0.4], [0.2, 0.4, 0.4], [1.0], [0.1, 0.3, 0.3, 0.3])]
    cells = torch.stack([torch.multinomial(p, N, replacement=True) for p in shares], 1)
    rows = Segments(SIZES).one_hot(cells)
    model.settle((part, None) for part in rows.split(10_000))
    with torch.no_grad():
        generated = model.imagine(N).mean(0)
    # two binomial shares of N rows, and the codes that were drawn for the fit
    assert float((generated - rows.mean(0)).abs().max()) < 4.5 * math.sqrt(0.75 / N)


def test_a_model_that_only_generates_is_restricted_by_its_rows() -> None:
    """The default of `Model.cells`: the cells of generated rows, allowed as far as each cell is."""
    model = find("r3gan")(SPACE, **SMALL).eval()
    torch.manual_seed(8)
    with torch.no_grad():
        cells, chance = Model.cells(model, model.prior.sample(50), None, ALLOWED)
    expected = [
        math.prod(float(ALLOWED[o + c]) for o, c in zip((0, 2, 5, 6), row, strict=True))
        for row in cells.tolist()
    ]
    torch.testing.assert_close(chance, torch.tensor(expected).double(), rtol=1e-6, atol=0)
