"""Measures of what generated rows give away about the training rows, and what they cannot show."""

from __future__ import annotations

from pushforward.measures.privacy.matches import exact_matches
from pushforward.measures.privacy.membership import membership_inference

__all__ = ["CAVEAT", "PRIVACY", "exact_matches", "membership_inference"]

PRIVACY = ("exact_matches", "closest_record", "membership_inference")  # the panel, in its order
CAVEAT = (
    "The privacy measures find copies of the training rows, and generated rows that lie closer to "
    "these than new rows do. They prove nothing about single persons, small groups or other "
    "attacks, and are no guarantee: only training with differential privacy gives one."
)
