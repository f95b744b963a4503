"""Measures for tables, on the tables themselves: columns, pairs of columns, what they are for."""

from __future__ import annotations

from pushforward.measures.tables.measures import association, column_shapes, pair_trends, utility

__all__ = ["association", "column_shapes", "pair_trends", "utility"]
