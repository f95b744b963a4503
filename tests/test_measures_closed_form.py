"""Closed forms against torch.distributions, autograd and the literature's formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Exponential,
    Gamma,
    Independent,
    MultivariateNormal,
    Normal,
    Uniform,
    kl_divergence,
)

from pushforward.errors import MeasureError
from pushforward.measures import (
    Measurement,
    frechet_gaussian,
    gaussian_rate,
    gaussian_rate_by_dimension,
    jeffreys,
    kl,
)


def codes(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng).double(), torch.randn(n, d, generator=rng).double()


def covariance(d: int, seed: int) -> Tensor:
    a = torch.randn(d, d, generator=torch.Generator().manual_seed(seed)).double()
    return a @ a.mT + 0.1 * torch.eye(d)


def gaussian(d: int, seed: int) -> MultivariateNormal:
    mean = torch.randn(d, generator=torch.Generator().manual_seed(seed + 100)).double()
    return MultivariateNormal(mean, covariance(d, seed))


def test_rate_is_the_kl_of_torch() -> None:
    mu, log_var = codes(7, 5)
    q = Independent(Normal(mu, (log_var / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    torch.testing.assert_close(gaussian_rate(mu, log_var), kl_divergence(q, prior))


def test_rate_is_the_sum_over_dimensions() -> None:
    mu, log_var = codes(7, 5)
    each = gaussian_rate_by_dimension(mu, log_var)
    assert each.shape == (7, 5)
    torch.testing.assert_close(each.sum(1), gaussian_rate(mu, log_var))


def test_rate_has_the_gradient_of_its_formula() -> None:
    mu, log_var = (t.requires_grad_() for t in codes(7, 5))
    by_mu, by_log_var = torch.autograd.grad(gaussian_rate(mu, log_var).sum(), [mu, log_var])
    torch.testing.assert_close(by_mu, mu.detach())
    torch.testing.assert_close(by_log_var, (log_var.detach().exp() - 1) / 2)


def test_rate_passes_gradcheck_twice() -> None:
    mu, log_var = (t.requires_grad_() for t in codes(3, 2))
    assert torch.autograd.gradcheck(gaussian_rate, (mu, log_var))
    assert torch.autograd.gradgradcheck(gaussian_rate, (mu, log_var))


def test_rate_keeps_its_digits_near_the_prior() -> None:
    # 1/2 (e^h - h - 1) = h^2 / 4 + h^3 / 12 + ...; the plain formula has no correct digit at 1e-4
    # in float32 (its terms are 1, its value 2.5e-9, and 1 has an ulp of 1.2e-7).
    h = torch.full((1, 1), 1e-3)
    expected = 1e-6 / 4 + 1e-9 / 12
    assert gaussian_rate(torch.zeros(1, 1), h).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (Normal(0.0, 1.0), Normal(1.0, 2.0)),
        (gaussian(4, 0), gaussian(4, 1)),
        (Gamma(torch.tensor(2.0), torch.tensor(3.0)), Gamma(torch.tensor(1.0), torch.tensor(1.0))),
        (Exponential(torch.tensor(2.0)), Gamma(torch.tensor(1.0), torch.tensor(1.0))),
    ],
)
def test_kl_and_jeffreys_are_those_of_torch(p: Distribution, q: Distribution) -> None:
    there, back = float(kl_divergence(p, q)), float(kl_divergence(q, p))
    assert kl(p, q).value == pytest.approx(there, rel=1e-6)
    assert jeffreys(p, q).value == pytest.approx(there + back, rel=1e-6)
    assert jeffreys(q, p).value == pytest.approx(there + back, rel=1e-6)


def test_known_values() -> None:
    # Shift 1: 1/2. Scale 2 against 1, and back: log 2 + 1/8 - 1/2, and 2 - log 2 - 1/2.
    standard, shifted, wide = Normal(0.0, 1.0), Normal(1.0, 1.0), Normal(0.0, 2.0)
    assert kl(standard, shifted).value == pytest.approx(0.5)
    assert kl(standard, wide).value == pytest.approx(0.318147, abs=1e-6)
    assert kl(wide, standard).value == pytest.approx(0.806853, abs=1e-6)


def test_a_batch_is_averaged_and_told_one_by_one() -> None:
    mu, log_var = codes(6, 3)
    q = Independent(Normal(mu, (log_var / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    found = kl(q, prior)
    expected = gaussian_rate(mu, log_var)
    assert found.value == pytest.approx(float(expected.mean()))
    assert found.extra["each"] == pytest.approx(expected.tolist())
    assert (found.null, found.low, found.unit) == (0.0, None, "nats")


def test_frechet_is_the_formula_with_a_matrix_root() -> None:
    p, q = gaussian(5, 0), gaussian(5, 1)
    a, b = p.covariance_matrix.numpy(), q.covariance_matrix.numpy()
    root = scipy.linalg.sqrtm(scipy.linalg.sqrtm(a) @ b @ scipy.linalg.sqrtm(a))
    shift = float((p.mean - q.mean).square().sum())
    expected = shift + np.trace(a + b - 2 * root).real
    assert frechet_gaussian(p, q).value == pytest.approx(expected, rel=1e-6)


def test_frechet_known_values() -> None:
    # N(0, I3) and N(e1, 4 I3): 1 + 3 (2 - 1)^2.
    p = MultivariateNormal(torch.zeros(3), torch.eye(3))
    q = MultivariateNormal(torch.tensor([1.0, 0.0, 0.0]), 4 * torch.eye(3))
    assert frechet_gaussian(p, q).value == pytest.approx(4.0, rel=1e-5)
    assert frechet_gaussian(p, p).value == pytest.approx(0.0, abs=1e-5)
    assert frechet_gaussian(Normal(0.0, 1.0), Normal(3.0, 2.0)).value == pytest.approx(10.0)


def test_frechet_of_diagonal_and_full_covariances_agree() -> None:
    mean, scale = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.3, 2.0]).double()
    diagonal = Independent(Normal(mean, scale), 1)
    full = MultivariateNormal(mean, scale_tril=torch.diag(scale))
    other = Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)
    expected = frechet_gaussian(diagonal, other).value
    assert frechet_gaussian(full, other).value == pytest.approx(expected)
    assert frechet_gaussian(other, full).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measure", "measures"),
    [
        (kl, "use knn_kl .*histogram_kl .*f_divergence"),
        (jeffreys, "use knn_kl both ways"),
        (frechet_gaussian, "use frechet$"),
    ],
)
@pytest.mark.parametrize(
    "samples", [torch.zeros(3, 2), np.zeros((3, 2)), pl.DataFrame({"a": [1.0]}), [1.0, 2.0]]
)
def test_samples_are_refused_with_the_measures_that_take_them(
    measure: Callable[..., Measurement], measures: str, samples: object
) -> None:
    for pair in ((samples, Normal(0.0, 1.0)), (Normal(0.0, 1.0), samples)):
        with pytest.raises(
            MeasureError, match=f"{measure.__name__} needs two known densities.*{measures}"
        ):
            measure(*pair)


def test_what_has_no_closed_form_is_refused() -> None:
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)), Normal(torch.zeros(2), torch.ones(2))
    )
    with pytest.raises(
        MeasureError, match=r"no closed form .*draw samples from both and use knn_kl"
    ):
        kl(mixture, Normal(0.0, 1.0))
    with pytest.raises(MeasureError, match="given Uniform"):
        frechet_gaussian(Uniform(0.0, 1.0), Normal(0.0, 1.0))
    with pytest.raises(MeasureError, match="equal dimensions"):
        frechet_gaussian(gaussian(2, 0), gaussian(3, 0))
