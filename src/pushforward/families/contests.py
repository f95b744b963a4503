"""The contests of one critic with one generator: what the critic's values cost each of them."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithCritic, WithPenalty
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.space import Space


class Contest(WithPenalty, WithGenerator):
    """A GAN whose losses are means over rows: what a value d = D(x) costs is the variant's to say.

    Critic: E real(D(x)) + E fake(D(g(z))) + gamma/2 E|grad_x D(x)|^2 (R1, where gamma > 0);
    generator: E fool(D(g(z))). The non-saturating game's, unless a variant says otherwise.
    """

    def real(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on real rows cost the critic: -log sigmoid(d)."""
        return softplus(-d)

    def fake(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on generated rows cost the critic: -log(1 - sigmoid(d))."""
        return softplus(d)

    def fool(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on generated rows cost the generator: -log sigmoid(d)."""
        return softplus(-d)

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return -E real(D(x)) - E fake(D(g(z))), which the critic raises."""
        return -self.real(real).mean() - self.fake(fake).mean()

    @turn("critic", every="penalty_every", between="compare", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, by gentle slopes."""
        if self.gamma == 0:
            return self.compare(x, c)
        fake = self.fake(self.critic(self.imagine(len(x), c).detach(), c))
        d, r1 = self.penalised(x, c)
        return {"real": self.real(d), "fake": fake, "r1": r1}

    def compare(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows."""
        fake = self.fake(self.critic(self.imagine(len(x), c).detach(), c))
        return {"real": self.real(self.critic(x, c)), "fake": fake}

    @turn("generator", data=False, betas=(0.0, 0.99))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Make generated rows look real."""
        return {"fool": self.fool(self.critic(self.imagine(n, c), c))}


class Dual(WithCritic, WithGenerator):
    """The dual of the earth mover's distance: E D(x) - E D(g(z)), over critics of slope 1.

    The critic raises the gap, n_critic times for each time that the generator lowers it. What keeps
    the critic's slope is the variant's to say: a term of its own, or what follows its steps.
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        n_critic: Annotated[int, "Moves of the critic for one of the generator.", at_least(1)] = 5,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.n_critic = n_critic

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return E D(x) - E D(g(z))."""
        return real.mean() - fake.mean()

    @turn("critic", repeat="n_critic", learning_rate=5e-4, betas=(0.0, 0.9))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Widen the gap between real and generated rows."""
        fake = self.imagine(len(x), c).detach()
        restraint = self.restrain(x, fake, c)
        return {"real": -self.critic(x, c), "fake": self.critic(fake, c), **restraint}

    def restrain(self, x: Tensor, fake: Tensor, c: Tensor | None) -> Terms:
        """Return what the critic pays for its slopes."""
        del x, fake, c
        return {}

    @turn("generator", data=False, learning_rate=5e-4, betas=(0.0, 0.9))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Raise generated rows by the critic's measure."""
        return {"fool": -self.critic(self.imagine(n, c), c)}
