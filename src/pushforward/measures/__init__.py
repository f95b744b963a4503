"""A number between two distributions, with its uncertainty and what no difference would give.

`measure` takes two samples of any kind and applies what suits them; every ruler can be called by
itself, the real sample first.
"""

from __future__ import annotations

from collections.abc import Callable

from pushforward.measures.closed_form import (
    frechet_gaussian,
    gaussian_rate,
    gaussian_rate_by_dimension,
    jeffreys,
    kl,
)
from pushforward.measures.features import PCA, Features, Identity, ImageEncoder, Standardised
from pushforward.measures.learned import classifier_test
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.neighbours import coverage, density, prdc, precision, recall
from pushforward.measures.samples import (
    energy,
    energy_statistic,
    mmd,
    mmd_statistic,
    sliced_wasserstein,
)
from pushforward.measures.scoring import Scorer, measure
from pushforward.measures.tables import association, column_shapes, pair_trends, utility

__all__ = [
    "PCA",
    "Features",
    "Identity",
    "ImageEncoder",
    "Measurement",
    "Scorecard",
    "Scorer",
    "Standardised",
    "all_rulers",
    "association",
    "classifier_test",
    "column_shapes",
    "coverage",
    "density",
    "energy",
    "energy_statistic",
    "frechet_gaussian",
    "gaussian_rate",
    "gaussian_rate_by_dimension",
    "jeffreys",
    "kl",
    "measure",
    "mmd",
    "mmd_statistic",
    "pair_trends",
    "prdc",
    "precision",
    "recall",
    "sliced_wasserstein",
    "utility",
]


def all_rulers() -> dict[str, Callable[..., Measurement]]:
    """Return every ruler by its name: the public functions here that return a `Measurement`."""
    public = {name: globals()[name] for name in __all__}
    returned = {n: getattr(f, "__annotations__", {}).get("return") for n, f in public.items()}
    return {name: public[name] for name, kind in returned.items() if kind == "Measurement"}
