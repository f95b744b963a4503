"""Likelihoods of images of pixels in [-1, 1]: Bernoulli, logistic, and a chain of pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, softplus

from pushforward.nn.likelihoods.grid import Grid
from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.segments import gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.nn.trunks import SLOPE, precise
from pushforward.space import Image


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
    """P(v) = F(v + half) - F(v - half), F logistic, each pixel for itself given z.

    Mean and scale are given for each value (Salimans et al. 2017).
    """

    outputs = 2

    def __init__(self, space: Image) -> None:
        super().__init__()
        self.grid = Grid(space.levels)

    def forward(self, outputs: Tensor) -> Observation:
        """Return the discretised logistic of mean outputs[:, :C], log-scale the rest."""
        # The mean is linear: a tanh saturates on drawings, whose background is black, and then
        # neither mean nor code learns any more.
        mean, raw = outputs.chunk(2, dim=1)
        log_scale = self.grid.log_scale(raw)

        def rsample() -> Tensor:
            return self.grid.draw(mean, log_scale)

        return Observation(
            lambda x: self.grid.log_mass(x, mean, log_scale).flatten(1).sum(1),
            lambda: self.grid.nearest(rsample()),
            rsample,
            lambda: mean.clamp(-1.0, 1.0),
        )


Channels = Tensor | Sequence[Tensor]


class OutputsFirst(nn.Linear):
    """A linear layer h -> W h^T + b: the values of one output lie together."""

    def forward(self, h: Tensor) -> Tensor:
        """Return (outputs, n) of features (n, inputs)."""
        return torch.addmm(self.bias[:, None], self.weight, h.t())


class PixelChain(Likelihood):
    """Each pixel given z and the pixels just above and to the left of it.

    p(x_i | z, x_<i) is a mixture of discretised logistics (PixelCNN++, Salimans et al. 2017) whose
    parameters are a small network's of what the decoder says of pixel i and of a linear map of its
    neighbours before it, REACH pixels far. Noise, edges and strokes are local, and need no
    code then; what they add up to reaches beyond these neighbours, and is left to the code (Chen et
    al. 2017, the variational lossy autoencoder; Gulrajani et al. 2017, PixelVAE). Of a pixel's
    channels, each has the mean m_c + sum_{d<c} T_cd (x_d - m_d).
    """

    independent = False
    REACH = 2
    BEFORE = REACH * (2 * REACH + 1) + REACH  # neighbours: above, and to the left
    UNITS = 16
    PARTS = 5  # of the mixture
    DEAF = 0.5  # the share of images that a step trains without their neighbours

    def __init__(self, space: Image) -> None:
        super().__init__()
        channels = space.channels
        self.channels, self.grid = channels, Grid(space.levels)
        self.outputs = -(-self.UNITS // channels)
        heard = self.outputs * channels
        self.listen = nn.Linear(channels * self.BEFORE, heard, bias=False)
        self.mix = nn.Linear(heard, self.UNITS)
        self.tell = OutputsFirst(self.UNITS, self.PARTS * (1 + 2 * channels))
        self.between = nn.Parameter(torch.zeros(channels, channels))
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        """Begin with pixels that are independent given z, and with parts of different greys."""
        nn.init.zeros_(self.listen.weight)
        self.tell.weight.mul_(0.1)
        greys = torch.linspace(-0.9, 0.9, self.PARTS).repeat_interleave(self.channels)
        chances, scales = torch.zeros(self.PARTS), torch.zeros_like(greys)
        self.tell.bias = nn.Parameter(torch.cat([chances, greys, scales]))

    def forward(self, outputs: Tensor) -> Observation:
        """Return the chain of pixels, with what the decoder says of each (n, outputs * C, h, w)."""
        n, _, *size = outputs.shape

        def parameters(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self._mixture(_places(outputs) + self.listen(self._neighbours(x)))

        def log_prob(x: Tensor) -> Tensor:
            logits, mean, log_scale = parameters(x)
            pixels = _places(x).t().contiguous()
            given = [self._given(c, mean.unbind(1), pixels) for c in range(self.channels)]
            parts = self.grid.log_mass(pixels, torch.stack(given, 1), log_scale).sum(1)
            return (logits.log_softmax(0) + parts).logsumexp(0).reshape(n, math.prod(size)).sum(1)

        def sample() -> Tensor:
            return self._draw(outputs)

        def mean(x: Tensor) -> Tensor:
            logits, means, _ = parameters(x)
            shown = (logits.softmax(0)[:, None] * means.clamp(-1, 1)).sum(0)
            return shown.reshape(self.channels, n, *size).transpose(0, 1)

        def rsample() -> Tensor:
            x = sample()
            return straight_through(x, mean(x))

        return Observation(log_prob, sample, rsample, lambda: mean(sample()))

    def _neighbours(self, x: Tensor) -> Tensor:
        """Return the values of the pixels before each, (places, C * neighbours)."""
        if self.training:
            x = x * (torch.rand(len(x), 1, 1, 1, device=x.device) >= self.DEAF)
        height, width = x.shape[2:]
        x = pad(x, (self.REACH, self.REACH, self.REACH, 0)).transpose(0, 1)
        windows = zip(*(place.flatten().tolist() for place in self._window()), strict=True)
        shifted = [x[..., i : i + height, j : j + width] for i, j in windows]
        return torch.stack(shifted, 1).flatten(2).flatten(0, 1).t()

    def _window(self) -> tuple[Tensor, Tensor]:
        """Return rows and columns, (neighbours, 1), of the pixels before one, from the first on."""
        numbers, wide = torch.arange(self.BEFORE)[:, None], 2 * self.REACH + 1
        return numbers // wide, numbers % wide

    def _mixture(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (parts, places), means and log-scales (parts, C, places).

        `known` (places, outputs * C) is what the code and the neighbours say of each pixel.
        """
        h = leaky_relu(self.mix(leaky_relu(known, SLOPE)), SLOPE)
        told = precise(self.tell(h))
        k, size = self.PARTS, self.PARTS * self.channels
        logits, mean, raw = told.split((k, size, size))
        shape = (k, self.channels)
        return logits, mean.unflatten(0, shape), self.grid.log_scale(raw.unflatten(0, shape))

    @torch.no_grad()
    def _draw(self, outputs: Tensor) -> Tensor:
        """Draw pixel after pixel; together those that do not hear one another.

        Pixels come first here and images last, so that what is gathered lies together.
        """
        reach, (n, _, height, width) = self.REACH, outputs.shape
        told = outputs.permute(1, 2, 3, 0).contiguous()  # (outputs * C, height, width, n)
        x = outputs.new_zeros(self.channels, height + reach, width + 2 * reach, n)
        down, right = self._window()
        for i, j in waves(height, width, reach):
            before = x[:, i + down, j + right]  # (C, neighbours, pixels, n)
            heard = before.flatten(0, 1).flatten(1)
            known = told[:, i, j].flatten(1).addmm(self.listen.weight, heard)
            x[:, i + reach, j + reach] = self._pixels(known.t()).unflatten(1, (len(i), n))
        return x[:, reach:, reach : reach + width].permute(3, 0, 1, 2).contiguous()

    def _pixels(self, known: Tensor) -> Tensor:
        """Draw pixels (C, places) of what is known of each, (places, outputs * C)."""
        logits, means, log_scales = self._mixture(known)
        part = (logits + gumbel_like(logits)).max(0).indices[None, None]  # argmax is slower
        mean, log_scale = (
            t.gather(0, part.expand(-1, self.channels, -1))[0] for t in (means, log_scales)
        )
        pixels: list[Tensor] = []
        for c in range(self.channels):
            given = self._given(c, mean, pixels)
            pixels.append(self.grid.nearest(self.grid.draw(given, log_scale[c])))
        return torch.stack(pixels)

    def _given(self, c: int, means: Channels, pixels: Channels) -> Tensor:
        """Return the mean of channel c given those before it: m_c + sum_{d<c} T_cd (x_d - m_d)."""
        given = means[c]
        for d in range(c):
            given = torch.addcmul(given, self.between[c, d], pixels[d] - means[d])
        return given


def waves(height: int, width: int, reach: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and columns of the pixels of each wave: pixel (i, j) is in wave (reach + 1) i + j.

    It hears pixels of earlier waves alone: (i - a, j + b) with b <= reach, or (i, j - b).
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    wave = (reach + 1) * rows + columns
    for number in range(int(wave.max()) + 1):
        yield rows[wave == number], columns[wave == number]


def _places(x: Tensor) -> Tensor:
    """Return maps (n, C, h, w) as (n * h * w, C): as they lie, of channels last."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
