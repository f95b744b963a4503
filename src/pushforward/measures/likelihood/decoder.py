"""A generator or decoder for the measures of likelihood, and its joint density with rows.

However a model was trained, it is measured as p(x, e) = p(e) N(x; g(e), sigma^2 I): with the same
observation noise for all. Rows of 0 and 1 have Bernoullis instead, whose logits are g(e). The
decoder and the residuals keep the decoder's own dtype; sums (over columns, over a path) are
float64, because a log weight is a small difference of large sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.errors import MeasureError
from pushforward.measures._inputs import matrix
from pushforward.nn.priors import ContinuousPrior, Normal
from pushforward.random import isolated

AT_ONCE = 2**22  # numbers that one call of a decoder may return


class LatentDecoder:
    """A map from codes to the means of p(x|z), with the prior and encoder that belong to it.

    Args:
        mean: codes z (k, latent) -> means (k, ...), or logits where rows are `binary`: a network in
            `eval()` mode, or any function of tensors. `annealed_importance` needs its gradient with
            respect to z.
        latent: the dimension of z.
        prior: p(z); None for N(0, I).
        encoder: rows (n, d) -> mean and log-variance of q(z|x), each (n, latent), in the prior's
            normal coordinates; None where there is none.
        rows: maps a user's data to rows as the decoder gives them; None where they are such
            already.
        dtype: what the decoder reads; None for that of its parameters, or of torch's default.
        binary: whether rows are of 0 and 1, each drawn with the probability sigmoid(g(z)).

    Raises:
        MeasureError: for a latent dimension below 1, or another one than that of the prior.
    """

    def __init__(
        self,
        mean: Callable[[Tensor], Any],
        latent: int,
        *,
        prior: ContinuousPrior | None = None,
        encoder: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
        rows: Callable[[Any], Tensor] | None = None,
        dtype: torch.dtype | None = None,
        binary: bool = False,
    ) -> None:
        if latent < 1 or (prior is not None and prior.latent != latent):
            known = "" if prior is None else f"; the prior's is {prior.latent}"
            raise MeasureError(f"latent must be at least 1 and the prior's, and is {latent}{known}")
        own = next(mean.parameters(), None) if isinstance(mean, nn.Module) else None
        self.mean, self.latent, self.encoder, self.rows = mean, latent, encoder, rows
        self.binary = binary
        self.prior = prior or Normal(latent).to(None if own is None else own.device)
        self.dtype = dtype or (torch.get_default_dtype() if own is None else own.dtype)

    @property
    def device(self) -> torch.device:
        """Where codes are drawn: the prior's device."""
        return self.prior.device

    def means(self, e: Tensor) -> Tensor:
        """Return g(e), (k, d), for points e (k, latent) in the prior's normal coordinates."""
        try:
            written = self.mean(self.prior.carry(e).to(self.dtype))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            what = str(error).splitlines()[0]
            raise MeasureError(
                f"the decoder failed on codes {tuple(e.shape)} of {self.dtype}: {what}; it takes "
                "tensors (k, latent), and LatentDecoder(..., dtype=) sets their dtype"
            ) from error
        if not isinstance(written, Tensor) or written.ndim < 2 or len(written) != len(e):
            form = tuple(written.shape) if isinstance(written, Tensor) else type(written).__name__
            raise MeasureError(f"the decoder must return ({len(e)}, ...) here, and returned {form}")
        return written.flatten(1)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Return n points of the prior in normal coordinates, float64 (n, latent)."""
        seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
        # A prior draws from the global state.
        with isolated(self.device, seed), torch.no_grad():
            return self.prior.draw(n).double()

    def generator(self, seed: int) -> torch.Generator:
        """Return a random generator on the device where codes are drawn."""
        return torch.Generator(self.device).manual_seed(seed)


@dataclass(frozen=True)
class JointDensity:
    """log p(x, e) of rows x (n, d) at points e (n, k, latent), k of them for each row."""

    decoder: LatentDecoder
    x: Tensor
    sigma: float

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.x)

    @property
    def d(self) -> int:
        """The number of columns."""
        return self.x.shape[1]

    def log_prior(self, e: Tensor) -> Tensor:
        """Return log p(e), (n, k)."""
        return self.decoder.prior.log_prob(e.flatten(0, 1)).reshape(e.shape[:2])

    def residuals(self, e: Tensor) -> Tensor:
        """Return x - g(e), (n, k, d), in the decoder's precision."""
        return self.x[:, None] - self.decoder.means(e.flatten(0, 1)).reshape(*e.shape[:2], self.d)

    def log_likelihood(self, e: Tensor) -> Tensor:
        """Return log p(x|e), (n, k)."""
        return gaussian(self.residuals(e).square().sum(-1, dtype=torch.float64), self.d, self.sigma)

    def constant(self) -> float | None:
        """Return the mean log p(x) of these rows under their own N(mean, s^2 I), s^2 the best.

        None for a single row or equal ones: no likelihood is the highest.
        """
        x = self.x.double()
        sigma = math.sqrt(float((x - x.mean(0)).square().mean()))
        return float(gaussian(x.new_tensor(self.d * sigma**2), self.d, sigma)) if sigma else None

    @torch.no_grad()
    def simulated(self, e: Tensor, rng: torch.Generator) -> JointDensity:
        """Return this density with the rows (n, d) that the model itself draws at e (n, latent)."""
        means = self.decoder.means(e)
        noise = torch.randn(means.shape, generator=rng, dtype=means.dtype, device=means.device)
        return replace(self, x=means + self.sigma * noise)

    def parts(self, copies: int) -> Iterator[JointDensity]:
        """Return the rows in parts for which `copies` codes each can be decoded at once."""
        size = max(1, AT_ONCE // (copies * self.d))
        for start in range(0, self.n, size):
            yield replace(self, x=self.x[start : start + size])


class BinaryDensity(JointDensity):
    """log p(x, e) of rows of 0 and 1 with Bernoullis whose logits the decoder gives; no sigma."""

    def log_likelihood(self, e: Tensor) -> Tensor:
        """Return log p(x|e), (n, k)."""
        logits = self.decoder.means(e.flatten(0, 1)).reshape(*e.shape[:2], self.d)
        return -softplus((1 - 2 * self.x)[:, None] * logits).sum(-1, dtype=torch.float64)

    def constant(self) -> float | None:
        """Return the mean log p(x) of these rows under their own shares of 1 in each column."""
        share = self.x.double().mean(0)
        return -float((torch.special.entr(share) + torch.special.entr(1 - share)).sum())

    @torch.no_grad()
    def simulated(self, e: Tensor, rng: torch.Generator) -> JointDensity:
        """Return this density with the rows (n, d) that the model itself draws at e (n, latent)."""
        share = self.decoder.means(e).sigmoid()
        return replace(self, x=torch.bernoulli(share, generator=rng))


def gaussian(squares: Tensor, d: int, sigma: float) -> Tensor:
    """Return log N(x; g, sigma^2 I) for squared distances |x - g|^2 in d dimensions."""
    return -0.5 * (squares / sigma**2 + d * math.log(2 * math.pi * sigma**2))


def joint_density(decoder: LatentDecoder, x: Any, sigma: float) -> JointDensity:
    """Return the joint density of a decoder and rows; MeasureError where they do not fit."""
    if not isinstance(decoder, LatentDecoder):
        raise MeasureError(
            f"a likelihood needs a LatentDecoder, and was given {type(decoder).__name__}: use "
            "fitted.decoder(), or LatentDecoder(network, latent)"
        )
    if not 0 < sigma < math.inf:
        raise MeasureError(f"sigma must be a positive number, and is {sigma}")
    rows = matrix(x if decoder.rows is None else decoder.rows(x), "the data")
    if len(rows) == 0:
        raise MeasureError("a likelihood needs at least 1 row, and was given none")
    _require_deterministic(decoder, rows.shape[1])
    if decoder.binary and not ((rows == 0) | (rows == 1)).all():
        raise MeasureError("a binary decoder needs rows of 0 and 1, and was given other numbers")
    density = BinaryDensity if decoder.binary else JointDensity
    return density(decoder, rows.to(decoder.device, decoder.dtype), sigma)


@torch.no_grad()
def _require_deterministic(decoder: LatentDecoder, d: int) -> None:
    """Raise MeasureError unless the decoder is a function of each code alone, d wide, finite."""
    e = decoder.draw(4, decoder.generator(0))
    means = decoder.means(e)
    if means.shape[1] != d:
        raise MeasureError(f"the decoder gives rows of {means.shape[1]} numbers, the data have {d}")
    if not means.isfinite().all():
        raise MeasureError("the decoder gives NaN or infinity for codes of its own prior")
    if not torch.allclose(means[:2], decoder.means(e[:2]), rtol=1e-3, atol=1e-4 * _scale(means)):
        raise MeasureError(
            "the decoder gives different rows for the same codes; a likelihood needs a function of "
            "the code alone: put a network in eval() mode, and return means, not draws"
        )


def _scale(means: Tensor) -> float:
    return float(means.abs().max())
