"""Distances that need nothing but two samples."""

from __future__ import annotations

from pushforward.measures.samples.kernels import energy, energy_statistic, mmd, mmd_statistic
from pushforward.measures.samples.transport import sliced_wasserstein

__all__ = ["energy", "energy_statistic", "mmd", "mmd_statistic", "sliced_wasserstein"]
