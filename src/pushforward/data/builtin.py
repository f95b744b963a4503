"""Data sets that need no file: scikit-learn's, toys, and OpenML's (which need a network)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.raw_data import RawData
from pushforward.data.toys import N_POINTS, TOYS
from pushforward.errors import DataError

OPENML = "openml:"


def names() -> list[str]:
    """Return the names of all built-ins except OpenML's."""
    return [*SKLEARN, *TOYS]


def load_builtin(name: str) -> RawData:
    """Return the data of a built-in."""
    if name.startswith(OPENML):
        return _openml(name.removeprefix(OPENML))
    if name in SKLEARN:
        return SKLEARN[name]()
    toy = TOYS[name]()
    points = toy.draw(N_POINTS, np.random.default_rng(0)).astype(np.float32)
    return RawData(name, points, log_density=toy.log_density)


def _digits() -> RawData:
    """Return 1,797 handwritten digits, 8x8, with their 17 grey levels scaled to 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return RawData("digits", images, labels={"label": bunch.target})


def _sklearn_table(name: str, function: str) -> Callable[[], RawData]:
    """Return a loader of one of scikit-learn's tables, with the names of its classes."""

    def load() -> RawData:
        from sklearn import datasets

        bunch = getattr(datasets, function)()
        frame = pl.DataFrame(bunch.data, schema=list(bunch.feature_names))
        classes = bunch.get("target_names")
        target = bunch.target if classes is None else np.array(classes)[bunch.target].tolist()
        return RawData(name, frame.with_columns(pl.Series("target", target)))

    return load


SKLEARN: dict[str, Callable[[], RawData]] = {
    "digits": _digits,
    "wine": _sklearn_table("wine", "load_wine"),
    "breast-cancer": _sklearn_table("breast-cancer", "load_breast_cancer"),
    "diabetes": _sklearn_table("diabetes", "load_diabetes"),
}


def _openml(name: str) -> RawData:
    """Return one of OpenML's tables."""
    from sklearn.datasets import fetch_openml

    try:
        bunch: Any = fetch_openml(name, as_frame=True, parser="auto", n_retries=0)
    except ImportError:
        raise DataError(f"{OPENML}{name} needs pandas; install it") from None
    except Exception as error:
        # network, server and parser fail in many ways, which all mean the same to a user
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{OPENML}{name} cannot be fetched ({reason}); download it and give its path"
        raise DataError(msg) from None
    return RawData(f"{OPENML}{name}", bunch.frame)
