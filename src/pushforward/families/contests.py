"""The contests of one critic with one generator: what the critic's values cost each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.func import functional_call, grad
from torch.nn.functional import softplus

from pushforward.families.acceptance import WithAcceptance
from pushforward.families.critics import Seen, WithJointPenalty, WithPenalty
from pushforward.families.encoders import WithEncoder
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import above, at_least
from pushforward.families.restraints import WithRestraints
from pushforward.space import Space

Look = Callable[[Tensor], Tensor]  # from rows (n, ...) to a critic's values (n // pack,)


class Rivalry(WithRestraints, WithAcceptance):
    """One critic D against one generator g, x real rows and y = g(z) generated ones.

    What values cost the critic is its `verdict`, what they cost the generator its `plea`: those of
    the non-saturating game, unless a variant says otherwise. With `unroll` = k the generator hears
    the critic that would be there after k more steps of steepest descent, which it takes into
    account that it moves (Metz et al. 2017). With `feature_matching` it also lowers
    weight |E F(x) - E F(y)|^2, F the critic's features (Salimans et al. 2016).
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        unroll: Annotated[
            int, "Steps of the critic that the generator looks ahead.", at_least(0)
        ] = 0,
        unroll_rate: Annotated[float, "Learning rate of these steps.", above(0)] = 0.1,
        feature_matching: Annotated[
            float, "Weight of the distance of mean features.", at_least(0)
        ] = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.unroll, self.unroll_rate = unroll, unroll_rate
        self.feature_matching = feature_matching

    @property
    def generator_reads(self) -> bool:
        """Whether the generator's turn takes rows."""
        return self.unroll > 0 or self.feature_matching > 0

    def real(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on real rows cost the critic: -log sigmoid(d)."""
        return softplus(-d)

    def fake(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on generated rows cost the critic: -log(1 - sigmoid(d))."""
        return softplus(d)

    def fool(self, d: Tensor) -> Tensor:
        """Return what values d (n,) on generated rows cost the generator: -log sigmoid(d)."""
        return softplus(-d)

    def verdict(self, of_x: Tensor, of_y: Tensor) -> Terms:
        """Return what the critic pays for its values."""
        return {"real": self.real(of_x), "fake": self.fake(of_y)}

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the critic raises: its verdict, with the sign changed."""
        return -torch.stack([term.mean() for term in self.verdict(real, fake).values()]).sum()

    def plea(self, of_y: Tensor, of_x: Callable[[], Tensor]) -> Terms:
        """Return what the generator pays for the critic's values; of real rows on request."""
        del of_x
        return {"fool": self.fool(of_y)}

    @turn("critic", pace="critic_pace", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows."""
        return self.compare(x, c)

    def compare(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, without what comes every so often."""
        y = self.shown(len(x), c)
        return self.judged(Seen(x, y, c, of_y=self.critic(y, c), of_x=self.critic(x, c)))

    @torch.no_grad()
    def shown(self, n: int, c: Tensor | None) -> Tensor:
        """Return generated rows for the critic to look at: no gradient comes back to them."""
        return self.generate(self.prior.sample(n, c), c)

    def judged(self, seen: Seen) -> Terms:
        """Return the terms of a critic that has looked at real and generated rows."""
        return self.verdict(seen.of_x, seen.of_y) | self.restrain(seen)

    @turn("generator", data="generator_reads", betas=(0.0, 0.99))
    def close_in(self, x: Tensor | int, c: Tensor | None) -> Terms:
        """Make generated rows look real."""
        z = self.prior.sample(x if isinstance(x, int) else len(x), c)
        y = self.generate(z, c)
        return self.persuade(x, y, c) | self.ask(z, y)

    def ask(self, z: Tensor, y: Tensor) -> Terms:
        """Return what rows y cost their generator because of the codes z that they are made of."""
        del z, y
        return {}

    def persuade(self, x: Tensor | int, y: Tensor, c: Tensor | None) -> Terms:
        """Return what rows y cost their generator; x are rows where it reads them."""
        if isinstance(x, int):
            return self.plea(self.critic(y, c), lambda: y.new_empty(0))
        look = self._foreseen(x, y, c) if self.unroll else lambda rows: self.critic(rows, c)
        terms = self.plea(look(y), lambda: look(x))
        return terms | self._matched(x, y, c) if self.feature_matching else terms

    def _matched(self, x: Tensor, y: Tensor, c: Tensor | None) -> Terms:
        of_x, of_y = (self.critic.features(rows, c).float() for rows in self.critic.seen(x, y))
        distance = (of_x.mean(0) - of_y.mean(0)).square().sum()
        return {"features": self.feature_matching * distance.expand(len(of_x))}

    def _foreseen(self, x: Tensor, y: Tensor, c: Tensor | None) -> Look:
        """Return the critic after some steps down its verdict on these rows."""
        weights: dict[str, Tensor] = dict(self.critic.named_parameters())

        def look(weights: dict[str, Tensor], rows: Tensor) -> Tensor:
            return torch.as_tensor(functional_call(self.critic, weights, (rows, c)))

        def loss(weights: dict[str, Tensor]) -> Tensor:
            terms = self.verdict(look(weights, x), look(weights, y))
            return torch.stack([term.mean() for term in terms.values()]).sum()

        for _ in range(self.unroll):
            slopes = grad(loss)(weights)
            weights = {n: w - self.unroll_rate * slopes[n] for n, w in weights.items()}
        return lambda rows: look(weights, rows)


class Contest(WithPenalty, Rivalry):
    """A rivalry whose critic also pays R1, gamma/2 E|grad_x D(x)|^2, where gamma > 0."""

    @turn("critic", every="penalty_every", between="compare", pace="critic_pace", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, by gentle slopes."""
        if self.gamma == 0:
            return self.compare(x, c)
        y = self.shown(len(x), c)
        of_y = self.critic(y, c)
        of_x, r1 = self.penalised(x, c)
        return self.judged(Seen(x, y, c, of_x, of_y)) | {"r1": r1}


class Relativistic(Contest):
    """A contest in which real and generated rows are compared, in both turns.

    The generator pays what the critic would if the two were exchanged (Jolicoeur-Martineau 2019).
    """

    @property
    def generator_reads(self) -> bool:
        """Real rows are compared with."""
        return True

    def plea(self, of_y: Tensor, of_x: Callable[[], Tensor]) -> Terms:
        """Return the verdict with real and generated rows exchanged."""
        return self.verdict(of_y, of_x())


class WithTransport(Rivalry):
    """A rivalry whose generator also pays for the way on which it carries z: the shortest is best.

    transport E|g(z) - z|^2 / n, for n values a row, z repeated (or cut) to fill them. The rows'
    distribution is the critic's to ask for; of all maps from z to it this chooses one, the optimal
    transport of the prior as it lies among rows (Lin et al. 2025, whose z has the size of a row).
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        transport: Annotated[float, "Weight of the way from z to g(z).", at_least(0)] = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.transport = transport

    def ask(self, z: Tensor, y: Tensor) -> Terms:
        """Add what the way costs."""
        terms = super().ask(z, y)
        if self.transport == 0:
            return terms
        place = torch.arange(y[0].numel(), device=z.device) % z.shape[1]
        way = (y.flatten(1) - z[:, place]).square().mean(1)
        return terms | {"way": self.transport * way}


class Dual(Rivalry):
    """The dual of the earth mover's distance: E D(x) - E D(y), over critics of slope 1.

    The critic raises the gap, n_critic times for each time that the generator lowers it. What keeps
    the critic's slope is the variant's to say: a restraint, or what follows its steps.
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

    def real(self, d: Tensor) -> Tensor:
        """Return -d."""
        return -d

    def fake(self, d: Tensor) -> Tensor:
        """Return d."""
        return d

    def fool(self, d: Tensor) -> Tensor:
        """Return -d."""
        return -d

    @turn("critic", repeat="n_critic", learning_rate=5e-4, pace="critic_pace", betas=(0.0, 0.9))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Widen the gap between real and generated rows."""
        return self.compare(x, c)

    @turn("generator", data="generator_reads", learning_rate=5e-4, betas=(0.0, 0.9))
    def close_in(self, x: Tensor | int, c: Tensor | None) -> Terms:
        """Raise generated rows by the critic's measure."""
        return super().close_in(x, c)


class PairContest(WithJointPenalty, WithGenerator, WithEncoder):
    """Rows with their codes, (x, z ~ q(z|x)), against codes with their rows, (g(z), z ~ p(z)).

    Critic: E softplus(-D(x, z)) + E softplus(D(g(z), z)) + gamma/2 E|grad_x D(x, z)|^2.
    """

    def scores(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D of rows with their codes, and of codes with their rows, each (n,)."""
        inferred, z = self.codes(x, c)
        return self.judge(x, inferred, c), self.judge(self.generate(z, c), z, c)

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the critic raises, but for the penalty."""
        return -softplus(-real).mean() - softplus(fake).mean()

    @turn("critic", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell rows with their codes from codes with their rows."""
        inferred, z = (codes.detach() for codes in self.codes(x, c))
        real, r1 = self.penalised(x, inferred, c)
        fake = self.judge(self.generate(z, c).detach(), z, c)
        return {"inferred": softplus(-real), "generated": softplus(fake), "r1": r1}
