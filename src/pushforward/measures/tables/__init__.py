"""Measures of tables, on the tables themselves: columns, pairs of columns, utility."""

from __future__ import annotations

from pushforward.measures.tables.fidelity import (
    association,
    column_shapes,
    pair_information,
    pair_trends,
)
from pushforward.measures.tables.utility import utility

__all__ = ["association", "column_shapes", "pair_information", "pair_trends", "utility"]
