"""Features of images: random weights, and the adapters to networks that others have trained."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, group_norm, linear, pad, silu

from pushforward.errors import MeasureError
from pushforward.measures import DINOv2, InceptionV3, RandomConvolutional, energy, mmd
from pushforward.measures.features import pretrained
from samples import digits


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- random weights ---


def test_random_features_are_the_network_by_hand() -> None:
    x = images(60, 1, 8, 8)
    features = RandomConvolutional.fit(x, seed=5)
    weights = dict(features.encoder.state_dict())
    stages, seen = [], x
    for i, stride in enumerate((1, 2)):  # 8 pixels a side, then 8 and 4
        kernel, bias = weights[f"stages.{i}.0.weight"], weights[f"stages.{i}.0.bias"]
        seen = conv2d(seen, kernel, bias, stride=stride, padding=1)
        gain, offset = weights[f"stages.{i}.1.weight"], weights[f"stages.{i}.1.bias"]
        seen = silu(group_norm(seen, 8, gain, offset))
        stages.append(seen.mean((2, 3)))
    last = linear(seen.flatten(1), weights["last.weight"], weights["last.bias"])
    raw = torch.cat([last, *stages], 1).double()
    z = (raw - raw.mean(0)) / raw.std(0, correction=0)
    # Principal coordinates keep all distances when there are as many as dimensions of the rows.
    torch.testing.assert_close(
        torch.cdist(features(x).double(), features(x).double()),
        torch.cdist(z, z),
        rtol=1e-4,
        atol=1e-3,
    )


def test_random_features_of_the_reference_are_centred_and_uncorrelated() -> None:
    x = images(300, 3, 9, 7)
    found = RandomConvolutional.fit(x)(x).double()
    assert found.shape == (300, 64)
    assert float(found.mean(0).abs().max()) < 1e-5
    covariance = found.T.cov()
    variances = covariance.diagonal()
    assert (variances.diff() <= 1e-9).all(), "the widest first"
    assert float((covariance - torch.diag(variances)).abs().max()) < 1e-5 * float(variances[0])


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (3, 9, 16), (4, 33, 20)])
def test_random_features_depend_on_the_seed_and_take_any_shape(shape: tuple[int, ...]) -> None:
    x = images(80, *shape)
    before = torch.random.get_rng_state()
    first, again, other = (RandomConvolutional.fit(x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first(x), again(x))
    assert (first.digest, first.name) == (again.digest, "random-convolutional")
    assert other.digest != first.digest
    kept = dict(RandomConvolutional.fit(images(50, *shape, seed=9), seed=1).encoder.named_buffers())
    for name, weight in kept.items():
        assert torch.equal(weight, first.encoder.get_buffer(name))


def test_random_features_see_what_spoils_digits() -> None:
    shuffled = 2 * torch.from_numpy(digits())[:, None] - 1
    features = RandomConvolutional.fit(shuffled[:1000])
    real, other = shuffled[1000:1300], shuffled[1300:1600]
    blurred = (other + avg_pool2d(pad(other, (1, 1, 1, 1), mode="replicate"), 3, 1)) / 2
    noisy = other + 0.4 * torch.randn(other.shape, generator=torch.Generator().manual_seed(1))
    p_values = [
        energy(real, y, features=features, permutations=199).p_value
        for y in (other, blurred, noisy, 0.75 * other + 0.25 * other.roll(1, 0))
    ]
    assert p_values[0] is not None
    assert p_values[0] > 0.05
    assert p_values[1:] == [1 / 200] * 3


def test_random_features_refuse_what_is_no_image() -> None:
    with pytest.raises(MeasureError, match=r"needs images \(n, channels, height, width\)"):
        RandomConvolutional.fit(torch.zeros(10, 8, 8))


# --- networks that others have trained, by stand-ins of their packages ---


class Pooled(nn.Module):
    """What torch-fidelity's network does with its file and its input, in small."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: Any) -> None:
        super().__init__()
        assert features == ["2048"]
        self.map = nn.Linear(3, 4)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=False))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        assert x.dtype == torch.uint8
        return (self.map(x.double().mean((2, 3)).float()),)


class Transformer(nn.Module):
    """A network that sees the mean colour, as timm's would."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1:] == (3, 224, 224)
        return torch.as_tensor(self.map(x.mean((2, 3))))


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity, timm, vision = (ModuleType(n) for n in ("torch_fidelity", "timm", "vision"))

    def create_model(name: str, **options: Any) -> nn.Module:
        assert options == {"pretrained": False, "num_classes": 0, "img_size": 224}
        return Transformer()

    def without_mask(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        return {name: value for name, value in state.items() if name != "mask_token"}

    fidelity.FeatureExtractorInceptionV3 = Pooled  # type: ignore[attr-defined]  # a stand-in
    timm.create_model = create_model  # type: ignore[attr-defined]  # a stand-in
    vision.checkpoint_filter_fn = without_mask  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "torch_fidelity", fidelity)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.models", ModuleType("timm.models"))
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", vision)


def weights(seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "map.weight": torch.randn(4, 3, generator=rng),
        "map.bias": torch.randn(4, generator=rng),
    }


def test_inception_is_given_bytes_of_colour(packages: None, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "inception.pth")
    features = InceptionV3(tmp_path / "inception.pth", chunk=2)
    levels = torch.randint(256, (5, 1, 6, 4), generator=torch.Generator().manual_seed(0))
    x = levels / 127.5 - 1  # as the library hands on bytes, grey
    mean = levels.double().mean((2, 3)).expand(-1, 3).float()
    expected = linear(mean, weights()["map.weight"], weights()["map.bias"])
    torch.testing.assert_close(features(x), expected)
    torch.testing.assert_close(features(x.expand(-1, 3, -1, -1)), expected)
    assert features.name == "inception-v3"


def test_dino_is_given_224_antialiased_pixels(packages: None, tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "model.safetensors")
    torch.save(weights() | {"mask_token": torch.zeros(1)}, tmp_path / "authors.pth")
    features = DINOv2(tmp_path / "model.safetensors")
    x = images(3, 3, 448, 448)
    resized = torch.stack(
        [
            torch.stack(
                [
                    torch.frombuffer(
                        bytearray(
                            Image.fromarray(((channel + 1) / 2).numpy())  # 32-bit floats
                            .resize((224, 224), Image.Resampling.BICUBIC)
                            .tobytes()
                        ),
                        dtype=torch.float32,
                    ).reshape(224, 224)
                    for channel in image
                ]
            )
            for image in x
        ]
    )
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = (resized.clamp(0, 1).mean((2, 3)) - mean) / spread
    expected = linear(colour, weights()["map.weight"], weights()["map.bias"])
    torch.testing.assert_close(features(x), expected, rtol=1e-4, atol=1e-4)
    same = DINOv2(tmp_path / "authors.pth")
    assert torch.equal(same(x), features(x))
    assert same.digest == features.digest, "the hash is that of the weights, not of the file"


def test_weights_tell_pretrained_features_apart(packages: None, tmp_path: Path) -> None:
    for seed in range(2):
        torch.save(weights(seed), tmp_path / f"{seed}.pth")
    first, second = (InceptionV3(tmp_path / f"{seed}.pth") for seed in range(2))
    base = DINOv2(tmp_path / "0.pth", model="vit_base_patch14_dinov2")
    assert len({f.digest for f in (first, second, base, DINOv2(tmp_path / "0.pth"))}) == 4
    found = mmd(images(9, 1, 4, 4), images(8, 1, 4, 4, seed=1), features=first, permutations=9)
    assert found.extra["features"] == {"name": "inception-v3", "hash": first.digest}


def test_the_global_random_state_stays(packages: None, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pth")
    before = torch.random.get_rng_state()
    InceptionV3(tmp_path / "a.pth")
    DINOv2(tmp_path / "a.pth")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("adapter", "module", "package", "file"),
    [
        (InceptionV3, "torch_fidelity", "torch-fidelity", pretrained.INCEPTION),
        (DINOv2, "timm", "timm", "dinov2_vitl14_pretrain.pth"),
    ],
)
def test_what_is_missing_is_named(
    adapter: Any,
    module: str,
    package: str,
    file: str,
    packages: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MeasureError, match=rf"no file {tmp_path}/checkpoints/{file}.*weights="):
        adapter()
    with pytest.raises(MeasureError, match=rf"no file {tmp_path}/mine.pth.*get {file} yourself"):
        adapter(tmp_path / "mine.pth")
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights(), tmp_path / "checkpoints" / file)
    assert adapter()(images(2, 3, 8, 8)).shape == (2, 4)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MeasureError, match=f"needs the package {package} .*pip install {package}"):
        adapter()


class Trap:
    """Runs when it is unpickled without care."""

    sprung = False

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return setattr, (Trap, "sprung", True)


def test_a_file_of_weights_runs_no_code(packages: None, tmp_path: Path) -> None:
    torch.save({"map.weight": Trap()}, tmp_path / "trap.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap()))
    for name in ("trap.pth", "bare.pth"):
        with pytest.raises(MeasureError, match="cannot be read as plain tensors"):
            InceptionV3(tmp_path / name)
    assert not Trap.sprung


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_broken_files_are_refused(packages: None, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of use")
    with pytest.raises(MeasureError, match="cannot be read as plain tensors"):
        InceptionV3(tmp_path / name)


def test_weights_of_another_network_are_refused(packages: None, tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    for adapter in (InceptionV3, DINOv2):
        with pytest.raises(MeasureError, match="the weights are not those of"):
            adapter(tmp_path / "other.pth")
        with pytest.raises(MeasureError, match="must hold tensors by name, and holds list"):
            adapter(tmp_path / "list.pth")
    with pytest.raises(MeasureError, match="unknown model 'vit_huge'"):
        DINOv2(model="vit_huge")


def test_only_grey_and_colour_images_are_taken(packages: None, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pth")
    features = InceptionV3(tmp_path / "a.pth")
    for x in (torch.zeros(2, 5, 8, 8), torch.zeros(8, 8), torch.zeros(0, 3, 8, 8)):
        with pytest.raises(MeasureError, match="needs grey or RGB images"):
            features(x)
