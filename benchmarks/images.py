"""Both families on images beside a Gaussian fit: digits, MNIST and a CIFAR-10 folder.

    python benchmarks/images.py [--data ../shared/data] [--only digits mnist cifar10]
                                [--seeds 3] [--budget 120s] [--models vae gan] [--jobs 2]
                                [--pictures docs/images]

Each data set is one `compare`, with defaults; with two jobs on two cores each run has one. For each
model:

better      measures by which the mean over seeds is nearer to real rows than the Gaussian fit is
width       of the networks, as the size dial chose it
steps       of a run, and steps a second of its training
energy, accuracy, ...  means over seeds, with those of the Gaussian fit and of real rows beside
diverged    runs that ended early for it, where there are any
digits      of 2,000 samples of each seed, the share that a classifier recognises with a
            probability above 0.9; the classifier is a convolutional network that is trained on the
            data alone, and recognises that share of test images.

`--pictures FOLDER` writes test images and samples of seed 0, drawn at random, side by side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pushforward as pf

BUDGETS = {"digits": "20s", "mnist": "120s", "cifar10": "300s"}
SHOWN = ("energy", "classifier_test", "precision", "recall", "density", "coverage")
SURE = 0.9
SAMPLES = 2000
SHOWN_IMAGES = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*BUDGETS])
    parser.add_argument("--models", nargs="*", default=["vae", "gan"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", help="for every data set, instead of its own")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--pictures", type=Path, help="a folder to write them to")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/images.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        budget = arguments.budget or BUDGETS[name]
        found = compared(name, budget, arguments)
        known[f"{name}, {budget}"] = found
        show(f"{name}, {budget}", found)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def compared(name: str, budget: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a comparison on one data set finds, by source."""
    data, models, seeds = arguments.data, arguments.models, range(arguments.seeds)
    source = {"digits": "digits", "mnist": data / "mnist.npz", "cifar10": data / "cifar10"}[name]
    known = labelled(name, data)
    classifier = None if known is None else trained(*known[:2])
    with tempfile.TemporaryDirectory() as folder:
        result = pf.compare(
            source, models, seeds=len(seeds), budget=budget, out=folder, n_jobs=arguments.jobs
        )
        found: dict[str, Any] = {"recommendation": result.recommendation.sentence}
        found |= {"seeds": len(seeds), "jobs": arguments.jobs}
        for reference in ("ceiling", "floor"):
            found[reference] = values([getattr(result, reference)])
        samples = {}
        for model in models:
            losses = {x.measure: x.mean for x in result.losses if x.model == model}
            better = [measure for measure, loss in losses.items() if loss < 1]
            runs = [pf.load(Path(folder) / "runs" / f"{model}-{seed}") for seed in seeds]
            found[model] = values(result.best_cards[model])
            found[model] |= {"better": f"{len(better)} of {len(losses)}"}
            found[model] |= {"not better": sorted(losses.keys() - set(better))}
            found[model] |= pace(runs[0])
            if lost := sum(run.diverged is not None for run in runs):
                found[model]["diverged"] = lost
            drawn = [run.sample(SAMPLES, seed=0) for run in runs]
            samples[model] = drawn[0]
            if classifier is not None:
                found[model]["digits"] = round(
                    fmean(recognised(classifier, pixels) for pixels in drawn), 3
                )
        if classifier is not None and known is not None:
            found["ceiling"]["digits"] = recognised(classifier, known[2])
        if arguments.pictures is not None:
            rows, _ = pf.read(source).subset("test")
            real = runs[0].schema.decode(rows[:SHOWN_IMAGES])
            panels = [real, *(drawn[:SHOWN_IMAGES] for drawn in samples.values())]
            picture(panels, arguments.pictures / f"{name}.png")
    return found


def picture(panels: Sequence[np.ndarray], path: Path, columns: int = 8, scale: int = 2) -> None:
    """Write images (n, height, width) or (n, height, width, 3) of several sources side by side."""
    grids = [grid(images.repeat(scale, 1).repeat(scale, 2), columns) for images in panels]
    apart = np.full((len(grids[0]), 8 * scale, *grids[0].shape[2:]), 255, np.uint8)
    parts = [part for found in grids for part in (found, apart)][:-1]
    Image.fromarray(np.concatenate(parts, 1)).save(path, optimize=True)


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Return rows of images with white lines between them."""
    lines = [(0, 0), (1, 0), (1, 0), *[(0, 0)] * (images.ndim - 3)]
    framed = np.pad(images, lines, constant_values=255)
    rows = [np.concatenate(list(row), 1) for row in framed.reshape(-1, columns, *framed.shape[1:])]
    return np.concatenate(rows)


def values(cards: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means of the shown measures over seeds."""
    return {m: round(fmean(c[m].value for c in cards), 3) for m in SHOWN if m in cards[0]}


def pace(fitted: pf.Fitted) -> dict[str, float]:
    """Return the networks' width, and the steps of a run."""
    last = [record for record in fitted.history if record["terms"]][-1]
    width = fitted.config["identity"]["options"].get("width", 0)
    per_second = round(fitted.steps / last["seconds"], 1)
    return {"width": width, "steps": fitted.steps, "steps a second": per_second}


def labelled(name: str, data: Path) -> tuple[Any, Any, Any] | None:
    """Return training images with labels, and test images, of data sets of digits."""
    if name == "digits":
        digits = load_digits()
        pixels = (digits.images * 255 / 16).round().astype(np.uint8)
        return pixels[:1437], digits.target[:1437], pixels[1437:]
    if name == "mnist":
        with np.load(data / "mnist.npz") as stored:
            order = np.random.default_rng(0).permutation(len(stored["x_test"]))  # lie by class
            return stored["x_train"], stored["y_train"], stored["x_test"][order[:SAMPLES]]
    return None


def trained(pixels: Any, labels: Any, steps: int = 1500) -> nn.Module:
    """Return a classifier of images, trained on them for as long as it takes."""
    generator = torch.Generator().manual_seed(0)
    x, y = scaled(pixels), torch.as_tensor(labels).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveMaxPool2d(7), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.AdaptiveMaxPool2d(3), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 9, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(network.parameters(), 2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        for _ in range(steps):
            index = torch.randint(len(x), (128,), generator=generator)
            loss = nn.functional.cross_entropy(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def scaled(pixels: Any) -> Tensor:
    """Return images (n, h, w) of bytes as (n, 1, h, w) in [-1, 1]."""
    return torch.as_tensor(pixels)[:, None].float() / 127.5 - 1


@torch.no_grad()
def recognised(network: nn.Module, pixels: Any) -> float:
    """Return the share of images whose digit is recognised with a probability above SURE."""
    sure = network(scaled(pixels)).softmax(1).amax(1) > SURE
    return round(float(sure.float().mean()), 3)


def show(name: str, found: Mapping[str, Any]) -> None:
    print(f"\n{name}: {found['recommendation']}")
    for source, row in found.items():
        if isinstance(row, dict):
            print(f"  {source:8}" + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
