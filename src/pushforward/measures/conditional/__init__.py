"""Measures of conditional samples: rows that are drawn given a part of each real row."""

from pushforward.measures.conditional.tarp import tarp

__all__ = ["tarp"]
