"""What a model can tell about its own measure, as numbers that are ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Panel:
    """One picture or table.

    Args:
        title: what is shown.
        kind: `"bars"` and `"lines"` draw `series` over `x`; `"histogram"` bins each series; a
            `"table"` has the series as columns.
        series: named lists of numbers (in a table also text).
        x: positions or names, shared by all series; not used by a histogram.
        x_title: the axis below, with its unit.
        y_title: the axis at the left, with its unit.
        note: one or two sentences that say how to read it.
    """

    title: str
    kind: Literal["bars", "lines", "histogram", "table"]
    series: Mapping[str, list[Any]]
    x: list[Any] = field(default_factory=list)
    x_title: str = ""
    y_title: str = ""
    note: str = ""
