"""What a measure looks at instead of the raw values. Each is fitted to the reference alone.

A measure takes any of them by `features=`, and their name and hash go into its `extra`: two
measurements are comparable only if both agree.
"""

from __future__ import annotations

from pushforward.measures.features.maps import (
    PCA,
    Features,
    Identity,
    ImageEncoder,
    RandomConvolutional,
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
    "ImageEncoder",
    "InceptionV3",
    "RandomConvolutional",
    "Standardised",
    "beside_class",
    "spread_of",
]
