"""Whether a GAN profits when its critic sees augmented images: of many images, and of few.

The `gan` is trained for the same number of steps with each policy of `augment`, at two
probabilities, and 1,000 generated images are measured on test images that no run has seen:

    digits       1,437 images of 8 x 8 to train on, 180 to test on
    mnist-300    300 images to train on (and 37 that choose the checkpoint), 1,000 to test on;
                 halved to 14 x 14 pixels, so that a run takes a minute

    python benchmarks/augment.py [--data ../shared/data/mnist.npz] [--seeds 2] [--only digits]
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pushforward as pf

STEPS = {"digits": 400, "mnist-300": 600}
ALL = "color,translation,cutout"
CASES = (("none", 1.0), ("translation", 1.0), (ALL, 1.0), (ALL, 0.5))
MEASURES = ("energy", "precision", "recall", "coverage")
SMALL: dict[str, Any] = {"width": 32, "batch_size": 64}
IMAGES = 375  # of which 80 % are to train on
GENERATED = 1000


def read(name: str, path: Path) -> tuple[pf.Dataset, Tensor]:
    """Return the images to train on, and encoded ones to test on."""
    if name == "digits":
        data = pf.read("digits")
        return data, data.subset("test")[0]
    with np.load(path) as file:
        train, test = (halved(file[key]) for key in ("x_train", "x_test"))
    data = pf.read(train[:IMAGES])
    return data, data.schema.encode(test[:1000])


def halved(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return images (n, 28, 28) as the means of squares of 2 x 2 pixels."""
    return np.asarray(images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).round(), np.uint8)


def quality(
    data: pf.Dataset, test: Tensor, options: dict[str, Any], steps: int, seed: int
) -> dict[str, float]:
    """Train once, and measure generated images; the energy distance is never below 0 here."""
    fitted = pf.fit(data, "gan", budget=f"{steps} steps", seed=seed, **options, **SMALL)
    fake = data.schema.encode(fitted.sample(GENERATED, seed=seed))
    x, y = data.schema.features(test), data.schema.features(fake)
    energy = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    found = {name: getattr(pf.measures, name)(x, y).value for name in MEASURES[1:]}
    return {"energy": float(energy)} | found


def main() -> None:
    """Train, print a table and write the numbers: those of a data set replace older ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist.npz"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/augment.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'':44}" + "".join(f"{name:>24}" for name in MEASURES))
    for name in arguments.only.split(","):
        data, test = read(name, arguments.data)
        steps = max(1, round(arguments.scale * STEPS[name]))
        for policy, p in CASES:
            options, key = {"augment": policy, "augment_p": p}, f"{name}, {policy}, p = {p}"
            runs = [quality(data, test, options, steps, seed) for seed in range(arguments.seeds)]
            result[key] = {"steps": steps, "runs": runs}
            print(f"{key:44}" + "".join(spread(runs, m) for m in MEASURES))
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def spread(runs: list[dict[str, float]], name: str) -> str:
    """Return mean, smallest and largest of a measure."""
    values = [run[name] for run in runs]
    text = f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
    return f"{text:>24}"


if __name__ == "__main__":
    main()
