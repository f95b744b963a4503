"""Likelihood heads and segments against torch.distributions and sums over all outcomes."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from pushforward.errors import ModelError
from pushforward.families.decoders import Decoder
from pushforward.nn.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretisedLogistic,
    Gaussian,
    PixelChain,
    likelihood,
)
from pushforward.nn.likelihoods.grid import Grid
from pushforward.nn.likelihoods.images import waves
from pushforward.nn.segments import Segments
from pushforward.nn.trunks import Trunks
from pushforward.space import Cells, Image, Space, Vector, values

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


@pytest.mark.parametrize("draw", ["sample", "rsample"])
def test_drawn_cells_are_as_frequent_as_their_probabilities(draw: str) -> None:
    n, row = 20_000, logits(1, 1.0)
    torch.manual_seed(0)
    many = row.expand(n, -1)
    x = getattr(Categorical(Cells(SIZES), temperature=0.7)(many), draw)()
    share = x.mean(0)
    p = Segments(SIZES).softmax(row)[0]
    # a share of n draws has the standard error sqrt(p (1 - p) / n); 9 shares, four errors
    assert bool(((share - p).abs() <= 4 * (p * (1 - p) / n).sqrt() + 1e-6).all())
    torch.testing.assert_close(x.sum(1), torch.full((n,), float(len(SIZES))))


def test_the_relaxation_is_one_hot_forward_and_softmax_backward() -> None:
    out = logits(4).requires_grad_()
    weight = torch.randn(4, sum(SIZES), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    hard = Categorical(Cells(SIZES), temperature=0.5)(out).rsample()
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


def test_a_unit_gaussian_is_the_squared_error_and_learns_no_scale() -> None:
    head = likelihood("unit-gaussian", Vector(3))
    mean, x = torch.randn(5, 3), torch.randn(5, 3)
    squared = 0.5 * (x - mean).square().sum(1) + 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(head(mean).log_prob(x), -squared)
    assert not list(head.parameters())


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


def binary_images(height: int, width: int, channels: int) -> torch.Tensor:
    """All images of pixels -1 and 1, (2^(h w C), C, h, w)."""
    n = height * width * channels
    bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
    return (2.0 * bits - 1).reshape(-1, channels, height, width)


def wild_chain(space: Image) -> PixelChain:
    """A chain of pixels whose weights are far from their start."""
    torch.manual_seed(0)
    head = PixelChain(space)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return head.double().requires_grad_(False).eval()


@pytest.mark.parametrize(("height", "width", "channels"), [(3, 4, 1), (2, 3, 2), (1, 4, 3)])
def test_a_chain_of_pixels_is_a_distribution_over_images(
    height: int, width: int, channels: int
) -> None:
    head = wild_chain(Image(channels, height, width, levels=2))
    images = binary_images(height, width, channels).double()
    out = torch.randn(1, head.outputs * channels, height, width, dtype=torch.float64)
    chances = head(out.expand(len(images), -1, -1, -1)).log_prob(images).exp()
    # softplus is linear from 20 on: e^-20 in each of up to 12 pixels
    assert float(chances.sum()) == pytest.approx(1, abs=1e-6)
    assert float(chances.max()) < 0.9, "or the sum shows little"


def test_a_chain_of_pixels_draws_what_it_scores() -> None:
    space, n = Image(2, 2, 3, levels=2), 100_000
    head = wild_chain(space)
    out = torch.randn(1, head.outputs * 2, 2, 3, dtype=torch.float64)
    images = binary_images(2, 3, 2).double()
    chances = head(out.expand(len(images), -1, -1, -1)).log_prob(images).exp()
    drawn = head(out.expand(n, -1, -1, -1)).sample()
    numbers = ((drawn.flatten(1) + 1) / 2).long() @ (1 << torch.arange(12))
    seen, often = torch.bincount(numbers, minlength=4096), chances * n >= 5
    expected = torch.cat([chances[often], chances[~often].sum()[None]]) * n / chances.sum()
    counted = torch.cat([seen[often], seen[~often].sum()[None]]).double()
    assert stats.chisquare(counted.numpy(), expected.numpy()).pvalue > 1e-3  # type I error


def test_in_training_half_of_the_images_are_told_without_their_neighbours() -> None:
    head, n = wild_chain(Image(2, 4, 3)), 400
    out = torch.randn(n, head.outputs * 2, 4, 3, dtype=torch.float64)
    x = torch.rand(n, 2, 4, 3, dtype=torch.float64) * 2 - 1
    hearing = head(out).log_prob(x)
    trained = head.train()(out).log_prob(x)
    nn.init.zeros_(head.listen.weight)
    deaf = head.eval()(out).log_prob(x)
    heard = trained == hearing
    torch.testing.assert_close(trained[~heard], deaf[~heard])
    assert bool(((hearing - deaf).abs() > 1e-6).all())
    assert abs(float(heard.float().mean()) - 0.5) < 4 * 0.5 / n**0.5  # four standard errors


def test_pixels_of_a_wave_hear_those_of_earlier_waves_alone() -> None:
    reach, seen = 2, {(-1, -1)}
    for i, j in waves(5, 7, reach):
        now = set(zip(i.tolist(), j.tolist(), strict=True))
        for a, b in now:
            heard = {(a - up, b + side) for up in (1, 2) for side in range(-reach, reach + 1)}
            heard |= {(a, b - side) for side in range(1, reach + 1)}
            assert {(p, q) for p, q in heard if p >= 0 and 0 <= q < 7} <= seen
        seen |= now
    assert len(seen) == 5 * 7 + 1


def test_a_chain_that_has_learned_nothing_is_independent_given_the_code() -> None:
    head = PixelChain(Image(1, 4, 4))
    out = torch.randn(2, head.outputs, 4, 4)
    x = torch.rand(2, 1, 4, 4) * 2 - 1
    moved = x.clone()
    moved[:, :, 0, 0] = -x[:, :, 0, 0]
    gradients = []
    for rows in (x, moved):
        known = out.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(head(known).log_prob(rows).sum(), known)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0][:, :, 1:], gradients[1][:, :, 1:])


def test_the_scale_of_logistics_is_bounded_and_always_learns() -> None:
    """With a hard bound the scale of a black background had no gradient at a first stroke."""
    raw = torch.tensor([-30.0, -12.0, 0.0, 3.0], requires_grad=True)
    grid = Grid(None)
    scale = grid.log_scale(raw)
    assert bool((scale >= math.log(0.2 / 255)).all())
    (slope,) = torch.autograd.grad(scale[1:].sum(), raw)
    assert bool((slope[1:] > 1e-3).all())


@pytest.mark.parametrize("x", [-1.0, -0.98, 0.3, 1.0])
def test_the_slopes_of_a_logistics_mass_are_those_of_autograd(x: float) -> None:
    """Of black, white and grey; the reference is the difference of two logistic functions."""
    grid, half = Grid(256), 1 / 255
    mean = torch.tensor([-1.2, -0.5, 0.31, 0.96], dtype=torch.float64, requires_grad=True)
    log_scale = torch.tensor([-1.5, -1.0, -5.0, 0.5], dtype=torch.float64, requires_grad=True)
    pixel = torch.tensor(x, dtype=torch.float64, requires_grad=True)

    def reference() -> Tensor:
        below, above = ((pixel - mean + side) / log_scale.exp() for side in (half, -half))
        if x == 1:
            return (-above).sigmoid().log()
        return (below.sigmoid() - (0 if x == -1 else above.sigmoid())).log()

    found, expected = grid.log_mass(pixel, mean, log_scale), reference()
    # the reference subtracts numbers that agree in up to nine of their sixteen digits
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    weights = torch.tensor([0.3, -1.0, 2.0, 0.7], dtype=torch.float64)
    inputs = (pixel, mean, log_scale)
    slopes = [torch.autograd.grad((weights * value).sum(), inputs) for value in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-8)


def levels(n: int, *shape: int) -> Tensor:
    """Pixels of 256 levels, the outermost ones among them."""
    return torch.randint(0, n, shape).mul(255 // (n - 1)).double() / 127.5 - 1


def test_a_logistics_mass_can_be_differentiated_twice() -> None:
    """Also where pixels broadcast over the parts of a mixture."""
    x = levels(4, 3, 1).requires_grad_()
    mean, log_scale = torch.randn(3, 5).double(), torch.randn(3, 5).double() - 1
    inputs = (x, mean.requires_grad_(), log_scale.requires_grad_())
    assert {-1.0, 1.0} <= set(x.flatten().tolist())
    assert len(set(x.flatten().tolist())) > 2
    assert torch.autograd.gradcheck(Grid(256).log_mass, inputs)
    assert torch.autograd.gradgradcheck(Grid(256).log_mass, inputs)


@pytest.mark.parametrize("batched", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)])
def test_a_logistics_mass_and_its_slopes_bear_vmap(batched: tuple[int | None, ...]) -> None:
    def slopes(*inputs: Tensor) -> Tensor:
        return torch.stack(torch.func.grad(lambda *own: mass(*own).sum(), (0, 1, 2))(*inputs))

    mass = Grid(256).log_mass
    all_of = (levels(6, 4, 7), torch.randn(4, 7).double(), torch.randn(4, 7).double())
    inputs = [t if at == 0 else t[0] for t, at in zip(all_of, batched, strict=True)]
    found = torch.func.vmap(slopes, batched)(*inputs)
    for k in range(4):
        one = [t[k] if at == 0 else t for t, at in zip(inputs, batched, strict=True)]
        torch.testing.assert_close(found[k], slopes(*one))


class Half(nn.Linear):
    """A writer of a user's, who does not think of the precision of what it says."""

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        del c
        return super().forward(z).bfloat16().reshape(len(z), self.out_features // 16, 4, 4)


class Halved(Trunks):
    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        return Half(latent, outputs * values(space))


@pytest.mark.parametrize("name", ["bernoulli", "logistic", "gaussian", "autoregressive"])
def test_what_networks_say_in_half_precision_is_scored_in_single(name: str) -> None:
    space, x = Image(1, 4, 4), torch.rand(2, 1, 4, 4)
    decoder = Decoder(space, (3,), 0, Halved(8, 0), likelihood(name, space))
    assert decoder(torch.randn(2, 3)).log_prob(x).dtype == torch.float32
    assert len(decoder(torch.randn(0, 3)).log_prob(x[:0])) == 0
