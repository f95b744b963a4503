"""What all statements share: how much is trained, the data, the models, their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, cast

import torch
from matplotlib.figure import Figure
from torch import Tensor

import pushforward as pf
from pushforward.families.codes import Code
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Model
from pushforward.random import derived_seed, isolated
from pushforward.runs.folder import new_config
from pushforward.training.loop import Loop
from pushforward.training.settings import Settings

Row = dict[str, Any]
CPU = torch.device("cpu")
# Of digits the code alone is to say what is drawn, so pixels are independent given it.
SIZES: dict[str, dict[str, Any]] = {
    "moons": {"latent": 2, "width": 64},
    "digits": {"latent": 8, "width": 32, "likelihood": "bernoulli", "noise": False},
}


@dataclass(frozen=True)
class Scale:
    """How much is trained: steps a run, and runs (one a seed) where a spread is reported."""

    toy: int
    digits: int
    plane: int  # of digits whose codes lie in the plane
    game: int
    seeds: tuple[int, ...]
    priors: tuple[str, ...]
    betas: tuple[float, ...]
    direct: tuple[float, ...]
    split: tuple[float, ...]
    second_data: bool
    readings: int  # of the measures of statement 8, through training
    permutations: int
    learning_rate: float | None = None  # None: each turn's own


FULL = Scale(
    toy=1500,
    digits=600,
    plane=600,
    game=1500,
    seeds=(0, 1, 2),
    priors=("normal", "uniform"),
    betas=(0.03, 0.1, 0.3, 1, 2, 4),
    direct=(0.001, 0.01, 0.1, 1, 10),
    split=(0.1, 0.3, 1, 3, 10),
    second_data=True,
    readings=20,
    permutations=499,
)
QUICK = Scale(
    toy=300,
    digits=200,
    plane=400,
    game=210,
    seeds=(0,),
    priors=("normal",),
    betas=(0.1, 1, 8),
    direct=(0.01, 1),
    split=(0.1, 1, 10),
    second_data=False,
    readings=6,
    permutations=199,
    learning_rate=3e-3,
)


@dataclass(frozen=True)
class Shown:
    """What a statement's experiment found: the rows of its table, its seeds, its figure."""

    rows: list[Row]
    seeds: tuple[int, ...]
    figure: Figure
    notes: Row


@cache
def data(name: str) -> pf.Dataset:
    return pf.read(name)


def rows(name: str, part: str = "test") -> Tensor:
    """Return rows as the networks see them, flat vectors or images in [-1, 1]."""
    encoded, _ = data(name).subset(cast(Any, part))
    return data(name).schema.expand(encoded)


@cache
def trained(
    name: str, model: str, steps: int, seed: int, learning_rate: float | None, **own: Any
) -> Model:
    """Return a model with its final weights; the same arguments are trained once."""
    options = {"learning_rate": learning_rate, **SIZES[name], **own}
    budget = f"{steps} steps"
    return pf.fit(data(name), model, budget=budget, seed=seed, ema=0.99, **options).network("final")


def imagined(model: Model, n: int = 1000, seed: int = 1) -> Tensor:
    """Return n rows X = g(Z)."""
    with torch.no_grad(), isolated(CPU, seed):
        return model.imagine(n)


def score(model: Model, name: str, permutations: int = 1) -> pf.Measurement:
    """Return the energy distance between held-out and generated rows."""
    return pf.measures.energy(rows(name), imagined(model), permutations=permutations, seed=0)


@torch.no_grad()
def codes(model: Model, x: Tensor) -> Code:
    """Return q(z|x) for rows x."""
    assert isinstance(model, WithEncoder)
    return model.encode(x)


def drawn(q: Code, seed: int = 2) -> Tensor:
    """Return z = mu + sigma * eps."""
    with isolated(CPU, seed):
        return q.rsample()


def sigma(q: Code) -> Tensor:
    """Return the standard deviations of the codes (n, latent)."""
    return (0.5 * q.log_var).exp()


def watched(model: Model, name: str, settings: Settings, every: int) -> Iterator[tuple[int, Model]]:
    """Train a model in the library's loop, and show it every so many steps and at the end."""
    loop = Loop(
        model, data(name), settings, None, new_config(type(model), {}, asdict(settings), data(name))
    )
    while True:
        if loop.step % every == 0 or loop.step == loop.total:
            yield loop.step, loop.model
        if loop.step == loop.total:
            return
        with isolated(CPU, derived_seed(settings.seed, loop.step)):
            loop.round()
