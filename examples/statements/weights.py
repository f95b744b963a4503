"""Statements 6 and 7: what the KL weighs, and what is weighed against it."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor

import pushforward as pf
from pushforward.families.codes import Code
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Model, Terms, turn
from pushforward.models.vae import VAE
from pushforward.random import isolated
from pushforward.runs.folder import new_config
from pushforward.space import Space
from pushforward.training.loop import Loop
from pushforward.training.settings import Settings
from statements import figures as draw
from statements.common import (
    CPU,
    SIZES,
    Row,
    Scale,
    Shown,
    codes,
    data,
    drawn,
    imagined,
    rows,
    score,
    sigma,
    trained,
)


class SplitKL(WithDecoder, WithEncoder):
    """Reconstruction + 1/2 |mu|^2 + weight/2 sum(sigma^2 - log sigma^2 - 1); the KL at weight 1."""

    name: ClassVar[str] = "split-kl"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        weight: Annotated[float, "of the part that holds sigma"] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.weight = weight

    @turn("encoder", "decoder")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion and both parts of the KL."""
        q = self.encode(x, c)
        noise = (q.log_var.exp() - q.log_var - 1).sum(1)
        return {
            "distortion": -self.decode(q.rsample(), c).log_prob(x),
            "mean": 0.5 * q.mean.square().sum(1),
            "noise": 0.5 * self.weight * noise,
        }


def natural_weight(scale: Scale) -> Shown:
    """The weight between the two direct losses has no natural value, the KL has one."""
    table = _weight_rows("moons", scale, scale.seeds)
    if scale.second_data:
        table += _weight_rows("digits", scale, scale.seeds[:1])
    return Shown(table, scale.seeds, draw.weights(table), {"steps": [scale.toy, scale.digits]})


def _weight_rows(name: str, scale: Scale, seeds: tuple[int, ...]) -> list[Row]:
    direct = [_weight_row(name, "direct", weight, scale, seeds) for weight in scale.direct]
    return direct + [_weight_row(name, "KL", weight, scale, seeds) for weight in scale.split]


def _weight_row(name: str, loss: str, weight: float, scale: Scale, seeds: tuple[int, ...]) -> Row:
    """Score the samples of one loss at one weight; and look at the scale of its codes."""
    models = [_weighed(name, loss, weight, scale, seed) for seed in seeds]
    q = [codes(model, rows(name, "train")) for model in models]
    return {
        "data": name,
        "loss": loss,
        "weight": weight,
        "energy distance": [score(model, name).value for model in models],
        "E[f1² + exp f2]": [float((c.mean.square() + c.log_var.exp()).mean()) for c in q],
        "balance": [_balance(c, loss, weight) for c in q],
    }


def _balance(q: Code, loss: str, weight: float) -> float:
    """Return the pull of the code's scale against the push: 1 where the loss is stationary."""
    push = 1 - q.log_var.exp() if loss == "KL" else -2 * q.log_var
    return float(q.mean.square().mean() / (weight * push.mean()))


def _weighed(name: str, loss: str, weight: float, scale: Scale, seed: int) -> Model:
    """Return a model whose loss is 1/2 |f1|^2, plus weight/2 times the other part."""
    pictures = {"likelihood": "gaussian", "noise": True} if name == "digits" else {}
    options = {**SIZES[name], **pictures, "weight": weight}
    steps = scale.digits if name == "digits" else scale.toy // 2
    if loss == "direct":
        return trained(name, "direct-vae", steps, seed, scale.learning_rate, beta=0.5, **options)
    with isolated(CPU, seed):
        model = SplitKL(data(name).schema.space, **cast(Any, options))
    settings = Settings(steps, seed=seed, learning_rate=scale.learning_rate, ema=0.99)
    config = new_config(SplitKL, {}, asdict(settings), data(name))
    return Loop(model, data(name), settings, None, config).run().network("final")


def tug_of_war(scale: Scale) -> Shown:
    """Reconstruction wants no noise, the KL wants unit noise: rate and distortion over beta."""
    models = {
        beta: trained("digits", "vae", scale.digits, 0, scale.learning_rate, beta=beta)
        for beta in scale.betas
    }
    table = _slopes([_rate_row(beta, model) for beta, model in models.items()])
    shown = (scale.betas[0], 1, scale.betas[-1])
    strips = {f"β = {beta:g}": imagined(models[beta], 10)[:, 0] for beta in shown}
    return Shown(table, (0,), draw.tug_of_war(table, strips), {"rows": "train"})


def _slopes(table: list[Row]) -> list[Row]:
    """Add -dD/dR between each row and the one before it."""
    table[0]["slope"] = "–"
    for before, row in pairwise(table):
        change = {
            key: row[f"{key} (nats)"] - before[f"{key} (nats)"] for key in ("rate", "distortion")
        }
        row["slope"] = -change["distortion"] / change["rate"]
    return table


@torch.no_grad()
def _rate_row(beta: float, model: Model) -> Row:
    """Return rate, distortion and noise on the rows that the loss is about."""
    assert isinstance(model, VAE)
    x = rows("digits", "train")
    q = codes(model, x)
    loss = [-model.decode(drawn(q, seed)).log_prob(x).mean() for seed in range(8)]
    return {
        "β": beta,
        "rate (nats)": float(pf.measures.gaussian_rate(q.mean, q.log_var).mean()),
        "distortion (nats)": float(torch.stack(loss).mean()),
        "mean sigma": float(sigma(q).mean()),
        "energy distance": score(model, "digits").value,
    }
