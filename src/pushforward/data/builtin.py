"""The data sets that come with a dependency, are generated, or are fetched by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from pushforward.data.toys import POINTS, TOYS
from pushforward.errors import DataError


@dataclass(frozen=True)
class Raw:
    """What was read, before a schema is inferred.

    Args:
        rows: a DataFrame, images or a matrix.
        labels: a class for each row, where the source knows them apart from the rows.
        label_name: what the source calls them.
        notes: what was noticed, for people.
        log_density: the true log density of points, where it is known.
    """

    rows: Any
    labels: Any = None
    label_name: str = "label"
    notes: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None


def names() -> list[str]:
    """Return the built-ins' names."""
    return [*SKLEARN, *TOYS]


def load(name: str) -> Raw:
    """Return the built-in of that name."""
    if name in TOYS:
        toy = TOYS[name]()
        points = toy.draw(POINTS, np.random.default_rng(0))
        return Raw(points, log_density=toy.log_density)
    return SKLEARN[name]()


def _digits() -> Raw:
    """8x8 digits, 1,797 of them; their 17 grey levels spread over a byte."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Raw(np.rint(found.images * (255 / 16)).astype(np.uint8), found.target, "digit")


def _table(loader: str) -> Callable[[], Raw]:
    """Return a loader of one of scikit-learn's tables: its features, and the target last."""

    def load_table() -> Raw:
        from sklearn import datasets

        found = getattr(datasets, loader)()
        columns = {n: found.data[:, j] for j, n in enumerate(found.feature_names)}
        target = found.target
        if hasattr(found, "target_names") and target.dtype.kind == "i":
            target = np.asarray(found.target_names)[target].astype(str)
        return Raw(pl.DataFrame({**columns, "target": target}))

    return load_table


SKLEARN: dict[str, Callable[[], Raw]] = {
    "digits": _digits,
    "wine": _table("load_wine"),
    "breast-cancer": _table("load_breast_cancer"),
    "diabetes": _table("load_diabetes"),
}


def openml(name: str) -> Raw:
    """Fetch a table from OpenML; DataError where there is no network or no such table."""
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(name, as_frame=True, parser="liac-arff")
    except (OSError, ValueError, ImportError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"openml:{name} cannot be fetched ({first}); download it and give its path"
        raise DataError(msg) from error
    return Raw(found.frame)
