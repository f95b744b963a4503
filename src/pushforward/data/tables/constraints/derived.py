"""Derived columns: not modelled, but computed from the other columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_summary import is_real
from pushforward.data.tables.columns import column_from_json
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.number_line import NumberLine
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

ROUNDING_ERROR = {np.float64: 1e-12, np.float32: 1e-6}  # relative to the largest number of a row


@dataclass(frozen=True, eq=False)
class DerivedStep:
    """A column that is the value of a formula, rounded to the decimals of the user's data.

    It is missing where an operand is missing, where the formula divides by 0, and where the `flag`
    says so.

    Args:
        column: the codec of its values.
        formula: of the other columns.
        flag: the name of a modelled column of truth values: whether the column is missing although
            its formula has a value; None if it never is.
    """

    kind: ClassVar[str] = "derived"

    column: NumericCodec
    formula: Formula
    flag: str | None = None

    @classmethod
    def fit(
        cls,
        values: pl.Series,
        formula: Formula,
        frame: pl.DataFrame,
        text_formats: TextFormats,
        flag: str,
    ) -> DerivedStep:
        """Learn a column's decimals, and whether it is missing where its formula has a value."""
        for operand in [values, *(frame[name] for name in formula.columns)]:
            if not (operand.dtype.is_numeric() or operand.dtype == pl.Boolean):
                msg = f"column {operand.name!r} must hold numbers to compute {formula.text!r}"
                raise DataError(f"{msg}, got {operand.dtype}")
        column = NumericCodec.of_values(values, text_formats)
        missing = np.isnan(column.encode(values)) & ~np.isnan(cls(column, formula).compute(frame))
        return cls(column, formula, flag if missing.any() else None)

    @property
    def name(self) -> str | None:
        """The modelled column, if there is one."""
        return self.flag

    @property
    def replaced(self) -> tuple[str, ...]:
        """The column that is not modelled itself."""
        return (self.column.name,)

    def compute(self, frame: pl.DataFrame) -> Floats:
        """Return the formula's values (n,), rounded to the column's decimals."""
        values = self.formula.evaluate(self._operands(frame))
        if self.column.decimals is None:
            return values
        scale = 10.0**self.column.decimals
        return np.round(values * scale) / scale

    def _operands(self, frame: pl.DataFrame) -> dict[str, Floats]:
        return {name: _floats(frame[name]) for name in self.formula.columns}

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the column equals its formula.

        They may differ by half a unit of its last digit, as a half may be rounded either way.
        """
        given = self.column.encode(frame[self.column.name]) + self._origin
        operands = self._operands(frame)
        computed = self.formula.evaluate(operands)
        magnitudes = [np.abs(x) for x in (given, computed, *operands.values())]
        float_type = np.float32 if self.column.dtype == pl.Float32 else np.float64
        tolerance = ROUNDING_ERROR[float_type] * np.fmax.reduce(magnitudes)
        if self.column.decimals is not None:
            tolerance = tolerance + 0.5 * 10.0**-self.column.decimals
        equal = np.abs(given - computed) <= tolerance
        missing = np.isnan(given) & (np.isnan(computed) | (self.flag is not None))
        return np.asarray(equal | missing, dtype=np.bool_)

    def transform(self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine]) -> pl.DataFrame:
        """Return a frame without the column, but with its flag."""
        if self.flag is not None:
            absent = np.isnan(self.column.encode(frame[self.column.name]))
            flagged = absent & ~np.isnan(self.compute(frame))
            frame = frame.with_columns(pl.Series(self.flag, flagged))
        return frame.drop(self.column.name)

    def inverse_transform(
        self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the column; DataError when its dtype cannot hold a value."""
        values = self.compute(frame)
        if self.flag is not None:
            values = np.where(frame[self.flag].to_numpy(), np.nan, values)
            frame = frame.drop(self.flag)
        try:
            return frame.with_columns(self.column.decode(values - self._origin))
        except (pl.exceptions.PolarsError, OverflowError):
            msg = (
                f"column {self.column.name!r} = {self.formula.text} ranges from "
                f"{np.nanmin(values):g} to {np.nanmax(values):g}, which {self.column.dtype} cannot "
                "hold; add a constraint that rules this out, or read the column as a wider type"
            )
            raise DataError(msg) from None

    @property
    def _origin(self) -> int:
        return 0 if is_real(self.column.dtype) else self.column.origin

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "column": self.column.to_json(),
            "formula": self.formula.text,
            "flag": self.flag,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DerivedStep:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, NumericCodec)
        return cls(column, Formula(data["formula"]), data["flag"])


def _floats(values: pl.Series) -> Floats:
    """Return numbers with NaN for missing."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
