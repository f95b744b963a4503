"""The components of models that have an encoder: each row gets a code, noisy or a point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.anatomy import Anatomy
from pushforward.families.codes import Code, Posterior, joined
from pushforward.families.decoders import WithDecoder
from pushforward.families.model import Batch
from pushforward.families.panels import Panel
from pushforward.families.priors import WithLatent, WithPrior
from pushforward.families.samplers import sampler as choose_sampler
from pushforward.nn.priors import ContinuousPrior
from pushforward.nn.roles import Encoder, NoisyEncoder, PointEncoder
from pushforward.space import Image, Space


class WithCodes(WithLatent):
    """A model whose rows have codes; from what their density is, new rows can be drawn.

    With a `sampler` the codes of generated rows are drawn from what `settle` fits to those of the
    training rows, given the condition, in place of the prior.
    """

    averaged: ClassVar[tuple[str, ...]] = ("encoder",)
    settled: ClassVar[tuple[str, ...]] = ("sampler",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        sampler: Annotated[
            str | None,
            "Whence codes of new rows: prior, mixture, flow, second-stage or kernel. [prior; "
            "mixture for images of models whose measure sits in latent space]",
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.sampler = choose_sampler(sampler or self._usual_sampler(), self.prior, classes)

    def _usual_sampler(self) -> str:
        """Return the sampler that measures best (docs/sampling.md).

        Only a measure in latent space leaves it to the code that draws of the prior can be decoded.
        """
        latent = self.place[0] == "latent space"
        return "mixture" if latent and isinstance(self.space, Image) else "prior"

    @abstractmethod
    def encode(self, x: Tensor, c: Tensor | None = None) -> Posterior:
        """Return q(z|x)."""

    @property
    def source(self) -> ContinuousPrior:
        """The sampler once it is fitted, else the prior."""
        own = self.sampler
        return self.prior if own is None or not bool(own.fitted) else own

    @torch.no_grad()
    def settle(self, batches: Iterable[Batch]) -> None:
        """Fit the sampler to the codes of the rows."""
        super().settle(batches)
        if self.sampler is None:
            return
        parts = [(self.encode(x, c), c) for x, c in batches]
        known = [c for _, c in parts if c is not None]
        self.sampler.settle(joined([q for q, _ in parts]), torch.cat(known) if known else None)

    def codes(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return codes z ~ q(z|x) of rows, and as many z' ~ p(z), each (n, latent)."""
        return self.encode(x, c).rsample(), self.prior.sample(len(x), c)

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z) where each row's code is."""
        q = self.encode(x, c)
        return self.mean(q.carry(q.centre()), c)

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the codes tell: see `families.anatomy`."""
        q = self.encode(x, c)
        if len(x) < 3 or not q.finite:
            return super().anatomy(x, c)
        e, gaussian = q.drawn()
        distortion, independent = None, True
        if isinstance(self, WithDecoder) and not self.implicit:
            distortion = -self.decode(q.carry(e), c).log_prob(x)
            independent = self.decoder.likelihood.independent
        expected = self.prior.draw(len(x), c)
        codes = Anatomy(q.centre(), gaussian, self.prior, c, e, expected, distortion, independent)
        return [*codes.panels(), *super().anatomy(x, c)]


class WithEncoder(WithCodes, WithPrior):
    """A model with an encoder q(z|x) = N(f1(x), exp f2(x))."""

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        separate_encoders: Annotated[
            bool, "Two networks f1 and f2 instead of two heads on one."
        ] = False,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        latent = self.prior.latent
        self.encoder = Encoder(space, latent, classes, self.networks, separate=separate_encoders)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Code:
        """Return q(z|x) = N(f1(x), exp f2(x))."""
        mean, log_var = self.encoder(x, c)
        return Code(mean, log_var, self.prior.carry)


class WithPoints(WithCodes, WithPrior):
    """A model with a deterministic encoder: the code of a row is the point f(x)."""

    encoder_kind: ClassVar[type[PointEncoder | NoisyEncoder]] = PointEncoder

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.encoder = self.encoder_kind(space, self.prior.latent, classes, self.networks)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Code:
        """Return the point f(x), a Gaussian of variance 0."""
        mean = self.encoder(x, c)
        return Code(mean, torch.full_like(mean, -torch.inf), self.prior.carry)


class WithDraws(WithPoints):
    """A model whose encoder draws: the code of a row is f(x, eps), of any distribution."""

    encoder_kind: ClassVar[type[PointEncoder | NoisyEncoder]] = NoisyEncoder
