"""Measures of what generated rows reveal about the training rows, and their limits."""

from __future__ import annotations

from pushforward.measures.privacy.matches import exact_matches
from pushforward.measures.privacy.membership import membership_inference

__all__ = ["CAVEAT", "PRIVACY", "exact_matches", "membership_inference"]

PRIVACY = ("exact_matches", "closest_record", "membership_inference")  # in the report's order
CAVEAT = (
    "The privacy measures find copies of the training rows, and generated rows that lie closer to "
    "them than new rows do. They prove nothing about individuals, small groups or other attacks, "
    "and are no guarantee: only training with differential privacy gives one."
)
