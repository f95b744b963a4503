"""Rulers that look at neighbours: is it like the data, is all of it there, is it a copy?"""

from __future__ import annotations

from pushforward.measures.neighbours._balls import NAMES
from pushforward.measures.neighbours.manifolds import (
    clipped_coverage,
    clipped_density,
    coverage,
    density,
    prdc,
    precision,
    recall,
)

__all__ = [
    "NAMES",
    "clipped_coverage",
    "clipped_density",
    "coverage",
    "density",
    "prdc",
    "precision",
    "recall",
]
