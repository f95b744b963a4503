"""Derived columns: left out of what is modelled, computed again from the other columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.tables.column_summary import Facts, is_real
from pushforward.data.tables.columns import Number, column_from_json
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.number_line import Line
from pushforward.data.tables.partition import Floats, Mask
from pushforward.data.tables.text import Spelling
from pushforward.errors import DataError

SLACK = {np.float64: 1e-12, np.float32: 1e-6}  # of the largest number of a row, for rounding


@dataclass(frozen=True, eq=False)
class Computed:
    """A column that is the value of a formula, rounded to the decimals that the user's data have.

    It is missing where an operand is or the formula divides by 0, and where the `flag` says so.

    Args:
        column: the codec of its values.
        formula: of the other columns.
        flag: the name of a modelled column of truth values that says where it is missing although
            its formula has a value; None where it never is.
    """

    kind: ClassVar[str] = "computed"

    column: Number
    formula: Formula
    flag: str | None = None

    @classmethod
    def fit(
        cls, values: pl.Series, formula: Formula, frame: pl.DataFrame, spelling: Spelling, flag: str
    ) -> Computed:
        """Learn a column's decimals, and whether it is missing where its formula has a value."""
        for operand in [values, *(frame[name] for name in formula.columns)]:
            if not (operand.dtype.is_numeric() or operand.dtype == pl.Boolean):
                msg = f"column {operand.name!r} must hold numbers, as {formula.text!r} is computed"
                raise DataError(f"{msg}; it holds {operand.dtype}")
        column = Number.fit(Facts.of(values, "numeric"), values.head(1), spelling)
        own = cls(column, formula)
        gone = np.isnan(column.encode(values)) & ~np.isnan(own.numbers(frame))
        return cls(column, formula, flag if gone.any() else None)

    @property
    def name(self) -> str | None:
        """The modelled column, if there is one."""
        return self.flag

    @property
    def replaced(self) -> tuple[str, ...]:
        """The column that is not modelled itself."""
        return (self.column.name,)

    def numbers(self, frame: pl.DataFrame) -> Floats:
        """Return the formula's values (n,), rounded to the column's decimals."""
        found = self.formula.of(self._operands(frame))
        if self.column.decimals is None:
            return found
        scale = 10.0**self.column.decimals
        return np.round(found * scale) / scale

    def _operands(self, frame: pl.DataFrame) -> dict[str, Floats]:
        return {name: _floats(frame[name]) for name in self.formula.columns}

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Tell in which rows (n,) the column is what its formula says.

        Half a step of its last digit is allowed, as a half may have been rounded either way.
        """
        given = self.column.encode(frame[self.column.name]) + self._origin
        operands = self._operands(frame)
        found = self.formula.of(operands)
        sizes = [np.abs(x) for x in (given, found, *operands.values())]
        precision = np.float32 if self.column.dtype == pl.Float32 else np.float64
        slack = SLACK[precision] * np.fmax.reduce(sizes)
        if self.column.decimals is not None:
            slack = slack + 0.5 * 10.0**-self.column.decimals
        equal = np.abs(given - found) <= slack
        gone = np.isnan(given) & (np.isnan(found) | (self.flag is not None))
        return np.asarray(equal | gone, dtype=np.bool_)

    def apply(self, frame: pl.DataFrame, _lines: Mapping[str, Line]) -> pl.DataFrame:
        """Return a frame without the column, but with its flag."""
        if self.flag is not None:
            absent = np.isnan(self.column.encode(frame[self.column.name]))
            missing = absent & ~np.isnan(self.numbers(frame))
            frame = frame.with_columns(pl.Series(self.flag, missing))
        return frame.drop(self.column.name)

    def undo(
        self, frame: pl.DataFrame, _lines: Mapping[str, Line], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the column; DataError when its dtype cannot hold a value."""
        found = self.numbers(frame)
        if self.flag is not None:
            found = np.where(frame[self.flag].to_numpy(), np.nan, found)
            frame = frame.drop(self.flag)
        try:
            return frame.with_columns(self.column.decode(found - self._origin))
        except (pl.exceptions.PolarsError, OverflowError):
            msg = (
                f"column {self.column.name!r} = {self.formula.text} comes to "
                f"{np.nanmin(found):g} to {np.nanmax(found):g}, which {self.column.dtype} cannot "
                "hold; add the constraint that rules this out, or read the column as a wider type"
            )
            raise DataError(msg) from None

    @property
    def _origin(self) -> int:
        return 0 if is_real(self.column.dtype) else self.column.origin

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        own = {"formula": self.formula.text, "flag": self.flag}
        return {"kind": self.kind, "column": self.column.to_json()} | own

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Computed:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, Number)
        return cls(column, Formula(data["formula"]), data["flag"])


def _floats(values: pl.Series) -> Floats:
    """Return numbers with NaN for missing."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
