"""The component of models that have a critic: the measure that a network learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pushforward.errors import ModelError
from pushforward.families.codes import squared_distance
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Model, Terms
from pushforward.families.options import above, at_least, between, log_range
from pushforward.families.panels import Panel
from pushforward.families.priors import WithPrior
from pushforward.families.slopes import slopes
from pushforward.nn.augment import Augmentation, augmentation
from pushforward.nn.roles import Critic, together
from pushforward.nn.sizes import size_of
from pushforward.nn.spectral import refine, spectrally_normalised
from pushforward.nn.trunks import Trunks
from pushforward.space import Space, Vector, slope_scale


@dataclass(frozen=True)
class Seen:
    """What a critic has looked at in its turn: real rows x, generated rows y, and D of both.

    Rows are (n, ...), with one condition c (n, classes) or None for both; values (n // pack,).
    """

    x: Tensor
    y: Tensor
    c: Tensor | None
    of_x: Tensor
    of_y: Tensor


class WithCritic(Model):
    """A model with a critic D(x).

    With `augment` the critic sees augmented images in training, real and generated ones alike; what
    the model generates is never augmented, nor what is shown of the critic afterwards. With
    `spectral_norm` no layer of it stretches a vector (Miyato et al. 2018). `critic_pace` gives the
    players two time scales (Heusel et al. 2017).
    """

    reads_class: ClassVar[bool] = True  # whether D is D(x, c), where there is a condition
    critic_kind: ClassVar[type[Critic]] = Critic
    critic_outputs: ClassVar[int] = 1

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        pack: Annotated[int, "Rows that the critic sees at once.", at_least(1)] = 1,
        augment: Annotated[
            str, "What the critic sees of images: none, or color,translation,cutout,flip."
        ] = "none",
        augment_p: Annotated[
            float, "Probability of each augmentation, for each image.", between(0, 1)
        ] = 0.5,
        spectral_norm: Annotated[bool, "Divide the critic's weights by their norms."] = False,
        projection: Annotated[
            bool, "With a condition: the critic reads the class by a product with its features."
        ] = False,
        critic_pace: Annotated[float, "Factor of the critic's learning rate.", above(0)] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.critic = self.critic_kind(
            space,
            classes if self.reads_class else 0,
            self.networks,
            pack=pack,
            augment=augmentation(augment, augment_p, space),
            projection=projection,
            outputs=self.critic_outputs,
        )
        self.spectral_norm, self.critic_pace = spectral_norm, critic_pace
        if spectral_norm:
            spectrally_normalised(self.critic)

    def after_step(self, turn: str) -> None:
        """Follow the norms of a critic that has moved."""
        super().after_step(turn)
        if self.spectral_norm and "critic" in self.movers(turn):
            refine(self.critic)

    def look(self, x: Tensor, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the critic's values of real rows x and of generated ones y, each (n // pack,)."""
        return self.critic(x, c), self.critic(y, c)

    def restrain(self, seen: Seen) -> Terms:
        """Return what the critic pays beside its verdict: by default nothing."""
        del seen
        return {}

    def policy(self, purpose: str) -> Augmentation:
        """Return how images are augmented; ModelError where `augment` does not say so."""
        if self.critic.augment is None:
            msg = f"{purpose}: say how, as in augment='translation,flip'"
            raise ModelError(msg)
        return self.critic.augment

    def judge(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x) and |grad_x D(x)|^2, each one value a pack (n // pack,).

        The squared norm is what R1, R2 and the penalties of Wasserstein critics are made of; it can
        be differentiated in turn. Where images are augmented, x is the image before.
        """
        values, slope = slopes(lambda rows: self.critic(rows, c), x)
        return values, together(slope, self.critic.pack).flatten(1).square().sum(1)

    def scores(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the critic's values of rows and of as many generated ones, each (n // pack,)."""
        return self.look(x, self.imagine(len(x), c), c)

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return 2 log 2 - E softplus(-D(x)) - E softplus(D(y)), at most twice the JS divergence.

        In nats; that of critics that tell real from generated rows by a logistic loss.
        """
        return 2 * math.log(2) - softplus(-real).mean() - softplus(fake).mean()

    def unlike(self, x: Tensor, y: Tensor, c: Tensor | None) -> Tensor:
        """Return 1/2 |F(x) - F(y)|^2 of the critic's features F: -log N(F(x); F(y), I) + const."""
        x, y = self.critic.seen(x, y)
        return 0.5 * squared_distance(self.critic.features(x, c), self.critic.features(y, c))

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the critic sees on held-out and on generated rows."""
        real, fake = self.scores(x, c)
        above = float((real[:, None] > fake).float().mean())
        return [
            *super().anatomy(x, c),
            Panel(
                "What the critic sees",
                "histogram",
                {"held-out rows": real.tolist(), "generated rows": fake.tolist()},
                x_title="critic's value D(x)",
                y_title="share",
                note=f"A held-out row scores above a generated one in {above:.0%} of pairs; "
                "50 % means that the learned measure sees no difference.",
            ),
        ]


class WithLatentCritic(WithPrior):
    """A model with a critic D(z) of codes.

    Codes are vectors whatever the rows are, so it has the size of a network of vectors.
    """

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        codes = Vector(self.prior.latent)
        size = size_of(codes)
        self.critic = Critic(codes, classes, Trunks(size.width, size.depth), pack=1)

    def judge(self, e: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(e) and |grad_e D(e)|^2, each (n,)."""
        values, slope = slopes(lambda codes: self.critic(codes, c), e)
        return values, slope.square().sum(1)


class WithR1(Model):
    """A model whose critic pays for its slopes at real rows: gamma/2 |grad_x D|^2 (Mescheder 2018).

    `self.gamma` is in the units of the data, so that one default serves tables, images and points
    (see `slope_scale`). With `gamma_end` it falls over the steps, of which a share t is played:
    end + (gamma - end) (1 + cos(pi t)) / 2, the schedule of R3GAN (Huang et al. 2024).
    """

    falling: Tensor | None

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[
            float,
            "Weight of the gradient penalty, per unit of data variance (images: a twentieth).",
            at_least(0),
            log_range(0.02, 2),
        ] = 0.2,
        gamma_end: Annotated[
            float | None, "What gamma falls to over the steps, by a cosine. [gamma]", at_least(0)
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        if gamma_end is not None and gamma_end > gamma:
            msg = f"gamma_end must be at most gamma, which falls to it: {gamma_end=:g}, {gamma=:g}"
            raise ModelError(msg)
        self.gamma = gamma * slope_scale(space)
        self.lowest = self.gamma if gamma_end is None else gamma_end * slope_scale(space)
        # The loop says anew in each round how far it has come, so this need not be saved.
        start = None if gamma_end is None else torch.tensor(self.gamma)
        self.register_buffer("falling", start, persistent=False)

    def before_round(self, share: float) -> None:
        """Let gamma fall."""
        super().before_round(share)
        if self.falling is not None:
            left = (1 + math.cos(math.pi * share)) / 2
            self.falling.fill_(self.lowest + (self.gamma - self.lowest) * left)

    def paid(self, steepness: Tensor) -> Tensor:
        """Return what slopes cost whose squared norms are given: gamma/2 of them, as it is now."""
        return (self.gamma if self.falling is None else self.falling) / 2 * steepness


class WithSlope(WithCritic):
    """A model whose critic pays where its slope is not 1: penalty (|grad_x D(x)| - 1)^2.

    One-sided it pays for slopes above 1 alone (Gulrajani et al. 2017, their section 4).
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        penalty: Annotated[
            float, "Weight of the gradient penalty.", at_least(0), log_range(1, 100)
        ] = 10.0,
        one_sided: Annotated[bool, "Only slopes above 1 are paid for."] = False,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.penalty, self.one_sided = penalty, one_sided

    def off_slope(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Return what the critic pays for its slope at rows x, (n // pack,)."""
        _, squared = self.judge(x, c)
        off = (squared + 1e-12).sqrt() - 1  # whose derivative is finite at 0
        return self.penalty * (off.relu() if self.one_sided else off).square()


class WithPenalty(WithR1, WithCritic):
    """A model whose critic pays R1, and perhaps R2, as part of its turn.

    With `penalty_every` = k it pays in every k-th of its turns alone, k times as much: the same
    on average, for less work (lazy regularisation, Karras et al. 2020). The penalty is part of
    the step in which it comes, so Adam makes one step a round for every k, and its rates are not
    corrected as they are in StyleGAN2, where the penalty makes a further step of its own.
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        penalty_every: Annotated[
            int, "Turns of the critic for one with the penalty, so much heavier.", at_least(1)
        ] = 1,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.penalty_every = penalty_every

    def penalised(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x), and what the critic pays for its slope there, each (n // pack,)."""
        values, steepness = self.judge(x, c)
        return values, self.penalty_every * self.paid(steepness)


class WithJointCritic(WithPrior):
    """A model with a critic D(x, z) of rows and their codes together.

    The critic reads a code where other critics read a condition: a linear map of it is added to the
    first hidden layer.
    """

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.critic = Critic(space, self.prior.latent + classes, self.networks, pack=1)

    def judge(self, x: Tensor, z: Tensor, c: Tensor | None) -> Tensor:
        """Return D(x, z), (n,)."""
        return torch.as_tensor(self.critic(x, z if c is None else torch.cat([z, c], 1)))


class WithJointPenalty(WithR1, WithJointCritic):
    """A model whose critic of rows and codes pays R1 for its slopes by rows."""

    def penalised(self, x: Tensor, z: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x, z), and gamma/2 |grad_x D(x, z)|^2, each (n,)."""
        values, slope = slopes(lambda rows: self.judge(rows, z, c), x)
        return values, self.paid(slope.flatten(1).square().sum(1))


class WithFeatures(WithCritic, WithGenerator):
    """A generator, and a critic whose outputs F(x) are compared by a measure of two samples."""

    critic_outputs: ClassVar[int] = 16

    def look(self, x: Tensor, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return F of both, along the line from the mean of y's to that of x's."""
        of_x, of_y = self.critic(x, c), self.critic(y, c)
        across = of_x.mean(0) - of_y.mean(0)
        return of_x @ across, of_y @ across

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return |E F(x) - E F(y)|^2, the difference of means along the line between them."""
        return real.mean() - fake.mean()
