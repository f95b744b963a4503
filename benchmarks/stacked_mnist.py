"""Two-digit stacked MNIST: are all 100 modes captured, and as often as each other?

    python benchmarks/stacked_mnist.py [--models gan r3gan vae] [--seeds 1] [--minutes 9] [--jobs 2]
                                       [--data ../shared/data]

Two digits lie in two channels of an image of 28x28, as three do in the published benchmark of 1,000
modes (Metz et al. 2017; Lin et al. 2018). A mode is a pair of digits as a classifier sees them that
was trained on single digits of the training images; of 10,000 samples are counted the modes, and
the KL of their shares from the uniform distribution.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

import pushforward as pf

MODELS = ("gan", "r3gan", "vae")
IMAGES, SAMPLES, DIGITS = 60_000, 10_000, 10


def main() -> None:
    """Train, count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", nargs="+", default=[*MODELS])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/stacked_mnist.json"))
    arguments = parser.parse_args()
    with np.load(arguments.data / "mnist.npz") as arrays:
        mnist = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    classifier = trained_classifier(mnist["x_train"], mnist["y_train"])
    right = classified(classifier, mnist["x_test"]) == mnist["y_test"]
    known: dict[str, Any] = {"classifier's accuracy": float(right.mean())}
    known["real images"] = modes(classifier, stacked(mnist["x_test"], SAMPLES, seed=1))
    print(known, flush=True)
    every = [(model, seed) for model in arguments.models for seed in range(arguments.seeds)]
    calls = (delayed(one)(arguments, mnist["x_train"], *run, classifier) for run in every)
    runs = list(zip(every, Parallel(n_jobs=arguments.jobs)(calls), strict=True))
    for model in arguments.models:
        own = [found for (name, _), found in runs if name == model]
        known[model] = {key: round(fmean(run[key] for run in own), 4) for key in own[0]}
        known[model] |= {"minutes of one core": arguments.minutes, "seeds": len(own)}
        print(model, known[model], flush=True)
    arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def stacked(digits: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return n images (n, 28, 28, 3) of two digits drawn at random; the third channel is black."""
    first, second = np.random.default_rng(seed).integers(len(digits), size=(2, n))
    return np.stack([digits[first], digits[second], np.zeros_like(digits[first])], -1)


def one(
    arguments: argparse.Namespace, digits: np.ndarray, model: str, seed: int, classifier: nn.Module
) -> dict[str, float]:
    """Train a model on pairs, and count."""
    torch.set_num_threads(1)
    data = pf.read(stacked(digits, IMAGES, seed=0))
    budget = f"{60 * arguments.minutes:g}s"
    fitted = pf.fit(data, model, budget=budget, seed=seed, device="cpu")
    return modes(classifier, fitted.sample(SAMPLES, seed=seed)) | {"steps": fitted.steps}


def modes(classifier: nn.Module, images: np.ndarray) -> dict[str, float]:
    """Return how many pairs there are, and the KL of their shares from equal ones."""
    pairs = DIGITS * classified(classifier, images[..., 0]) + classified(classifier, images[..., 1])
    share = np.bincount(pairs, minlength=DIGITS**2) / len(pairs)
    share = share[share > 0]
    return {
        "modes": float(len(share)),
        "reverse KL": float((share * np.log(share * DIGITS**2)).sum()),
    }


def trained_classifier(x: np.ndarray, y: np.ndarray, epochs: int = 2) -> nn.Module:
    """Return a small convolutional network that reads single digits."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(32, 64, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64 * 49, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, DIGITS)),
    )
    optimizer = torch.optim.Adam(network.parameters())
    labels = torch.from_numpy(y).long()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128):
            loss = nn.functional.cross_entropy(network(pixels(x[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float()[:, None] / 255


@torch.no_grad()
def classified(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the digit of each image (n, 28, 28)."""
    parts = (network(pixels(part)).argmax(1) for part in np.array_split(images, 20))
    return torch.cat([*parts]).numpy()


if __name__ == "__main__":
    main()
