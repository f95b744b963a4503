"""The component of models whose critic also says which codes new rows are made of.

What a critic has learned of the difference between model and data is usually thrown away after
training. Discriminator rejection sampling (Azadi et al. 2019) uses it: of the rows y = g(z) each is
kept with a probability that grows with the density ratio p_data / p_model, of which the critic's
value is a function. With an exact ratio and enough draws, what is kept follows the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pushforward.errors import ModelError
from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Batch
from pushforward.families.options import between
from pushforward.families.samplers.sampler import class_of
from pushforward.families.settling import evenly_spaced, in_parts
from pushforward.nn.priors import ContinuousPrior
from pushforward.space import Cells, Image, Space

ROWS = 2048  # real rows, and generated ones, that the critic's values are calibrated on
FEWEST = 50  # rows that say something of a share
NEWTON = 30  # steps of the logistic regression
RIDGE = 1e-3  # its penalty on the slope, in rows: values that separate have a finite one
ROUNDS = 100  # draws a code, in units of those expected; then one that was not accepted is taken

Values = Callable[[Tensor, Tensor | None], Tensor]


class Accepted(ContinuousPrior):
    """s(z|c) = p(z) w(z|c) / Z: codes of a prior that are kept with probability w(z|c).

    w(z|c) = min(1, exp(slope D(g(z, c), c) - level_c)). By the slope of a logistic regression on a
    critic's values D they become log density ratios (Turner et al. 2019), by the level a share Z of
    each class's draws is kept. An optimal critic of the logistic loss has slope 1, one whose slopes
    are penalised more.

    Args:
        prior: p(z), in whose normal coordinates codes are drawn.
        values: from codes z and conditions c to the critic's values of their rows, (n,).
        share: Z in (0, 1).
        classes: of the condition; 0 without one.
    """

    fitted: Tensor
    slope: Tensor
    level: Tensor

    def __init__(
        self, prior: ContinuousPrior, values: Values, share: float, classes: int = 0
    ) -> None:
        super().__init__(prior.latent)
        self.of = (prior,)  # in a tuple it is no part of this module
        self.values, self.share = values, share
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("slope", torch.zeros(()))
        self.register_buffer("level", torch.zeros(max(classes, 1)))

    @property
    def whole(self) -> ContinuousPrior:
        """The prior among whose draws the critic chooses."""
        return self.of[0]

    @property
    def standard(self) -> bool:
        """Accepted codes are not N(0, I)."""
        return False

    @property
    def arcs(self) -> bool:
        """The way between two points is the prior's own."""
        return self.whole.arcs

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates: the prior's own map."""
        return self.whole.carry(e)

    def log_accept(self, e: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log w of points e (n, latent)."""
        level = self.level[class_of(c, len(e), self.device)]
        return (self.slope * self._values(e, c) - level).clamp(max=0.0)

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log s(z|c), (n,), in nats, for points z in normal coordinates."""
        return self.whole.log_prob(z, c) + self.log_accept(z, c) - math.log(self.share)

    @torch.no_grad()
    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n points, each the first accepted one of independent draws for its condition.

        After `ROUNDS` times as many draws as are expected one that was not accepted is taken.
        """
        chosen, tries = self.whole.draw(n, c), max(1, round(1 / self.share))
        left = torch.arange(n, device=self.device)
        for _ in range(ROUNDS):
            if len(left) == 0:
                break
            known = None if c is None else c[left].repeat_interleave(tries, 0)
            e = self.whole.draw(tries * len(left), known)
            u = torch.rand(len(e), device=self.device)
            kept = (u.log() < self.log_accept(e, known)).unflatten(0, (-1, tries))
            first = tries * torch.arange(len(left), device=self.device) + kept.int().argmax(1)
            chosen[left] = e[first]
            left = left[~kept.any(1)]
        return chosen

    @torch.no_grad()
    def fit(self, real: Tensor, c: Tensor | None) -> None:
        """Fit slope and levels, from the critic's values of real rows (n,) and their conditions.

        The prior stays in its place where these do not say which rows are more real: few rows,
        values that are not finite, or a slope within two standard errors of 0.
        """
        if len(real) < FEWEST:
            return
        drawn = torch.randint(len(real), (ROWS,), device=real.device)
        known = None if c is None else c[drawn]
        generated = self._values(self.whole.draw(ROWS, known), known)
        if not bool(real.isfinite().all() and generated.isfinite().all()):
            return
        label, seen = class_of(known, ROWS, real.device), class_of(c, len(real), real.device)
        own = [
            part if len(part) >= FEWEST else generated for part in self._by_class(generated, label)
        ]
        centre = torch.stack([part.mean() for part in own])  # an intercept for each class
        slope, error = logistic_slope(real - centre[seen], generated - centre[label])
        if slope <= 2 * error:
            return
        self.slope.copy_(slope)
        self.level.copy_(torch.stack([level_of(slope * part, self.share) for part in own]))
        self.fitted.fill_(True)

    def _by_class(self, values: Tensor, label: Tensor) -> list[Tensor]:
        return [values[label == k] for k in range(len(self.level))]

    def _values(self, e: Tensor, c: Tensor | None) -> Tensor:
        parts = in_parts(e.float(), c)
        return torch.cat([self.values(self.carry(e), c).float() for e, c in parts])


def logistic_slope(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope a of log p(real|d) / p(generated|d) = a d + b, and its standard error.

    By Newton's method; the error is that of the curvature at the maximum.

    Args:
        real: values d of real rows, (n,).
        generated: of generated rows, (m,).
    """
    d = torch.cat([real, generated]).double()
    sign = torch.cat([torch.ones_like(real), -torch.ones_like(generated)]).double()
    scale = d.std().clamp_min(1e-12)
    x = torch.stack([(d - d.mean()) / scale, torch.ones_like(d)], 1)
    ridge = torch.diag(torch.tensor([RIDGE, 1e-9], dtype=x.dtype, device=x.device))

    def loss(w: Tensor) -> Tensor:
        return softplus(-sign * (x @ w)).sum() + w @ ridge @ w / 2

    w, curvature = torch.zeros(2, dtype=x.dtype, device=x.device), ridge
    for _ in range(NEWTON):
        p = (sign * (x @ w)).sigmoid()
        curvature = (x.T * (p * (1 - p))) @ x + ridge
        step = torch.linalg.solve(curvature, ridge @ w - x.T @ (sign * (1 - p)))
        for _ in range(NEWTON):  # half the step as long as it does not lead down
            if loss(w - step) <= loss(w):
                break
            step = step / 2
        w = w - step
    error = torch.linalg.inv(curvature)[0, 0].sqrt()
    return (w[0] / scale).float(), (error / scale).float()


def level_of(score: Tensor, share: float) -> Tensor:
    """Return the level at which min(1, exp(score - level)) has that mean, by bisection."""
    low, high = score.min() - 1, score.max() - torch.tensor(share).log() + 1
    for _ in range(60):
        middle = (low + high) / 2
        above_share = (score - middle).clamp(max=0.0).exp().mean() > share
        low, high = torch.where(above_share, middle, low), torch.where(above_share, high, middle)
    return (low + high) / 2


class WithAcceptance(WithCritic, WithGenerator):
    """A model whose critic chooses among the codes of new rows, once it has been trained.

    Not on tables, whose rows are draws given the code, and not where the critic sees packs. Of
    images a quarter of the draws pass by default, of arrays half: of few numbers, a critic that is
    asked for more moves weight from one cluster to another (docs/critics.md).
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        accept: Annotated[
            float | None,
            "Share of draws that the critic lets pass. [images: 0.25, arrays: 0.5; else 1, all]",
            between(0.01, 1),
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        judged = not isinstance(space, Cells) and self.critic.pack == 1
        if accept is not None and accept < 1 and not judged:
            msg = (
                f"accept={accept:g}: a critic chooses among single rows that follow from their "
                "code, which those of tables do not; leave accept or pack out"
            )
            raise ModelError(msg)
        usual = 0.25 if isinstance(space, Image) else 0.5
        share = (usual if accept is None else accept) if judged else 1.0
        self.accepted = None if share == 1 else Accepted(self.prior, self._values, share, classes)

    def _values(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Return the critic's values of the rows g(z) as it has seen them in training, (n,)."""
        with self.generator.untoned():
            values: Tensor = self.critic(self.generate(z, c), c)
        return values

    def scores(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the critic's values of rows, and of generated ones before its choice."""
        with self.generator.untoned():
            return self.look(x, self.generate(self.prior.sample(len(x), c), c), c)

    @property
    def source(self) -> ContinuousPrior:
        """The codes that the critic accepts, once that is fitted, else the prior."""
        own = self.accepted
        return self.prior if own is None or not bool(own.fitted) else own

    @torch.no_grad()
    def settle(self, batches: Iterable[Batch]) -> None:
        """Calibrate the critic's values; what follows is fitted to accepted rows."""
        if self.accepted is not None:
            x, c = evenly_spaced(batches, ROWS)
            values = [self.critic(*part).float() for part in in_parts(x, c)]
            self.accepted.fit(torch.cat(values), c)
        super().settle(batches)
