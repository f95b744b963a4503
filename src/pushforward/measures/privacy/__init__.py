"""Measures of what generated rows reveal about the training rows, and their limits."""

from __future__ import annotations

from pushforward.measures.privacy.copying import PRIVACY, CopyEvidence, copying
from pushforward.measures.privacy.matches import exact_matches
from pushforward.measures.privacy.membership import membership_inference

__all__ = [
    "CAVEAT",
    "PRIVACY",
    "CopyEvidence",
    "copying",
    "exact_matches",
    "membership_inference",
]

CAVEAT = (
    "The privacy measures find copies of the training rows, and generated rows that lie closer to "
    "them than new rows do, over all rows, outliers and rare groups. They prove nothing about "
    "individuals, smaller groups or other attacks, and are no guarantee: only training with "
    "differential privacy gives one."
)
