"""The size dial, and how the networks of images start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import pushforward as pf
from pushforward.families.model import Model
from pushforward.models.gan import GAN
from pushforward.models.vae import VAE
from pushforward.nn.roles import Critic, Texture
from pushforward.nn.sizes import WIDTHS, Means, multiplications, pace, size_of
from pushforward.nn.trunks import ImageReader, ImageWriter, Trunks, VectorReader, keep_variance
from pushforward.space import Cells, Image, Vector, values
from pushforward.training.settings import Settings
from pushforward.training.sized import sized
from pushforward.training.turn_optimizer import TurnOptimizer
from read_tables import SHARED

IMAGES = st.builds(Image, st.sampled_from([1, 3, 4, 7]), st.integers(8, 70), st.integers(8, 70))
CPU = torch.device("cpu")


@settings(deadline=None, max_examples=25)
@given(IMAGES, st.sampled_from(WIDTHS))
def test_multiplications_are_those_of_the_network(space: Image, width: int) -> None:
    reader = ImageReader(space, 0, width, 1)
    counter: Any = FlopCounterMode(display=False)
    with counter:
        reader(torch.zeros(1, *space.shape))
    assert multiplications(space, width) == counter.get_total_flops() // 2


@pytest.mark.parametrize("space", [Vector(7), Cells((2, 3, 5))])
def test_multiplications_of_vectors_and_tables_are_those_of_the_network(space: Any) -> None:
    reader = VectorReader(space, 0, 32, size_of(space).depth)
    counter: Any = FlopCounterMode(display=False)
    with counter:
        reader(torch.zeros(1, values(space)))
    assert multiplications(space, 32) == counter.get_total_flops() // 2


@settings(deadline=None)
@given(IMAGES, st.floats(1, 1e5), st.floats(1, 100), st.integers(50, 10**6))
def test_more_means_never_make_networks_narrower(
    space: Image, seconds: float, factor: float, rows: int
) -> None:
    means = Means(rows, None, seconds)
    size = size_of(space, means)
    for more in (
        replace(means, seconds=factor * seconds),
        replace(means, distinct=round(factor * rows)),
        replace(means, device="cuda"),
    ):
        assert size_of(space, more).width >= size.width
    assert size.width in WIDTHS
    assert 32 <= size.latent <= 128


@pytest.mark.parametrize("space", [Vector(5), Cells((3, 4))])
def test_tables_and_vectors_have_one_size(space: Vector | Cells) -> None:
    assert size_of(space, Means(100, None, 10)) == size_of(space)


def pictures(n: int = 60) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 12, 9), dtype=np.uint8)


def test_what_is_given_is_kept_and_the_rest_follows_from_the_budget() -> None:
    data = pf.read(pictures())
    short = sized(VAE, {"latent": 5}, Settings(budget="10 steps"), data, CPU)
    long = sized(VAE, {"width": 7}, Settings(budget="1h"), data, CPU)
    assert (short["latent"], short["width"]) == (5, WIDTHS[0])
    assert (long["latent"], long["width"]) == (32, 7)


class Stern(VAE):
    """A model with a default of its own."""

    name = "stern"

    def __init__(self, space: Image, classes: int = 0, *, beta: float = 4.0, **shared: Any) -> None:
        super().__init__(space, classes, beta=beta, **shared)


@pytest.mark.parametrize(("rows", "beta"), [(60, 1.0), (2500, 1.0), (10_000, 0.5), (48_000, 0.25)])
def test_the_rate_of_images_weighs_less_the_more_there_are(rows: int, beta: float) -> None:
    assert VAE.usual(Image(1, 8, 8), rows, {})["beta"] == pytest.approx(beta)
    assert "beta" not in VAE.usual(Image(1, 8, 8), rows, {"capacity": 5.0})  # there it is a gamma
    assert "beta" not in VAE.usual(Image(1, 8, 8), rows, {"sampler": "prior"})
    assert "beta" not in Stern.usual(Image(1, 8, 8), rows, {})
    assert "beta" not in VAE.usual(Cells((2, 3)), rows, {})
    assert "beta" not in GAN.usual(Image(1, 8, 8), rows, {})


def test_a_weight_of_the_rate_that_is_given_is_kept() -> None:
    data = pf.read(pictures(50_000))
    settings = Settings(budget="10 steps")
    assert sized(VAE, {}, settings, data, CPU)["beta"] == pytest.approx(0.25)
    assert sized(VAE, {"beta": 2.0}, settings, data, CPU)["beta"] == pytest.approx(2.0)
    assert "beta" not in sized(GAN, {}, settings, data, CPU)


def test_a_run_records_its_size_and_keeps_it_when_it_is_trained_on(tmp_path: Path) -> None:
    first = pf.fit(pictures(), "gan", budget="5 steps", out=tmp_path, size=2.0)
    options = first.config["identity"]["options"]
    assert options["width"] == WIDTHS[0]
    assert first.model.networks.width == 2 * WIDTHS[0]
    more = pf.fit(pictures(), out=tmp_path, more="5000 samples")
    assert more.config["identity"]["options"] == options
    assert json.loads((tmp_path / "config.json").read_text())["identity"]["options"] == options


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (17, 40)])
def test_a_stack_keeps_the_variance_of_what_goes_through(height: int, width: int) -> None:
    """Torch's own start leaves less than a hundredth of it, and the code drowns."""
    torch.manual_seed(0)
    space = Image(3, height, width)
    writer, reader = ImageWriter(space, 32, 1, 0, 64, 1), ImageReader(space, 0, 64, 1)
    z = torch.randn(500, 32)
    x = writer(z)
    # Of what differs between codes; the network's own draw moves it by a third (10 draws of it).
    assert 0.3 < float(x.var(0).mean()) < 3
    assert 0.1 < float(reader(torch.randn(500, *space.shape)).var(0).mean()) < 3


@torch.no_grad()
def test_the_start_of_a_layer_has_the_variance_of_he() -> None:
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(64, 48, 4, stride=2, padding=1)
    keep_variance(up)
    inside = up(torch.randn(200, 64, 6, 6))[:, :, 2:-2, 2:-2]  # where no border is near
    # 2 / (1 + 0.2^2) of the input's variance, within 3 %: 48 outputs of 256 weights each
    assert float(inside.var()) == pytest.approx(2 / 1.04, rel=0.03)
    zero = nn.Linear(8, 8)
    nn.init.zeros_(zero.weight)
    keep_variance(zero)
    assert not zero.weight.any()


@pytest.mark.parametrize("model", [VAE, GAN])
def test_the_memory_format_changes_no_gradient(model: Any) -> None:
    space = Image(3, 16, 12)
    gradients = []
    for form in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = model(space, width=16)
        network.to(memory_format=form)
        x = torch.rand(6, *space.shape) * 2 - 1
        torch.manual_seed(1)
        turn = network.turns()[0]
        terms = getattr(network, turn.name)(x.contiguous(memory_format=form), None)
        torch.autograd.backward([term.mean() for term in terms.values()])
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        # float32 sums in another order
        torch.testing.assert_close(a, b.contiguous(), rtol=1e-3, atol=1e-4 * float(a.abs().max()))


def test_rates_go_as_one_over_the_width_and_players_against_each_other_are_slower() -> None:
    image = Image(1, 28, 28)
    for selection in ("loss", "distance"):
        rates = [pace(image, width, selection, 100) for width in (32, 128)]
        assert rates[0] == pytest.approx(4 * rates[1])
    assert pace(image, 32, "distance", 100) < pace(image, 32, "loss", 100)
    assert pace(image, 16, "loss", 100) == pace(image, 32, "loss", 100)
    assert pace(Vector(2), 32, "loss", 10**7) == 1  # as the turn says


def test_rates_of_tables_go_as_the_root_of_the_rows() -> None:
    table = Cells((3, 4))
    assert [pace(table, 256, "loss", n) for n in (100, 5000, 20_000, 10**7)] == [1, 1, 2, 3]
    assert {pace(table, 256, "distance", n) for n in (100, 10**7)} == {2}


def test_adam_forgets_sooner_on_images_unless_a_turn_has_betas_of_its_own() -> None:
    def betas(model: Model) -> list[tuple[float, float]]:
        return [
            TurnOptimizer(model, turn, None).optimizer.param_groups[0]["betas"]
            for turn in model.turns()
        ]

    assert betas(VAE(Vector(2))) == betas(VAE(Cells((2, 3)))) == [(0.9, 0.999)]
    assert betas(VAE(Image(1, 8, 8))) == [(0.8, 0.95)]
    assert betas(GAN(Image(1, 8, 8))) == betas(GAN(Vector(2))) == 2 * [(0.0, 0.99)]


@pytest.mark.shared("cifar10")
def test_a_vae_of_photographs_gets_past_its_first_steps() -> None:
    """With torch's betas and a rate of 0.02 nothing was finite from step 96 on."""

    def stop(record: Mapping[str, Any]) -> None:
        if record["step"] >= 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.fit(SHARED / "cifar10", "vae", width=16, budget="912 steps", seed=0, progress=stop)


class Foreign:
    """A user's own networks."""

    def __init__(self, width: int) -> None:
        self.width = width

    def reader(self, space: Any, classes: int) -> nn.Module:
        """Return a linear reader."""
        del classes
        return OfX(nn.Sequential(nn.Flatten(), nn.Linear(values(space), self.width)))


class OfX(nn.Module):
    """A network that reads no condition."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """Return the features of rows x."""
        del c
        features: torch.Tensor = self.body(x)
        return features


@pytest.mark.parametrize(
    ("space", "networks", "textured"),
    [
        (Image(3, 32, 32), Trunks(16, 1), True),
        (Image(1, 28, 28), Trunks(16, 1), False),
        (Image(1, 32, 32), Trunks(16, 1), True),
        (Image(3, 32, 32), Foreign(16), False),
    ],
)
def test_critics_read_images_of_many_values_at_full_resolution(
    space: Image, networks: Any, textured: bool
) -> None:
    """The layer moves no pixel: an impulse is heard in its 3x3 neighbourhood, at every parity."""
    critic = Critic(space, 0, networks, pack=1)
    assert isinstance(critic.texture, Texture) == textured
    assert critic(torch.zeros(2, *space.shape)).shape == (2,)
    if textured:
        for row, column in ((10, 10), (10, 11), (11, 10), (11, 11)):
            x = torch.zeros(1, *space.shape)
            x[..., row, column] = 1
            heard = (critic.texture(x) - critic.texture(0 * x)).abs().sum(1)[0] > 0
            around = torch.zeros_like(heard)
            around[row - 1 : row + 2, column - 1 : column + 2] = True
            assert torch.equal(heard, around)
