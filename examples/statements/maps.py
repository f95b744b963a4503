"""Statements 1 and 2: one map from a prior to the data; only samples are at hand."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Normal

import pushforward as pf
from pushforward.families.decoders import WithDecoder
from pushforward.families.model import Model
from pushforward.nn.priors import continuous_prior
from pushforward.random import isolated
from statements import figures as draw
from statements.common import (
    CPU,
    Row,
    Scale,
    Shown,
    imagined,
    rows,
    trained,
)
from statements.figures import Picture


def one_map(scale: Scale) -> Shown:
    """Both families learn one map X = g(Z) that carries a simple prior onto the data."""
    table = [_unmoved(prior) for prior in scale.priors]
    pictures = []
    for prior in scale.priors:
        models = {
            kind: trained("moons", kind, steps, 0, scale.learning_rate, prior=prior)
            for kind, steps in (("vae", scale.toy), ("gan", scale.game))
        }
        table += [_map_row(kind, prior, imagined(model)) for kind, model in models.items()]
        pictures.append(_map_picture(prior, models))
    figure = draw.maps(pictures, rows("moons"))
    return Shown(table, (0,), figure, {"data": "moons", "rows": len(rows("moons"))})


def _map_row(kind: str, prior: str, x: Tensor) -> Row:
    """Compare rows with held-out ones: by their energy distance, and by a classifier."""
    energy = pf.measures.energy(rows("moons"), x, seed=0)
    classifier = pf.measures.classifier_test(rows("moons"), x, seed=0)
    return {
        "X is": kind,
        "prior": prior,
        "energy distance": energy.value,
        "95 % of nulls": energy.extra["null_95"],
        "classifier's accuracy": classifier.value,
        "its 95 %": list(classifier.interval or ()),
    }


def _unmoved(prior: str) -> Row:
    """Measure the prior itself, before any map."""
    with isolated(CPU, 1):
        return _map_row("Z itself", prior, continuous_prior(prior, 2).sample(1000))


@torch.no_grad()
def _map_picture(prior: str, models: dict[str, Model]) -> Picture:
    """Return draws of z, lines through them, and where each model carries both."""
    with isolated(CPU, 3):
        z = models["vae"].prior.sample(1500)
    lines = _circles() if prior == "normal" else _squares()
    carried = {
        kind: (imagine_at(model, z), [mean_at(model, line) for line in lines])
        for kind, model in models.items()
    }
    return Picture(prior, z, lines, carried)


def imagine_at(model: Model, z: Tensor) -> Tensor:
    """Return X = g(z); a VAE's g also draws from p(x|z)."""
    with isolated(CPU, 4):
        return model.generate(z)


def mean_at(model: Model, z: Tensor) -> Tensor:
    """Return the map without its noise: for a VAE the mean of p(x|z)."""
    if isinstance(model, WithDecoder):
        return model.mean(z)
    return model.generate(z)


def _circles() -> list[Tensor]:
    """Return circles of radius 1/2 to 5/2 in the plane of z."""
    turns = torch.linspace(0, 2 * math.pi, 400)
    circle = torch.stack([turns.cos(), turns.sin()], 1)
    return [radius * circle for radius in (0.5, 1.0, 1.5, 2.0, 2.5)]


def _squares() -> list[Tensor]:
    """Return squares within [-sqrt 3, sqrt 3]^2."""
    side, one = torch.linspace(-1, 1, 100), torch.ones(100)
    top = torch.stack([side, one], 1)
    corner = torch.cat([top, torch.stack([one, -side], 1), -top, torch.stack([-one, side], 1)])
    return [share * math.sqrt(3) * corner for share in (0.2, 0.4, 0.6, 0.8, 0.98)]


def only_samples(scale: Scale) -> Shown:
    """A KL needs two densities; of samples there are other measures."""
    shifts = (0.0, 0.5, 1.0, 2.0)
    table = [_shifted(shift, scale.permutations) for shift in shifts]
    return Shown(table, (0,), draw.shifts(table, _exact()), {"rows": 1000, "refusal": _refusal()})


def _refusal() -> str:
    """Return what `kl` says when it is given samples."""
    try:
        pf.measures.kl(cast(Any, torch.zeros(3)), Normal(0.0, 1.0))
    except pf.MeasureError as error:
        return str(error)
    raise AssertionError("kl took samples")


def _shifted(shift: float, permutations: int) -> Row:
    """Compare N(0, 1) with N(shift, 1): by their densities, and by 1,000 draws of each."""
    p, q = Normal(0.0, 1.0), Normal(shift, 1.0)
    with isolated(CPU, 5):
        x, y = torch.randn(1000, 1), shift + torch.randn(1000, 1)
    energy = pf.measures.energy(x, y, permutations=permutations, seed=0)
    mmd = pf.measures.mmd(x, y, bandwidth=1.0, permutations=permutations, seed=0)
    return {
        "shift": shift,
        "KL, exact": float(pf.measures.kl(p, q)),
        "energy, exact": exact_energy(shift),
        "energy, samples": energy.value,
        "energy, 95 %": list(energy.interval or ()),
        "p (energy)": energy.p_value,
        "MMD², exact": exact_mmd(shift),
        "MMD², samples": mmd.value,
        "MMD², 95 %": list(mmd.interval or ()),
    }


def exact_energy(shift: float) -> float:
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'| for N(0, 1) and N(shift, 1)."""
    root = math.sqrt(math.pi)
    between = 2 / root * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    return 2 * between - 4 / root


def exact_mmd(shift: float) -> float:
    """Return the squared MMD of N(0, 1) and N(shift, 1), for a Gaussian kernel of bandwidth 1."""
    return 2 / math.sqrt(3) * (1 - math.exp(-(shift**2) / 6))


def _exact() -> dict[str, list[float]]:
    """Return the curves of all three measures for shifts of 0 to 2."""
    shift = [i / 50 for i in range(101)]
    return {
        "shift": shift,
        "KL": [s**2 / 2 for s in shift],
        "energy": [exact_energy(s) for s in shift],
        "MMD²": [exact_mmd(s) for s in shift],
    }
