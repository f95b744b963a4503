"""Data sets that need no file: scikit-learn's, toys, and OpenML's where there is a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.loaded import Loaded
from pushforward.data.toys import POINTS, TOYS
from pushforward.errors import DataError

OPENML = "openml:"


def names() -> list[str]:
    """Return the names of all built-ins, OpenML apart."""
    return [*SKLEARN, *TOYS]


def load_builtin(name: str) -> Loaded:
    """Return the data of a built-in."""
    if name.startswith(OPENML):
        return _openml(name.removeprefix(OPENML))
    if name in SKLEARN:
        return SKLEARN[name]()
    toy = TOYS[name]()
    points = toy.draw(POINTS, np.random.default_rng(0)).astype(np.float32)
    return Loaded(name, points, log_density=toy.log_density)


def _digits() -> Loaded:
    """Return 1,797 handwritten digits, 8x8, their 17 grey levels spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return Loaded("digits", images, labels={"label": bunch.target})


def _table(name: str, load: str) -> Callable[[], Loaded]:
    """Return a loader of a table of scikit-learn's, its classes spelled out."""

    def loader() -> Loaded:
        from sklearn import datasets

        bunch = getattr(datasets, load)()
        frame = pl.DataFrame(bunch.data, schema=list(bunch.feature_names))
        names = bunch.get("target_names")
        target = bunch.target if names is None else np.array(names)[bunch.target].tolist()
        return Loaded(name, frame.with_columns(pl.Series("target", target)))

    return loader


SKLEARN: dict[str, Callable[[], Loaded]] = {
    "digits": _digits,
    "wine": _table("wine", "load_wine"),
    "breast-cancer": _table("breast-cancer", "load_breast_cancer"),
    "diabetes": _table("diabetes", "load_diabetes"),
}


def _openml(name: str) -> Loaded:
    """Return a table of OpenML."""
    from sklearn.datasets import fetch_openml

    try:
        bunch: Any = fetch_openml(name, as_frame=True, parser="auto", n_retries=0)
    except ImportError:
        raise DataError(f"{OPENML}{name} needs pandas; install it") from None
    except Exception as error:
        # the network, the server and its parser fail in many ways; all mean the same to a user
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{OPENML}{name} cannot be fetched ({reason}); download it and give its path"
        raise DataError(msg) from None
    return Loaded(f"{OPENML}{name}", bunch.frame)
