"""Measures that are learned on one part of the rows and reported on another."""

from __future__ import annotations

from pushforward.measures.learned.classifier import classifier_score, classifier_test
from pushforward.measures.learned.critics import (
    f_divergence,
    jensen_shannon,
    wasserstein_critic,
)

__all__ = [
    "classifier_score",
    "classifier_test",
    "f_divergence",
    "jensen_shannon",
    "wasserstein_critic",
]
