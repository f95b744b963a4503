"""Likelihood heads and segments against torch.distributions and sums over all outcomes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pushforward.errors import ModelError
from pushforward.nn.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretisedLogistic,
    Gaussian,
    likelihood,
)
from pushforward.nn.roles import Relaxation
from pushforward.nn.segments import Segments
from pushforward.space import Cells, Image, Vector

SIZES = (3, 1, 5)


def logits(n: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(n, sum(SIZES), generator=torch.Generator().manual_seed(0))


def test_segments_match_a_loop_over_columns_with_gradient() -> None:
    ours, theirs = (logits(7).requires_grad_() for _ in range(2))
    segments = Segments(SIZES)
    weight = torch.randn(7, sum(SIZES), generator=torch.Generator().manual_seed(1))
    value = (segments.softmax(ours) * weight).sum() + segments.logsumexp(ours).square().sum()
    parts = theirs.split(SIZES, 1)
    soft = torch.cat([p.softmax(1) for p in parts], 1)
    lse = torch.stack([p.logsumexp(1) for p in parts], 1)
    expected = (soft * weight).sum() + lse.square().sum()
    torch.testing.assert_close(value, expected)
    (a,), (b,) = torch.autograd.grad(value, [ours]), torch.autograd.grad(expected, [theirs])
    torch.testing.assert_close(a, b)


def test_segments_survive_logits_that_differ_by_a_thousand() -> None:
    extreme = torch.tensor([[1000.0, 0.0, -1000.0, 5.0, -1000.0, -1001.0, -1002.0, -1003.0, -1004]])
    parts = extreme.split(SIZES, 1)
    expected = torch.stack([p.logsumexp(1) for p in parts], 1)
    torch.testing.assert_close(Segments(SIZES).logsumexp(extreme), expected)


def test_categorical_matches_one_distribution_a_column() -> None:
    out, codes = logits(6), torch.stack([torch.randint(k, (6,)) for k in SIZES], 1)
    hot = [nn.functional.one_hot(c, k) for c, k in zip(codes.T, SIZES, strict=True)]
    x = torch.cat(hot, 1).float()
    parts = zip(out.split(SIZES, 1), codes.T, strict=True)
    expected = sum(torch.distributions.Categorical(logits=p).log_prob(c) for p, c in parts)
    torch.testing.assert_close(Categorical(Cells(SIZES))(out).log_prob(x), expected)


@pytest.mark.parametrize("draw", ["likelihood", "relaxation"])
def test_drawn_cells_are_as_frequent_as_their_probabilities(draw: str) -> None:
    n, row = 20_000, logits(1, 1.0)
    torch.manual_seed(0)
    many = row.expand(n, -1)
    cells = Cells(SIZES)
    x = Categorical(cells)(many).sample() if draw == "likelihood" else Relaxation(cells, 0.7)(many)
    share = x.mean(0)
    p = Segments(SIZES).softmax(row)[0]
    # a share of n draws has the standard error sqrt(p (1 - p) / n); 9 shares, four errors
    assert bool(((share - p).abs() <= 4 * (p * (1 - p) / n).sqrt() + 1e-6).all())
    torch.testing.assert_close(x.sum(1), torch.full((n,), float(len(SIZES))))


def test_the_relaxation_is_one_hot_forward_and_softmax_backward() -> None:
    out = logits(4).requires_grad_()
    weight = torch.randn(4, sum(SIZES), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    hard = Relaxation(Cells(SIZES), 0.5)(out)
    (ours,) = torch.autograd.grad((hard * weight).sum(), [out])
    torch.manual_seed(2)
    noise = -torch.rand_like(out).log().neg().log()
    soft = torch.cat([p.softmax(1) for p in ((out + noise) / 0.5).split(SIZES, 1)], 1)
    (theirs,) = torch.autograd.grad((soft * weight).sum(), [out])
    assert set(hard.detach().round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(ours, theirs)


def test_gaussian_matches_torch_with_a_scale_for_each_column() -> None:
    head = Gaussian(Vector(3))
    head.raw.data = torch.tensor([0.05, -0.1, 0.0])
    mean, x = torch.randn(5, 3), torch.randn(5, 3)
    p = torch.distributions.Normal(mean, torch.tensor([0.5, -1.0, 0.0]).exp())
    torch.testing.assert_close(head(mean).log_prob(x), p.log_prob(x).sum(1))


def test_bernoulli_is_the_cross_entropy_of_values_in_0_1() -> None:
    space = Image(1, 8, 8)
    out, x = torch.randn(4, 1, 8, 8), torch.rand(4, 1, 8, 8) * 2 - 1
    v, p = (x + 1) / 2, out.sigmoid()
    expected = (v * p.log() + (1 - v) * (1 - p).log()).flatten(1).sum(1)
    torch.testing.assert_close(Bernoulli(space)(out).log_prob(x), expected)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, -1.0), (0.9, -3.0), (-3.0, 1.0), (0.3, 3.5)])
def test_discretised_logistic_is_a_distribution_over_256_values(
    mean: float, log_scale: float
) -> None:
    head = DiscretisedLogistic(Image(1, 8, 8))
    out = torch.tensor([mean, log_scale], dtype=torch.float64).reshape(1, 2, 1, 1)
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    log_p = head(out.expand(256, -1, -1, -1)).log_prob(values.reshape(256, 1, 1, 1))
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9)
    smallest = math.log(0.2 / 255)
    scale = math.exp(smallest + math.log1p(math.exp(log_scale - 2 - smallest)))
    centre = mean
    cdf = torch.sigmoid((values + 1 / 255 - centre) / scale)
    steps = torch.diff(cdf, prepend=torch.zeros(1))
    steps[-1] = 1 - cdf[-2]
    torch.testing.assert_close(log_p.exp(), steps, rtol=1e-6, atol=1e-12)


def test_discretised_logistic_draws_what_it_scores() -> None:
    head, n = DiscretisedLogistic(Image(1, 8, 8)), 20_000
    out = torch.tensor([0.2, 0.5]).reshape(1, 2, 1, 1).expand(n, -1, -1, -1)
    torch.manual_seed(0)
    x = head(out).sample().flatten()
    below = torch.sigmoid(
        (torch.tensor([-0.5, 0.0, 0.5]) - 0.2) / float(head.grid.log_scale(out[0, 1]).exp())
    )
    share = (x[:, None] < torch.tensor([-0.5, 0.0, 0.5])).float().mean(0)
    assert bool(((share - below).abs() < 4 * (below * (1 - below) / n).sqrt()).all())


def test_an_unknown_likelihood_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean 'bernoulli'"):
        likelihood("bernouli", Image(1, 8, 8))


def test_a_writer_gives_the_size_asked_for_whatever_it_is() -> None:
    from pushforward.nn.trunks import ImageReader, ImageWriter

    for size in ((8, 8), (9, 17), (28, 28), (33, 40), (64, 64)):
        space = Image(3, *size)
        x = ImageWriter(space, 4, 2, 0, 32, 1)(torch.randn(2, 4))
        assert x.shape == (2, 6, *size)
        features: nn.Module = ImageReader(space, 0, 32, 1)
        assert features(x[:, :3]).shape == (2, 32)
