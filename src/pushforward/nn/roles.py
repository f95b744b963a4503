"""The roles that networks play in a game: encoder, generator, critic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from pushforward.nn.augment import Augmentation
from pushforward.nn.clip import clip
from pushforward.nn.likelihoods import Autoregressive, Categorical, Likelihood, Observation
from pushforward.nn.tone import ToneCurve
from pushforward.nn.trunks import SLOPE, Networks, Trunks, keep_variance, precise
from pushforward.space import Cells, Image, Space, Vector, values

LARGEST_LOG_VARIANCE = 4.0  # of a code


class Encoder(nn.Module):
    """The two encoders of the theory: f1 gives a code's mean, f2 its log-variance.

    Two heads on one trunk, or two networks that share nothing when `separate`. There are as many
    `noises` as dimensions, unless their number is given. f2's raw output is bounded by
    `log_variance`.
    """

    def __init__(
        self,
        space: Space,
        latent: int,
        classes: int,
        networks: Networks,
        *,
        separate: bool,
        noises: int | None = None,
    ) -> None:
        super().__init__()
        self.trunk = networks.reader(space, classes)
        self.second_trunk = networks.reader(space, classes) if separate else None
        self.f1 = nn.Linear(networks.width, latent)
        self.f2 = nn.Linear(networks.width, noises or latent)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean f1(x) (n, latent) and the log-variance f2(x) (n, noises)."""
        features = self.trunk(x, c)
        second = features if self.second_trunk is None else self.second_trunk(x, c)
        return self.f1(features).float(), log_variance(self.f2(second).float())


def log_variance(raw: Tensor) -> Tensor:
    """Return a head's raw log-variance, clipped above at `LARGEST_LOG_VARIANCE`.

    A code that tells something of its row has a variance below 1, the prior's. A far larger one
    means that a step went astray: the exponential makes a rate of millions of nats of it, and at
    the next step nothing is finite. Clipped, it comes back (see `clip`). Below there is no bound: a
    small variance costs nats in proportion to its logarithm only.
    """
    return clip(raw, -math.inf, LARGEST_LOG_VARIANCE)


class PointEncoder(nn.Module):
    """A code f(x) without noise."""

    def __init__(self, space: Space, latent: int, classes: int, networks: Networks) -> None:
        super().__init__()
        self.trunk = networks.reader(space, classes)
        self.f = nn.Linear(networks.width, latent)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return f(x), (n, latent)."""
        return cast(Tensor, self.f(self.trunk(x, c))).float()


class NoisyEncoder(nn.Module):
    """A code f(x, eps), eps ~ N(0, I) of the code's dimension: any distribution, and no density.

    The noise is read where a condition is: a linear map of it is added to the first hidden layer.
    """

    def __init__(self, space: Space, latent: int, classes: int, networks: Networks) -> None:
        super().__init__()
        self.latent = latent
        self.trunk = networks.reader(space, latent + classes)
        self.f = nn.Linear(networks.width, latent)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return draws f(x, eps), (n, latent)."""
        eps = torch.randn(len(x), self.latent, device=x.device)
        given = eps if c is None else torch.cat([eps, c], 1)
        return cast(Tensor, self.f(self.trunk(x, given))).float()


class Clip(nn.Module):
    """Clips pixels to [-1, 1]; outside, a gradient flows only where it leads back inside.

    Most pixels of a drawing are black. A linear output can only come near black, which a critic,
    and a measure, tell from it; a tanh comes there at infinity, and learns no more on the way.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the clipped pixels."""
        return clip(x)


class Generator(nn.Module):
    """X = g(Z): a writer whose output lies in the sample space.

    For a table these are logits, and rows are drawn from them straight through, so that a critic
    sees one-hot rows: all columns together given z, or with a `chain` in turn, each also given the
    columns before it. Images pass a tone curve after training.
    """

    def __init__(
        self,
        space: Space,
        latent: int,
        classes: int,
        networks: Networks,
        *,
        temperature: float,
        chain: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = networks.writer(space, latent, 1, classes)
        self.output: nn.Module = Clip() if isinstance(space, Image) else nn.Identity()
        self.tone = ToneCurve(space.channels) if isinstance(space, Image) else None
        if isinstance(space, Cells):
            head = Autoregressive if chain else Categorical
            self.output = head(space, temperature=temperature)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return expanded rows (n, *space.shape)."""
        p = self.observation(z, c)
        x = cast(Tensor, self.output(precise(self.trunk(z, c)))) if p is None else p.rsample()
        return x if self.tone is None else cast(Tensor, self.tone(x))

    @contextmanager
    def untoned(self) -> Iterator[None]:
        """Let rows be as a critic sees them in training: images without their tone curve."""
        if self.tone is None:
            yield
            return
        self.tone.on = False
        try:
            yield
        finally:
            self.tone.on = True

    @property
    def head(self) -> Likelihood | None:
        """What makes a table's cells of logits; None for other data."""
        return self.output if isinstance(self.output, Likelihood) else None

    def observation(self, z: Tensor, c: Tensor | None = None) -> Observation | None:
        """Return the distribution of a table's cells given z; None for other data."""
        return (
            None if self.head is None else cast(Observation, self.head(precise(self.trunk(z, c))))
        )


class Texture(nn.Module):
    """The first layer of a critic of images of many values: 3x3 at their full resolution.

    A reader's first layer skips every second pixel, and hardly sees differences of neighbours: the
    patterns that a generator's strides leave in its images were no fault to it.
    """

    FROM, CHANNELS = 1024, 16  # values of an image

    def __init__(self, space: Image) -> None:
        super().__init__()
        self.layer = nn.Conv2d(space.channels, self.CHANNELS, 3, padding=1)
        keep_variance(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (n, CHANNELS, height, width) of images x."""
        return leaky_relu(self.layer(x), SLOPE)


class Critic(nn.Module):
    """A number for each pack of `pack` rows: how real they look (Lin et al. 2018 for packs > 1).

    In training it sees every image through `augment` (see `Augmentation`), real and generated ones
    alike; in evaluation, and where it is `plain`, as it is. With `projection` a class moves no
    layer, but the value: D(x, c) = h(F(x)) + (V c)^T F(x) with features F (Miyato & Koyama 2018).
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        networks: Networks,
        *,
        pack: int,
        augment: Augmentation | None = None,
        projection: bool = False,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.pack, self.augment, self.plain = pack, augment, False
        embedded, projected = (0, classes * pack) if projection else (classes * pack, 0)
        seen = packed(space, pack)
        self.texture: nn.Module = nn.Identity()
        # a user's own networks see images as they are
        if (
            isinstance(seen, Image)
            and values(space) >= Texture.FROM
            and isinstance(networks, Trunks)
        ):
            self.texture = Texture(seen)
            seen = replace(seen, channels=Texture.CHANNELS)
        self.trunk = networks.reader(seen, embedded)
        self.head = nn.Linear(networks.width, outputs)
        self.projection = nn.Linear(projected, networks.width, bias=False) if projected else None

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return what the last layer sees, (n // pack, width); rows that fill no pack are left.

        The rows are read as they are: to augment them is the caller's part (see `forward`).
        """
        rows = together(x, self.pack)
        conditions = None if c is None else together(c, self.pack)
        return cast(Tensor, self.trunk(self.texture(rows), conditions))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the logits (n // pack,), or (n // pack, outputs) where they are several.

        Rows that fill no pack are left out.
        """
        (seen,) = self.seen(x)
        return self.value(seen, c)

    def value(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the logits of rows that are read as they are."""
        return self.numbers(x, c).squeeze(-1)

    def numbers(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Return what the head gives of these rows, (n // pack, outputs)."""
        features = self.features(x, c)
        numbers = cast(Tensor, self.head(features))
        if self.projection is not None and c is not None:
            likeness = self.projection(together(c, self.pack)) * features
            numbers = numbers + likeness.sum(-1, keepdim=True)
        return numbers.float()

    def seen(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Return batches of rows (n, ...) as training shows them, row i of each in the same way."""
        if self.augment is None or self.plain or not self.training:
            return images
        draws = self.augment.draw(len(images[0]), images[0].device)
        return tuple(self.augment(x, draws) for x in images)


def packed(space: Space, pack: int) -> Space:
    """Return the space of `pack` rows laid side by side (images: channel upon channel)."""
    if isinstance(space, Image):
        return replace(space, channels=space.channels * pack)
    if isinstance(space, Cells):
        numbers = space.ranks * pack, space.places * pack, space.logs * pack
        return Cells(space.sizes * pack, *numbers)
    return Vector(space.shape[0] * pack)


def together(x: Tensor, pack: int) -> Tensor:
    """Return x (n, k, ...) as (n // pack, pack * k, ...)."""
    whole = len(x) - len(x) % pack
    return x[:whole].reshape(whole // pack, pack * x.shape[1], *x.shape[2:])
