"""What is fitted to a generator at the end: a critic that chooses among codes, a tone curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import pushforward as pf
from pushforward.families.acceptance import Accepted, level_of, logistic_slope
from pushforward.nn.priors import Normal
from pushforward.nn.tone import ToneCurve
from pushforward.runs.fitted import build

SHIFT = 0.8  # of the target N(SHIFT, 1) from the prior N(0, 1)


def log_ratio(z: Tensor, c: Tensor | None = None) -> Tensor:
    """Return log N(z; s, 1) / N(z; 0, 1) of points (n, 1), s = SHIFT; of two classes SHIFT, -SHIFT.

    The second class's values are lower by 10: a critic may like all rows of a class less.
    """
    sign = torch.ones_like(z[:, 0]) if c is None else c[:, 0] - c[:, 1]
    s, lower = SHIFT * sign, 0.0 if c is None else 10 * c[:, 1]
    return s * z[:, 0] - s**2 / 2 - lower


def test_the_slope_is_that_of_a_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(800, generator=generator) * 0.02 + m for m in (0.03, 0.0))
    labels = np.repeat([1, 0], 800)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    scaled = torch.cat([real, fake])[:, None].double().numpy() / 0.02
    reference.fit(scaled, labels)
    slope, _ = logistic_slope(real, fake)
    assert float(slope) == pytest.approx(reference.coef_[0, 0] / 0.02, rel=1e-3)


def test_the_error_of_the_slope_is_its_spread() -> None:
    generator = torch.Generator().manual_seed(1)
    found = torch.tensor(
        [
            logistic_slope(*(torch.randn(300, generator=generator) + m for m in (0.5, 0.0)))
            for _ in range(200)
        ]
    )
    # of 200 slopes the standard deviation has a relative error of 1 / sqrt(400)
    assert float(found[:, 0].std()) == pytest.approx(float(found[:, 1].mean()), rel=4 / 20)
    # of unit variances and means 0.5 apart the slope is 0.5
    assert float(found[:, 0].mean()) == pytest.approx(0.5, abs=4 * float(found[:, 1].mean()) / 14)


def test_values_that_separate_have_a_finite_slope() -> None:
    slope = float(logistic_slope(torch.ones(50) + torch.arange(50) / 50, -torch.ones(50))[0])
    assert math.isfinite(slope)
    assert slope > 1


def test_the_level_lets_the_share_pass() -> None:
    score = torch.randn(5000, generator=torch.Generator().manual_seed(1)) * 3
    for share in (0.05, 0.25, 0.9):
        kept = (score - level_of(score, share)).clamp(max=0).exp().mean()
        assert float(kept) == pytest.approx(share, abs=1e-5)


def accepted(share: float = 0.25) -> Accepted:
    """Return codes of N(0, 1) that are accepted by the exact ratio, as far as draws suffice."""
    torch.manual_seed(0)
    found = Accepted(Normal(1), log_ratio, share)
    found.fit(log_ratio(torch.randn(20_000, 1) + SHIFT), None)
    return found


def test_accepted_codes_follow_their_density() -> None:
    """The histogram of draws is that of p(z) w(z) / Z, and that integrates to 1."""
    own = accepted()
    # the slope's error: 1 / sqrt(n var(d) E p (1 - p)), of some 4,000 values that count, E 0.21
    assert float(own.slope) == pytest.approx(1, abs=4 / math.sqrt(4000 * SHIFT**2 * 0.21))
    grid = torch.linspace(-6, 7, 4001)[:, None]
    density = own.log_prob(grid).exp().double()
    step = 13 / 4000
    # the share is that of 2,048 draws: its relative error is at most sqrt(3 / 2,048) = 0.038
    assert float(density.sum() * step) == pytest.approx(1, abs=4 * 0.038)
    cdf = (density.cumsum(0) / density.sum()).numpy()
    torch.manual_seed(1)
    draws = own.draw(4000)[:, 0].numpy()
    test = stats.kstest(draws, lambda z: np.interp(z, grid[:, 0].numpy(), cdf))
    assert test.pvalue > 1e-3


def test_enough_draws_reach_the_target() -> None:
    """Where few draws are accepted, and hardly any as surely as the level says, they follow it."""
    torch.manual_seed(2)
    draws = accepted(0.05).draw(3000)[:, 0]
    # of 3,000 draws of N(s, 1) the mean has a standard error of 0.018; what the level cuts off
    # of the tail, weights above exp(level) with 5 % kept, lowers it by less than 0.02
    assert float(draws.mean()) == pytest.approx(SHIFT, abs=4 * 0.018 + 0.02)


def test_each_class_has_its_own_codes_and_density() -> None:
    torch.manual_seed(3)
    own = Accepted(Normal(1), log_ratio, 0.1, classes=2)
    c = torch.eye(2).repeat(4000, 1)
    real = torch.randn(8000, 1) + SHIFT * (c[:, :1] - c[:, 1:])
    own.fit(log_ratio(real, c), c)
    # the slope's error: 8,000 and 2,048 values, about 1 / sqrt(2 * 2,048 * SHIFT^2 * 0.21)
    assert float(own.slope) == pytest.approx(1, abs=4 / math.sqrt(4096 * SHIFT**2 * 0.21))
    draws = own.draw(8000, c)[:, 0].unflatten(0, (-1, 2))
    # means of 4,000 draws of N(+-s, 1): standard error 0.016, and the tail that is cut off
    assert draws.mean(0).tolist() == pytest.approx([SHIFT, -SHIFT], abs=4 * 0.016 + 0.04)
    grid = torch.linspace(-7, 7, 4001)[:, None]
    for k in (0, 1):
        mass = own.log_prob(grid, torch.eye(2)[[k]].expand(4001, -1)).exp().sum() * 14 / 4000
        # the share is that of some 1,024 draws: relative error at most sqrt(9 / 1,024) = 0.094
        assert float(mass) == pytest.approx(1, abs=4 * 0.094)


def test_a_level_for_each_class_lets_the_same_share_of_each_pass() -> None:
    torch.manual_seed(4)
    own = Accepted(Normal(1), log_ratio, 0.25, classes=2)
    c = torch.eye(2).repeat(4000, 1)
    own.fit(log_ratio(torch.randn(8000, 1) + SHIFT * (c[:, :1] - c[:, 1:]), c), c)
    shares = own.log_accept(torch.randn(8000, 1), c).exp().unflatten(0, (-1, 2)).mean(0)
    # levels of 1,024 values of each class, shares of 4,000, of chances with sd below 0.43
    error = 0.43 * math.sqrt(1 / 1024 + 1 / 4000)
    assert shares.tolist() == pytest.approx([0.25, 0.25], abs=4 * error)


@pytest.mark.parametrize("rows", [1, 40, 400])
def test_what_says_nothing_leaves_the_prior(rows: int) -> None:
    """Few rows, or values that do not differ: no slope is made of chance."""
    torch.manual_seed(5)
    own = Accepted(Normal(1), lambda z, _: z[:, 0], 0.5)
    own.fit(torch.randn(rows) if rows == 400 else torch.randn(rows) + 3, None)
    assert not bool(own.fitted)


def test_turns_draw_from_the_prior_and_can_be_vectorised() -> None:
    """Where the choice is fitted, a turn is as before; and it asks no tensor for its value."""
    data = pf.read("moons")
    model: Any = build("gan", data.schema, {"width": 8}, 0, torch.device("cpu"))
    x = torch.randn(16, 2)

    def measured() -> dict[str, Tensor]:
        torch.manual_seed(0)
        terms: dict[str, Tensor] = model.measure(x, None)
        return terms

    before = measured()
    model.accepted.slope.fill_(3)
    model.accepted.fitted.fill_(True)
    for name, term in measured().items():
        torch.testing.assert_close(term, before[name])
    torch.vmap(lambda rows: model.measure(rows, None)["real"], randomness="different")(
        x.repeat(3, 1, 1)
    )


def test_a_trained_critic_lets_a_share_pass() -> None:
    """Of the prior's draws half are accepted, those that the critic holds for more real."""
    fitted = pf.fit("moons", "gan", budget="300 steps", seed=0, width=32, device="cpu")
    source = fitted.model.source
    assert isinstance(source, Accepted)
    torch.manual_seed(0)
    with torch.no_grad():
        chance = source.log_accept(source.whole.draw(4000)).exp()
        before, after = (
            source._values(e, None) for e in (source.whole.draw(4000), source.draw(4000))
        )
    assert source.arcs  # the ways between codes are the prior's
    # the level comes from 1,600 rows or fewer, the mean here from 4,000: sd of a chance at most 0.5
    assert float(chance.mean()) == pytest.approx(0.5, abs=4 * 0.5 * math.sqrt(1 / 800 + 1 / 4000))
    assert float(source.slope * (after.mean() - before.mean())) > 0


def test_accept_one_is_the_prior() -> None:
    fitted = pf.fit("moons", "gan", budget="3 steps", seed=0, accept=1.0, device="cpu")
    assert fitted.model.source is fitted.model.prior


@pytest.mark.parametrize(("data", "more"), [("wine", {}), ("moons", {"pack": 2})])
def test_rows_that_are_no_function_of_their_code_are_refused(
    data: str, more: dict[str, Any]
) -> None:
    with pytest.raises(pf.ModelError, match=r"accept=0\.5"):
        pf.fit(data, "gan", budget="3 steps", accept=0.5, device="cpu", **more)


# --- the tone curve


def toned(real: Tensor, generated: Tensor) -> Tensor:
    """Return generated images (n, 1, h, w) by the curve that is fitted to them."""
    curve = ToneCurve(real.shape[1]).eval()
    curve.fit(real, generated)
    shown: Tensor = curve(generated)
    return shown


def test_pixels_get_the_quantiles_of_real_ones() -> None:
    rng = np.random.default_rng(0)
    real, fake = (
        torch.tensor(2 * rng.beta(*ab, size=(50, 2, 20, 20)) - 1, dtype=torch.float32)
        for ab in ((0.7, 1.5), (2.0, 3.0))
    )
    real[:, 1] = -real[:, 1]  # each channel has a distribution of its own
    shown = toned(real, fake)
    shares = torch.linspace(0.02, 0.98, 25)
    for channel in (0, 1):
        expected, found = (x[:, channel].flatten().quantile(shares) for x in (real, shown))
        # the same 20,000 values before and after: the knots, 1/256 apart, are the only error
        slope = 3  # of the quantile function between knots, at most
        assert float((expected - found).abs().max()) < slope / 256


def test_a_background_that_is_a_little_grey_becomes_black() -> None:
    rng = np.random.default_rng(1)
    real = torch.tensor(np.where(rng.random((64, 1, 16, 16)) < 0.8, -1.0, 0.5)).float()
    fake = real.clone()
    fake[fake == -1] = torch.tensor(-1 + 0.03 * rng.random(int((fake == -1).sum()))).float()
    shown = toned(real, fake)
    # all but those in the last interval between knots, which leads to the next grey
    last = (1 / 256) / 0.03
    assert 0.8 * (1 - last) - 0.01 < float((shown == -1).float().mean()) < 0.81


@pytest.mark.parametrize(
    ("real_share", "share"), [(0.15, 0.32), (0.4, 0.9), (0.9, 0.4), (0.2, 0.5)]
)
def test_an_atom_stays_where_real_images_have_it_too(real_share: float, share: float) -> None:
    """White that is too common, or too rare, stays white, and black black (masks)."""
    rng = np.random.default_rng(2)
    real, fake = (
        torch.tensor(np.where(rng.random((40, 1, 16, 16)) < p, 1.0, -1.0)).float()
        for p in (real_share, share)
    )
    assert torch.equal(toned(real, fake), fake)


def test_the_curve_is_the_identity_until_it_is_fitted_and_in_training() -> None:
    x = torch.rand(3, 2, 5, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    curve = ToneCurve(2)
    torch.testing.assert_close(curve.eval()(x), x, atol=1e-6, rtol=0)
    curve.fit(x.abs(), x)
    assert torch.equal(curve.train()(x), x)
    assert not torch.allclose(curve.eval()(x), x, atol=0.1)


def test_generated_digits_are_as_dark_as_real_ones() -> None:
    data = pf.read("digits")
    fitted = pf.fit(data, "gan", budget="40 steps", seed=0, width=16, accept=1.0, device="cpu")
    real, shown = data.raw("train").astype(float), fitted.sample(1437, seed=0).astype(float)
    model: Any = fitted.model
    model.generator.tone = None
    plain = fitted.sample(1437, seed=0).astype(float)
    # neighbouring pixels vary together: an image has some 64 / 4 independent ones, of sd 96
    error = 96 / math.sqrt(1437 * 16)
    assert abs(shown.mean() - real.mean()) < 5 * error
    assert abs(plain.mean() - real.mean()) > 6 * error
