"""Every measure against a known truth, on this machine."""

from __future__ import annotations

from pushforward.measures.selftest.cases import CHECKS
from pushforward.measures.selftest.checking import Check, Result, run

__all__ = ["CHECKS", "Check", "Result", "run"]
