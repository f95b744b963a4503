"""Samples that tests of the measures share; each depends on its seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """n rows of N(shift e1, scale^2 I_d), float64."""
    x = scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()
    x[:, 0] += shift
    return x


def normal32(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    """n rows of N(shift e1, I_d), float32."""
    return normal(n, d, seed, shift).float()


def table(n: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Two related numbers, a category of four, one of two that depends on the first number."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n) + shift
    b = 0.6 * a + 0.8 * rng.normal(size=n)
    c = rng.choice(list("klmn"), p=[0.4, 0.3, 0.2, 0.1], size=n)
    d = np.where(rng.random(n) < 1 / (1 + np.exp(-2 * a)), "yes", "no")
    return pl.DataFrame({"a": a, "b": b, "c": c, "d": d})


def labelled(n: int, seed: int) -> pl.DataFrame:
    """A number, a category of three that is independent of it, and a label that depends on it."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n).round(2)
    label = np.where(a + rng.normal(size=n) > 0, "yes", "no")
    return pl.DataFrame({"a": a, "b": rng.choice(list("klm"), size=n), "label": label})


def digits() -> NDArray[np.float32]:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels in [0, 1], in a random order."""
    images: NDArray[Any] = load_digits().images.astype(np.float32) / 16
    return images[np.random.default_rng(0).permutation(len(images))]
