"""Statement 8: the measure that a network learns, beside those made by hand."""

from __future__ import annotations

import copy
import math

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import softplus

import pushforward as pf
from pushforward.families.critics import WithCritic
from pushforward.families.model import Model
from pushforward.models.gan import GAN
from pushforward.random import isolated
from pushforward.runs.fitted import build
from pushforward.training.settings import Settings
from statements import figures as draw
from statements.common import (
    CPU,
    SIZES,
    Row,
    Scale,
    Shown,
    data,
    imagined,
    rows,
    watched,
)


def learned_measure(scale: Scale) -> Shown:
    """A GAN maps N(0, I) to p(x) with a measure that a network learns."""
    runs = [_game(scale, seed) for seed in scale.seeds]
    table = [_agreement(seed, run) for seed, run in zip(scale.seeds, runs, strict=True)]
    return Shown(table, scale.seeds, draw.measures(runs[0]), {"data": "moons", "steps": scale.game})


def _game(scale: Scale, seed: int) -> list[Row]:
    """Play a GAN's game, and read four measures on the same samples every so often."""
    options = {**SIZES["moons"], "gamma": 0.02}
    model = build("gan", data("moons").schema, options, seed, CPU)
    settings = Settings(scale.game, seed=seed, learning_rate=scale.learning_rate, ema=0.0)
    every = max(1, scale.game // scale.readings)
    return [_read(step, seen) for step, seen in watched(model, "moons", settings, every)]


def _read(step: int, model: Model) -> Row:
    """Read hand-made measures and the critic on the same held-out and generated rows."""
    assert isinstance(model, GAN)
    real, fake = rows("moons"), imagined(model)
    return {
        "step": step,
        "energy": float(pf.measures.energy_statistic(real, fake)),
        "mmd": float(pf.measures.mmd_statistic(real, fake)),
        "critic": critic_bound(model, real, fake),
        "critic, trained on": critic_bound(_best_response(model), real, fake),
    }


@torch.no_grad()
def critic_bound(model: WithCritic, real: Tensor, fake: Tensor) -> float:
    """Return log 2 - 1/2 (E softplus(-D(x)) + E softplus(D(g(z)))) <= Jensen-Shannon, in nats."""
    loss = softplus(-model.critic(real)).mean() + softplus(model.critic(fake)).mean()
    return math.log(2) - 0.5 * float(loss)


def _best_response(model: GAN, steps: int = 60) -> GAN:
    """Return a copy whose critic has moved on while the generator stands still."""
    model, x = copy.deepcopy(model), rows("moons", "train")
    adam = torch.optim.Adam(model.critic.parameters(), 2e-3, (0.0, 0.99), fused=True)
    with isolated(CPU, 7):
        for _ in range(steps):
            terms = model.measure(x[torch.randint(len(x), (256,))], None)
            loss = torch.stack([term.mean() for term in terms.values()]).sum()
            torch.autograd.backward(loss, inputs=list(model.critic.parameters()))
            adam.step()
            adam.zero_grad()
    return model


def _agreement(seed: int, run: list[Row]) -> Row:
    """Return the energy distance's fall, and rank correlations with it over training."""
    found = {name: [row[name] for row in run] for name in run[0]}
    return {
        "seed": seed,
        "energy, first": found["energy"][0],
        "energy, last": found["energy"][-1],
        "critic trained on, first": found["critic, trained on"][0],
        "critic trained on, last": found["critic, trained on"][-1],
        "ρ(MMD²)": float(spearmanr(found["energy"], found["mmd"]).statistic),
        "ρ(critic trained on)": float(
            spearmanr(found["energy"], found["critic, trained on"]).statistic
        ),
        "ρ(critic in play)": float(spearmanr(found["energy"], found["critic"]).statistic),
    }
