"""Samplers: densities of codes, against scikit-learn, integrals and moments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import KernelDensity as SklearnKernels
from torch import Tensor

import pushforward as pf
from pushforward.families.codes import Code
from pushforward.families.samplers import SAMPLERS, GaussianMixture, KernelDensity, Sampler, learned
from pushforward.models.vae import VAE
from pushforward.nn import flows
from pushforward.nn.priors import Normal, Uniform
from pushforward.space import Vector
from pushforward.testing import example_data

POINT = -100.0  # log-variance of codes without noise


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are small and trained for a short time, unless a test says otherwise."""
    monkeypatch.setattr(learned, "STEPS", 20)
    monkeypatch.setattr(flows, "TRANSFORMS", 2)
    monkeypatch.setattr(flows, "UNITS", 32)


def points(e: Tensor) -> Code:
    return Code(e, torch.full_like(e, POINT))


def two_clouds(n: int) -> Tensor:
    """Codes (n, 2) of two correlated Gaussians, at (2, 2) and (-2, -2)."""
    side = torch.where(torch.rand(n, 1) < 0.3, 2.0, -2.0)
    return side + torch.randn(n, 2) @ torch.tensor([[0.5, 0.0], [0.4, 0.3]]).T


def fitted(name: str, e: Tensor, c: Tensor | None = None) -> Sampler:
    own = SAMPLERS[name](Normal(e.shape[1]), 0 if c is None else c.shape[1])
    own.settle(points(e), c)
    return own


def in_sklearn(own: GaussianMixture) -> SklearnMixture:
    """scikit-learn's mixture with the same parameters."""
    other = SklearnMixture(len(own.means), covariance_type="full")
    other.weights_ = own.weights[0].double().numpy()
    other.means_ = own.means.double().numpy()
    inverse = np.linalg.inv(own.factors.double().numpy())
    other.precisions_cholesky_ = inverse.transpose(0, 2, 1)
    return other


def test_the_mixtures_density_is_that_of_scikit_learn() -> None:
    torch.manual_seed(0)
    own = fitted("mixture", two_clouds(2000))
    assert isinstance(own, GaussianMixture)
    at = 3 * torch.randn(200, 2)
    theirs = in_sklearn(own).score_samples(at.double().numpy())
    np.testing.assert_allclose(own.log_prob(at).numpy(), theirs, rtol=1e-3, atol=2e-3)


def test_the_mixture_fits_as_well_as_that_of_scikit_learn() -> None:
    """On codes that neither has seen; the priors of ours cost it less than 0.02 nats here."""
    torch.manual_seed(0)
    train, test = two_clouds(4000), two_clouds(4000)
    own = fitted("mixture", train)
    theirs = SklearnMixture(len(SAMPLERS), random_state=0).fit(train.numpy())
    assert float(own.log_prob(test).mean()) > theirs.score(test.numpy()) - 0.02


def test_the_mixture_has_more_components_where_there_are_more_codes() -> None:
    """On a thin ring, which is bent less within an arc of 1/133 of it than of 1/16."""
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(24_000)
    radius = 3 + 0.02 * torch.randn(24_000)
    codes = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    few, many = (fitted("mixture", codes[:n]) for n in (2000, 20_000))
    test = codes[20_000:]
    assert isinstance(few, GaussianMixture)
    assert isinstance(many, GaussianMixture)
    assert [len(own.means) for own in (few, many)] == [16, 133]
    # the standard error of each mean is 0.7 / sqrt(4000) = 0.01
    assert float(many.log_prob(test).mean()) > float(few.log_prob(test).mean()) + 0.2


def test_as_many_components_are_loaded_as_were_saved_but_of_no_other_length() -> None:
    torch.manual_seed(0)
    codes = two_clouds(6000)
    few, many = (fitted("mixture", codes[:n]) for n in (1000, 6000))
    few.load_state_dict(many.state_dict())
    assert torch.equal(few.log_prob(codes), many.log_prob(codes))
    with pytest.raises(RuntimeError, match="size mismatch"):
        GaussianMixture(Normal(3), 0).load_state_dict(many.state_dict())


def test_the_kernels_density_is_that_of_scikit_learn() -> None:
    """With the coordinates divided by the codes' standard deviations, whose logs come off."""
    torch.manual_seed(0)
    own = fitted("kernel", two_clouds(3000))
    assert isinstance(own, KernelDensity)
    scale = own.means.std(0).double()
    h = float(own.factors[0, 0, 0] / scale[0])
    other = SklearnKernels(bandwidth=h).fit((own.means.double() / scale).numpy())
    at = two_clouds(100)  # far from all codes scikit-learn's sums lose their digits
    theirs = other.score_samples((at.double() / scale).numpy()) - float(scale.log().sum())
    np.testing.assert_allclose(own.log_prob(at).numpy(), theirs, rtol=1e-3, atol=5e-3)


def test_the_bandwidth_is_the_likeliest_for_other_codes() -> None:
    """Of one Gaussian a wide kernel is best, of many far-away lumps one as narrow as they are."""
    torch.manual_seed(0)
    lumps = torch.randint(-3, 4, (4000, 2)) + 0.02 * torch.randn(4000, 2)
    wide, narrow = (fitted("kernel", e) for e in (torch.randn(4000, 2), lumps))
    assert isinstance(wide, KernelDensity)
    assert isinstance(narrow, KernelDensity)
    assert float(wide.factors[0, 0, 0]) > 0.1
    assert float(narrow.factors[0, 0, 0]) < 0.1


def test_components_of_few_codes_are_drawn_towards_what_components_are_like() -> None:
    """Of thin sheets of one tilt in 16 dimensions, 60 codes a component: all are as thin.

    The mixture is 6.5 nats below the exact density here, and 10.4 if its covariances are drawn
    towards that of all codes: the bound lies between.
    """
    torch.manual_seed(0)
    places, thin = 3 * torch.randn(4, 16), torch.logspace(0, -2, 16)
    tilt = torch.linalg.qr(torch.randn(16, 16))[0]

    def sheets(n: int) -> Tensor:
        found: Tensor = places[torch.randint(4, (n,))] + thin * torch.randn(n, 16) @ tilt
        return found

    own, test = fitted("mixture", sheets(960)), sheets(2000)
    around = (test[:, None] - places) @ tilt.T / thin
    exact = torch.distributions.Normal(0, 1).log_prob(around).sum(2).logsumexp(1)
    exact = exact - math.log(4) - thin.log().sum()
    assert float((exact - own.log_prob(test)).mean()) < 8


@pytest.mark.parametrize("name", ["mixture", "flow", "kernel"])
def test_densities_integrate_to_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelDensity, "CENTRES", 100)
    torch.manual_seed(0)
    own = fitted(name, two_clouds(500))
    line = torch.linspace(-8, 8, 401)
    grid = torch.cartesian_prod(line, line)
    total = float(own.log_prob(grid).double().exp().sum()) * float(line[1] - line[0]) ** 2
    assert total == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_have_the_moments_of_the_codes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of n codes and n draws, a mean differs by sqrt(2 / n) sigma, a variance by
    sqrt((kurtosis - 1) 2 / n) sigma^2 from chance alone; the networks' own error comes on top.
    """
    monkeypatch.setattr(learned, "STEPS", 200)
    torch.manual_seed(0)
    n = 8000
    e = torch.tensor([1.0, -2.0]) + torch.randn(n, 2) @ torch.tensor([[1.0, 0.0], [0.8, 0.5]]).T
    draws = fitted(name, e).draw(n)
    chance = 4 * math.sqrt(2 / n)
    slack = 0.1 if name in ("flow", "second-stage") else 0.0
    sigma = e.std(0)
    assert bool(((draws.mean(0) - e.mean(0)).abs() < (chance + slack) * sigma).all())
    ratio = draws.var(0) / e.var(0)
    # kernels widen a cloud: by h^2 of its variance, and h is at most 0.4 for so many codes
    wider = 0.17 if name == "kernel" else 0.0
    assert bool((ratio > 1 - math.sqrt(2) * chance - slack).all())
    assert bool((ratio < 1 + math.sqrt(2) * chance + slack + wider).all())
    correlation = torch.corrcoef(draws.T)[0, 1] - torch.corrcoef(e.T)[0, 1]
    assert abs(float(correlation)) < chance + slack + wider


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_keeps_to_the_condition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "STEPS", 200)
    torch.manual_seed(0)
    label = torch.arange(2000) % 2
    c = torch.nn.functional.one_hot(label, 2).float()
    e = torch.randn(2000, 2) + 6.0 * label[:, None]
    draws = fitted(name, e, c).draw(2000, c)
    assert float(((draws.mean(1) > 3) == (label == 1)).double().mean()) > 0.98


def test_a_class_without_codes_among_the_centres_has_those_of_all_classes() -> None:
    torch.manual_seed(0)
    c = torch.nn.functional.one_hot(torch.zeros(100, dtype=torch.long), 2).float()
    for name in ("mixture", "kernel"):
        draws = fitted(name, torch.randn(100, 2) + 5, c).draw(50, c.flip(1)[:50])
        assert bool(draws.isfinite().all())
        assert abs(float(draws.mean()) - 5) < 1


def test_a_mixture_bears_dimensions_that_depend_on_one_another_at_all_scales() -> None:
    torch.manual_seed(0)
    e = torch.randn(3000, 4) @ torch.randn(4, 32) * torch.logspace(-1, 2, 32)
    e[:, 5] = 0
    own = fitted("mixture", e)
    assert bool(own.draw(100).isfinite().all())
    ratio = own.draw(4000).std(0) / e.std(0).clamp(min=1e-9)
    assert bool((ratio[[0, 15, 31]] - 1).abs().max() < 0.2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_codes_that_are_not_finite_leave_the_prior_in_its_place(name: str) -> None:
    own = fitted(name, torch.full((10, 2), torch.nan))
    assert not bool(own.fitted)


def test_a_sampler_works_in_the_normal_coordinates_of_the_prior() -> None:
    torch.manual_seed(0)
    own = GaussianMixture(Uniform(2), 0)
    own.settle(points(torch.randn(3000, 2)), None)
    z = own.sample(3000)
    assert float(z.abs().max()) <= math.sqrt(3)
    # uniform on [-sqrt 3, sqrt 3]: a variance of 1, estimated to sqrt(0.8 / n)
    assert float(z.var(0).mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_saved_run_restores_its_sampler_and_draws_from_it(name: str, tmp_path: Path) -> None:
    data = example_data("array", "label")
    options: dict[str, Any] = {"latent": 3, "width": 16, "budget": "30 steps", "seed": 1}
    run = pf.fit(data, "vae", sampler=name, out=tmp_path / "run", **options)
    loaded = pf.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(run.sample(50, seed=0), loaded.sample(50, seed=0))
    plain = pf.fit(data, "vae", **options)
    assert isinstance(loaded.model, VAE)
    assert isinstance(loaded.model.source, Sampler)
    assert not isinstance(plain.model.source, Sampler)
    for name_of, weight in plain.states["final"].items():  # training knows nothing of samplers
        assert weight.equal(run.states["final"][name_of])


def test_a_run_with_a_sampler_is_trained_on_from_the_same_weights(tmp_path: Path) -> None:
    data, own = example_data("array", None), dict[str, Any](latent=3, width=16, seed=1)
    for sampler in ("prior", "mixture"):
        out = tmp_path / sampler
        pf.fit(data, "vae", sampler=sampler, budget="20 steps", out=out, **own)
        pf.fit(data, "vae", sampler=sampler, more="20 steps", out=out, **own)
    plain, settled = (pf.load(tmp_path / s, device="cpu") for s in ("prior", "mixture"))
    for name, weight in plain.states["final"].items():
        assert weight.equal(settled.states["final"][name]), name


def test_a_table_is_raked_with_the_codes_that_it_is_drawn_from() -> None:
    """Shares of generated rows come near those of the training rows whatever draws the codes."""
    data = example_data("table", None)
    for name in ("prior", "mixture"):
        run = pf.fit(data, "vae", sampler=name, latent=3, width=16, budget="20 steps", seed=0)
        label = run.sample(4000, seed=0)["label"].cast(int).mean()
        observed = data.raw("train")["label"].cast(int).mean()
        # the mean of 4,000 draws varies by 0.008, that of the codes that raking looks at by 0.008
        assert isinstance(label, float)
        assert label == pytest.approx(observed, abs=0.05)


@pytest.mark.parametrize("model", ["gan", "vq-vae"])
def test_a_sampler_on_a_model_without_codes_is_refused_before_training(model: str) -> None:
    with pytest.raises(pf.ModelError, match="no option 'sampler'"):
        pf.fit("ring", model, sampler="flow", budget=1)


def test_an_unknown_sampler_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(pf.ModelError, match="did you mean 'mixture'"):
        VAE(Vector(2), sampler="mixtur")


def test_the_likelihood_is_measured_with_the_sampler_or_refused() -> None:
    data = example_data("array", None)
    own: dict[str, Any] = {"latent": 2, "width": 16, "budget": "30 steps", "seed": 0}
    for name in ("mixture", "flow"):
        decoder = pf.fit(data, "vae", sampler=name, **own).decoder()
        assert decoder.prior.standard is False
        bound = pf.measures.importance_bound(decoder, data.raw("test"), sigma=0.5, seed=0)
        assert math.isfinite(bound.value)
    decoder = pf.fit(data, "vae", sampler="second-stage", **own).decoder()
    with pytest.raises(pf.ModelError, match="no density"):
        pf.measures.importance_bound(decoder, data.raw("test"), sigma=0.5, seed=0)
