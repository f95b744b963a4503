"""Rows some of whose cells are known, as constraints transform them to the modelled table.

A column that is replaced is known where all that it is computed from is. Of a combination some
members of which are known, those combinations are left that agree with them. A column that a
constraint ties to one that is not known (a sum to its parts, the end of an interval to its start)
would have to be conditioned on through a formula: that is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pushforward.data.numeric import Mask
from pushforward.data.tables.constraints.combination import CombinationStep
from pushforward.data.tables.constraints.constraint_set import ConstraintSet, Step
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.lookup import LookupStep
from pushforward.data.tables.constraints.parts import PartsStep
from pushforward.errors import DataError, listed


@dataclass
class KnownCells:
    """Rows (n) of a table some of whose cells are known.

    Args:
        frame: the rows, null where unknown or missing.
        known: by column, in which rows (n,) it is known.
        choices: by column of combinations, which of them (n, k) a row may have where its own is not
            known.
        looked_up: by key, the lookups whose value is known, but of the keys all except this one,
            in which rows (n,), and the rows' cells.
    """

    frame: pl.DataFrame
    known: dict[str, Mask]
    choices: dict[str, Mask] = field(default_factory=dict)
    looked_up: list[tuple[str, LookupStep, Mask, pl.DataFrame]] = field(default_factory=list)

    def transform(self, constraints: ConstraintSet, *, fill: bool) -> None:
        """Replace columns as the constraints do; DataError where what is known contradicts them.

        `fill`: what is not known has a value in the end, and is not missing.
        """
        constraints.refuse_violations(self.frame, self.known)
        for step in reversed(constraints.steps):
            self._refuse_ties(step)
            self._replace(step, constraints)
            if isinstance(step, CombinationStep):
                self.choices[step.name] = self._agreeing(step, fill=fill)
            elif isinstance(step, DerivedStep | LookupStep) and fill:
                self._fill(step)
            self.frame = self.frame.drop(step.replaced)
        for parts in constraints.parts:
            self._split(parts)

    def _where_all(self, names: Sequence[str]) -> Mask:
        everywhere = np.ones(len(self.frame), np.bool_)  # of no names: a formula may be a number
        masks = np.stack([everywhere, *(self.known[name] for name in names)])
        return np.asarray(masks.all(0), np.bool_)

    def _fill(self, step: DerivedStep | LookupStep) -> None:
        """Let a formula or a lookup give what is not known: not its rest, nor is it missing."""
        for name in step.modelled:
            self.known[name] = np.ones(len(self.frame), np.bool_)
        if isinstance(step, DerivedStep) and step.flag is not None:
            flag = self.frame[step.flag].cast(pl.Boolean).fill_null(value=False)
            self.frame = self.frame.with_columns(flag.alias(step.flag))

    def _refuse_ties(self, step: Step) -> None:
        """Raise DataError for a known column that a step computes from one that is not known."""
        if isinstance(step, CombinationStep):
            return
        (name,), others = step.replaced, step.operands
        tied = self.known[name] & ~self._where_all(others)
        if isinstance(step, LookupStep):
            tied &= ~self._looked_up(step)
        if tied.any():
            row = int(tied.argmax())
            lacking = [other for other in others if not self.known[other][row]]
            msg = (
                f"row {row + 1}: {name!r} is known, and a constraint ties it to {listed(lacking)}, "
                f"which is not; give {listed(lacking)} as well, or leave {name!r} out"
            )
            raise DataError(msg)

    def _looked_up(self, step: LookupStep) -> Mask:
        """Return in which rows (n,) one key of text alone is to be found by a known value."""
        unknown = np.stack([~self.known[key] for key in step.keys])
        one = self.known[step.column.name] & (unknown.sum(0) == 1)
        found = np.zeros(len(one), np.bool_)
        for key, own in zip(step.keys, unknown, strict=True):
            if self.frame[key].dtype in (pl.String, pl.Null) and (one & own).any():
                self.looked_up.append((key, step, one & own, self.frame))
                found |= one & own
        return found

    def _replace(self, step: Step, constraints: ConstraintSet) -> None:
        """Add the modelled column of a step, where all that it is computed from is known."""
        names = step.modelled
        whole = self._where_all([*step.replaced, *step.operands])
        transformed = pl.DataFrame()
        if whole.any() and names:
            transformed = step.transform(self.frame.filter(pl.Series(whole)), constraints.lines)
        for name in names:
            values = pl.repeat(None, len(whole), dtype=pl.Null, eager=True)
            if whole.any():
                own = transformed[name]
                empty = pl.repeat(None, len(whole), dtype=own.dtype, eager=True)
                values = empty.scatter(np.flatnonzero(whole), own)
            self.frame = self.frame.with_columns(values.alias(name))
            self.known[name] = whole

    def _agreeing(self, step: CombinationStep, *, fill: bool) -> Mask:
        """Return which combinations (n, k) agree with the members that are known."""
        agree = np.ones((len(self.frame), len(step.table)), np.bool_)
        for column, values in zip(step.columns, step.table.T, strict=True):
            number, known = column.encode_present(self.frame[column.name]), self.known[column.name]
            own = np.where(np.isnan(values), np.inf, values) == np.where(
                np.isnan(number), np.inf, number
            ).reshape(-1, 1)
            agree &= np.where(known[:, None], own, ~np.isnan(values) if fill else True)
        none = ~agree[:, : step.observed].any(1) & ~self.known[step.name]
        if none.any():
            msg = (
                f"row {int(none.argmax()) + 1}: no combination of {listed(step.replaced)} in the "
                "training rows agrees with the values that are known; leave out one of them"
            )
            raise DataError(msg)
        return agree

    def _split(self, step: PartsStep) -> None:
        """Put the parts of a column in its place."""
        name = step.column.name
        numbers, known = step.column.encode_present(self.frame[name]), self.known[name]
        missing = np.isnan(numbers)
        parts = step.split(np.nan_to_num(numbers, nan=step.extent[0]))
        columns = [
            pl.Series(part, values, pl.Int64).set(pl.Series(missing), None)
            for part, values in zip(step.names, parts, strict=True)
        ]
        self.frame = self.frame.drop(name).with_columns(columns)
        # of a missing value the finer parts mean nothing
        self.known |= dict.fromkeys(step.names, known & ~missing) | {step.names[0]: known}
