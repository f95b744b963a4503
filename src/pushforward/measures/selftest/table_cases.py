"""The checks on tables: measures, samples from fixed seeds, and truths."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from pushforward.measures.selftest.cases import ACCURACY, AREA, normal
from pushforward.measures.selftest.checking import on


def _columns(seed: int, shift: float = 0.0, correlation: float = 0.0) -> pl.DataFrame:
    x = normal(5000, 2, seed, shift).numpy()
    x[:, 1] = correlation * x[:, 0] + (1 - correlation**2) ** 0.5 * x[:, 1]
    return pl.DataFrame(x, schema=["a", "b"])


def _classes(seed: int) -> pl.DataFrame:
    side = np.random.default_rng(seed).integers(2, size=5000)
    return pl.DataFrame({"x": normal(5000, 1, seed)[:, 0].numpy() + side, "side": side.astype(str)})


def flags(n: int, seed: int, flips: tuple[float, float]) -> pl.DataFrame:
    """Return three flags: a fair one, and twice the one before, flipped with these chances."""
    rng = np.random.default_rng(seed)
    fair, *flipped = rng.random((3, n)) < np.array([0.5, *flips])[:, None]
    first = fair ^ flipped[0]
    return pl.DataFrame({"a": fair, "b": first, "c": first ^ flipped[1]})


def known_information(flips: tuple[float, float]) -> list[float]:
    """Return the normalised mutual information of each pair of `flags`: 1 - H(flip) / log 2."""
    first, second = flips
    either = first * (1 - second) + second * (1 - first)
    entropies = [-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in (first, second, either)]
    return [1 - entropy for entropy in entropies]


def information_error(real: tuple[float, float], fake: tuple[float, float]) -> float:
    """Return `pair_information` of the distributions of two kinds of `flags`."""
    pairs = list(zip(known_information(real), known_information(fake), strict=True))
    return sum((p + q) * abs(p - q) for p, q in pairs) / sum(p + q for p, q in pairs)


OF_TABLES = [
    # sup |F(t) - F(t - 1)| = 2 F(1/2) - 1, and the second column is the same.
    on(
        "column_shapes",
        "one of two columns shifted by 1",
        (2 * ACCURACY - 1) / 2,
        lambda: (_columns(0), _columns(1, 1.0)),
    ),
    on("pair_trends", "correlation 0.8 and none", 0.4, lambda: (_columns(0, 0, 0.8), _columns(1))),
    on(
        "pair_information",
        "three flags, flipped with 0.1 and 0.2, and with 0.3 and 0.05",
        information_error((0.1, 0.2), (0.3, 0.05)),
        lambda: (flags(5000, 0, (0.1, 0.2)), flags(5000, 1, (0.3, 0.05))),
    ),
    on(
        "utility",
        "two classes, N(0, 1) and N(1, 1)",
        AREA,
        lambda: (_classes(0), _classes(1)),
        short=0.03,
        target="side",
    ),
]
