"""Likelihood heads p(x|z): from a decoder's outputs to a distribution over rows.

A head says how many outputs it wants for each value of a row, and turns them into an observation
model with `log_prob`, `sample` and `mean`. Log-probabilities are in nats a row.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, linear, logsigmoid, softplus

from pushforward.errors import ModelError, nearest
from pushforward.nn.ordered import CellWeights
from pushforward.nn.raking import Raking
from pushforward.nn.segments import Segments, draw, gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.space import Cells, Image, Space, Vector, values

LEVELS = 255  # steps between the grey values of 8-bit images


# From the share (cells,) of each cell that is allowed, or None: cells (n, columns), chance (n,).
Draw = Callable[[Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Observation:
    """p(x|z) for one batch of codes.

    Args:
        log_prob: from rows x to log p(x|z), (n,).
        sample: a draw of x.
        rsample: a draw of x through which gradients flow: reparametrised, or straight through a
            relaxation where x is discrete. What a critic or a measure in data space looks at.
        mean: the mean of x; of columns that hear each other, given a draw of those before.
        cells: of a table, a draw of each column's cell under a condition (see `Segments.draw`).
    """

    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[], Tensor]
    rsample: Callable[[], Tensor]
    mean: Callable[[], Tensor]
    cells: Draw | None = None


class Likelihood(nn.Module, ABC):
    """A family p(x|z) over one space.

    `independent` says whether the columns (pixels, coordinates) are independent given z.
    """

    outputs: ClassVar[int] = 1
    independent: ClassVar[bool] = True

    @abstractmethod
    def forward(self, outputs: Tensor) -> Observation:
        """Return the observation model whose parameters are a decoder's outputs."""


class Gaussian(Likelihood):
    """N(mean, sigma^2) with learned sigma, one for each column of vectors or channel of images.

    sigma is learned (Rybkin et al. 2021), which balances distortion and rate without a weight.
    """

    # Adam moves a parameter by about its learning rate a step; log sigma has far to go.
    GAIN = 10.0
    SMALLEST = -7.0

    def __init__(self, space: Vector | Image) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(space.shape[0], *(1,) * (len(space.shape) - 1)))

    @property
    def log_sigma(self) -> Tensor:
        """Log of sigma, kept above SMALLEST so that data on a curve have a finite likelihood."""
        return (self.GAIN * self.raw).clamp_min(self.SMALLEST)

    def forward(self, outputs: Tensor) -> Observation:
        """Return N(outputs, sigma^2)."""
        log_sigma = self.log_sigma

        def log_prob(x: Tensor) -> Tensor:
            standard = (x - outputs) * (-log_sigma).exp()
            each = -0.5 * standard.square() - log_sigma - 0.5 * math.log(2 * math.pi)
            return each.flatten(1).sum(1)

        def rsample() -> Tensor:
            return outputs + log_sigma.exp() * torch.randn_like(outputs)

        return Observation(log_prob, rsample, rsample, lambda: outputs)


class Bernoulli(Likelihood):
    """Each value in [0, 1] (x in [-1, 1] moved there) as the share of a coin's heads.

    log p = sum v log p + (1 - v) log(1 - p): a likelihood of binary images, and by custom the
    cross-entropy of grey ones.
    """

    def __init__(self, space: Image) -> None:
        super().__init__()
        self.space = space

    def forward(self, outputs: Tensor) -> Observation:
        """Return Bernoulli(sigmoid(outputs)) on {-1, 1}."""

        def log_prob(x: Tensor) -> Tensor:
            # v l - log(1 + exp l), for logits l: fewer passes than the library's cross-entropy
            values, logits = x.mul(0.5).add_(0.5).flatten(1), outputs.flatten(1)
            hits: Tensor = torch.linalg.vecdot(values, logits)
            return hits - softplus(logits).sum(1)

        def sample() -> Tensor:
            return 2 * outputs.sigmoid().bernoulli() - 1

        def mean() -> Tensor:
            return 2 * outputs.sigmoid() - 1

        return Observation(log_prob, sample, lambda: straight_through(sample(), mean()), mean)


class DiscretisedLogistic(Likelihood):
    """P(v) = F(v + 1/255) - F(v - 1/255), F logistic, for 8-bit values v in [-1, 1].

    Mean and scale are given for each value; the outermost grey values own the tails
    (Salimans et al. 2017).
    """

    outputs: ClassVar[int] = 2

    def __init__(self, space: Image) -> None:
        super().__init__()
        self.space = space

    def forward(self, outputs: Tensor) -> Observation:
        """Return the discretised logistic of mean outputs[:, :C], log-scale the rest."""
        # The mean is linear: a tanh saturates on drawings, whose background is black, and then
        # neither mean nor code learns any more.
        mean, raw_scale = outputs.chunk(2, dim=1)
        log_scale = (raw_scale - 2.0).clamp(-6.0, 2.0)

        def log_prob(x: Tensor) -> Tensor:
            return _log_interval(x, mean, log_scale).flatten(1).sum(1)

        def rsample() -> Tensor:
            u = torch.rand_like(mean).clamp(1e-6, 1 - 1e-6)
            return (mean + log_scale.exp() * u.logit()).clamp(-1.0, 1.0)

        return Observation(log_prob, rsample, rsample, lambda: mean.clamp(-1.0, 1.0))


def _log_interval(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return log(F(x + 1/255) - F(x - 1/255)), with the tails given to the outermost values."""
    precision = (-log_scale).exp()
    upper = (x + 1 / LEVELS - mean) * precision
    lower = (x - 1 / LEVELS - mean) * precision
    # log(sigmoid(a) - sigmoid(b)) = log sigmoid(a) + log sigmoid(-b) + log(1 - exp(b - a))
    inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    below, above = logsigmoid(upper), logsigmoid(-lower)
    return torch.where(x < -1 + 1 / LEVELS, below, torch.where(x > 1 - 1 / LEVELS, above, inside))


class Categorical(Likelihood):
    """One categorical a column of a table, over its atoms and quantile bins, independent given z.

    For a one-hot row x the log-likelihood is <x, logits> - sum_j logsumexp_j(logits).
    """

    def __init__(self, space: Cells) -> None:
        super().__init__()
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))

    def forward(self, outputs: Tensor) -> Observation:
        """Return independent columns, column j with softmax(outputs_j)."""
        outputs = self.raking(outputs)

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self.segments.draw(outputs, share)

        return Observation(
            lambda x: _chosen(self.segments, x, outputs),
            lambda: self.segments.one_hot(cells(None)[0]),
            lambda: relaxed(self.segments, outputs),
            lambda: self.segments.softmax(outputs),
            cells,
        )


def relaxed(segments: Segments, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return one-hot rows from softmax(logits), straight through the Gumbel-softmax.

    Forward, each column is a draw; backward, softmax((logits + Gumbel noise) / temperature) (Jang
    et al. 2017).
    """
    soft, hard = segments.gumbel_softmax(logits, temperature)
    return straight_through(hard, soft)


def _chosen(segments: Segments, x: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability of one-hot rows x under one categorical a column, (n,)."""
    return (x * logits).sum(1) - segments.logsumexp(logits).sum(1)


class Autoregressive(Likelihood):
    """Each column of a table given z and the columns before it.

    p(x_j | z, x_<j) = softmax(outputs_j(z) + V_j act(W x_<j)): one hidden layer whose units read
    the columns up to their own and write to those after it (MADE, Germain et al. 2015), beside a
    decoder of z (Chen et al. 2017, the variational lossy autoencoder). What one column says about
    the next needs no code then, so that the codes that are left are close to their prior. `write`
    starts at 0, where the columns are independent given z. Of more columns than units, a column may
    not see the last few before it. Cells of numbers share weights (see `ordered`).
    """

    independent = False
    UNITS = 128
    DROPOUT = 0.2  # without it, the layer learns single rows of a table of 20,000
    SLOPE = 0.2
    GAIN = 3.0  # of what is said about the order of a column: a narrow relation has large logits

    def __init__(self, space: Cells, units: int = UNITS) -> None:
        super().__init__()
        self.units = units
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))
        owner = self.segments.segment_ids
        # unit i reads the columns up to last[i]; in ascending order
        last = torch.arange(units) * max(len(space.sizes) - 1, 1) // units
        self.read = CellWeights(space, owner <= last[:, None], gain=1.0)
        self.write = CellWeights(space, last[:, None] < owner, gain=self.GAIN)
        self.write.zero_()
        self.ready = torch.searchsorted(last, torch.arange(len(space.sizes))).tolist()

    def context(self, x: Tensor) -> Tensor:
        """Return what the columns of one-hot rows say about those after them, (n, cells)."""
        units = leaky_relu(linear(x, self.read()), self.SLOPE)
        context: Tensor = dropout(units, self.DROPOUT, self.training) @ self.write()
        return context.float()

    def forward(self, outputs: Tensor) -> Observation:
        """Return the chain of columns, column j with softmax(outputs_j + context_j)."""
        outputs = self.raking(outputs)

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self._draw(outputs, share)

        def sample() -> Tensor:
            return self.segments.one_hot(cells(None)[0])

        return Observation(
            lambda x: _chosen(self.segments, x, outputs + self.context(x)),
            sample,
            lambda: self._relaxed(outputs),
            lambda: self.segments.softmax(outputs + self.context(sample())),
            cells,
        )

    def _relaxed(self, outputs: Tensor) -> Tensor:
        """Draw column after column, straight through: later columns pass their gradient back."""
        read, tell = self.read(), self.write()
        heard = outputs.new_zeros(len(outputs), self.units)
        columns = []
        bounds = zip(self.segments.first.tolist(), self.segments.end.tolist(), strict=True)
        for first, end in bounds:
            logits = outputs[:, first:end] + leaky_relu(heard, self.SLOPE) @ tell[:, first:end]
            soft = (logits + gumbel_like(logits)).softmax(1)
            hard = torch.nn.functional.one_hot(soft.argmax(1), end - first).to(soft)
            columns.append(straight_through(hard, soft))
            heard = heard + columns[-1] @ read[:, first:end].T
        return torch.cat(columns, 1)

    def _draw(self, outputs: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draw column after column; the first `ready[j]` units have read all they need for j."""
        read, tell = self.read().T.contiguous(), self.write()
        heard = outputs.new_zeros(len(outputs), self.units)
        drawn, chance = [], outputs.new_ones(len(outputs), dtype=torch.float64)
        bounds = zip(self.segments.first.tolist(), self.segments.end.tolist(), strict=True)
        for ready, (first, end) in zip(self.ready, bounds, strict=True):
            units = leaky_relu(heard[:, :ready], self.SLOPE)
            logits = outputs[:, first:end] + units @ tell[:ready, first:end]
            cell, allowed = draw(logits, None if share is None else share[first:end])
            heard[:, ready:] += read[first + cell, ready:]
            drawn.append(cell)
            chance *= allowed
        return torch.stack(drawn, 1), chance


def likelihood(name: str, space: Space) -> Likelihood:
    """Return the head of that name ("auto" chooses by space); ModelError when it does not fit."""
    known: dict[str, Callable[[], Likelihood]] = {}
    if isinstance(space, Image):
        known = {
            "auto": lambda: Bernoulli(space) if space.channels == 1 else Gaussian(space),
            "bernoulli": lambda: Bernoulli(space),
            "logistic": lambda: DiscretisedLogistic(space),
            "gaussian": lambda: Gaussian(space),
        }
    elif isinstance(space, Vector):
        known = {"auto": lambda: Gaussian(space), "gaussian": lambda: Gaussian(space)}
    else:
        known = {
            "auto": lambda: Autoregressive(space),
            "autoregressive": lambda: Autoregressive(space),
            "categorical": lambda: Categorical(space),
        }
    if name not in known:
        msg = f"no likelihood {name!r} for this kind of data: {nearest(name, known)}"
        raise ModelError(msg)
    return known[name]()
