"""Likelihood of decoders: linear-Gaussian truth, quadrature, bounds from both sides, bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import pushforward as pf
from pushforward.errors import MeasureError, ModelError
from pushforward.measures import (
    LatentDecoder,
    Measurement,
    annealed_importance,
    importance_bound,
    observation_noise,
)
from pushforward.measures.likelihood import _annealing as annealing
from pushforward.measures.likelihood import _proposals as proposals
from pushforward.measures.likelihood.decoder import joint_density
from pushforward.nn.priors import Mixture, Uniform

SIGMA = 0.5
QUICK: dict[str, Any] = {"steps": 20, "chains": 4, "leapfrog": 4, "simulated": 0}


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHTS, BIAS = noise(6, 2, seed=0), noise(6, seed=1)
TRUTH = MultivariateNormal(BIAS, WEIGHTS @ WEIGHTS.mT + SIGMA**2 * torch.eye(6))


def linear(**options: Any) -> LatentDecoder:
    """x = W z + b + sigma eps, whose log p(x) is that of TRUTH."""
    return LatentDecoder(lambda z: z @ WEIGHTS.mT + BIAS, 2, dtype=torch.float64, **options)


def rows(n: int, seed: int) -> Tensor:
    return noise(n, 2, seed=seed) @ WEIGHTS.mT + BIAS + SIGMA * noise(n, 6, seed=seed + 1)


def wide_encoder(x: Tensor) -> tuple[Tensor, Tensor]:
    """The posterior's mean, and twice its standard deviation."""
    precision = WEIGHTS.mT @ WEIGHTS / SIGMA**2 + torch.eye(2)
    mean = torch.linalg.solve(precision, WEIGHTS.mT @ (x - BIAS).mT / SIGMA**2).mT
    return mean, (4 / precision.diagonal()).log().expand(len(x), 2)


def curved(z: Tensor) -> Tensor:
    return torch.stack([z[:, 0].sin() * 2, z[:, 0].square(), z.sum(1)], 1)


def by_quadrature(decoder: LatentDecoder, x: Tensor, sigma: float) -> Tensor:
    """log p(x) by a sum over a grid of codes: one at a time, with NumPy's densities."""
    axis = np.linspace(-7, 7, 4001 if decoder.latent == 1 else 301)
    grid = np.stack(np.meshgrid(*[axis] * decoder.latent), -1).reshape(-1, decoder.latent)
    means = decoder.mean(decoder.prior.carry(torch.tensor(grid))).numpy()
    log_prior = -0.5 * (grid**2).sum(1) - decoder.latent / 2 * math.log(2 * math.pi)
    log_cell = decoder.latent * math.log(axis[1] - axis[0])
    found = []
    for row in x.numpy():
        squares = ((row - means) ** 2).sum(1) / sigma**2
        log_p = -0.5 * squares - len(row) * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
        found.append(np.logaddexp.reduce(log_p + log_prior + log_cell))
    return torch.tensor(np.array(found))


def test_the_mode_is_exact_for_a_linear_decoder() -> None:
    x = rows(30, seed=2)
    found = importance_bound(linear(), x, sigma=SIGMA, samples=2, each=True)
    assert found.extra["each"] == pytest.approx(TRUTH.log_prob(x).tolist(), abs=1e-6)
    assert found.value == pytest.approx(float(TRUTH.log_prob(x).mean()), abs=1e-6)
    assert found.extra["effective_samples"] == pytest.approx(2)
    assert found.extra["nats_per_dimension"] == pytest.approx(found.value / 6)
    assert found.extra["bits_per_dimension"] == pytest.approx(-found.value / 6 / math.log(2))


def test_one_sample_of_an_encoder_is_the_elbo() -> None:
    x = rows(2000, seed=4)
    mean, log_var = wide_encoder(x)
    found = importance_bound(
        linear(encoder=wide_encoder), x, sigma=SIGMA, samples=1, proposal="encoder", limit=None
    )
    # E_q log p(x|z) = -(|x - g(mean)|^2 + tr(W S W')) / (2 sigma^2) - d/2 log(2 pi sigma^2)
    spread = ((WEIGHTS.square()).sum(0) * log_var.exp()).sum(1)
    squares = (x - mean @ WEIGHTS.mT - BIAS).square().sum(1) + spread
    fit = -0.5 * squares / SIGMA**2 - 3 * math.log(2 * math.pi * SIGMA**2)
    rate = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(1)
    assert "each" not in found.extra
    # log w has a standard deviation of about 4 over codes: 4 / sqrt(2000) = 0.09
    assert found.value == pytest.approx(float((fit - rate).mean()), abs=0.27)


def test_the_bound_rises_to_the_truth_with_more_samples() -> None:
    x = rows(60, seed=6)
    truth = float(TRUTH.log_prob(x).mean())
    decoder = linear(encoder=wide_encoder)
    for proposal in ("encoder", "prior"):
        options: dict[str, Any] = {"sigma": SIGMA, "proposal": proposal}
        values = [importance_bound(decoder, x, samples=k, **options) for k in (1, 10, 100, 3000)]
        assert [m.value for m in values] == sorted(m.value for m in values)
        # the error of the codes, and the bias of a logarithm: half of each row's variance
        error = values[-1].extra["monte_carlo_error"]
        assert values[0].value < truth - 0.5
        assert abs(values[-1].value - truth) < 3 * error + 0.5 * error**2 * len(x)


def test_the_monte_carlo_error_is_that_of_other_codes() -> None:
    x = rows(20, seed=8)
    found = [
        importance_bound(linear(), x, sigma=SIGMA, samples=400, proposal="prior", seed=s)
        for s in range(40)
    ]
    spread = float(np.std([m.value for m in found], ddof=1))
    stated = float(np.mean([m.extra["monte_carlo_error"] for m in found]))
    # a standard deviation of 40 values is known to 1 / sqrt(80) = 11 %
    assert stated == pytest.approx(spread, rel=0.35)


def test_annealed_importance_is_the_truth_for_a_linear_decoder() -> None:
    x = rows(100, seed=10)
    found = annealed_importance(
        linear(), x, sigma=SIGMA, steps=80, leapfrog=5, simulated=0, each=True
    )
    truth = TRUTH.log_prob(x)
    assert found.extra["rows"] == list(range(100))
    error = torch.tensor(found.extra["each"]) - truth
    # rows are independent given the truth; the bound's bias is half the variance of a row's weight
    within = 3 * float(error.std()) / 10
    assert abs(float(error.mean())) < within + float(error.var())
    assert float(error.std()) < 0.4
    assert found.value == pytest.approx(float(torch.tensor(found.extra["each"]).mean()))
    assert found.extra["acceptance"] == pytest.approx(0.65, abs=0.08)


def bounds_and_truth(sigma: float, n: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The bounds of n simulated rows, and their truth: the same state writes the same rows."""
    decoder, walk = linear(), annealing.Schedule(steps=steps, chains=2, leapfrog=4)
    joint = joint_density(decoder, rows(1, seed=0), sigma)
    lower, upper = annealing.sandwich(joint, n, walk, torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)
    means = decoder.means(decoder.draw(n, again))
    x = means + sigma * torch.randn(n, 6, generator=again, dtype=torch.float64)
    covariance = WEIGHTS @ WEIGHTS.mT + sigma**2 * torch.eye(6)
    return lower, upper, MultivariateNormal(BIAS, covariance).log_prob(x)


def test_the_two_bounds_hold_the_truth_between_them() -> None:
    lower, upper, truth = bounds_and_truth(SIGMA, 300, steps=6)
    for gap in (truth - lower, upper - truth):
        assert float(gap.mean()) > 3 * float(gap.std()) / math.sqrt(300)


def test_weights_are_unbiased_both_ways() -> None:
    """E[w] = p(x) up, E[w] = 1 / p(x) down; much noise, so that no weight outweighs the others."""
    lower, upper, truth = bounds_and_truth(3.0, 4000, steps=6)
    for ratio in ((lower - truth).exp(), (truth - upper).exp()):
        assert abs(float(ratio.mean()) - 1) < 3 * float(ratio.std()) / math.sqrt(4000)
        assert float(ratio.std()) < 1


def test_more_steps_close_the_gap() -> None:
    x = rows(5, seed=12)
    gaps = [
        annealed_importance(linear(), x, sigma=SIGMA, steps=t, chains=4, leapfrog=5).extra["gap"]
        for t in (5, 100)
    ]
    assert 0 < 4 * gaps[1] < gaps[0]


@pytest.mark.parametrize("latent", [1, 2])
def test_a_curved_decoder_agrees_with_quadrature(latent: int) -> None:
    """x = (2 sin z1, z1^2, sum z): two separate codes explain many rows."""
    decoder = LatentDecoder(curved, latent, dtype=torch.float64)
    z = noise(40, latent, seed=13)
    x = curved(z) + 0.4 * noise(40, 3, seed=14)
    truth = by_quadrature(decoder, x, 0.4)
    way: dict[str, Any] = {"steps": 100, "leapfrog": 3, "chains": 16, "simulated": 0}
    annealed = annealed_importance(decoder, x, sigma=0.4, each=True, **way)
    by_prior = importance_bound(decoder, x, sigma=0.4, samples=4000, proposal="prior", each=True)
    by_mode = importance_bound(decoder, x, sigma=0.4, samples=1000)
    for found in (annealed, by_prior):
        error = torch.tensor(found.extra["each"]) - truth
        spread = float(error.var())
        # three standard errors of the mean over rows, and half the variance of a weight as bias
        assert abs(float(error.mean())) < 3 * float(error.std()) / math.sqrt(40) + spread
        assert float(error.std()) < 0.35
    assert by_mode.value < float(truth.mean()) + 3 * by_mode.extra["monte_carlo_error"]


@pytest.mark.parametrize("prior", [Uniform(1), Mixture(1, components=3)])
def test_other_priors_agree_with_quadrature(prior: Any) -> None:
    decoder = LatentDecoder(curved, 1, prior=prior, dtype=torch.float64)
    x = curved(prior.carry(noise(40, 1, seed=15))) + 0.4 * noise(40, 3, seed=16)
    axis = torch.linspace(-9, 9, 8001, dtype=torch.float64)[:, None]
    log_p = (x[:, None] - curved(prior.carry(axis))).square().sum(2) / (-2 * 0.4**2)
    log_p = log_p - 1.5 * math.log(2 * math.pi * 0.4**2) + prior.log_prob(axis).detach()
    truth = log_p.logsumexp(1) + math.log(18 / 8000)
    found = annealed_importance(decoder, x, sigma=0.4, steps=60, leapfrog=5, simulated=0, each=True)
    error = torch.tensor(found.extra["each"]) - truth
    spread = float(error.var())
    assert abs(float(error.mean())) < 3 * float(error.std()) / math.sqrt(40) + spread
    by_mode = importance_bound(decoder, x, sigma=0.4, samples=1000)
    assert by_mode.value < float(truth.mean()) + 3 * by_mode.extra["monte_carlo_error"]


def test_transitions_keep_the_posterior() -> None:
    """Chains that start at exact posterior draws still have its moments after many moves."""
    x = rows(1, seed=17)
    at_row = joint_density(linear(), x, SIGMA)
    posterior = torch.linalg.inv(WEIGHTS.mT @ WEIGHTS / SIGMA**2 + torch.eye(2))
    mean = posterior @ WEIGHTS.mT @ (x[0] - BIAS) / SIGMA**2
    e = mean + noise(1, 4000, 2, seed=18) @ torch.linalg.cholesky(posterior).mT
    point, rng = annealing.evaluate(at_row, e), torch.Generator().manual_seed(0)
    stride = torch.full((1,), 0.35, dtype=torch.float64)
    for _ in range(10):
        point, chance = annealing.transition(at_row, point, 1.0, stride, 5, rng)
    assert 0.1 < float(chance.mean()) < 0.95  # refusals take part
    # standard errors of 4,000 draws: sd / sqrt(4000) for means, var sqrt(2 / 4000) for variances
    scale = posterior.diagonal()
    assert ((point.e[0].mean(0) - mean).abs() < 4 * (scale / 4000).sqrt()).all()
    assert ((point.e[0].var(0) - scale).abs() < 4 * scale * math.sqrt(2 / 4000)).all()


def test_the_mode_of_a_curved_decoder_has_no_slope() -> None:
    decoder = LatentDecoder(curved, 2, dtype=torch.float64)
    at = joint_density(decoder, curved(noise(20, 2, seed=19)) + 0.3 * noise(20, 3, seed=20), 0.3)
    mode = proposals.laplace(at, proposals.nearest_draws(at, decoder.generator(0))).mean
    point = annealing.evaluate(at, mode[:, None])
    # the precision is at least 1, so slope^2 / 2 bounds what a further step could gain, in nats
    assert float(point.gradient(1.0).square().sum(-1).max()) / 2 < 1e-3


def test_sigma_is_the_one_of_the_highest_likelihood() -> None:
    """A grid over the exact likelihood of the linear decoder is the reference."""
    x = rows(100, seed=21)
    grid = torch.linspace(0.4, 0.6, 401, dtype=torch.float64)
    covariance = WEIGHTS @ WEIGHTS.mT
    values = [
        float(MultivariateNormal(BIAS, covariance + s**2 * torch.eye(6)).log_prob(x).mean())
        for s in grid
    ]
    best = float(grid[int(np.argmax(values))])
    # the search ends when log sigma moves by less than 1e-3; the grid's step is 5e-4
    assert observation_noise(linear(), x) == pytest.approx(best, rel=5e-3)


def test_without_sigma_a_fifth_of_the_rows_chooses_it() -> None:
    x = rows(100, seed=22)
    found = importance_bound(linear(), x, samples=5, each=True)
    assert found.n == 80
    assert found.extra["rows_for_sigma"] == 20
    others = sorted(set(range(100)) - set(found.extra["rows"]))
    # 20 rows with 64 codes each, drawn anew: sqrt(2 / 6 / (2 * 20 * 64)) = 1 % of sigma
    assert found.extra["sigma"] == pytest.approx(observation_noise(linear(), x[others]), rel=0.03)
    again = importance_bound(linear(), x[found.extra["rows"]], sigma=found.extra["sigma"])
    assert found.value == pytest.approx(again.value, abs=1e-6)


BINARY = LatentDecoder(curved, 1, dtype=torch.float64, binary=True)


def binary_rows(n: int, seed: int) -> Tensor:
    return (noise(n, 3, seed=seed).abs() < curved(noise(n, 1, seed=seed + 1)).sigmoid()).double()


def binary_truth(x: Tensor) -> Tensor:
    """log p(x) by SciPy's quadrature over z of a product of Bernoullis."""

    def density(z: float, row: Tensor) -> float:
        share = curved(torch.tensor([[z]], dtype=torch.float64)).sigmoid()
        return float(torch.where(row == 1, share, 1 - share).prod() * math.exp(-z * z / 2))

    found = [quad(density, -8, 8, args=(row,), limit=200)[0] for row in x]
    return torch.tensor(found).log() - 0.5 * math.log(2 * math.pi)


def test_rows_of_0_and_1_agree_with_quadrature() -> None:
    x = binary_rows(30, seed=41)
    truth = binary_truth(x)
    encoder = LatentDecoder(curved, 1, dtype=torch.float64, binary=True, encoder=standard)
    by_prior = importance_bound(BINARY, x, samples=4000, proposal="prior", each=True)
    by_encoder = importance_bound(encoder, x, samples=4000, proposal="encoder", each=True)
    annealed = annealed_importance(BINARY, x, steps=60, leapfrog=3, chains=16, each=True)
    for found in (by_prior, by_encoder, annealed):
        error = torch.tensor(found.extra["each"]) - truth
        # four standard errors of the mean over rows, and half the variance of a weight as bias
        limit = 4 * float(error.std()) / math.sqrt(30) + float(error.var())
        assert abs(float(error.mean())) < limit < 0.05
        assert "sigma" not in found.extra
    # the simulated rows' bounds: the lower below the upper, but for its own standard error
    assert -3 * annealed.extra["gap_error"] < annealed.extra["gap"] < 0.1


def standard(x: Tensor) -> tuple[Tensor, Tensor]:
    """N(0.2, 1.5), whatever the row: a poor, but proper proposal."""
    return 0.2 + 0 * x[:, :1], math.log(1.5) + 0 * x[:, :1]


def test_simulated_rows_of_0_and_1_have_the_shares_of_their_codes() -> None:
    joint = joint_density(BINARY, binary_rows(4, seed=43), 1.0)
    e = torch.tensor([[0.7]], dtype=torch.float64).expand(20_000, 1)
    share = joint.simulated(e, BINARY.generator(0)).x.mean(0)
    # four standard deviations of a share of 20,000 draws
    assert torch.allclose(share, curved(e[:1]).sigmoid()[0], atol=4 * 0.5 / math.sqrt(20_000))


def test_the_constant_decoder_of_0_and_1_has_their_shares() -> None:
    x = binary_rows(50, seed=44)
    expected = float(torch.distributions.Bernoulli(x.mean(0)).log_prob(x).sum(1).mean())
    found = importance_bound(BINARY, x, samples=1, proposal="prior")
    assert found.extra["constant_decoder"] == pytest.approx(expected)


def test_what_does_not_fit_rows_of_0_and_1_is_refused() -> None:
    x = binary_rows(12, seed=45)
    refused(annealed_importance, "rows of 0 and 1, and was given other", BINARY, x / 2, sigma=None)
    refused(importance_bound, "leave sigma out", BINARY, x, sigma=1.0, proposal="prior")
    refused(importance_bound, 'proposal="encoder" or "prior"', BINARY, x, sigma=None)
    with pytest.raises(MeasureError, match="leave sigma out"):
        observation_noise(BINARY, x)


def test_the_constant_decoder_is_the_best_gaussian() -> None:
    x = rows(50, seed=23)
    scale = float(x.std(0, correction=0).square().mean().sqrt())
    expected = float(torch.distributions.Normal(x.mean(0), scale).log_prob(x).sum(1).mean())
    found = importance_bound(linear(), x, sigma=SIGMA, samples=1)
    assert found.extra["constant_decoder"] == pytest.approx(expected)


def test_no_gradient_reaches_parameters_and_no_state_changes() -> None:
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 5))
    state = torch.get_rng_state()
    first = annealed_importance(LatentDecoder(network, 2), torch.zeros(3, 5), sigma=1.0, **QUICK)
    second = annealed_importance(LatentDecoder(network, 2), torch.zeros(3, 5), sigma=1.0, **QUICK)
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert first == second
    assert first != annealed_importance(
        LatentDecoder(network, 2), torch.zeros(3, 5), sigma=1.0, **QUICK, seed=1
    )


def test_parts_of_the_rows_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(7, seed=24)
    options: dict[str, Any] = {"sigma": SIGMA, "samples": 2, "each": True}
    few: dict[str, Any] = {"chains": 4, "leapfrog": 3}
    whole = importance_bound(linear(), x, **options).extra["each"]
    monkeypatch.setattr("pushforward.measures.likelihood.decoder.AT_ONCE", 2 * 4 * 6)
    assert importance_bound(linear(), x, **options).extra["each"] == pytest.approx(whole, abs=1e-6)
    annealed = annealed_importance(linear(), x, sigma=SIGMA, steps=60, simulated=3, **few)
    truth = float(TRUTH.log_prob(x).mean())
    # a row's weight of 4 chains at 60 steps varies by about 0.4: 4 * 0.4 / sqrt(7) = 0.6
    assert annealed.value == pytest.approx(truth, abs=0.6)


def test_one_row_has_no_interval() -> None:
    both: list[tuple[Callable[..., Measurement], dict[str, Any]]] = [
        (importance_bound, {}),
        (annealed_importance, QUICK),
    ]
    for measure, options in both:
        found = measure(linear(), rows(1, seed=25), sigma=SIGMA, **options)
        assert found.interval is None
        assert found.extra["constant_decoder"] is None
        assert math.isfinite(found.value)
        json.dumps(found.to_json())


def test_what_is_loose_can_be_told_by_numbers() -> None:
    x = rows(20, seed=26)
    bound = importance_bound(linear(), x, sigma=0.01, proposal="prior")
    assert bound.extra["effective_samples"] < 2, "of all that were drawn, one has the weight"
    loose = annealed_importance(linear(), x, sigma=0.01, steps=5, chains=2, leapfrog=2)
    tight = annealed_importance(linear(), x, sigma=SIGMA, steps=50, chains=4, leapfrog=4)
    assert loose.extra["gap"] > 1.0 > tight.extra["gap"]
    assert f"{loose.extra['gap']:.2g} nats" in loose.reading


def test_a_decoder_without_use_of_its_code_is_its_gaussian() -> None:
    """The posterior is the prior: every weight is p(x) itself."""
    decoder = LatentDecoder(lambda z: 0 * z.sum(1, keepdim=True) + BIAS, 1, dtype=torch.float64)
    x = rows(10, seed=27)
    truth = float(torch.distributions.Normal(BIAS, SIGMA).log_prob(x).sum(1).mean())
    assert importance_bound(decoder, x, sigma=SIGMA).value == pytest.approx(truth, abs=1e-9)
    found = annealed_importance(decoder, x, sigma=SIGMA, **QUICK)
    assert found.value == pytest.approx(truth, abs=1e-9)


def refused(measure: Callable[..., Measurement], text: str, *given: Any, **options: Any) -> None:
    with pytest.raises(MeasureError, match=text):
        measure(*given, **{"sigma": SIGMA, **options})


@pytest.mark.parametrize("measure", [importance_bound, annealed_importance])
def test_bad_input_is_refused(measure: Callable[..., Measurement]) -> None:
    x = rows(12, seed=28)
    hole = x.clone()
    hole[3, 1] = math.nan
    refused(measure, "gives rows of 6 numbers, the data have 5", linear(), x[:, :5])
    for sigma in (0.0, -1.0, math.nan, math.inf):
        refused(measure, "sigma must be a positive number", linear(), x, sigma=sigma)
    refused(measure, "NaN or infinity in 1 of 12 rows", linear(), hole)
    refused(measure, "needs a LatentDecoder, and was given Linear", nn.Linear(2, 6), x)
    refused(measure, "at least 1 row", linear(), x[:0])
    refused(measure, "at least 10 rows, and 9 were", linear(), x[:9], sigma=None)
    refused(
        measure, r"failed on codes \(4, 2\).*dtype", LatentDecoder(lambda z: z @ WEIGHTS.mT, 2), x
    )
    refused(measure, "returned int", LatentDecoder(len, 2), x)
    refused(measure, "NaN or infinity for codes", LatentDecoder(lambda z: z.log(), 6), x)
    dropout = LatentDecoder(nn.Sequential(nn.Linear(2, 6), nn.Dropout()), 2)
    refused(measure, r"different rows for the same codes.*eval\(\)", dropout, x)


def test_each_measure_refuses_its_own_bad_settings() -> None:
    x = rows(12, seed=28)
    refused(importance_bound, "samples must be at least 1", linear(), x, samples=0)
    refused(importance_bound, "did you mean 'mode'", linear(), x, proposal="mod")
    refused(importance_bound, "no encoder", linear(), x, proposal="encoder")
    narrow = linear(encoder=lambda x: (x[:, :1], x[:, :1]))
    refused(importance_bound, "the encoder must return", narrow, x, proposal="encoder")
    for option in ("steps", "chains", "leapfrog"):
        refused(annealed_importance, "at least 1", linear(), x, **{option: 0})
    refused(annealed_importance, "0 or at least 2", linear(), x, simulated=1)
    with pytest.raises(MeasureError, match="the prior's"):
        LatentDecoder(curved, 2, prior=Uniform(3))
    with pytest.raises(MeasureError, match="at least 1"):
        LatentDecoder(curved, 0)


def test_a_decoder_without_gradient_is_refused_where_one_is_needed() -> None:
    def by_numpy(z: Tensor) -> Tensor:
        return torch.from_numpy(z.detach().numpy() @ WEIGHTS.numpy().T) + BIAS

    decoder, x = LatentDecoder(by_numpy, 2, dtype=torch.float64), rows(12, seed=30)
    refused(annealed_importance, "no gradient with respect to z", decoder, x)
    exact = float(TRUTH.log_prob(x).mean())
    assert importance_bound(decoder, x, sigma=SIGMA).value == pytest.approx(exact, abs=1e-6)


def test_rows_that_are_written_exactly_have_no_sigma() -> None:
    for codes in (noise(20, 2, seed=31), torch.zeros(20, 2, dtype=torch.float64)):
        with pytest.raises(MeasureError, match=r"exactly.*pass sigma"):
            observation_noise(linear(), linear().means(codes))


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_fitted_model_is_measured_on_the_data_as_they_came(model: str) -> None:
    data = pf.read(rows(200, seed=32).numpy())
    fitted = pf.fit(data, model, budget="5 steps", width=16, depth=1, latent=2, device="cpu")
    decoder = fitted.decoder()
    found = annealed_importance(decoder, data.raw("test"), sigma=1.0, **QUICK)
    assert found.n == 20
    encoded = data.schema.expand(data.subset("test")[0])
    plain = LatentDecoder(decoder.mean, 2)
    assert found.value == annealed_importance(plain, encoded, sigma=1.0, **QUICK).value
    z = torch.zeros(3, 2)
    written = fitted.model.get_submodule({"vae": "decoder", "gan": "generator"}[model])(z)
    assert torch.equal(decoder.mean(z), written.mean() if model == "vae" else written)


def test_a_fitted_model_of_classes_is_measured_for_one() -> None:
    labels = np.arange(200) % 2
    data = pf.read(rows(200, seed=33).numpy(), labels=labels, condition="label")
    fitted = pf.fit(data, "gan", budget="5 steps", width=16, depth=1, latent=2, device="cpu")
    with pytest.raises(ModelError, match="condition="):
        fitted.decoder()
    z = torch.zeros(3, 2)
    c = torch.tensor([[0.0, 1.0]]).expand(3, 2)
    assert torch.equal(fitted.decoder(condition=1).mean(z), fitted.model.generate(z, c))
