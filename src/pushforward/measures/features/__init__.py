"""Features: maps from rows to the vectors that are measured, fitted to the reference alone.

Measures take them as `features=`. Their name and hash go into the `extra` of a measurement: two
measurements are comparable only if both agree.
"""

from __future__ import annotations

from pushforward.measures.features.images import ImageStatistics
from pushforward.measures.features.maps import (
    PCA,
    Features,
    Identity,
    Standardised,
    beside_class,
    spread_of,
)
from pushforward.measures.features.pretrained import DINOv2, InceptionV3

__all__ = [
    "PCA",
    "DINOv2",
    "Features",
    "Identity",
    "ImageStatistics",
    "InceptionV3",
    "Standardised",
    "beside_class",
    "spread_of",
]
