"""Distances of two samples, without any training."""

from __future__ import annotations

from pushforward.measures.samples.divergences import histogram_js, histogram_kl, knn_kl
from pushforward.measures.samples.frechet import frechet
from pushforward.measures.samples.kernels import (
    energy,
    energy_parts,
    energy_statistic,
    kid,
    mmd,
    mmd_statistic,
    mmd_witness,
)
from pushforward.measures.samples.scores import inception_score, vendi
from pushforward.measures.samples.statistics import (
    drift_statistic,
    sinkhorn_statistic,
    sliced_wasserstein_statistic,
    transport_cost,
)
from pushforward.measures.samples.transport import (
    max_sliced_wasserstein,
    sinkhorn,
    sliced_wasserstein,
)

__all__ = [
    "drift_statistic",
    "energy",
    "energy_parts",
    "energy_statistic",
    "frechet",
    "histogram_js",
    "histogram_kl",
    "inception_score",
    "kid",
    "knn_kl",
    "max_sliced_wasserstein",
    "mmd",
    "mmd_statistic",
    "mmd_witness",
    "sinkhorn",
    "sinkhorn_statistic",
    "sliced_wasserstein",
    "sliced_wasserstein_statistic",
    "transport_cost",
    "vendi",
]
