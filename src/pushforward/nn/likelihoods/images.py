"""Likelihoods of images: Bernoulli, discretised logistic, and a chain of pixels.

Pixels lie in [-1, 1]. Of an image whose values are known to lie on a grid of L levels, the chance
of a value is the mass of its cell, 2 / (L - 1) wide; the outermost cells own the tails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, pad, softplus

from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.segments import gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.nn.trunks import SLOPE
from pushforward.space import Image

LEVELS = 256  # of images whose levels are not known: 8 bits
SHARP = 0.2  # the smallest scale, in halves of a cell: then 99 % of the mass lie in one cell
FAR = 30.0  # scales from which on the mass of a tail is nothing: exp(-30)


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


class Grid:
    """The levels of an image's values, and the mass that logistics give to each.

    Args:
        levels: how many, evenly spaced over [-1, 1]; None where they are not known.
    """

    def __init__(self, levels: int | None) -> None:
        self.half = 1 / ((levels or LEVELS) - 1)  # of a cell
        self.known = levels is not None
        self.smallest = math.log(SHARP * self.half)

    def log_scale(self, raw: Tensor) -> Tensor:
        """Return the logarithm of a scale, above that of the smallest.

        A hard bound has no gradient beyond it: where the scale of a black background is at its
        smallest, the first stroke there is unlikely by hundreds of nats, and only the mean can
        give way. Then the means collapse to one image.
        """
        return self.smallest + softplus(raw - 2 - self.smallest)

    def log_mass(self, x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Return log(F(x + half) - F(x - half)), F logistic; the outermost cells own the tails."""
        precision = (-log_scale).exp()
        centre, half = (x - mean) * precision, self.half * precision
        black, white = x < -1 + self.half, x > 1 - self.half
        upper = torch.where(white, FAR, centre + half)
        lower = torch.where(black, -FAR, centre - half)
        # log(sigmoid(a) - sigmoid(b)) = log sigmoid(a) + log sigmoid(-b) + log(1 - exp(b - a))
        inside = torch.log(-torch.expm1(-2 * half))
        return torch.where(black | white, 0.0, inside) - softplus(-upper) - softplus(lower)

    def draw(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Return a draw from logistics, continuous and clipped to [-1, 1]."""
        u = torch.rand_like(mean).clamp(1e-6, 1 - 1e-6)
        return (mean + log_scale.exp() * u.logit()).clamp(-1.0, 1.0)

    def nearest(self, x: Tensor) -> Tensor:
        """Return values at the level nearest to them, where levels are known."""
        if not self.known:
            return x
        return ((x + 1) / (2 * self.half)).round() * (2 * self.half) - 1


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


class Pointwise(nn.Linear):
    """The same linear map of features h (n, inputs, places) at each place: a 1x1 convolution."""

    def forward(self, h: Tensor) -> Tensor:
        """Return W h + b, (n, outputs, places)."""
        return torch.baddbmm(self.bias[:, None], self.weight.expand(len(h), -1, -1), h)


class PixelChain(Likelihood):
    """Each pixel given z and the pixels just above and to the left of it.

    p(x_i | z, x_<i) is a mixture of discretised logistics (PixelCNN++, Salimans et al. 2017) whose
    parameters are a small network's of what the decoder says of pixel i and of a masked convolution
    over its neighbours before it, REACH pixels far. Noise, edges and strokes are local, and need no
    code then; what they add up to reaches beyond these neighbours, and is left to the code (Chen et
    al. 2017, the variational lossy autoencoder; Gulrajani et al. 2017, PixelVAE). Of a pixel's
    channels, each has the mean m_c + sum_{d<c} T_cd (x_d - m_d).
    """

    independent = False
    REACH = 2
    UNITS = 16
    PARTS = 5  # of the mixture
    DEAF = 0.5  # the share of images that a step trains without their neighbours
    mask: Tensor

    def __init__(self, space: Image) -> None:
        super().__init__()
        channels, wide = space.channels, 2 * self.REACH + 1
        self.channels, self.grid = channels, Grid(space.levels)
        self.outputs = -(-self.UNITS // channels)
        mask = torch.ones(self.REACH + 1, wide)
        mask[self.REACH, self.REACH :] = 0  # the pixel itself, and those to the right of it
        self.register_buffer("mask", mask, persistent=False)
        heard = self.outputs * channels
        self.listen = nn.Conv2d(channels, heard, (self.REACH + 1, wide), bias=False)
        self.mix = Pointwise(heard, self.UNITS)
        self.tell = Pointwise(self.UNITS, self.PARTS * (1 + 2 * channels))
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

        def parameters(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            known = (outputs + self._hear(x)).flatten(2)
            logits, mean, log_scale = self._mixture(known)
            size = outputs.shape[2:]
            return logits.unflatten(2, size), mean.unflatten(3, size), log_scale.unflatten(3, size)

        def log_prob(x: Tensor) -> Tensor:
            logits, mean, log_scale = parameters(x)
            x = x.contiguous()[:, None]  # as the parts of the mixture lie
            means, pixels = mean.unbind(2), x.unbind(2)
            given = [self._given(c, means, pixels) for c in range(self.channels)]
            parts = self.grid.log_mass(x, torch.stack(given, 2), log_scale).sum(2)
            return (logits.log_softmax(1) + parts).logsumexp(1).flatten(1).sum(1)

        def sample() -> Tensor:
            return self._draw(outputs)

        def rsample() -> Tensor:
            x = sample()
            return straight_through(x, _mean(*parameters(x)[:2]))

        return Observation(log_prob, sample, rsample, lambda: _mean(*parameters(sample())[:2]))

    def _hear(self, x: Tensor) -> Tensor:
        """Return what the neighbours before each pixel say of it, (n, outputs * C, h, w)."""
        if self.training:
            x = x * (torch.rand(len(x), 1, 1, 1, device=x.device) >= self.DEAF)
        around = (self.REACH, self.REACH, self.REACH, 0)
        return conv2d(pad(x, around), self.listen.weight * self.mask)

    def _mixture(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (n, parts, places), means and log-scales (n, parts, C, places).

        `known` (n, outputs * C, places) is what the code and the neighbours say of each pixel.
        """
        told: Tensor = self.tell(leaky_relu(self.mix(leaky_relu(known, SLOPE)), SLOPE))
        told = told.to(torch.promote_types(told.dtype, torch.float32))  # of half precision
        k, size = self.PARTS, self.PARTS * self.channels
        logits, mean, raw = told.split((k, size, size), 1)
        shape = (k, self.channels)
        return logits, mean.unflatten(1, shape), self.grid.log_scale(raw.unflatten(1, shape))

    @torch.no_grad()
    def _draw(self, outputs: Tensor) -> Tensor:
        """Draw pixel after pixel; together those that do not hear one another.

        Pixels come first here and images last, so that what is gathered lies together.
        """
        reach, (n, _, height, width) = self.REACH, outputs.shape
        rows = outputs.flatten(1).t().contiguous().unflatten(0, outputs.shape[1:])
        told = rows.permute(1, 2, 0, 3)  # (height, width, outputs * C, n)
        x = outputs.new_zeros(height + reach, width + 2 * reach, self.channels, n)
        down, right = self.mask.cpu().nonzero().unbind(1)
        weight = self.listen.weight[:, :, down, right].transpose(1, 2).flatten(1)
        for i, j in waves(height, width, reach):
            before = x[i[:, None] + down, j[:, None] + right]  # (pixels, neighbours, C, n)
            heard = weight.expand(len(i), -1, -1).bmm(before.flatten(1, 2))
            x[i + reach, j + reach] = self._pixels(told[i, j] + heard)
        return x[reach:, reach : reach + width].permute(3, 2, 0, 1).contiguous()

    def _pixels(self, known: Tensor) -> Tensor:
        """Draw pixels (k, C, n) of what is known of each, (k, outputs * C, n)."""
        logits, means, log_scales = self._mixture(known)
        part = (logits + gumbel_like(logits)).max(1).indices[:, None, None]  # argmax is slower
        mean, log_scale = (
            t.gather(1, part.expand(-1, -1, self.channels, -1))[:, 0].unbind(1)
            for t in (means, log_scales)
        )
        pixels: list[Tensor] = []
        for c in range(self.channels):
            given = self._given(c, mean, pixels)
            pixels.append(self.grid.nearest(self.grid.draw(given, log_scale[c])))
        return torch.stack(pixels, 1)

    def _given(self, c: int, means: Sequence[Tensor], pixels: Sequence[Tensor]) -> Tensor:
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


def _mean(logits: Tensor, mean: Tensor) -> Tensor:
    """Return the mean of a mixture (n, C, ...), each part's clipped to what pixels can be."""
    return (logits.softmax(1).unsqueeze(2) * mean.clamp(-1, 1)).sum(1)
