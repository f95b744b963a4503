"""The component of models that have a decoder: a distribution over rows for each code."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from pushforward.families.observations import WithObservation
from pushforward.nn.clip import clip
from pushforward.nn.likelihoods import Likelihood, Observation
from pushforward.nn.likelihoods import likelihood as choose_likelihood
from pushforward.nn.trunks import Networks, precise
from pushforward.space import Image, Space


class Decoder(nn.Module):
    """p(x|z): a writer and the likelihood head that reads its outputs.

    `code_shape` is (latent,) for codes that are vectors, (latent, h, w) for maps.
    """

    def __init__(
        self,
        space: Space,
        code_shape: tuple[int, ...],
        classes: int,
        networks: Networks,
        head: Likelihood,
    ) -> None:
        super().__init__()
        self.likelihood = head
        outputs = self.likelihood.outputs
        if isinstance(space, Image) and len(code_shape) > 1:
            self.trunk = networks.map_writer(space, code_shape[0], outputs, classes)
        else:
            self.trunk = networks.writer(space, code_shape[0], outputs, classes)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Observation:
        """Return the distribution over rows for codes z (n, *code_shape)."""
        observation: Observation = self.likelihood(precise(self.trunk(z, c)))
        return observation


class WithDecoder(WithObservation):
    """A model with a decoder p(x|z); what comes before it in the class says what codes are."""

    averaged: ClassVar[tuple[str, ...]] = ("decoder",)
    code_shape: tuple[int, ...]

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        likelihood: Annotated[
            str,
            "p(x|z): auto, gaussian, unit-gaussian; images also autoregressive, bernoulli, "
            "logistic; tables autoregressive (the usual one: a column given those before it, which "
            "does most of the work, so that the code carries less than a nat on Adult) or "
            "categorical (columns are independent given the code, which does it).",
        ] = "auto",
        noise: Annotated[
            bool | None,
            "Images: show draws from p(x|z), or its means. [draws; vae-gan: means]",
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.noise = not self.implicit if noise is None else noise
        head = choose_likelihood(likelihood, space, implicit=self.implicit)
        self.decoder = Decoder(space, self.code_shape, classes, self.networks, head)

    def begin(self, x: Tensor, c: Tensor | None) -> None:
        """Let the likelihood choose where it starts, unless a critic is to teach it."""
        super().begin(x, c)
        if not self.implicit:
            self.decoder.likelihood.begin(x)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Observation:
        """Return p(x|z) for codes z of the prior."""
        observation: Observation = self.decoder(z, c)
        return observation

    @property
    def implicit(self) -> bool:
        """Whether the decoder serves as a generator, whose rows a critic looks at.

        Then images are its means, through which gradients flow.
        """
        return self.place == ("data space", "learned by a critic")

    @property
    def shows_mean(self) -> bool:
        """Whether generated rows are means: images are, unless `noise`."""
        return isinstance(self.space, Image) and not self.noise

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return a draw from p(x|z); for images its mean, unless `noise`."""
        p = self.decode(z, c)
        return clip(p.mean()) if self.shows_mean else p.sample()

    def show(self, p: Observation) -> Tensor:
        """Return what `generate` gives for p(x|z), so that gradients flow through it."""
        return clip(p.mean()) if self.shows_mean else p.rsample()

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z)."""
        return self.decode(z, c).mean()

    def likelihood_head(self) -> Likelihood | None:
        """Return the decoder's."""
        return self.decoder.likelihood

    def observation(self, z: Tensor, c: Tensor | None = None) -> Observation | None:
        """Return p(x|z)."""
        return self.decode(z, c)
