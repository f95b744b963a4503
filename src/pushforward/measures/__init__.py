"""A number between two distributions, with its uncertainty and what no difference would give.

`measure` takes two samples of any kind and applies what suits them; every measure can be called by
itself, the real sample first.
"""

from __future__ import annotations

from collections.abc import Callable

from pushforward.measures._registry import register
from pushforward.measures.closed_form import (
    frechet_gaussian,
    gaussian_rate,
    gaussian_rate_by_dimension,
    jeffreys,
    kl,
)
from pushforward.measures.conditional import tarp
from pushforward.measures.features import (
    PCA,
    DINOv2,
    Features,
    Identity,
    ImageStatistics,
    InceptionV3,
    Standardised,
)
from pushforward.measures.images import artefacts
from pushforward.measures.learned import (
    classifier_test,
    f_divergence,
    jensen_shannon,
    wasserstein_critic,
)
from pushforward.measures.likelihood import (
    LatentDecoder,
    annealed_importance,
    importance_bound,
    observation_noise,
)
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.neighbours import (
    authenticity,
    clipped_coverage,
    clipped_density,
    closest_record,
    coverage,
    density,
    memorisation,
    nearest_neighbour_test,
    prdc,
    precision,
    recall,
)
from pushforward.measures.privacy import (
    CAVEAT,
    PRIVACY,
    exact_matches,
    membership_inference,
)
from pushforward.measures.samples import (
    energy,
    energy_statistic,
    frechet,
    histogram_js,
    histogram_kl,
    inception_score,
    kid,
    knn_kl,
    max_sliced_wasserstein,
    mmd,
    mmd_statistic,
    sinkhorn,
    sliced_wasserstein,
    vendi,
)
from pushforward.measures.scoring import Scorer, measure
from pushforward.measures.tables import (
    association,
    column_shapes,
    pair_information,
    pair_trends,
    utility,
)

__all__ = [
    "CAVEAT",
    "PCA",
    "PRIVACY",
    "DINOv2",
    "Features",
    "Identity",
    "ImageStatistics",
    "InceptionV3",
    "LatentDecoder",
    "Measurement",
    "Scorecard",
    "Scorer",
    "Standardised",
    "all_measures",
    "annealed_importance",
    "artefacts",
    "association",
    "authenticity",
    "classifier_test",
    "clipped_coverage",
    "clipped_density",
    "closest_record",
    "column_shapes",
    "coverage",
    "density",
    "energy",
    "energy_statistic",
    "exact_matches",
    "f_divergence",
    "frechet",
    "frechet_gaussian",
    "gaussian_rate",
    "gaussian_rate_by_dimension",
    "histogram_js",
    "histogram_kl",
    "importance_bound",
    "inception_score",
    "jeffreys",
    "jensen_shannon",
    "kid",
    "kl",
    "knn_kl",
    "max_sliced_wasserstein",
    "measure",
    "membership_inference",
    "memorisation",
    "mmd",
    "mmd_statistic",
    "nearest_neighbour_test",
    "observation_noise",
    "pair_information",
    "pair_trends",
    "prdc",
    "precision",
    "recall",
    "register",
    "sinkhorn",
    "sliced_wasserstein",
    "tarp",
    "utility",
    "vendi",
    "wasserstein_critic",
]


def all_measures() -> dict[str, Callable[..., Measurement]]:
    """Return every measure by its name: the public functions here that return a `Measurement`."""
    public = {name: globals()[name] for name in __all__}
    returned = {n: getattr(f, "__annotations__", {}).get("return") for n, f in public.items()}
    return {name: public[name] for name, kind in returned.items() if kind == "Measurement"}
