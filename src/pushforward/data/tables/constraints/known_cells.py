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

from pushforward.data.numeric import Ints, Mask
from pushforward.data.tables.columns import Level
from pushforward.data.tables.constraints.combination import CombinationStep
from pushforward.data.tables.constraints.constraint_set import ConstraintSet, Step
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.lookup import LookupStep
from pushforward.data.tables.constraints.parts import PartsStep
from pushforward.errors import DataError, listed


@dataclass(frozen=True, eq=False)
class HiddenKey:
    """The one key of a lookup that is not known in some rows (m), among those of a table (n).

    Args:
        key: its name.
        step: the lookup.
        rows: (n,) which rows these are.
        valued: (m,) in which of them the value that is looked up is known.
        frame: their cells (m).
    """

    key: str
    step: LookupStep
    rows: Mask
    valued: Mask
    frame: pl.DataFrame

    def agreeing(self, levels: Sequence[Level | None]) -> Mask:
        """Return which categories (m, levels) agree with the value, where it is known.

        Those agree, too, of which the table has no value.
        """
        looked_up = self.step.by_level(self.frame, self.key, levels)
        given = self.step.column.encode_present(self.frame[self.step.column.name])[:, None]
        return np.asarray(np.isnan(looked_up) | (looked_up == given) | ~self.valued[:, None])

    def telling(self, levels: Sequence[Level]) -> Mask:
        """Return which categories (m, levels) the table has a value of; all where one is known."""
        looked_up = self.step.by_level(self.frame, self.key, levels)
        return np.asarray(~np.isnan(looked_up) | self.valued[:, None])


@dataclass
class KnownCells:
    """Rows (n) of a table some of whose cells are known.

    Args:
        frame: the rows, null where unknown or missing.
        known: by column, in which rows (n,) it is known.
        choices: by column of combinations, which of them (n, k) a row may have where its own is not
            known.
        hidden: the keys that alone are not known of a lookup whose value is known, or has to be.
        rests: by the rest of a lookup whose value is known, but not one of its keys, in which rows
            (n,) that is so, and the values: the rest is such a value, or missing.
    """

    frame: pl.DataFrame
    known: dict[str, Mask]
    choices: dict[str, Mask] = field(default_factory=dict)
    hidden: list[HiddenKey] = field(default_factory=list)
    rests: dict[str, tuple[Mask, pl.Series]] = field(default_factory=dict)

    def transform(self, constraints: ConstraintSet, *, fill: bool) -> None:
        """Replace columns as the constraints do; DataError where what is known contradicts them.

        `fill`: what is not known has a value in the end, and is not missing.
        """
        constraints.refuse_violations(self.frame, self.known)
        for step in reversed(constraints.steps):
            if isinstance(step, LookupStep):
                self._look_up(step, fill=fill)
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
        """Let a formula or a lookup give what is not known: its rest only where it gives nothing.

        Nor is it missing.
        """
        for name in step.modelled:
            self.known[name] = np.ones(len(self.frame), np.bool_)
        if step.rest is not None:
            open_rows, _ = self.rests.get(step.rest, (np.zeros(len(self.frame), np.bool_), None))
            self.known[step.rest] = ~(open_rows | self._without_value(step))
        truths = step.truths if isinstance(step, DerivedStep) else ()
        of_truths = [self.frame[n].cast(pl.Boolean).fill_null(value=False) for n in truths]
        self.frame = self.frame.with_columns(of_truths)

    def _without_value(self, step: DerivedStep | LookupStep) -> Mask:
        """Return in which rows (n,) a step gives no value to a column that is not known."""
        lacking = self._where_all(step.operands) & ~self.known[step.column.name]
        if lacking.any():
            rows = self.frame.filter(pl.Series(lacking))
            given = step.look_up(rows) if isinstance(step, LookupStep) else step.compute(rows)
            lacking[lacking] = np.isnan(given)
        return lacking

    def _refuse_ties(self, step: Step) -> None:
        """Raise DataError for a known column that a step computes from one that is not known."""
        if isinstance(step, CombinationStep):
            return
        (name,), others = step.replaced, step.operands
        tied = self.known[name] & ~self._where_all(others)
        if isinstance(step, LookupStep):
            tied &= self._unknown_keys(step) > 1
        if tied.any():
            row = int(tied.argmax())
            lacking = [other for other in others if not self.known[other][row]]
            msg = (
                f"row {row + 1}: {name!r} is known, and a constraint ties it to {listed(lacking)}, "
                f"which is not; give {listed(lacking)} as well, or leave {name!r} out"
            )
            raise DataError(msg)

    def _unknown_keys(self, step: LookupStep) -> Ints:
        """Return how many of a lookup's keys are not known, (n,)."""
        return np.asarray(np.sum([~self.known[key] for key in step.keys], axis=0))

    def _look_up(self, step: LookupStep, *, fill: bool) -> None:
        """Take down where one key is to be found by a value that is known, or has to be one."""
        one, valued = self._unknown_keys(step) == 1, self.known[step.column.name]
        for key in step.keys:
            rows = one & ~self.known[key] & (valued | fill)
            if rows.any():
                cells = self.frame.filter(pl.Series(rows))
                self.hidden.append(HiddenKey(key, step, rows, valued[rows], cells))
        if step.rest is not None and (one & valued).any():
            self.rests[step.rest] = (one & valued, self.frame[step.column.name])

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
