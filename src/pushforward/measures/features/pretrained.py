"""Features from pretrained networks, for users who have their weights.

Nothing is downloaded: the packages are imported without weights, which are read from a local file.
A .pth file is a pickle, which can run code when it is loaded; here it is read by
`torch.load(weights_only=True)`, which builds tensors and plain containers and refuses all else, and
nothing else in this library reads pickles. Safetensors files hold no code at all.
"""

from __future__ import annotations

import io
import pickle
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pushforward.errors import MeasureError, nearest
from pushforward.measures._optional import import_optional
from pushforward.measures.features.maps import Features, in_chunks

Weights = Mapping[str, Tensor]
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
DINO = {  # timm's name: the file that torch.hub leaves of the authors' release
    "vit_small_patch14_dinov2": "dinov2_vits14_pretrain.pth",
    "vit_base_patch14_dinov2": "dinov2_vitb14_pretrain.pth",
    "vit_large_patch14_dinov2": "dinov2_vitl14_pretrain.pth",
}
DINO_PIXELS = 224  # a side, as in Stein et al. 2023
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which DINOv2 expects


class Pretrained(Features):
    """A pretrained network as features.

    Args:
        network: maps prepared images to features (n, d); it follows the images' device.
        chunk: images that pass through it at once.
    """

    def __init__(self, network: nn.Module, chunk: int) -> None:
        self.network, self.chunk = network.eval().requires_grad_(False), chunk

    def __call__(self, x: Any) -> Tensor:
        """Return the features (n, d), float32, of images (n, 1 or 3, height, width) in [-1, 1]."""
        images = torch.as_tensor(x)
        if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
            raise MeasureError(
                f"{self.name} needs grey or RGB images (n, 1 or 3, height, width) in [-1, 1]; "
                f"given {tuple(images.shape)}"
            )
        self.network.to(images.device)
        return in_chunks(lambda part: self._features(to_rgb(part)), images, self.chunk).float()

    @abstractmethod
    def _features(self, images: Tensor) -> Tensor:
        """Return the features of RGB images in [0, 1]."""

    def tensors(self) -> list[Tensor]:
        """Return all weights."""
        return list(self.network.state_dict().values())


class InceptionV3(Pretrained):
    """The 2,048 pooled features behind FID, by `torch-fidelity`, which resizes as TensorFlow did.

    Args:
        weights: the file `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity's release
            v0.2.0, or the same as safetensors; None for the folder where torch-fidelity keeps it
            (`torch.hub.get_dir()`/checkpoints). It is never downloaded here.
        chunk: images that pass through the network at once.

    Raises:
        MeasureError: where the package or the file is missing, or the file is another network's.

    Reference:
        Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium".
    """

    def __init__(self, weights: str | Path | None = None, *, chunk: int = 64) -> None:
        package = import_optional("torch_fidelity", "torch-fidelity", "InceptionV3")
        state = read_weights(weights_file(weights, INCEPTION, "InceptionV3"))
        # The package unpickles its file without restriction: it gets our own copy of the tensors.
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        buffer.seek(0)
        with torch.random.fork_rng([]), matching_weights("InceptionV3"):
            network = package.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer
            )
        super().__init__(network, chunk)

    @property
    def name(self) -> str:
        """Which network it is."""
        return "inception-v3"

    def _features(self, images: Tensor) -> Tensor:
        levels = (255 * images).round().clamp(0, 255).to(torch.uint8)
        (pooled,) = self.network(levels)
        return torch.as_tensor(pooled)


class DINOv2(Pretrained):
    """The class token of a DINOv2 vision transformer, by `timm`: close to human judgement.

    Images are resized to 224 pixels a side (bicubic, antialiased).

    Args:
        weights: a safetensors or .pth file of the model, timm's or the authors'; None for the
            authors' file in `torch.hub.get_dir()`/checkpoints. It is never downloaded here.
        model: timm's name of it; the large one has 1,024 features, the base one 768.
        chunk: images that pass through the network at once.

    Raises:
        MeasureError: where the package or the file is missing, the model is unknown, or the file is
            another network's.

    Reference:
        Oquab et al. 2023, "DINOv2: learning robust visual features without supervision"; Stein et
        al. 2023, "Exposing flaws of generative model evaluation metrics and their unfair treatment
        of diffusion models".
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        model: str = "vit_large_patch14_dinov2",
        chunk: int = 32,
    ) -> None:
        if model not in DINO:
            raise MeasureError(f"unknown model {model!r}; {nearest(model, DINO)}")
        package = import_optional("timm", "timm", "DINOv2")
        state = read_weights(weights_file(weights, DINO[model], "DINOv2"))
        with torch.random.fork_rng([]), matching_weights(model):
            network = package.create_model(
                model, pretrained=False, num_classes=0, img_size=DINO_PIXELS
            )
            convert = import_optional("timm.models.vision_transformer", "timm", "DINOv2")
            network.load_state_dict(convert.checkpoint_filter_fn(dict(state), network))
        self.model = model
        super().__init__(network, chunk)

    @property
    def name(self) -> str:
        """Which network it is."""
        return f"dinov2-{self.model}"

    def _features(self, images: Tensor) -> Tensor:
        square = interpolate(
            images, (DINO_PIXELS, DINO_PIXELS), mode="bicubic", antialias=True
        ).clamp(0, 1)
        mean, spread = (square.new_tensor(v)[:, None, None] for v in (MEAN, SPREAD))
        return torch.as_tensor(self.network((square - mean) / spread))


def to_rgb(images: Tensor) -> Tensor:
    """Return images (n, 1 or 3, ...) in [-1, 1] as RGB in [0, 1]; grey is copied to all three."""
    return (images.float() + 1).div(2).expand(-1, 3, -1, -1)


def weights_file(weights: str | Path | None, name: str, user: str) -> Path:
    """Return the path of a file of weights; MeasureError where there is none."""
    usual = Path(torch.hub.get_dir()) / "checkpoints" / name
    path = usual if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise MeasureError(
            f"{user} needs its weights, and there is no file {path}. Nothing is downloaded: get "
            f"{name} yourself and pass its path as weights= (by default it is read from "
            f"{usual.parent})"
        )
    return path


def read_weights(path: Path) -> Weights:
    """Return the tensors in a file by name, without running any code in it."""
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MeasureError(
            f"{path} cannot be read as plain tensors (one that holds more could run code, and is "
            f"not read): {reason}"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise MeasureError(f"{path} must hold tensors by name, and holds {type(state).__name__}")
    return state


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # of an old pickle protocol, which is read correctly
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def matching_weights(user: str) -> Iterator[None]:
    """Raise a MeasureError where weights do not fit the network."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MeasureError(f"the weights are not those of {user}: {reason}") from None
