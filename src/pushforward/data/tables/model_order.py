"""The order in which the columns of a table are modelled: categories, times, numbers.

A chain of columns learns each given those before it. What a number is for a category is near one
place, which a line or a few cells say; what the category is for a number would be a curve over all
cells of the number. So are the hours of a timetable, given the route, and not the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pushforward.data.tables.column_codec import ColumnCodec


def in_model_order(
    columns: Sequence[ColumnCodec], leaders: Mapping[str, ColumnCodec]
) -> list[ColumnCodec]:
    """Return columns in the order of their kinds, and of the table within each.

    Args:
        columns: those that are modelled.
        leaders: for some of them, by name, the column whose place they have: that of which they are
            parts, or which they tell about.
    """
    return sorted(columns, key=lambda own: _rank(leaders.get(own.name, own)))


def _rank(column: ColumnCodec) -> int:
    if column.kind == "categorical":
        return 0
    return 1 if column.dtype.is_temporal() else 2
