"""Every measure against a known truth, on this machine."""

from __future__ import annotations

from pushforward.measures.selftest.cases import OF_ROWS
from pushforward.measures.selftest.checking import Check, Result, run
from pushforward.measures.selftest.table_cases import OF_TABLES

CHECKS: tuple[Check, ...] = (*OF_ROWS, *OF_TABLES)

__all__ = ["CHECKS", "Check", "Result", "run"]
