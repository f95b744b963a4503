"""Rulers that are learned: trained on one part of the rows, reported on another."""

from __future__ import annotations

from pushforward.measures.learned.classifier import auc, classifier_test

__all__ = ["auc", "classifier_test"]
