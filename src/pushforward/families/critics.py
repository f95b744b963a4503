"""The component of models that have a critic: the measure that a network learns."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.func import grad

from pushforward.families.codes import squared_distance
from pushforward.families.model import Model
from pushforward.families.options import at_least, between, log_range
from pushforward.families.panels import Panel
from pushforward.families.priors import WithPrior
from pushforward.nn.augment import augmentation
from pushforward.nn.roles import Critic, together
from pushforward.nn.sizes import size_of
from pushforward.nn.trunks import Trunks
from pushforward.space import Space, Vector, total_variance


class WithCritic(Model):
    """A model with a critic D(x).

    With `augment` the critic sees augmented images in training, real and generated ones alike; what
    the model generates is never augmented, nor what is shown of the critic afterwards.
    """

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
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        seen = augmentation(augment, augment_p, space)
        self.critic = Critic(space, classes, self.networks, pack=pack, augment=seen)

    def judge(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x) and |grad_x D(x)|^2, each one value a pack (n // pack,).

        The squared norm is what R1, R2 and the penalties of Wasserstein critics are made of; it can
        be differentiated in turn. Where images are augmented, x is the image before.
        """

        def total(rows: Tensor) -> tuple[Tensor, Tensor]:
            values: Tensor = self.critic(rows, c)
            return values.sum(), values

        slope, values = grad(total, has_aux=True)(x)
        return values, together(slope, self.critic.pack).flatten(1).square().sum(1)

    def unlike(self, x: Tensor, y: Tensor, c: Tensor | None) -> Tensor:
        """Return 1/2 |F(x) - F(y)|^2 of the critic's features F: -log N(F(x); F(y), I) + const."""
        x, y = self.critic.seen(x, y)
        return 0.5 * squared_distance(self.critic.features(x, c), self.critic.features(y, c))

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the critic sees on held-out and on generated rows."""
        real, fake = self.critic(x, c), self.critic(self.imagine(len(x), c), c)
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


class WithPenalty(WithCritic):
    """A model whose critic pays for its slopes: gamma/2 |grad_x D(x)|^2 (Mescheder et al. 2018).

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
        gamma: Annotated[
            float,
            "Weight of the gradient penalty, per unit of data variance.",
            at_least(0),
            log_range(0.02, 2),
        ] = 0.2,
        penalty_every: Annotated[
            int, "Turns of the critic for one with the penalty, so much heavier.", at_least(1)
        ] = 1,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        # In these units one default serves tables, images and points (see `total_variance`).
        self.gamma = gamma * total_variance(space)
        self.penalty_every = penalty_every

    def penalised(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x), and what the critic pays for its slope there, each (n // pack,)."""
        values, steepness = self.judge(x, c)
        return values, self.penalty_every * self.gamma / 2 * steepness


class WithJointCritic(WithPrior):
    """A model with a critic D(x, z) of rows and their codes together.

    The critic reads a code where other critics read a condition: a linear map of it is added to the
    first hidden layer.
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[
            float,
            "Weight of the gradient penalty, per unit of data variance.",
            at_least(0),
            log_range(0.02, 2),
        ] = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.gamma = gamma * total_variance(space)
        self.critic = Critic(space, self.prior.latent + classes, self.networks, pack=1)

    def judge(self, x: Tensor, z: Tensor, c: Tensor | None) -> Tensor:
        """Return D(x, z), (n,)."""
        return torch.as_tensor(self.critic(x, z if c is None else torch.cat([z, c], 1)))

    def penalised(self, x: Tensor, z: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x, z), and gamma/2 |grad_x D(x, z)|^2, each (n,)."""

        def total(rows: Tensor) -> tuple[Tensor, Tensor]:
            values = self.judge(rows, z, c)
            return values.sum(), values

        slope, values = grad(total, has_aux=True)(x)
        return values, self.gamma / 2 * slope.flatten(1).square().sum(1)
