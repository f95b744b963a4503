"""What measures of images see: real images, disturbed in eleven ways at five strengths each.

    python benchmarks/disturbances.py [--data ../shared/data] [--features image-statistics pixels]
                                      [--sets digits mnist cifar10] [--repeats 3] [--seed 0]
                                      [--only "Gaussian fit" blur]

Features are fitted to reference images; other images are disturbed, and compared with real ones
that neither is made of (as in Heusel et al. 2017). A measure sees a disturbance where it worsens
with each strength: Spearman's correlation of value and strength, with no disturbance as strength 0,
is at least 0.95. Strengths at which a measure has already reached its worst value cannot worsen it
further, and count as worse. Which measure should see what was decided beforehand:

energy, frechet     everything: they compare whole distributions, and equal rows count.
classifier_test     everything but duplicates: it looks at single images, and each is a real one.
precision, density  what spoils an image, and foreign ones; not whether all kinds are there.
coverage            everything: spoiled, foreign and repeated images leave real ones uncovered.
recall              missing classes and duplicates; spoiled images have wide balls, which hold
                    real ones.

The results of "rotation-encoder" and "random-convolutional" are of features that are gone: what
images were measured by before, and an alternative to it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

import pushforward as pf
from pushforward.cli.features import FITTED
from pushforward.comparison.references import gaussian_draws
from pushforward.measures import classifier_test, energy, frechet, prdc

FeatureFunction = Callable[[Tensor], Tensor]
Shapes = dict[str, tuple[int, int, int]]  # of the parts: reference, pool, rows a side
SIZES: Shapes = {
    "digits": (500, 1000, 200),
    "mnist": (5000, 2500, 500),
    "cifar10": (2500, 2500, 500),
}
SEEN = 0.95  # the rank correlation from which a measure sees a disturbance
WORST = {"classifier_test": 1.0, "precision": 0, "recall": 0, "density": 0, "coverage": 0}
RISES = {"energy", "frechet", "classifier_test"}  # the others fall


@dataclass(frozen=True)
class Parts:
    """Disjoint parts of a set of images (n, channels, height, width) in [-1, 1].

    Args:
        reference: what features, and the Gaussian fit, are made from.
        pool: what is disturbed.
        classes: of the pool's images.
        real: what it is compared with.
        rng: of everything random.
    """

    reference: Tensor
    pool: Tensor
    classes: NDArray[Any]
    real: Tensor
    rng: torch.Generator

    @property
    def own(self) -> Tensor:
        """As many images of the pool as there are real ones."""
        return self.pool[: len(self.real)]


Disturbance = Callable[[Parts, float], Tensor]


# --- disturbances: of each image ---


def gaussian_fit(parts: Parts, share: float) -> Tensor:
    """Return mixtures with draws of a Gaussian, of the same mean and covariance at each share."""
    x, known = parts.own, parts.reference.flatten(1)
    drawn = gaussian_draws(known, len(x), parts.rng).reshape(x.shape)
    mean = known.mean(0).reshape(x.shape[1:])
    return mean + math.sqrt(1 - share**2) * (x - mean) + share * (drawn - mean)


def blur(parts: Parts, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(parts.own.numpy(), (0, 0, sigma, sigma)))


def noise(parts: Parts, sigma: float) -> Tensor:
    return parts.own + sigma * torch.randn(parts.own.shape, generator=parts.rng)


def jpeg(parts: Parts, worseness: float) -> Tensor:
    levels = quantised(parts.own).add(1).mul(127.5).round().byte().movedim(1, -1).numpy()
    files = [compressed(x[..., 0] if x.shape[-1] == 1 else x, 100 - worseness) for x in levels]
    return torch.from_numpy(np.stack(files)).reshape(levels.shape).movedim(-1, 1) / 127.5 - 1


def compressed(pixels: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def shuffled_patches(parts: Parts, count: float) -> Tensor:
    """Return images cut in 4 x 4, with that many patches of each in another order."""
    x = parts.own.clone()
    h, w = x.shape[2] // 4, x.shape[3] // 4
    for i, image in enumerate(parts.own):
        chosen = torch.randperm(16, generator=parts.rng)[: int(count)]
        for a, b in zip(chosen.tolist(), chosen.roll(1).tolist(), strict=True):
            (r, c), (s, d) = divmod(a, 4), divmod(b, 4)
            patch = image[:, s * h : (s + 1) * h, d * w : (d + 1) * w]
            x[i, :, r * h : (r + 1) * h, c * w : (c + 1) * w] = patch
    return x


def swirl(parts: Parts, angle: float) -> Tensor:
    """Return images turned by an angle (radians) at the centre, which falls to 0 at the border."""
    x = parts.own
    grid = affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    turned = angle * (1 - grid.norm(dim=-1)).clamp(min=0)
    cos, sin, (u, v) = turned.cos(), turned.sin(), grid.unbind(-1)
    places = torch.stack([cos * u - sin * v, sin * u + cos * v], -1)
    return grid_sample(x, places, "bicubic", padding_mode="border", align_corners=False)


def salt_and_pepper(parts: Parts, share: float) -> Tensor:
    n, _, h, w = parts.own.shape
    chance, colour = torch.rand(2, n, 1, h, w, generator=parts.rng)
    return torch.where(chance < share, torch.where(colour < 0.5, -1.0, 1.0), parts.own)


def colour_shift(parts: Parts, shift: float) -> Tensor:
    """Return images with the first channel raised and the last lowered; grey ones fade."""
    x = parts.own.clone()
    if x.shape[1] == 1:
        return (1 - shift) * (x + 1) - 1
    x[:, 0] += shift
    x[:, -1] -= shift
    return x


# --- disturbances: of the sample ---


def missing_classes(parts: Parts, count: float) -> Tensor:
    return parts.pool[torch.from_numpy(parts.classes >= count)][: len(parts.real)]


def duplicates(parts: Parts, copies: float) -> Tensor:
    """Return each of a few images that many times."""
    few = -(-len(parts.real) // int(copies))
    return parts.pool[:few].repeat(int(copies), 1, 1, 1)[: len(parts.real)]


def other_images(parts: Parts, share: float) -> Tensor:
    """Return the images with a share of crops from scikit-learn's two photographs."""
    x = parts.own.clone()
    foreign = crops(int(share * len(x)), x.shape[1:], parts.rng)
    x[: len(foreign)] = foreign
    return x


def crops(n: int, shape: torch.Size, rng: torch.Generator) -> Tensor:
    """Return crops of 64 pixels a side of two photographs, (n, *shape)."""
    photos = torch.from_numpy(np.stack(load_sample_images().images)).movedim(-1, 1) / 127.5 - 1
    _, _, h, w = photos.shape
    chosen = (torch.randint(top, (n,), generator=rng).tolist() for top in (2, h - 64, w - 64))
    cut = [photos[p, :, i : i + 64, j : j + 64] for p, i, j in zip(*chosen, strict=True)]
    small = interpolate(torch.stack(cut), list(shape[1:]), mode="area")
    return small if shape[0] == 3 else small.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)


DISTURBANCES: dict[str, tuple[Disturbance, tuple[float, ...]]] = {
    "Gaussian fit": (gaussian_fit, (0.3, 0.5, 0.7, 0.85, 1)),
    "blur": (blur, (0.5, 0.7, 0.9, 1.1, 1.4)),
    "pixel noise": (noise, (0.1, 0.15, 0.2, 0.3, 0.5)),
    "JPEG": (jpeg, (60, 75, 85, 90, 95)),
    "shuffled patches": (shuffled_patches, (2, 4, 7, 11, 16)),
    "swirl": (swirl, (1, 1.5, 2, 2.5, 3)),
    "salt and pepper": (salt_and_pepper, (0.02, 0.04, 0.07, 0.12, 0.2)),
    "colour shift": (colour_shift, (0.1, 0.15, 0.2, 0.3, 0.4)),
    "missing classes": (missing_classes, (2, 4, 6, 7, 8)),
    "duplicates": (duplicates, (2, 4, 8, 16, 32)),
    "other images": (other_images, (0.1, 0.2, 0.3, 0.5, 0.8)),
}
SPOILS = {*DISTURBANCES} - {"missing classes", "duplicates"}
EXPECTED: dict[str, set[str]] = {
    "energy": {*DISTURBANCES},
    "frechet": {*DISTURBANCES},
    "classifier_test": {*DISTURBANCES} - {"duplicates"},
    "precision": SPOILS,
    "density": SPOILS,
    "recall": {"missing classes", "duplicates"},
    "coverage": {*DISTURBANCES},
}


# --- what is measured ---


def values(x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the value of each measure for features (n, d)."""
    card = prdc(x, y, splits=0, resamples=0)
    found = {
        "energy": energy(x, y, permutations=0).value,
        "frechet": frechet(x, y, permutations=0, groups=0).value,
        "classifier_test": classifier_test(x, y, classifier="logistic").extra["auc"],
    }
    return found | {name: card[name].value for name in EXPECTED if name not in found}


def curves(
    parts: Parts, features: FeatureFunction, only: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """Return for each disturbance the values at strength 0 (none) to 5."""
    real = features(parts.real)
    none = values(real, features(parts.own))
    return {
        name: [none, *(values(real, features(y)) for y in disturbed(parts, name))] for name in only
    }


def disturbed(parts: Parts, name: str) -> Iterator[Tensor]:
    """Yield the disturbed images, from the weakest to the strongest, with the same noise."""
    disturb, strengths = DISTURBANCES[name]
    state = parts.rng.get_state()
    for strength in strengths:
        parts.rng.set_state(state)
        yield quantised(disturb(parts, strength))


def quantised(x: Tensor) -> Tensor:
    """Return images of 8 bits, in [-1, 1]."""
    return x.clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


def correlation(measure: str, found: list[float]) -> float:
    """Return Spearman's correlation of strength and badness; 0 for a measure that never moves."""
    bad = np.array(found) * (1 if measure in RISES else -1)
    saturated = np.isclose(found, WORST.get(measure, np.nan), rtol=0, atol=0.02)
    bad = np.where(saturated, 1e6 + np.arange(len(bad)), bad)
    return 0.0 if np.ptp(bad) == 0 else float(stats.spearmanr(bad, np.arange(len(bad)))[0])


# --- data and features ---


def load(name: str, data: Path) -> tuple[Tensor, NDArray[Any]]:
    """Return images (n, channels, height, width) in [-1, 1], and their classes from 0."""
    if name == "digits":
        digits = load_digits()
        return torch.from_numpy(digits.images).float()[:, None] / 8 - 1, digits.target
    if name == "mnist":
        with np.load(data / "mnist.npz") as file:
            images, labels = file["x_train"][::6], file["y_train"][::6]  # sorted by class
        return torch.from_numpy(images)[:, None] / 127.5 - 1, labels
    files = sorted((data / "cifar10").glob("*/*/*.jpg"))
    names = sorted({file.parent.name for file in files})
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    classes = np.array([names.index(file.parent.name) for file in files])
    return pixels.movedim(-1, 1) / 127.5 - 1, classes


def split(images: Tensor, classes: NDArray[Any], sizes: tuple[int, int, int], seed: int) -> Parts:
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=rng)
    known, pool, real = order[: sum(sizes)].split(list(sizes))
    return Parts(images[known], images[pool], classes[pool.numpy()], images[real], rng)


def fitted(name: str, reference: Tensor) -> FeatureFunction:
    """Return features by their name on the command line."""
    if name == "pixels":
        return lambda x: x.flatten(1)
    features: FeatureFunction = getattr(pf.measures, FITTED[name]).fit(reference)
    return features


def run(
    name: str, features: str, data: Path, seeds: Sequence[int], only: Sequence[str]
) -> dict[str, Any]:
    """Return correlations and curves, the means over a split for each seed, of a set of images."""
    images, classes = load(name, data)
    rounds, nulls, seconds = [], [], []
    for seed in seeds:
        parts = split(images, classes, SIZES[name], seed)
        start = time.perf_counter()
        feature = fitted(features, parts.reference)
        fitted_in = time.perf_counter() - start
        x, y = feature(parts.real), feature(parts.own)
        seconds.append([fitted_in, time.perf_counter() - start - fitted_in])
        nulls.append(energy(x, y, permutations=499, seed=seed).p_value)
        rounds.append(curves(parts, feature, only))
    return {
        "seconds to fit, to apply": np.median(seconds, 0).round(3).tolist(),
        "p-values of real against real": nulls,
        **summary(rounds),
    }


def summary(rounds: list[dict[str, list[dict[str, float]]]]) -> dict[str, Any]:
    """Return the means of the rounds' values by disturbance and measure, and the correlations."""
    means = {
        disturbance: {
            measure: np.mean([[at[measure] for at in r[disturbance]] for r in rounds], 0)
            for measure in EXPECTED
        }
        for disturbance in rounds[0]
    }
    return {
        "correlations": {
            d: {m: round(correlation(m, list(v)), 3) for m, v in of.items()}
            for d, of in means.items()
        },
        "values": {d: {m: v.round(4).tolist() for m, v in of.items()} for d, of in means.items()},
    }


def show(name: str, features: str, found: dict[str, Any]) -> None:
    """Print a table: the value at the strongest, and a mark where the course is not as expected."""
    print(f"\n{name}, {features}: fitted and applied in {found['seconds to fit, to apply']} s,")
    print(f"real against real p = {found['p-values of real against real']}")
    print(f"{'':18}" + "".join(f"{measure:>17}" for measure in EXPECTED))
    none = {m: v[0] for m, v in next(iter(found["values"].values())).items()}
    print(f"{'none':18}" + "".join(f"{none[m]:12.3f}     " for m in EXPECTED))
    for disturbance, of in found["values"].items():
        cells = [cell(m, disturbance, of[m][-1], found) for m in EXPECTED]
        print(f"{disturbance:18}" + "".join(cells), flush=True)
    print(f"seen {seen(found)[0]} of {seen(found)[1]} that are expected")


def cell(measure: str, disturbance: str, value: float, found: dict[str, Any]) -> str:
    r = found["correlations"][disturbance][measure]
    due = disturbance in EXPECTED[measure]
    mark = f"{r:5.2f}" if due and r < SEEN else "     " if due else "    ."
    return f"{value:12.3f}{mark}"


def seen(found: dict[str, Any]) -> tuple[int, int]:
    """Return how many disturbances measures see, and how many they should."""
    found = found["correlations"]
    due = [of[m] for d, of in found.items() for m in EXPECTED if d in EXPECTED[m]]
    return sum(r >= SEEN for r in due), len(due)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--features", nargs="*", default=["image-statistics", "pixels"])
    parser.add_argument("--sets", nargs="*", default=[*SIZES])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the first split")
    parser.add_argument("--only", nargs="*", choices=[*DISTURBANCES], default=[*DISTURBANCES])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/disturbances.json"))
    arguments = parser.parse_args()
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    seeds = range(arguments.seed, arguments.seed + arguments.repeats)
    for name in arguments.sets:
        for features in arguments.features:
            found = run(name, features, arguments.data, seeds, arguments.only)
            show(name, features, found)
            results.setdefault(name, {})[features] = found
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
