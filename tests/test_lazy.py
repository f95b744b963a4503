"""Lazy regularisation: a turn that is played in another way in the rounds between."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import pushforward as pf
from pushforward.errors import DivergedError
from pushforward.families.model import Model, Terms, Turn, turn
from pushforward.families.priors import WithPrior
from pushforward.models import all_models
from pushforward.models.gan import GAN
from pushforward.models.r3gan import R3GAN
from pushforward.runs.folder import new_config
from pushforward.space import Space, Vector
from pushforward.training.loop import Loop
from pushforward.training.pace import Pace
from pushforward.training.settings import Settings

PENALISED = [name for name, model in all_models().items() if "penalty_every" in model.options()]


class Seldom(WithPrior):
    """A penalty that comes in every k-th round, and a body that may go astray between."""

    averaged: ClassVar[tuple[str, ...]] = ("body",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        k: Annotated[int, "Rounds."] = 3,
        astray: Annotated[int, "Round."] = 10**9,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.body, self.k, self.astray = nn.Linear(2, 2), k, astray
        self.log: list[str] = []

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.body(z[:, :2]))

    @turn("body", every="k", between="plain")
    def whole(self, x: Tensor, c: Tensor | None) -> Terms:
        self.log.append("whole")
        return {"square": 0 * self.body(x).sum(1) + 2, "penalty": 0 * self.body(x).sum(1) + 6}

    def plain(self, x: Tensor, c: Tensor | None) -> Terms:
        self.log.append("plain")
        scale = math.nan if len(self.log) >= self.astray else 1.0
        return {"square": scale * (0 * self.body(x).sum(1) + 2)}


def loop_of(model: Model, steps: int) -> Loop:
    data, settings = pf.read("ring"), Settings(f"{steps} steps", batch_size=8)
    return Loop(model, data, settings, None, new_config(type(model), {}, asdict(settings), data))


def test_between_its_rounds_a_turn_is_played_in_another_way_by_the_same_optimizer() -> None:
    model = Seldom(Vector(2), latent=2)
    loop = loop_of(model, 7)
    loop.run()
    assert model.log == ["whole", "plain", "plain"] * 2 + ["whole"]
    assert loop.history[-2]["samples"] == 7 * 8  # each of them draws its batch
    (optimizer,) = loop.optimizers
    assert {int(v) for n, v in optimizer.state().items() if n.endswith("step")} == {7}


def test_a_term_is_shown_with_the_weight_that_it_has_on_average() -> None:
    """6 in every third of nine rounds is 2."""
    loop = loop_of(Seldom(Vector(2), latent=2), 9)
    for _ in range(9):
        loop.round()
    shown = loop.optimizers[0].take_means()
    assert shown == {"whole.square": pytest.approx(2), "whole.penalty": pytest.approx(2)}


def test_the_round_in_which_a_term_went_astray_is_named() -> None:
    model = Seldom(Vector(2), latent=2, astray=5)
    with pytest.raises(DivergedError, match=r"turn 'whole', step 5: square is not finite"):
        loop_of(model, 100).run()


class Nameless(Seldom):
    """Names a method that it does not have."""

    @turn("body", every=2, between="missing")
    def whole(self, x: Tensor, c: Tensor | None) -> Terms:
        return super().whole(x, c)


def test_a_method_that_is_missing_is_named() -> None:
    with pytest.raises(pf.ModelError, match=r"turn 'whole' .* 'missing'"):
        Nameless(Vector(2), latent=2).turns()


@pytest.mark.parametrize("period", [1, 4, 16, 1000])
def test_a_lap_holds_a_whole_period(period: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round of each period takes 9 seconds, the others 1: the mean is what counts."""
    now = 0.0
    monkeypatch.setattr("pushforward.training.pace.time.perf_counter", lambda: now)
    pace, steps = Pace(torch.device("cpu"), 100.0, period), 0
    while not pace.enough:
        now += 9.0 if steps % period == 0 else 1.0
        steps += 1
        pace.tick()
    if period <= 16:
        assert pace.step == pytest.approx(1 + 8 / period)
    assert steps <= 3 * 16  # however long the period is


@pytest.mark.parametrize("name", PENALISED)
def test_the_lazy_penalty_is_k_times_as_heavy_and_the_rest_is_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3)
    found = {}
    for k in (1, 4):
        torch.manual_seed(0)
        cls: Any = all_models()[name]
        model = cls(Vector(3), latent=2, width=16, penalty_every=k)
        critics = model.turns()[0]
        assert (critics.every, critics.due(0), critics.due(k + 1)) == (
            k,
            "measure",
            "measure" if k == 1 else critics.between,
        )
        torch.manual_seed(1)
        found[k] = model.measure(x, None)
        torch.manual_seed(1)
        between = model.compare(x, None)
    penalties = [term for term in found[1] if term.startswith("r") and term != "real"]
    assert set(between) == set(found[1]) - set(penalties)
    for term, value in found[1].items():
        factor = 4 if term in penalties else 1
        torch.testing.assert_close(found[4][term], factor * value)
        if factor == 1:
            torch.testing.assert_close(between[term], value)


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1, 1))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


class Slope(nn.Module):
    pack = 1

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.psi * x.squeeze(1)


@pytest.mark.parametrize("cls", [GAN, R3GAN])
def test_with_a_lazy_penalty_the_dirac_gan_still_converges(
    cls: type[GAN] | type[R3GAN],
) -> None:
    """D(x) = psi x against a point theta, data at 0: plain gradient steps come to (0, 0)."""
    model: Any = cls(Vector(1), latent=1, gamma=1.0, penalty_every=4)
    model.generator, model.critic = Point(), Slope()
    x = torch.zeros(1, 1)
    for i in range(2000):
        for own in model.turns():
            movers = [p for name in own.players for p in model.player(name).parameters()]
            terms = getattr(model, own.due(i))(x if own.data else 1, None)
            loss = torch.stack([t.mean() for t in terms.values()]).sum()
            for p, g in zip(movers, torch.autograd.grad(loss, movers), strict=True):
                p.data.sub_(0.1 * g)
    assert math.hypot(model.generator.theta.item(), model.critic.psi.item()) < 1e-3


def test_a_turn_without_another_way_is_left_out_between() -> None:
    seldom, always = Turn("a", (), every=3), Turn("a", (), every=3, between="b")
    assert [seldom.due(i) for i in range(4)] == ["a", None, None, "a"]
    assert [always.due(i) for i in range(4)] == ["a", "b", "b", "a"]
    assert (seldom.share, always.share) == (1 / 3, 1)
