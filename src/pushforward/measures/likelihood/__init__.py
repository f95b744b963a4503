"""Likelihood of rows under any generator or decoder, by one protocol for all."""

from __future__ import annotations

from pushforward.measures.likelihood.bounds import (
    annealed_importance,
    importance_bound,
    observation_noise,
)
from pushforward.measures.likelihood.decoder import LatentDecoder

__all__ = ["LatentDecoder", "annealed_importance", "importance_bound", "observation_noise"]
