"""Measures by nearest neighbours: fidelity, coverage, copies."""

from __future__ import annotations

from pushforward.measures.neighbours._balls import NAMES, ball_radii, covered_share
from pushforward.measures.neighbours.manifolds import (
    clipped_coverage,
    clipped_density,
    coverage,
    density,
    prdc,
    precision,
    recall,
)
from pushforward.measures.neighbours.records import authenticity, closest_record, memorisation
from pushforward.measures.neighbours.two_sample import nearest_neighbour_test

__all__ = [
    "NAMES",
    "authenticity",
    "ball_radii",
    "clipped_coverage",
    "clipped_density",
    "closest_record",
    "coverage",
    "covered_share",
    "density",
    "memorisation",
    "nearest_neighbour_test",
    "prdc",
    "precision",
    "recall",
]
