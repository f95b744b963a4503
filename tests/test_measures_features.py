"""Features of images: their statistics, and adapters to networks that others have trained."""

from __future__ import annotations

import pickle
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from scipy.signal import correlate2d
from sklearn import decomposition
from torch import Tensor, nn
from torch.nn.functional import linear

from pushforward.errors import MeasureError
from pushforward.measures import DINOv2, ImageStatistics, InceptionV3, mmd
from pushforward.measures.features import _statistics, pretrained
from samples import digits

Floats = NDArray[Any]


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- statistics of images ---

FLOOR = (8 / 255) ** 2


def reference_statistics(image: Floats) -> list[Floats]:
    """The statistics of one grey image of 8 x 8 pixels, from their formulas."""
    levels = [image, image.reshape(4, 2, 4, 2).mean((1, 3))]
    corners = [np.array(k).reshape(2, 2) for k in ((-1, 1, -1, 1), (-1, -1, 1, 1))]
    kernels = [k / 2 for k in corners]
    kernels += [np.array(k).reshape(2, 2) for k in ((-1, 0, 0, 1), (0, -1, 1, 0))]
    kernels += [np.array([[0.5, -0.5], [-0.5, 0.5]])]
    bands = [[correlate2d(x, k, "valid") for k in kernels] for x in levels]
    strength = [image.mean(), np.log(image.var(ddof=1) + FLOOR)]
    strength += [np.log((w**2).mean() + FLOOR) for level in bands for w in level]
    sparsity = [
        np.log(np.abs(w).mean() ** 2 + FLOOR) - np.log((w**2).mean() + FLOOR)
        for level in bands
        for w in level
    ]
    small = [reduced(np.abs(w)) for w in bands[0]]
    sparsity += [
        np.log(sum((correlate2d(a, k, "valid") ** 2).mean() for k in kernels[:2]) + FLOOR)
        - np.log((w**2).mean() + FLOOR)
        for a, w in zip(small, bands[0], strict=True)
    ]
    joint = [
        correlation(np.abs(v), np.abs(w)) for level in bands for v, w in combinations(level, 2)
    ]
    joint += [correlation(a[:3, :3], np.abs(w)) for a, w in zip(small, bands[1], strict=True)]
    squares = np.stack([cells_of_7(w**2) for w in bands[0]])
    layout = np.sqrt(squares / (squares.sum(0) + 10 * FLOOR))
    return [image.ravel(), layout.ravel(), *map(np.array, (strength, sparsity, joint))]


def reduced(a: Floats) -> Floats:
    """The means of 2 x 2 of 7 x 7 pixels, of what there is at the odd border."""
    cut = [slice(i, i + 2) for i in range(0, 7, 2)]
    return np.array([[a[r, c].mean() for c in cut] for r in cut])


def cells_of_7(a: Floats) -> Floats:
    """The means of 4 x 4 cells of 7 x 7 pixels: from floor(7 i / 4) to ceil(7 (i + 1) / 4)."""
    cut = [slice(0, 2), slice(1, 4), slice(3, 6), slice(5, 7)]
    return np.array([[a[r, c].mean() for c in cut] for r in cut])


def correlation(a: Floats, b: Floats) -> float:
    """The correlation, with the floor added to both variances."""
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    return float(covariance / np.sqrt((a.var() + FLOOR) * (b.var() + FLOOR)))


def test_statistics_are_their_formulas() -> None:
    x = images(5, 1, 8, 8).double()
    found = _statistics.statistics(x)
    for i in range(len(x)):
        for group, expected in zip(found, reference_statistics(x[i, 0].numpy()), strict=True):
            np.testing.assert_allclose(group[i].numpy(), expected, rtol=1e-9, atol=1e-12)


def test_groups_are_balanced_principal_components() -> None:
    x = images(300, 3, 9, 12)
    features = ImageStatistics.fit(x)
    found = features(x).double().split(12, 1)
    colours = torch.einsum("nchw,kc->nkhw", x, features.colours.axes.float())
    groups = zip(found, _statistics.statistics(colours), (0.5, 0.5, 1, 1, 1), strict=True)
    for group, raw, weight in groups:
        variance = raw.double().numpy().var(0, ddof=1)
        known = raw.numpy() / (variance + 0.03 * variance.mean()) ** 0.5
        spread = decomposition.PCA(12).fit(known).explained_variance_ ** 0.5
        expected = np.diag(weight * spread / spread.sum())
        np.testing.assert_allclose(np.cov(group.numpy().T), expected, rtol=1e-3, atol=1e-5)
        assert float(group.mean(0).abs().max()) < 1e-4


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 17, 23), (4, 32, 32), (12, 9, 40)], ids=str
)
def test_statistics_take_any_shape_and_depend_on_the_seed_alone(shape: tuple[int, ...]) -> None:
    x = images(120, *shape)
    before = torch.random.get_rng_state()
    features = ImageStatistics.fit(x, seed=1)
    found = features(x)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found.shape == (120, 60)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(ImageStatistics.fit(x, seed=1)(x), found)
    assert ImageStatistics.fit(x, seed=1).digest == features.digest
    assert ImageStatistics.fit(-x[:100], seed=1).digest != features.digest
    torch.testing.assert_close(features(x[7:9]), found[7:9], rtol=1e-4, atol=1e-5)


def test_statistics_of_few_of_many_and_of_equal_images() -> None:
    few = ImageStatistics.fit(images(10, 1, 8, 8))
    assert few(images(3, 1, 8, 8)).shape == (3, 5), "one component for eight images"
    flat = ImageStatistics.fit(torch.zeros(20, 3, 8, 8))
    assert float(flat(torch.zeros(4, 3, 8, 8)).abs().max()) == 0
    assert flat(images(4, 3, 8, 8)).isfinite().all()
    many = images(3000, 1, 8, 8)
    assert ImageStatistics.fit(many, seed=1).digest != ImageStatistics.fit(many, seed=2).digest


def test_grey_images_in_three_channels_are_grey_ones() -> None:
    """Faint colours, of less than a grey level, do not count more than what is seen."""
    grey = (2 * torch.from_numpy(digits())[:600, None] - 1).expand(-1, 3, -1, -1)
    features = ImageStatistics.fit(grey[:400])
    noise = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x, y, tinted = features(grey[400:]), features(grey[400:].flip(0)), grey[400:] + 0.002 * noise
    assert float((features(tinted) - x).norm(dim=1).max()) < float((x - y).norm(dim=1).median())


def test_statistics_refuse_what_is_no_image() -> None:
    for refused in (torch.zeros(10, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(9, 1, 7, 8)):
        with pytest.raises(MeasureError, match=r"need images \(n, channels, height, width\), at"):
            ImageStatistics.fit(refused)


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
