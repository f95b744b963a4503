"""Augmentation: each transformation against a loop, its gradients, and that it does not leak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.data import ImageSchema
from pushforward.data.numeric import Array
from pushforward.families.critics import WithCritic
from pushforward.models import all_models
from pushforward.models.gan import GAN
from pushforward.models.r3gan import R3GAN
from pushforward.models.vae_gan import VAEGAN
from pushforward.nn.augment import POLICIES, Augmentation
from pushforward.space import Cells, Image, Space, Vector

IN_PLACE = "color,translation,cutout"
EVERY = f"{IN_PLACE},flip"
WITH_CRITIC = [name for name, model in all_models().items() if "augment" in model.options()]
SPACES = [Image(1, 8, 8), Image(3, 9, 12), Image(4, 12, 9)]


def images(space: Image, n: int) -> Tensor:
    return torch.rand(n, *space.shape, dtype=torch.float64) * 2 - 1


# --- each transformation against a loop over pixels


def loop_color(x: Array, u: Array) -> Array:
    """DiffAugment's brightness, saturation and contrast, of one image (C, H, W)."""
    y = x + (u[1] - 0.5)
    if len(y) == 3:
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                mean = y[:, i, j].mean()
                y[:, i, j] = (y[:, i, j] - mean) * (2 * u[3]) + mean
    return np.asarray((y - y.mean()) * (u[5] + 0.5) + y.mean())


def loop_translation(x: Array, u: Array) -> Array:
    """y[i + down, j + right] = x[i, j], at most an eighth of each side, which is rounded."""
    y = np.zeros_like(x)
    far = [math.floor(side / 8 + 0.5) for side in x.shape[1:]]
    down, right = (math.floor(v * (2 * m + 1)) - m for v, m in zip(u[1:], far, strict=True))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            if 0 <= i + down < x.shape[1] and 0 <= j + right < x.shape[2]:
                y[:, i + down, j + right] = x[:, i, j]
    return y


def loop_cutout(x: Array, u: Array) -> Array:
    """Half of each side from the drawn middle; what stands out is left out."""
    y = x.copy()
    sizes = [math.floor(side / 2 + 0.5) for side in x.shape[1:]]
    middles = [
        math.floor(v * (side + 1 - size % 2))
        for v, side, size in zip(u[1:], x.shape[1:], sizes, strict=True)
    ]
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            if all(
                m - s // 2 <= k < m - s // 2 + s
                for k, m, s in zip((i, j), middles, sizes, strict=True)
            ):
                y[:, i, j] = 0
    return y


def loop_flip(x: Array, u: Array) -> Array:
    return x[:, :, ::-1].copy() if u[1] < 0.5 else x


LOOPS = {
    "color": loop_color,
    "translation": loop_translation,
    "cutout": loop_cutout,
    "flip": loop_flip,
}


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_transformation_is_that_of_a_loop_over_pixels(policy: str, space: Image) -> None:
    torch.manual_seed(0)
    augment, x = Augmentation(policy, 1.0, space), images(space, 40)
    u = augment.draw(40, x.device).double()
    y = augment(x, u).numpy()
    expected = [LOOPS[policy](a, b) for a, b in zip(x.numpy(), u.numpy(), strict=True)]
    np.testing.assert_allclose(y, np.stack(expected), rtol=1e-6, atol=1e-6)
    assert all(not np.array_equal(a, b) for a, b in zip(y[:5], np.roll(y, 1, 0)[:5], strict=True))


def test_moves_and_cuts_come_in_all_places_alike() -> None:
    """3 x 3 moves of 8 x 8 pixels: 9,000 draws, each 1/9, within 4.5 standard errors of a count."""
    torch.manual_seed(0)
    augment = Augmentation("translation", 1.0, Image(1, 8, 8))
    x = torch.zeros(9000, 1, 8, 8)
    x[:, :, 4, 4] = 1
    counts = augment(x, augment.draw(9000, x.device)).sum(0)[0]
    assert int(counts[3:6, 3:6].sum()) == 9000
    assert float((counts[3:6, 3:6] - 1000).abs().max()) < 4.5 * math.sqrt(9000 * 8 / 81)


def test_p_is_the_share_of_images_that_a_step_changes() -> None:
    """A share of 4,000 has a standard error of 0.0072 at 0.3; 4.5 of them."""
    torch.manual_seed(0)
    x = torch.ones(4000, 1, 8, 8)
    for p in (0.0, 0.3, 1.0):
        augment = Augmentation("cutout", p, Image(1, 8, 8))
        changed = (augment(x, augment.draw(4000, x.device)) != x).flatten(1).any(1)
        assert float(changed.float().mean()) == pytest.approx(
            p, abs=4.5 * math.sqrt(p * (1 - p) / 4000)
        )


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_gradients_of_first_and_second_order_are_those_of_finite_differences(space: Image) -> None:
    torch.manual_seed(0)
    augment, x = Augmentation(EVERY, 0.8, space), images(space, 2).requires_grad_()
    u = augment.draw(2, x.device).double()

    def energy(x: Tensor) -> Tensor:
        return torch.as_tensor(augment(x, u).pow(3).sum((1, 2, 3)))

    assert torch.autograd.gradcheck(energy, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, x, fast_mode=True)


# --- what the players of a game see


def model_of(cls: type[WithCritic], **options: Any) -> Any:
    torch.manual_seed(0)
    model = cls(Image(3, 8, 8), 2, latent=4, width=8, augment=EVERY, **options).double()
    with torch.no_grad():  # the second layers of residual blocks start at 0
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("cls", [GAN, R3GAN])
def test_the_penalty_is_that_of_the_image_before_it_is_augmented(
    cls: type[GAN] | type[R3GAN], pack: int
) -> None:
    model = model_of(cls, pack=pack, augment_p=0.7)
    x, c = images(Image(3, 8, 8), 6), torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1, 1, 0]]
    torch.manual_seed(1)
    values, steepness = model.judge(x, c)

    torch.manual_seed(1)
    leaf, augment = x.clone().requires_grad_(), model.critic.augment
    seen = augment(leaf, augment.draw(6, x.device))  # a row's draws are its own, in packs too
    out = model.critic.head(model.critic.features(seen, c))[:, 0].float()
    (slope,) = torch.autograd.grad(out.sum(), leaf, create_graph=True)
    torch.testing.assert_close(values, out)
    packs = slope.reshape(6 // pack, -1).square().sum(1)
    torch.testing.assert_close(steepness, packs)
    weights = list(model.critic.parameters())
    ours = torch.autograd.grad(steepness.mean(), weights, allow_unused=True)
    theirs = torch.autograd.grad(packs.mean(), weights, allow_unused=True)
    assert any(g is not None and bool(g.any()) for g in theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)


def test_both_players_see_augmented_images_and_the_generator_learns_through_them() -> None:
    model = model_of(GAN).float()
    augment, c = model.critic.augment, torch.eye(2)[[0, 1, 1]]
    weights = list(model.generator.parameters())
    torch.manual_seed(1)
    ours = torch.autograd.grad(model.close_in(3, c)["fool"].mean(), weights)
    torch.manual_seed(1)
    fake = model.generator(torch.randn(3, 4), c)
    seen = augment(fake, augment.draw(3, fake.device))
    values = model.critic.eval()(seen, c)
    theirs = torch.autograd.grad(torch.nn.functional.softplus(-values).mean(), weights)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_images_that_are_compared_are_augmented_in_the_same_way() -> None:
    """So the distance of an image to itself is 0, whatever the augmentation makes of it."""
    model = model_of(VAEGAN)
    x, c = images(Image(3, 8, 8), 4), torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1]]
    assert not bool(model.unlike(x, x, c).any())
    assert bool((model.unlike(x, -x, c) > 0).all())


@pytest.mark.parametrize("space", [Vector(3), Cells((2, 3))], ids=str)
@pytest.mark.parametrize("name", WITH_CRITIC)
def test_only_images_are_augmented(name: str, space: Space) -> None:
    model: Any = all_models()[name]
    with pytest.raises(pf.ModelError, match="augment='cutout' is for images"):
        model(space, augment="cutout")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("color,cutuot", "no 'cutuot'.*did you mean 'cutout'"),
        ("none,color", "no 'none'"),
        ("", "no ''.*known: 'color'"),
    ],
)
def test_an_unknown_augmentation_names_the_nearest(policy: str, message: str) -> None:
    with pytest.raises(pf.ModelError, match=message):
        GAN(Image(1, 8, 8), augment=policy)


# --- what is generated


@pytest.mark.parametrize("name", WITH_CRITIC)
def test_samples_do_not_pass_through_the_augmentation(name: str) -> None:
    """Weights that were trained with it give the same samples in a model that has none."""
    data = pf.read(np.random.default_rng(0).integers(0, 255, (80, 8, 8, 3)).astype(np.uint8))
    options: dict[str, Any] = {"budget": "4 steps", "batch_size": 16, "width": 8, "latent": 2}
    fitted = pf.fit(data, name, seed=0, augment=EVERY, **options)
    plain = pf.fit(data, name, seed=0, **options)
    assert not np.array_equal(fitted.sample(20, seed=1), plain.sample(20, seed=1))
    plain.model.load_state_dict(fitted.model.state_dict())
    z = fitted.model.prior.sample(20)
    torch.testing.assert_close(fitted.model.generate(z), plain.model.generate(z), rtol=0, atol=0)
    x = torch.rand(6, 3, 8, 8)
    torch.testing.assert_close(fitted.model.critic(x), plain.model.critic(x), rtol=0, atol=0)  # type: ignore[operator]  # its critic


def square_images(n: int) -> Array:
    """Dark noise with a bright square that is always in the same place, off the middle."""
    x = np.random.default_rng(0).integers(0, 40, (n, 8, 8))
    x[:, 2:5, 4:7] += 200
    return x.astype(np.uint8)


def in_place(x: Array) -> float:
    """The share of images whose square is whole, and where it should be, with nothing beside it."""
    square = np.zeros((8, 8), bool)
    square[2:5, 4:7] = True
    return float(((x[:, square] > 128).all(1) & (x[:, ~square] < 100).all(1)).mean())


def test_augmentation_does_not_leak_into_samples() -> None:
    """Moved, cut out and coloured at every look, the square is generated in its place.

    Of augmented images fewer than 1 in 50 have it whole and there, so a generator that had learned
    to augment would be far below 0.8; a share of 500 has a standard error of 0.018 there.
    """
    images = square_images(300)
    data = pf.read(images)
    assert isinstance(data.schema, ImageSchema)
    expanded = data.schema.expand(data.schema.encode(images))
    augment = Augmentation(IN_PLACE, 1.0, Image(1, 8, 8))
    torch.manual_seed(0)
    augmented = augment(expanded, augment.draw(300, expanded.device))
    assert in_place(images) == 1
    assert in_place(data.schema.pixels(augmented).numpy()[:, 0]) < 0.02
    small: dict[str, Any] = {"batch_size": 32, "width": 16, "latent": 4, "learning_rate": 2e-3}
    fitted = pf.fit(
        data, "gan", budget="250 steps", seed=0, augment=IN_PLACE, augment_p=1.0, **small
    )
    assert in_place(np.asarray(fitted.sample(500, seed=1))) > 0.8
