"""Gamma that falls: R3GAN's schedule, what a turn gets of it, and runs that are interrupted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.errors import ModelError
from pushforward.models import all_models
from pushforward.models.bigan import BiGAN
from pushforward.models.gan import GAN
from pushforward.models.r3gan import R3GAN
from pushforward.space import Vector

SMALL: dict[str, Any] = {"width": 16, "batch_size": 32}
FALLS = [name for name, model in all_models().items() if "gamma_end" in model.options()]


def by_hand(played: int, steps: int, base: float, final: float) -> float:
    """R3GAN's schedule, as its authors' code writes it."""
    decay = 0.5 * (1 + np.cos(np.pi * played / float(steps)))
    return float(base + (1 - decay) * (final - base))


def test_gamma_falls_over_the_run_as_that_of_r3gan(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    before = R3GAN.before_round

    def note(model: Any, share: float) -> None:
        before(model, share)
        seen.append(float(model.falling) / 2)  # the total variance of two standardised columns

    monkeypatch.setattr(R3GAN, "before_round", note)
    pf.fit("ring", "r3gan", budget=20, gamma=0.1, gamma_end=0.0001, **SMALL)
    assert seen == pytest.approx([by_hand(i, 20, 0.1, 0.0001) for i in range(20)], rel=1e-5)


@pytest.mark.parametrize("cls", [GAN, R3GAN, BiGAN])
def test_what_the_critic_receives_scales_with_gamma(cls: Any) -> None:
    """Of the terms r1 and r2 alone, at three quarters of the run beside the start."""
    x = torch.randn(8, 2)
    model = cls(Vector(2), latent=2, width=16, gamma=0.8, gamma_end=0.2)

    def penalty() -> torch.Tensor:
        torch.manual_seed(0)
        terms = model.measure(x, None)
        paid = [term.mean() for name, term in terms.items() if name in ("r1", "r2", "penalty")]
        assert paid
        found = torch.autograd.grad(
            torch.stack(paid).sum(), list(model.critic.parameters()), allow_unused=True
        )
        return torch.cat([g.flatten() for g in found if g is not None])

    model.before_round(0.0)
    first = penalty()
    model.before_round(0.75)
    ratio = (0.2 + 0.6 * (1 + math.cos(0.75 * math.pi)) / 2) / 0.8
    torch.testing.assert_close(penalty(), ratio * first, rtol=1e-4, atol=1e-7)
    model.before_round(1.0)  # a run that is trained on stays there
    torch.testing.assert_close(penalty(), first / 4, rtol=1e-4, atol=1e-7)
    assert bool(first.any())


def test_without_an_end_gamma_stays() -> None:
    game: dict[str, Any] = {"budget": 5, "gamma": 0.1, **SMALL}
    stays, falls = pf.fit("ring", "r3gan", **game), pf.fit("ring", "r3gan", gamma_end=0.1, **game)
    assert stays.model.falling is None
    for name, weight in stays.states["final"].items():
        torch.testing.assert_close(weight, falls.states["final"][name])


def test_an_interrupted_run_goes_on_with_the_gamma_that_it_had(tmp_path: Path) -> None:
    game: dict[str, Any] = {"budget": 40, "gamma": 0.5, "gamma_end": 0.001, **SMALL}
    whole = pf.fit("ring", "r3gan", **game)

    def cut(record: Any) -> None:
        if record["step"] == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.fit("ring", "r3gan", out=tmp_path / "run", progress=cut, **game)
    again = pf.fit("ring", "r3gan", out=tmp_path / "run", **game)
    for name, weight in whole.states["final"].items():
        assert torch.equal(weight, again.states["final"][name])


def test_gamma_does_not_rise() -> None:
    with pytest.raises(ModelError, match=r"gamma_end must be at most gamma.*gamma_end=0.3"):
        pf.fit("ring", "gan", budget=1, gamma=0.2, gamma_end=0.3, **SMALL)
    with pytest.raises(ModelError, match="gamma_end"):
        pf.fit("ring", "gan", budget=1, gamma_end=-0.1, **SMALL)


def test_every_contest_with_r1_has_the_option() -> None:
    assert {"gan", "r3gan", "hinge-gan", "lsgan", "bigan"} <= {*FALLS}
