"""BiGAN: a GAN on rows and codes together, whose encoder comes to invert its generator."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.contests import PairContest
from pushforward.families.model import Terms, turn


class BiGAN(PairContest):
    """Rows with their codes, (x, z ~ q(z|x)), against codes with their rows, (g(z), z ~ p(z)).

    Critic: E softplus(-D(x, z)) + E softplus(D(g(z), z)) + gamma/2 E|grad_x D(x, z)|^2; encoder and
    generator: the same with the two exchanged. Where the joint distributions agree, so do those of
    x and of z, and encoder and generator invert each other. Codes are Gaussian and reparametrised,
    as in ALI; a BiGAN's are points.
    """

    name: ClassVar[str] = "bigan"
    place: ClassVar[tuple[str, str]] = ("joint (x, z)", "learned by a critic")
    reference: ClassVar[str] = "Donahue et al. 2017; Dumoulin et al. 2017"

    @turn("encoder", "generator", "prior", betas=(0.5, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Make each kind of pair look like the other."""
        inferred, z = self.codes(x, c)
        real, fake = self.judge(x, inferred, c), self.judge(self.generate(z, c), z, c)
        return {"inferred": softplus(real), "generated": softplus(-fake)}
