"""`low <= high`: one column is modelled as its distance from the other, which is never negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.tables.constraints.number_line import Line
from pushforward.data.tables.partition import Floats, Mask

Limits = dict[str, tuple[Floats, Floats]]  # the lowest and the highest point of each row, by column


@dataclass(frozen=True)
class Gap:
    """A column that lies above (or below) others becomes the gap between them.

    With b the largest of the others (the smallest, if the column lies below them; one step further
    where it must differ), gap = x - b (b - x). Where all of them are missing, b is the smallest
    (largest) x there is. So each row has one gap, it is missing where x is, and is never negative.

    Args:
        column: its name.
        way: 1 if it lies above the others, -1 if below.
        others: their names, and whether it must differ from them.
        name: of the gap.
    """

    kind: ClassVar[str] = "gap"

    column: str
    way: int
    others: tuple[tuple[str, bool], ...]
    name: str

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns that are not modelled themselves."""
        return (self.column,)

    def apply(self, frame: pl.DataFrame, lines: Mapping[str, Line]) -> pl.DataFrame:
        """Return a frame with the gap instead of the column."""
        line = lines[self.column]
        base, _ = self._base(frame, lines)
        gap = pl.Series(self.name, self.way * (line.points(frame[self.column]) - base))
        gap = gap.fill_nan(None).cast(pl.Float64 if line.size is None else pl.Int64)
        return frame.with_columns(gap).drop(self.column)

    def undo(self, frame: pl.DataFrame, lines: Mapping[str, Line], limits: Limits) -> pl.DataFrame:
        """Return a frame with the column instead of the gap.

        It keeps within its limits; the others go before them, and where its extent cannot be kept
        beside them a value that may be missing is.
        """
        line = lines[self.column]
        base, bound = self._base(frame, lines)
        gap = frame[self.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        low, high = limits[self.column]
        if self.way > 0:
            low = np.where(bound, np.maximum(low, base), low)
            high = np.where(high < low, np.inf, high)
        else:
            high = np.where(bound, np.minimum(high, base), high)
            low = np.where(high < low, -np.inf, low)
        points = line.within(base + self.way * gap, low, high)
        if line.missing:
            outside = (points < line.extent[0]) | (points > line.extent[1])
            points = np.where(outside, np.nan, points)
        return frame.with_columns(line.values(points)).drop(self.name)

    def _base(self, frame: pl.DataFrame, lines: Mapping[str, Line]) -> tuple[Floats, Mask]:
        """Return what the gap counts from, and whether it is that of another column."""
        nearest = np.fmax if self.way > 0 else np.fmin
        found = [self._other(frame, lines[name], strict) for name, strict in self.others]
        base = reduce(nearest, found)
        default = lines[self.column].extent[0 if self.way > 0 else 1]
        return np.where(np.isnan(base), default, base), ~np.isnan(base)

    def _other(self, frame: pl.DataFrame, line: Line, strict: bool) -> Floats:
        points = line.points(frame[line.column.name])
        return line.strictly(points, self.way) if strict else points

    def narrow(self, limits: Limits, lines: Mapping[str, Line]) -> None:
        """Let the column's limits be limits of the others, where those have any."""
        line = lines[self.column]
        for name, strict in self.others:
            if name not in limits:
                continue
            low, high = limits[name]
            edge = line.inward(limits[self.column][1 if self.way > 0 else 0], -self.way)
            edge = lines[name].strictly(edge, -self.way) if strict else edge
            upper, lower = np.minimum(high, edge), np.maximum(low, edge)
            limits[name] = (low, upper) if self.way > 0 else (lower, high)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        own = {"column": self.column, "way": self.way, "name": self.name}
        return {"kind": self.kind, "others": [list(other) for other in self.others]} | own

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gap:
        """Rebuild from `to_json`."""
        others = tuple((name, strict) for name, strict in data["others"])
        return cls(data["column"], data["way"], others, data["name"])
