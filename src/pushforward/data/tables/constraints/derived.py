"""Derived columns: not modelled, but computed from the other columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_summary import TICKS_PER_SECOND, is_real
from pushforward.data.tables.columns import column_from_json
from pushforward.data.tables.constraints.clock import SECONDS_PER_DAY
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.factors import Factors, category_texts, fit_factors
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.number_line import NumberLine
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

HALF = 0.6  # of the last digit: the operands are rounded themselves, and a half either way
TIE = 1e-6  # of the last digit: so near to the middle of two values a formula lies between them
MAX_REST = 0.02  # of the rows: those with a value that has no formula
ROUNDING_ERROR = {np.float64: 1e-12, np.float32: 1e-6}  # relative to the largest number of a row


@dataclass(frozen=True, eq=False)
class DerivedStep:
    """A column that is the value of a formula, rounded to the decimals of the user's data.

    It is missing where an operand is missing, where the formula divides by 0, and where the `flag`
    says so. Where the formula has no value although the column has one, the column's own value is
    modelled: the `rest`. Where the formula lies half-way between two values, the `other` says
    whether it is not the one that it would be rounded to: floats are a little off such a tie.

    Args:
        column: the codec of its values.
        formula: of the other columns.
        flag: the name of a modelled column of truth values: whether the column is missing although
            its formula has a value; None if it never is.
        factors: of the categories of the formula's `factor(column)`.
        rest: the name of a modelled column of the values for which the formula has none; None
            if there are none.
        half_up: whether what lies half-way between two values becomes the larger (of negative
            ones the smaller), as merchants round, and not the even one.
        other: the name of a modelled column of truth values: whether a value is the other of the
            two between which its formula lies; None if it never is.

    In a formula, times and durations count in seconds.
    """

    kind: ClassVar[str] = "derived"

    column: NumericCodec
    formula: Formula
    flag: str | None = None
    factors: Factors = field(default_factory=dict)
    rest: str | None = None
    half_up: bool = False
    other: str | None = None

    @classmethod
    def fit(
        cls,
        values: pl.Series,
        formula: Formula,
        frame: pl.DataFrame,
        text_formats: TextFormats,
        flag: str,
        rest: str,
        other: str,
    ) -> DerivedStep:
        """Learn a column's decimals, and whether it is missing where its formula has a value.

        A column with missing values may have others where its formula has none, in a few rows.
        """
        for operand in [values, *(frame[name] for name in formula.columns)]:
            _refuse_text(operand, formula)
        step = cls(NumericCodec.of_values(values, text_formats), formula)
        if formula.category is not None:
            step = replace(step, factors=step._fit_factors(frame))
        step = step._with_ties(frame, other)
        missing, unknown = np.isnan(step.column.encode(values)), np.isnan(step.compute(frame))
        step = replace(step, flag=flag) if (missing & ~unknown).any() else step
        few = 0 < (unknown & ~missing).sum() <= MAX_REST * len(values)
        return replace(step, rest=rest) if few and missing.any() else step

    def _with_ties(self, frame: pl.DataFrame, other: str) -> DerivedStep:
        """Learn which of two values a tie is rounded to."""
        even = self.reproduces(frame)
        if even.all():
            return self
        up = replace(self, half_up=True)
        step = up if up.reproduces(frame).sum() > even.sum() else self
        return replace(step, other=other) if step.is_other(frame).any() else step

    def _fit_factors(self, frame: pl.DataFrame) -> Factors:
        """Learn the factor f of each category: the column is a + b f."""
        assert self.formula.category is not None
        at_0, at_1 = (
            self.formula.evaluate(
                self._operands(frame) | {self.formula.category: np.full(len(frame), f)}
            )
            for f in (0.0, 1.0)
        )
        given = self.given(frame)
        keys = category_texts(frame[self.formula.category])
        return fit_factors(keys, given - at_0, at_1 - at_0, self.tolerance(given))

    def given(self, frame: pl.DataFrame) -> Floats:
        """Return the column's values (n,) as a formula counts them."""
        return self._amounts(self.column.encode(frame[self.column.name]))

    def tolerance(self, magnitudes: Floats) -> Floats:
        """Return by how much values of these magnitudes may differ from their formula.

        It is `HALF` a unit of their last digit, and the rounding error of floats.
        """
        return self._rounding_error(magnitudes) + HALF * self.resolution

    def _rounding_error(self, magnitudes: Floats) -> Floats:
        """Return the rounding error of floats of these magnitudes."""
        float_type = np.float32 if self.column.dtype == pl.Float32 else np.float64
        return ROUNDING_ERROR[float_type] * np.abs(magnitudes)

    @property
    def name(self) -> str | None:
        """The modelled column, if there is one."""
        return self.flag

    @property
    def modelled(self) -> tuple[str, ...]:
        """The columns that are modelled instead."""
        return (*self.truths, *(() if self.rest is None else (self.rest,)))

    @property
    def truths(self) -> tuple[str, ...]:
        """Those of them that hold truth values."""
        return tuple(name for name in (self.flag, self.other) if name is not None)

    @property
    def operands(self) -> tuple[str, ...]:
        """The columns that the replaced one is computed from."""
        return tuple(self.formula.columns)

    @property
    def replaced(self) -> tuple[str, ...]:
        """The column that is not modelled itself."""
        return (self.column.name,)

    def compute(self, frame: pl.DataFrame) -> Floats:
        """Return the formula's values (n,), rounded to the column's decimals."""
        if self.column.decimals is None:
            return self.evaluate(frame)
        return self._of_digits(self._rounded(self._digits(frame)))

    def _across(self, frame: pl.DataFrame) -> Floats:
        """Return the values (n,) on the other side of ties."""
        digits = self._digits(frame)
        return self._of_digits(2 * np.floor(digits) + 1 - self._rounded(digits))

    def _digits(self, frame: pl.DataFrame) -> Floats:
        """Return the formula's values (n,) in units of the column's last digit."""
        return self._numbers(self.evaluate(frame)) * 10.0 ** (self.column.decimals or 0)

    def _of_digits(self, digits: Floats) -> Floats:
        return self._amounts(digits / 10.0 ** (self.column.decimals or 0))

    def _rounded(self, digits: Floats) -> Floats:
        return _half_up(digits) if self.half_up else np.round(digits)

    def evaluate(self, frame: pl.DataFrame) -> Floats:
        """Return the formula's values (n,), not rounded."""
        values = self.formula.evaluate(self._operands(frame))
        return np.broadcast_to(values, (len(frame),))  # a formula may be a number alone

    def _operands(self, frame: pl.DataFrame) -> dict[str, Floats]:
        category = self.formula.category
        operands = {n: _floats(frame[n]) for n in self.formula.columns if n != category}
        if category is None or not self.factors:
            return operands
        keys = category_texts(frame[category])
        return operands | {category: np.array([self.factors.get(key, np.nan) for key in keys])}

    @property
    def resolution(self) -> float:
        """A unit of the column's last digit; 0 for full precision."""
        if self.column.decimals is None:
            return 0.0
        return 10.0**-self.column.decimals * self.column.unit / _ticks_per_second(self.column.dtype)

    def _amounts(self, numbers: Floats) -> Floats:
        """Return the numbers of the codec as a formula counts them."""
        if is_real(self.column.dtype):
            return numbers
        ticks = numbers * self.column.unit + self.column.origin
        return ticks / _ticks_per_second(self.column.dtype)

    def _numbers(self, amounts: Floats) -> Floats:
        """Return amounts as numbers of the codec."""
        if is_real(self.column.dtype):
            return amounts
        ticks = amounts * _ticks_per_second(self.column.dtype)
        return (ticks - self.column.origin) / self.column.unit

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the column equals its formula, up to its tolerance."""
        given, operands = self.given(frame), self._operands(frame)
        computed = np.broadcast_to(self.formula.evaluate(operands), given.shape)
        # a part of a time is exact, however large the time is
        added = [x for name, x in operands.items() if name not in self.formula.times]
        magnitudes = [np.abs(x) for x in (given, computed, *added)]
        equal = np.abs(given - computed) <= self.tolerance(np.fmax.reduce(magnitudes))
        missing = np.isnan(given) & (np.isnan(computed) | (self.flag is not None))
        is_rest = np.isnan(computed) & (self.rest is not None)
        return np.asarray(equal | missing | is_rest, dtype=np.bool_)

    def reproduces(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the column has the very digits of its rounded formula.

        Rows in which one of both is missing count as such.
        """
        apart = self._apart(self.given(frame), self.compute(frame))
        return np.isnan(apart) | (apart <= self.resolution / 4)

    def _is_tie(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the formula lies half-way between two of the column's values.

        Which of them it is rounded to is a custom, and a float's last digits may say either.
        """
        if self.column.decimals is None:
            return np.zeros(len(frame), np.bool_)
        digits = self._digits(frame)
        return np.abs(digits - np.floor(digits) - 0.5) <= TIE + self._rounding_error(digits)

    def is_other(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the column is the other of the two values of a tie."""
        given = self.given(frame)
        differs = self._apart(given, self.compute(frame)) > self.resolution / 4
        near = self._apart(given, self.evaluate(frame)) < HALF * self.resolution
        return self._is_tie(frame) & differs & near

    def _apart(self, given: Floats, computed: Floats) -> Floats:
        """Return how far apart values are (n,), but for the rounding error of floats."""
        largest = np.fmax(np.abs(given), np.abs(computed))
        return (np.abs(given - computed) - self._rounding_error(largest)).clip(min=0)

    def transform(self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine]) -> pl.DataFrame:
        """Return a frame without the column, but with its flag and its rest."""
        if self.flag is not None:
            absent = np.isnan(self.column.encode(frame[self.column.name]))
            flagged = absent & ~np.isnan(self.compute(frame))
            frame = frame.with_columns(pl.Series(self.flag, flagged))
        if self.other is not None:
            frame = frame.with_columns(pl.Series(self.other, self.is_other(frame)))
        if self.rest is not None:
            is_computed = pl.Series(~np.isnan(self.compute(frame)))
            rest = frame[self.column.name].set(is_computed, None)
            frame = frame.with_columns(rest.alias(self.rest))
        return frame.drop(self.column.name)

    def inverse_transform(
        self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the column; DataError when its dtype cannot hold a value."""
        values = self.compute(frame)
        if self.flag is not None:
            values = np.where(frame[self.flag].to_numpy(), np.nan, values)
            frame = frame.drop(self.flag)
        if self.other is not None:
            across = frame[self.other].to_numpy() & self._is_tie(frame)
            values = np.where(across, self._across(frame), values)
            frame = frame.drop(self.other)
        if self.rest is not None:
            rest = self._amounts(self.column.encode_present(frame[self.rest]))
            values = np.where(np.isnan(self.compute(frame)), rest, values)
            frame = frame.drop(self.rest)
        try:
            return frame.with_columns(self.column.decode(self._numbers(values)))
        except (pl.exceptions.PolarsError, OverflowError):
            msg = (
                f"column {self.column.name!r} = {self.formula.text} ranges from "
                f"{np.nanmin(values):g} to {np.nanmax(values):g}, which {self.column.dtype} cannot "
                "hold; add a constraint that rules this out, or read the column as a wider type"
            )
            raise DataError(msg) from None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "column": self.column.to_json(),
            "formula": self.formula.text,
            "flag": self.flag,
            "factors": [[key, factor] for key, factor in self.factors.items()],
            "rest": self.rest,
            "half_up": self.half_up,
            "other": self.other,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DerivedStep:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, NumericCodec)
        factors = {key: float(factor) for key, factor in data.get("factors", ())}
        own = data["flag"], factors, data.get("rest"), data.get("half_up", False), data.get("other")
        return cls(column, Formula(data["formula"]), *own)


def _half_up(numbers: Floats) -> Floats:
    """Return whole numbers, those half-way away from 0."""
    return np.copysign(np.floor(np.abs(numbers) + 0.5 + TIE), numbers)


def _refuse_text(operand: pl.Series, formula: Formula) -> None:
    """Raise DataError for an operand that is neither a number nor a time nor a category."""
    dtype = operand.dtype
    if operand.name == formula.category:
        if dtype.is_float() or dtype.is_temporal():
            msg = f"column {operand.name!r} must hold categories to have factors, got {dtype}"
            raise DataError(msg)
    elif operand.name in formula.times:
        if not dtype.is_temporal():
            msg = f"column {operand.name!r} must hold times to compute {formula.text!r}"
            raise DataError(f"{msg}, got {dtype}; override it as datetime")
    elif not (dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean):
        msg = f"column {operand.name!r} must hold numbers to compute {formula.text!r}"
        raise DataError(f"{msg}, got {dtype}")


def _ticks_per_second(dtype: pl.DataType) -> float:
    """Return how many of the integers that Polars stores are a second; 1 for numbers."""
    if not dtype.is_temporal():
        return 1.0
    if dtype == pl.Date:
        return 1 / SECONDS_PER_DAY
    return float(TICKS_PER_SECOND[getattr(dtype, "time_unit", "ns")])


def _floats(values: pl.Series) -> Floats:
    """Return numbers, or times in seconds, with NaN for missing."""
    ticks = values.to_physical() if values.dtype.is_temporal() else values
    numbers = ticks.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return numbers.astype(np.float64) / _ticks_per_second(values.dtype)
