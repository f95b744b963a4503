"""Weights that the cells of numbers share: against NumPy's Hermite polynomials and plain loops."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
import torch
from numpy.polynomial.hermite_e import hermeval

import pushforward as pf
from pushforward.data.tables.schema import TableSchema
from pushforward.nn.likelihoods import Autoregressive
from pushforward.nn.ordered import DEGREE, CellWeights, hermite_scores
from pushforward.space import Cells
from read_tables import positions

RANKS = (None, 0.1, 0.5, 0.9, None, None, 0.25, 0.75)
SPACE = Cells((4, 2, 2), RANKS)


def test_scores_are_normalised_hermite_polynomials_of_the_normal_score() -> None:
    scores = hermite_scores(SPACE)
    for i, rank in enumerate(RANKS):
        t = NormalDist().inv_cdf(0.5 if rank is None else rank)
        for k in range(1, DEGREE + 1):
            expected = hermeval(t, [0] * k + [1]) / math.sqrt(math.factorial(k))
            found = float(scores[k - 1, i])
            assert found == pytest.approx(0 if rank is None else expected, abs=1e-6)


@pytest.mark.parametrize("group", [32, 2])  # columns whose sums are one product
def test_cells_of_a_column_share_a_polynomial_and_have_weights_of_their_own(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushforward.nn.segments.GROUP", group)
    torch.manual_seed(0)
    weights = CellWeights(SPACE, 5, gain=3.0)
    assert weights.slopes is not None
    slopes, scores = weights.slopes.detach(), hermite_scores(SPACE)
    expected = weights.weight.detach().clone()
    for cell, column in enumerate((0,) * 4 + (1, 1, 2, 2)):
        for k in range(DEGREE):
            expected[cell] += 3.0 * slopes[DEGREE * column + k] * scores[k, cell]
    torch.testing.assert_close(weights().detach(), expected)


def test_cells_without_order_share_nothing() -> None:
    assert CellWeights(Cells((2, 3)), 4, gain=3.0).slopes is None


def test_ranks_of_a_table_are_those_of_its_values() -> None:
    """Each cell's rank is the mean rank of the training rows in it; categories have none."""
    g = np.random.default_rng(0)
    x = np.where(g.random(3000) < 0.3, 0.0, g.exponential(size=3000))
    some = pl.Series(np.where(g.random(3000) < 0.1, np.nan, x), nan_to_null=True)
    data = pf.read(pl.DataFrame({"x": some, "kind": g.choice(["a", "b"], 3000)}))
    schema, rows = data.schema, data.subset("train")[0]
    assert isinstance(schema, TableSchema)
    at, space = positions(schema), schema.space
    # no column before it has fine digits
    cells, values = (t[:, at["x"]].numpy() for t in (schema.cells(rows), rows))
    present = values[~np.isnan(values)]
    ends = [np.searchsorted(np.sort(present), present, side) for side in ("left", "right")]
    rank = np.full(len(values), np.nan)
    rank[~np.isnan(values)] = (ends[0] + ends[1]) / 2 / len(present)
    ranks, kinds = (space.ranks[schema.cells_of_column(at[name])] for name in ("x", "kind"))
    assert ranks[0] is None
    assert kinds == (None, None)
    assert len(ranks) > 60
    for cell in range(1, len(ranks)):
        # the ends of pieces are rounded by a 16th of their width, and bins hold 1/64 of the rows
        assert ranks[cell] == pytest.approx(rank[cells == cell].mean(), abs=0.002)


def test_a_narrow_relation_is_learnt_from_few_rows() -> None:
    """33 steps on 2,000 pairs of correlation 0.95, 64 bins each; without ranks it stays under."""
    g = np.random.default_rng(0)
    x = g.normal(size=2000)
    y = 0.95 * x + math.sqrt(1 - 0.95**2) * g.normal(size=2000)
    bins = torch.from_numpy(np.stack([np.argsort(np.argsort(v)) * 64 // 2000 for v in (x, y)], 1))
    ranks = tuple((i + 0.5) / 64 for i in range(64)) * 2
    assert rank_correlation(Cells((64, 64), ranks), bins) > 0.85
    assert rank_correlation(Cells((64, 64)), bins) < 0.6


def rank_correlation(space: Cells, bins: torch.Tensor) -> float:
    """Train the chain alone; return the correlation of the bins that it draws."""
    torch.manual_seed(0)
    chain = Autoregressive(space)
    rows = chain.segments.one_hot(bins)
    optimizer = torch.optim.Adam(chain.parameters(), 1e-3)
    for _ in range(33):
        loss = -chain(torch.zeros(512, 128)).log_prob(rows[torch.randint(2000, (512,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        drawn = chain.eval()(torch.zeros(4000, 128)).cells(None)[0]
    return float(torch.corrcoef(drawn.double().T)[0, 1])
