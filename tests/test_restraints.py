"""The regularisers that any contest takes: each gradient by hand, each state where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

import pushforward as pf
from pushforward.errors import ModelError
from pushforward.families.critics import Seen
from pushforward.models.gan import GAN
from pushforward.models.hinge_gan import HingeGAN
from pushforward.models.info_gan import InfoGAN
from pushforward.models.r3gan import R3GAN
from pushforward.models.ra_gan import RaGAN
from pushforward.models.wgan import WGAN
from pushforward.models.wgan_gp import WGANGP
from pushforward.nn.spectral import Spectral, refine, spectrally_normalised
from pushforward.nn.trunks import SLOPE, Trunks
from pushforward.space import Image, Space, Vector
from pushforward.testing import example_data
from pushforward.training.turn_optimizer import TurnOptimizer
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows

LATENT = 4


def made(cls: Any, space: Space | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    plain = {"gamma": 0.0} if "gamma" in cls.options() else {}
    return jittered(cls(space or Vector(3), latent=LATENT, width=16, **plain | options))


def generated(model: Any) -> Tensor:
    torch.manual_seed(1)
    return torch.as_tensor(model.generator(torch.randn(N, LATENT)))


# --- LeCam, consistency, one-sided slopes: by hand


@pytest.mark.parametrize("cls", [GAN, R3GAN, WGAN])
def test_lecam_pulls_values_to_the_other_kinds_level(cls: Any) -> None:
    model, plain = made(cls, lecam=0.3), made(cls)
    model.levels.copy_(torch.tensor([0.7, -0.4]))  # of real rows, of generated ones
    x, y = rows(Vector(3)), generated(model).detach()
    pull = (model.critic(x) + 0.4).square().mean() + (model.critic(y) - 0.7).square().mean()
    beside = received(plain, "measure", x)["critic"]
    by_hand = [
        a if b is None else b * 0.3 if a is None else a + 0.3 * b
        for a, b in zip(beside, gradients(pull, model, "critic"), strict=True)
    ]
    assert_same(received(model, "measure", x)["critic"], by_hand)


def test_the_levels_are_averages_of_the_critics_values_and_move_after_the_turn() -> None:
    model = made(GAN, lecam=0.3)
    x = rows(Vector(3))
    measure, close_in = (TurnOptimizer(model, own, None) for own in model.turns())
    expected = torch.zeros(2)
    for seed in range(3):
        torch.manual_seed(seed)
        y = model.generator(torch.randn(N, LATENT))
        expected = 0.99 * expected + 0.01 * torch.stack([model.critic(v).mean() for v in (x, y)])
        torch.manual_seed(seed)
        before = model.levels.clone()
        model.measure(x, None)
        assert torch.equal(model.levels, before)  # to play changes nothing
        torch.manual_seed(seed)
        measure.step(x, None, 1.0, None)
        torch.testing.assert_close(model.levels, expected.detach())
        close_in.step(N, None, 1.0, None)
        torch.testing.assert_close(model.levels, expected.detach())


def test_what_a_turn_notes_is_recorded_and_no_part_of_its_loss() -> None:
    model = made(GAN, lecam=0.3)
    x = rows(Vector(3))
    optimizer = TurnOptimizer(model, model.turns()[0], None)
    optimizer.step(x, None, 1.0, None)
    assert {"measure.level_x", "measure.level_y"} <= optimizer.take_means().keys()
    torch.manual_seed(1)
    terms = model.measure(x, None)
    torch.manual_seed(1)
    lowered = sum(terms[name] for name in ("real", "fake", "lecam"))
    torch.testing.assert_close(model.loss(x), lowered)


def test_the_levels_are_saved_with_a_run_and_go_on_from_there(tmp_path: Any) -> None:
    keep: dict[str, Any] = {"lecam": 0.1, "seed": 0, "width": 8, "latent": 2, "batch_size": 50}
    fitted = pf.fit("ring", "gan", budget=20, out=tmp_path / "run", **keep)
    loaded = pf.load(tmp_path / "run").model.get_buffer("levels")
    assert torch.equal(loaded, fitted.model.get_buffer("levels"))
    assert bool(loaded.any())


@pytest.mark.parametrize("cls", [GAN, R3GAN])
def test_consistency_asks_for_the_same_value_of_augmented_images(cls: Any) -> None:
    space = Image(3, 8, 8)
    options = {"augment": "translation,flip", "augment_p": 0.8}
    model, plain = made(cls, space, consistency=10.0, **options).train(), made(cls, space)
    x = rows(space)
    torch.manual_seed(1)
    y = model.generator(torch.randn(N, LATENT)).detach()
    augment = model.critic.augment
    seen = [augment(images, augment.draw(N, images.device)) for images in (x, y)]
    off = sum(
        ((plain.critic(images) - plain.critic(changed)) ** 2).mean()
        for images, changed in zip((x, y), seen, strict=True)
    )
    of_x, of_y = plain.critic(x), plain.critic(y)  # which are shown as they are
    pairs = {"gan": softplus(-of_x) + softplus(of_y), "r3gan": softplus(of_y - of_x)}
    loss = pairs[cls.name].mean() + 10 * off
    assert_same(received(model, "measure", x)["critic"], gradients(loss, plain, "critic"))


@pytest.mark.parametrize("option", [{"consistency": 1.0}, {"augment_target": 0.6}])
def test_what_needs_augmentation_says_so(option: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="augment='translation,flip'"):
        GAN(Image(1, 8, 8), **option)


def test_a_one_sided_penalty_lets_gentle_slopes_be() -> None:
    model, two_sided = made(WGANGP, one_sided=True), made(WGANGP)
    x = 3 * torch.randn(200, 3)
    for scale in (0.2, 1.0, 5.0):
        with torch.no_grad():
            for own in (model, two_sided):
                own.critic.head.weight.copy_(scale * torch.ones(1, 16) / 4)
        near = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model.critic(near).sum(), near)
        above = (slope.norm(dim=1) - 1).clamp(min=0).square()
        torch.testing.assert_close(model.off_slope(x, None), 10 * above, rtol=1e-4, atol=1e-5)
        both = (slope.norm(dim=1) - 1).square()
        torch.testing.assert_close(two_sided.off_slope(x, None), 10 * both, rtol=1e-4, atol=1e-5)


# --- adaptive augmentation


def test_p_rises_while_the_critic_is_sure_and_falls_while_it_is_not() -> None:
    model = made(HingeGAN, Image(1, 8, 8), augment="flip", augment_p=0.5, augment_target=0.6)
    p = model.critic.augment.p
    for sure, expected in ((1.0, 0.501), (0.2, 0.5), (0.59, 0.499)):
        model.remember("measure", {"trust": torch.tensor(sure)})
        assert float(p) == pytest.approx(expected, abs=1e-6)
    for _ in range(600):
        model.remember("measure", {"trust": torch.tensor(1.0)})
    assert float(p) == 1.0
    assert "critic.augment.p" in model.state_dict()


def test_trust_is_0_for_a_blind_critic_and_1_for_one_that_sees_all() -> None:
    """A standard normal's sign has mean 0 and deviation 1 / sqrt(n): four of these."""
    model = made(GAN, Image(1, 8, 8), augment="flip", augment_target=0.6)
    x = torch.zeros(2000, 1, 8, 8)
    torch.manual_seed(0)
    blind, other = torch.randn(2000), torch.randn(2000)

    def trust(of_x: Tensor, of_y: Tensor) -> float:
        return float(model.restrain(Seen(x, x, None, of_x, of_y))["trust"].mean())

    assert abs(trust(blind, other)) < 4 / 2000**0.5
    assert trust(blind + 10, other) == 1.0
    assert trust(blind + 1010, other + 1000) == 1.0  # whatever zero means


def test_an_adaptive_run_repeats_itself_and_moves_p() -> None:
    options: dict[str, Any] = {"augment": "flip,color", "augment_target": 0.1, "augment_p": 0.2}
    data = example_data("image", None)
    a, b = (pf.fit(data, "gan", budget=15, seed=0, width=8, batch_size=32, **options) for _ in "ab")
    p = a.model.get_buffer("critic.augment.p")
    assert torch.equal(p, b.model.get_buffer("critic.augment.p"))
    assert float(p) != pytest.approx(0.2, abs=1e-6)


# --- spectral normalisation


@pytest.mark.parametrize("kind", SPACES)
def test_normalised_layers_have_a_largest_singular_value_of_1(kind: str) -> None:
    torch.manual_seed(0)
    reader = nn.Sequential(Trunks(16, 1).reader(SPACES[kind], 2), nn.Linear(16, 1))
    spectrally_normalised(reader)
    layers = [m for m in reader.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(layers) >= 4
    for _ in range(1500):  # power iteration comes to the top by the ratio of two singular values
        refine(reader)
    for layer in layers:
        top = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        assert float(top) == pytest.approx(1.0, abs=2e-3)


def test_the_norm_is_sigma_of_the_weight_and_its_gradient_is_that_of_w_over_sigma() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    own = Spectral(weight.detach())
    for _ in range(500):
        own.refine(weight)
    target = torch.randn(5, 7, dtype=torch.float64)
    (ours,) = torch.autograd.grad((own(weight) * target).sum(), weight)
    (theirs,) = torch.autograd.grad(
        (weight / torch.linalg.matrix_norm(weight, 2) * target).sum(), weight
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_a_critic_with_spectral_norm_is_gentle_and_only_its_own_turn_refines_it() -> None:
    model = made(HingeGAN, spectral_norm=True)
    optimizers = {own.name: TurnOptimizer(model, own, None) for own in model.turns()}
    u = {n: b.clone() for n, b in model.named_buffers() if n.endswith(".u")}
    assert u
    optimizers["close_in"].step(N, None, 1.0, None)
    assert all(torch.equal(model.get_buffer(n), b) for n, b in u.items())
    for _ in range(60):
        optimizers["measure"].step(rows(Vector(3)), None, 1.0, None)
    assert not all(torch.equal(model.get_buffer(n), b) for n, b in u.items())
    # two residual blocks of slope at most 2 between layers of slope 1; the estimate lags a little
    _, squared = model.judge(5 * torch.randn(500, 3), None)
    assert float(squared.detach().max().sqrt()) < 1.1 * 4


# --- the generator's side


@pytest.mark.parametrize("cls", [GAN, R3GAN, WGANGP])
@pytest.mark.parametrize("kind", SPACES)
def test_feature_matching_lowers_the_distance_of_mean_features(cls: Any, kind: str) -> None:
    space = SPACES[kind]
    model, plain = made(cls, space, feature_matching=0.7), made(cls, space)
    x, y = rows(space), generated(model)
    of_x, of_y = (model.critic.trunk(v, None).mean(0) for v in (x, y))
    d_x, d_y = model.critic(x), model.critic(y)
    plea = {"gan": softplus(-d_y), "r3gan": softplus(d_x - d_y), "wgan-gp": -d_y}[cls.name]
    loss = plea.mean() + 0.7 * (of_x - of_y).square().sum()
    assert_same(received(model, "close_in", x)["generator"], gradients(loss, model, "generator"))
    assert [own.data for own in plain.turns()] == [True, cls is R3GAN]


@pytest.mark.parametrize("cls", [GAN, RaGAN])
def test_an_unrolled_generator_hears_the_critic_that_will_be(cls: Any) -> None:
    """Against a critic of one hidden layer, written out, with steps by autograd."""
    model = made(cls, unroll=2, unroll_rate=0.3, depth=0)
    x, y = rows(Vector(3)), generated(model)
    names = [name for name, _ in model.critic.named_parameters()]
    assert names == ["trunk.first.weight", "trunk.first.bias", "head.weight", "head.bias"]
    weights = [p.detach().clone().requires_grad_() for p in model.critic.parameters()]

    def d(w: list[Tensor], v: Tensor) -> Tensor:
        hidden = leaky_relu(v @ w[0].T + w[1], SLOPE)
        return (hidden @ w[2].T + w[3]).squeeze(1)

    def verdict(of_x: Tensor, of_y: Tensor) -> Tensor:
        if cls is GAN:
            return softplus(-of_x).mean() + softplus(of_y).mean()
        return softplus(of_y.mean() - of_x).mean() + softplus(of_y - of_x.mean()).mean()

    for _ in range(2):
        slopes = torch.autograd.grad(
            verdict(d(weights, x), d(weights, y)), weights, create_graph=True
        )
        weights = [w - 0.3 * s for w, s in zip(weights, slopes, strict=True)]
    of_x, of_y = d(weights, x), d(weights, y)
    loss = softplus(-of_y).mean() if cls is GAN else verdict(of_y, of_x)
    assert_same(received(model, "close_in", x)["generator"], gradients(loss, model, "generator"))


def test_info_gan_also_takes_the_generators_options() -> None:
    model = made(InfoGAN, feature_matching=0.5, unroll=1)
    assert {"fool", "features", "unread"} == model.close_in(rows(Vector(3)), None).keys()


def test_the_way_of_r3gan_is_the_mean_square_from_z_to_its_row() -> None:
    model, plain = made(R3GAN, Vector(6), transport=0.5), made(R3GAN, Vector(6))
    x = rows(Vector(6))
    torch.manual_seed(1)
    z = torch.randn(N, LATENT)
    y = model.generator(z)
    way = (y - torch.cat([z, z[:, :2]], 1)).square().mean()
    loss = softplus(model.critic(x) - model.critic(y)).mean() + 0.5 * way
    assert_same(received(model, "close_in", x)["generator"], gradients(loss, model, "generator"))
    assert plain.close_in(x, None).keys() == {"pair"}


# --- two time scales, and the projection critic


def test_the_critics_pace_multiplies_its_learning_rate_given_or_not() -> None:
    for cls in (GAN, WGANGP):
        turns = cls(Vector(2), critic_pace=4.0).turns()
        critic, generator = (TurnOptimizer(made(cls), own, None) for own in turns)
        assert critic.learning_rate == pytest.approx(4 * generator.learning_rate)
        assert TurnOptimizer(made(cls), turns[0], 0.01).learning_rate == pytest.approx(0.04)


def test_a_projection_critic_adds_the_product_of_class_and_features() -> None:
    """D(x, c) = h(F(x)) + v_c . F(x), F without the class (Miyato & Koyama 2018)."""
    torch.manual_seed(0)
    model: Any = jittered(GAN(Vector(3), 2, latent=LATENT, width=16, projection=True))
    x, classes = rows(Vector(3)), torch.eye(2)
    features = model.critic.trunk(x, None)
    for label in (0, 1):
        c = classes[label].expand(N, 2)
        v = model.critic.projection.weight[:, label]
        expected = model.critic.head(features).squeeze(1) + features @ v
        torch.testing.assert_close(model.critic(x, c), expected)
    assert model.critic.trunk.condition.embedding is None


def test_a_pack_projects_the_classes_of_all_its_rows() -> None:
    torch.manual_seed(0)
    model: Any = jittered(GAN(Vector(3), 2, latent=LATENT, width=16, projection=True, pack=2))
    x, c = rows(Vector(3)), torch.eye(2)[torch.tensor([0, 1, 1, 1, 0, 0])]
    features = model.critic.features(x, c)
    both = torch.cat([c[0::2], c[1::2]], 1)
    product = (both @ model.critic.projection.weight.T * features).sum(1)
    expected = model.critic.head(features).squeeze(1) + product
    torch.testing.assert_close(model.critic(x, c), expected)


def test_a_projection_critic_learns_the_class() -> None:
    data = example_data("array", "label")
    fitted = pf.fit(
        data, "gan", projection=True, budget=250, seed=0, latent=2, width=32, batch_size=64
    )
    means = [fitted.sample(300, seed=0, condition=label).mean() for label in (0, 1)]
    assert means[1] - means[0] > 1.4  # the classes are 2 standard deviations apart
