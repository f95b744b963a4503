"""The two families: what all autoencoders share, and what all adversarial models share.

A variant adds its turns; it never has to know another variant.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import grad

from pushforward.families.model import Batch, Model, Panel
from pushforward.measures.closed_form import gaussian_rate, gaussian_rate_by_dimension
from pushforward.measures.samples import mmd
from pushforward.nn import Critic, Encoder, Generator, Writer, together
from pushforward.nn.likelihoods import Observation, likelihood
from pushforward.nn.priors import Prior
from pushforward.nn.raking import Raking
from pushforward.space import Image, Space, total_variance

RAKED = 2**14  # codes that raking looks at in a round, ...
BLOCK = 2**12  # ... so many at a time; fewer, and fewer in all, where ...
CELLS = 2**24  # ... they would have more cells than this at a time


@dataclass(frozen=True)
class Code:
    """q(z|x) = N(mean, exp(log_var)), each (n, latent), in the prior's normal coordinates."""

    mean: Tensor
    log_var: Tensor

    def rsample(self) -> Tensor:
        """Return mean + sigma * eps, eps ~ N(0, I): the reparametrised draw."""
        return self.mean + (0.5 * self.log_var).exp() * torch.randn_like(self.mean)

    def log_prob(self, e: Tensor) -> Tensor:
        """Return log q(e), (n,), in nats."""
        squares = (e - self.mean).square() * (-self.log_var).exp()
        return -0.5 * (squares + self.log_var + math.log(2 * math.pi)).sum(-1)


def kl(q: Code, prior: Prior, e: Tensor) -> Tensor:
    """Return KL(q || prior) a row (n,), in nats.

    Closed form where the prior is N(0, I) in normal coordinates; else log q(e) - log p(e) at the
    draw e ~ q, whose expectation is the KL.
    """
    if prior.standard:
        return gaussian_rate(q.mean, q.log_var)
    return q.log_prob(e) - prior.log_prob(e)


@torch.no_grad()
def rake(
    raking: Raking,
    prior: Prior,
    shares: Callable[[Tensor, Tensor | None], Tensor],
    batches: Iterable[Batch],
) -> None:
    """Give a table's generated columns the shares that they have in the training rows.

    Args:
        raking: the offsets that are fitted.
        prior: where codes are drawn, anew in each round.
        shares: from codes z and conditions c to the probabilities (n, cells) of each row's cells.
        batches: the training rows x (n, cells), and their conditions.
    """
    wanted, classes, rows = torch.zeros_like(raking.offset), None, 0
    for x, c in batches:
        wanted, rows = wanted + x.sum(0), rows + len(x)
        classes = None if c is None else c.sum(0) if classes is None else classes + c.sum(0)
    size = max(1, min(BLOCK, CELLS // len(wanted)))
    blocks = min(-(-rows // size), RAKED // BLOCK)

    def expected() -> Tensor:
        found = torch.zeros_like(wanted)
        for _ in range(blocks):
            found += shares(prior.sample(size), _drawn(classes, size)).mean(0)
        return found / blocks

    raking.fit(wanted / rows, expected, rows)


def _drawn(frequencies: Tensor | None, n: int) -> Tensor | None:
    """Return n one-hot classes (n, classes) by their frequencies; None where there are none."""
    if frequencies is None:
        return None
    drawn = torch.multinomial(frequencies, n, replacement=True)
    return torch.nn.functional.one_hot(drawn, len(frequencies)).to(frequencies)


class Decoder(nn.Module):
    """p(x|z): a writer and the likelihood head that reads its outputs."""

    def __init__(self, space: Space, latent: int, classes: int, size: tuple[int, int], head: str):
        super().__init__()
        self.likelihood = likelihood(head, space)
        self.trunk = Writer(space, latent, self.likelihood.outputs, classes, *size)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Observation:
        """Return the distribution over rows for codes z (n, latent)."""
        observation: Observation = self.likelihood(self.trunk(z, c))
        return observation


class Autoencoder(Model, ABC):
    """An encoder gives each row a Gaussian code, a decoder carries codes to rows."""

    averaged: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "prior")

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        separate_encoders: Annotated[bool, "two networks f1, f2 instead of two heads"] = False,
        likelihood: Annotated[
            str,
            "p(x|z): auto, gaussian; images also bernoulli, logistic; tables autoregressive, "
            "categorical",
        ] = "auto",
        noise: Annotated[bool, "draw images from p(x|z) instead of showing its mean"] = False,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        size, latent = self.size, self.prior.latent
        self.noise = noise
        self.encoder = Encoder(space, latent, classes, *size, separate=separate_encoders)
        self.decoder = Decoder(space, latent, classes, size, likelihood)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Code:
        """Return q(z|x) = N(f1(x), exp f2(x))."""
        return Code(*self.encoder(x, c))

    def decode(self, e: Tensor, c: Tensor | None = None) -> Observation:
        """Return p(x|z) for a code e in the prior's normal coordinates."""
        observation: Observation = self.decoder(self.prior.carry(e), c)
        return observation

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return a draw from p(x|z); for images its mean, unless `noise`."""
        if isinstance(self.space, Image) and not self.noise:
            return self.mean(z, c)
        drawn: Observation = self.decoder(z, c)
        return drawn.sample()

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z)."""
        p: Observation = self.decoder(z, c)
        return p.mean()

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells of rows from p(x|z), under a condition."""
        p: Observation = self.decoder(z, c)
        return super().cells(z, c, share) if p.cells is None else p.cells(share)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Rake a table's columns."""
        raking = getattr(self.decoder.likelihood, "raking", None)
        if raking is not None:
            rake(raking, self.prior, self.mean, batches)

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return the rate and noise of each latent dimension, and the aggregate posterior."""
        q = self.encode(x, c)
        enough = len(x) > 2 and bool(q.mean.isfinite().all() & q.log_var.isfinite().all())
        return [*_code_panels(q), *([_aggregate_panel(q, self.prior)] if enough else [])]


def _code_panels(q: Code) -> list[Panel]:
    """Return rate and noise level of each latent dimension, busiest first."""
    rate = gaussian_rate_by_dimension(q.mean, q.log_var).mean(0)
    order = rate.argsort(descending=True)
    noise = (0.5 * q.log_var).exp().mean(0)
    names = [f"z{int(j)}" for j in order]
    return [
        Panel(
            "Rate of each latent dimension",
            "bars",
            {"rate": rate[order].tolist()},
            names,
            "latent dimension",
            "rate (nats)",
            f"KL(q(z|x) || N(0, I)), {float(rate.sum()):.1f} nats in all. "
            "A dimension at 0 carries nothing.",
        ),
        Panel(
            "Noise level of each latent dimension",
            "bars",
            {"sigma": noise[order].tolist()},
            names,
            "latent dimension",
            "mean sigma",
            "1 is the prior's own noise; near 0 a code is almost a point.",
        ),
    ]


def _aggregate_panel(q: Code, prior: Prior) -> Panel:
    """Compare the aggregate posterior, sum_x q(z|x) p(x), with the prior."""
    codes = q.rsample()
    wanted = prior.draw(len(codes))
    distance = mmd(wanted, codes, seed=0)
    p_value = "" if distance.p_value is None else f", p = {distance.p_value:.3f}"
    busiest = int(q.mean.var(0).argmax())
    return Panel(
        "Aggregate posterior against the prior",
        "histogram",
        {
            "prior": wanted[:, busiest].tolist(),
            "aggregate posterior": codes[:, busiest].tolist(),
        },
        x_title=f"z{busiest}, the dimension whose mean varies most",
        y_title="share",
        note=f"Over all dimensions: squared MMD {distance.value:.4f}{p_value}. "
        "Where they differ, samples from the prior reach codes that the decoder never saw.",
    )


class Adversarial(Model, ABC):
    """A generator carries the prior to rows, a critic is the measure that it learns against."""

    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[float, "weight of the gradient penalty, a unit of data variance"] = 0.2,
        pack: Annotated[int, "rows that the critic sees at once"] = 1,
        temperature: Annotated[float, "of the Gumbel-softmax, for tables"] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        size, latent = self.size, self.prior.latent
        # In these units one default serves tables, images and points (see `total_variance`).
        self.gamma = gamma * total_variance(space)
        self.generator = Generator(space, latent, classes, *size, temperature=temperature)
        self.critic = Critic(space, classes, *size, pack=pack)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return g(z)."""
        x: Tensor = self.generator(z, c)
        return x

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells of rows g(z), under a condition."""
        relaxation = self.generator.relaxation
        if relaxation is None:
            return super().cells(z, c, share)
        return relaxation.cells(self.generator.trunk(z, c), share)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Rake a table's columns."""
        relaxation = self.generator.relaxation
        if relaxation is None:
            return

        def shares(z: Tensor, c: Tensor | None) -> Tensor:
            return relaxation.shares(self.generator.trunk(z, c))

        rake(relaxation.raking, self.prior, shares, batches)

    def judge(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x) and |grad_x D(x)|^2, each a pack (n // pack,): what R1 and R2 penalise."""

        def total(rows: Tensor) -> tuple[Tensor, Tensor]:
            values: Tensor = self.critic(rows, c)
            return values.sum(), values

        slope, values = grad(total, has_aux=True)(x)
        return values, together(slope, self.critic.pack).flatten(1).square().sum(1)

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the critic sees on held-out and on generated rows."""
        real, fake = self.critic(x, c), self.critic(self.imagine(len(x), c), c)
        told = float((real[:, None] > fake).float().mean())
        return [
            Panel(
                "What the critic sees",
                "histogram",
                {"held-out rows": real.tolist(), "generated rows": fake.tolist()},
                x_title="critic's value D(x)",
                y_title="share",
                note=f"A held-out row scores above a generated one in {told:.0%} of pairs; "
                "50 % means that the learned measure sees no difference.",
            )
        ]
