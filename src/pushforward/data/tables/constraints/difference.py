"""`low <= high`: one column is modelled as its distance from the other, which is never negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.constraints.number_line import NumberLine

Limits = dict[str, tuple[Floats, Floats]]  # the lowest and the highest point of each row, by column


@dataclass(frozen=True)
class DifferenceStep:
    """A column x that lies above (or below) others is modelled as its difference from them.

    Let b be the largest of the others (the smallest, if x lies below them; one step further where x
    must differ): the difference is x - b (or b - x). Where all the others are missing, b is the
    smallest (largest) x of all rows. So each row has one difference; it is missing where x is, and
    never negative.

    Args:
        column: the name of x.
        direction: 1 if x lies above the others, -1 if below.
        others: their names, and whether x must differ from them.
        name: of the difference.
    """

    kind: ClassVar[str] = "difference"

    column: str
    direction: int
    others: tuple[tuple[str, bool], ...]
    name: str

    @property
    def modelled(self) -> tuple[str, ...]:
        """The column that is modelled instead."""
        return (self.name,)

    @property
    def operands(self) -> tuple[str, ...]:
        """The columns that the replaced one is computed from, beside the modelled one."""
        return tuple(name for name, _ in self.others)

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns that are not modelled themselves."""
        return (self.column,)

    def transform(self, frame: pl.DataFrame, lines: Mapping[str, NumberLine]) -> pl.DataFrame:
        """Return a frame with the difference instead of the column."""
        line = lines[self.column]
        base, _ = self._base(frame, lines)
        distance = self.direction * (line.points(frame[self.column]) - base)
        difference = pl.Series(self.name, distance).fill_nan(None)
        difference = difference.cast(pl.Float64 if line.stride is None else pl.Int64)
        return frame.with_columns(difference).drop(self.column)

    def inverse_transform(
        self, frame: pl.DataFrame, lines: Mapping[str, NumberLine], limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the column instead of the difference.

        The column stays within its limits unless the others force it out of them; where its own
        extent cannot be kept either, it becomes missing if it may be.
        """
        line = lines[self.column]
        base, is_observed = self._base(frame, lines)
        difference = frame[self.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        low, high = limits[self.column]
        if self.direction > 0:
            low = np.where(is_observed, np.maximum(low, base), low)
            high = np.where(high < low, np.inf, high)
        else:
            high = np.where(is_observed, np.minimum(high, base), high)
            low = np.where(high < low, -np.inf, low)
        points = line.clip(base + self.direction * difference, low, high)
        if line.missing:
            outside = (points < line.extent[0]) | (points > line.extent[1])
            points = np.where(outside, np.nan, points)
        return frame.with_columns(line.values(points)).drop(self.name)

    def _base(self, frame: pl.DataFrame, lines: Mapping[str, NumberLine]) -> tuple[Floats, Mask]:
        """Return b (n,), and whether it is the value of another column."""
        outermost = np.fmax if self.direction > 0 else np.fmin
        points = [self._other(frame, lines[name], strict) for name, strict in self.others]
        base = reduce(outermost, points)
        default = lines[self.column].extent[0 if self.direction > 0 else 1]
        return np.where(np.isnan(base), default, base), ~np.isnan(base)

    def _other(self, frame: pl.DataFrame, line: NumberLine, strict: bool) -> Floats:
        points = line.points(frame[line.column.name])
        return line.strictly_beyond(points, self.direction) if strict else points

    def narrow_limits(self, limits: Limits, lines: Mapping[str, NumberLine]) -> None:
        """Apply the column's limits to the others, if they have limits."""
        line = lines[self.column]
        for name, strict in self.others:
            if name not in limits:
                continue
            low, high = limits[name]
            end = line.first_from(
                limits[self.column][1 if self.direction > 0 else 0], -self.direction
            )
            end = lines[name].strictly_beyond(end, -self.direction) if strict else end
            upper, lower = np.minimum(high, end), np.maximum(low, end)
            limits[name] = (low, upper) if self.direction > 0 else (lower, high)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "column": self.column,
            "direction": self.direction,
            "others": [list(other) for other in self.others],
            "name": self.name,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DifferenceStep:
        """Rebuild from `to_json`."""
        others = tuple((name, strict) for name, strict in data["others"])
        return cls(data["column"], data["direction"], others, data["name"])
