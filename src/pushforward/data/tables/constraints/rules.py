"""All constraints of a table: checked on the way in, kept by construction on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.tables.column_summary import Facts
from pushforward.data.tables.columns import Category, Column
from pushforward.data.tables.constraints.combination import Joint
from pushforward.data.tables.constraints.derived import Computed
from pushforward.data.tables.constraints.difference import Gap, Limits
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.number_line import Line, shared
from pushforward.data.tables.constraints.plan import Plan, plan
from pushforward.data.tables.constraints.statements import (
    Bounds,
    Combination,
    Inequality,
    Statement,
    parse,
)
from pushforward.data.tables.identifiers import looks_like_identifiers
from pushforward.data.tables.partition import Floats, Ints, Mask
from pushforward.data.tables.text import Spelling
from pushforward.errors import DataError

Step = Gap | Joint | Computed
STEPS: dict[str, type[Gap] | type[Joint] | type[Computed]] = {
    step.kind: step for step in (Gap, Joint, Computed)
}


@dataclass(frozen=True, eq=False)
class Rules:
    """The constraints of one table, and what they learned from it.

    Args:
        statements: what must hold.
        lines: the columns that are compared.
        steps: how columns are put back, in this order, and taken out, in the opposite one.
        fixed: columns that the limits of others do not move: combined, derived, the condition.
    """

    statements: tuple[Statement, ...] = ()
    lines: Mapping[str, Line] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    fixed: frozenset[str] = frozenset()

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        train: Ints,
        statements: Sequence[Statement],
        *,
        condition: str | None = None,
        kinds: Mapping[str, str] | None = None,
        spelling: Spelling | None = None,
    ) -> Rules:
        """Learn what it takes to keep these statements; DataError when they contradict themselves.

        Ranges and resolutions are learned from all rows, combinations from training rows.
        """
        found = plan(statements, frame.columns, condition)
        _refuse_identifiers(frame, statements, kinds or {})
        spelling = spelling or Spelling()
        lines: dict[str, Line] = {}
        for group in _groups(statements):
            lines |= shared([frame[name] for name in group], spelling)
        taken = set(frame.columns)
        steps = [_step(found, node, frame, train, spelling, taken) for node in found.order]
        fixed = {*found.combined, *found.derived, *([] if condition is None else [condition])}
        kept = tuple(step for step in steps if step is not None)
        rules = cls(tuple(statements), lines, kept, frozenset(fixed))
        rules._refuse_contradictions()
        return rules

    def __bool__(self) -> bool:
        return bool(self.statements)

    @property
    def codecs(self) -> dict[str, Column]:
        """The codecs of the columns that are not modelled themselves."""
        found: dict[str, Column] = {}
        for step in self.steps:
            match step:
                case Gap():
                    found[step.column] = self.lines[step.column].column
                case Joint():
                    found |= {column.name: column for column in step.columns}
                case Computed():
                    found[step.column.name] = step.column
        return found

    def category(self, values: pl.Series, train: Ints) -> Category | None:
        """Return the codec of a modelled column of combinations, None for any other column."""
        joints = [s for s in self.steps if isinstance(s, Joint) and s.name == values.name]
        return joints[0].category(values, train) if joints else None

    @property
    def notes(self) -> list[str]:
        """What a user should know."""
        return [
            f"{len(step.table):,} combinations of {', '.join(step.replaced)} occur, "
            f"{step.seen:,} of them in training rows: only those are generated"
            for step in self.steps
            if isinstance(step, Joint)
        ]

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame that is modelled; DataError where a constraint does not hold."""
        self._refuse(frame)
        for step in reversed(self.steps):
            frame = step.apply(frame, self.lines)
        return frame

    def undo(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame that the user sees. It keeps all constraints, whatever was modelled."""
        limits = self._limits(frame)
        for name, line in self.lines.items():
            if name in frame.columns and name not in self.fixed:
                frame = _moved(frame, line, *limits[name])
        for step in self.steps:
            frame = step.undo(frame, self.lines, limits)
        return frame

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Tell in which rows (n,) all constraints hold."""
        every = np.ones(len(frame), np.bool_)
        for statement in self.statements:
            every &= self._mask(statement, frame)
        return every

    def verify(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame that was made here; RuntimeError where a constraint does not hold."""
        for statement in self.statements:
            wrong = ~self._mask(statement, frame)
            if wrong.any():
                row = frame.select(statement.columns).row(int(wrong.argmax()), named=True)
                msg = f"a bug: {str(statement)!r} was to be kept, and {int(wrong.sum())} of"
                raise RuntimeError(
                    f"{msg} {len(frame)} rows break it, e.g. {row}; please report it"
                )
        return frame

    def _refuse(self, frame: pl.DataFrame) -> None:
        """Raise DataError for the first statement that does not hold in all rows."""
        for statement in self.statements:
            absent = [name for name in statement.columns if name not in frame.columns]
            if absent:
                msg = f"the table lacks the column(s) {', '.join(map(repr, absent))}"
                raise DataError(f"{msg} of the constraint {str(statement)!r}")
            wrong = ~self._mask(statement, frame)
            if wrong.any():
                row = int(wrong.argmax())
                values = frame.select(statement.columns).row(row, named=True)
                told = ", ".join(f"{name} = {value}" for name, value in values.items())
                msg = (
                    f"the constraint {str(statement)!r} does not hold in {int(wrong.sum())} of "
                    f"{len(frame)} rows, the first is row {row + 1} ({told}); mend these rows, or "
                    "leave the constraint out"
                )
                raise DataError(msg)

    def _mask(self, statement: Statement, frame: pl.DataFrame) -> Mask:
        """Tell in which rows a statement holds."""
        match statement:
            case Bounds(column=name):
                points = self.lines[name].points(frame[name])
                low, high = self._bounds(statement)
                return np.asarray(~((points < low) | (points > high)))
            case Inequality(low=lower, high=upper, strict=strict):
                below = self.lines[lower].points(frame[lower])
                above = self.lines[upper].points(frame[upper])
                return np.asarray(~(below >= above if strict else below > above))
            case Combination(members=members):
                joint = next(s for s in self.steps if s.replaced == members)
                assert isinstance(joint, Joint)
                return ~np.isnan(joint.codes(frame))
            case _:
                name = statement.columns[0]
                computed = next(s for s in self.steps if s.replaced == (name,))
                assert isinstance(computed, Computed)
                return computed.holds(frame)

    def _bounds(self, bounds: Bounds) -> tuple[float, float]:
        """Return the lowest and the highest point that bounds allow."""
        line = self.lines[bounds.column]
        low, high = -np.inf, np.inf
        if bounds.low is not None:
            low = line.bound(bounds.low, 1, opened=bounds.low_open)
        if bounds.high is not None:
            high = line.bound(bounds.high, -1, opened=bounds.high_open)
        return low, high

    def _range(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest point that all bounds of a column allow."""
        own = [s for s in self.statements if isinstance(s, Bounds) and s.column == name]
        found = [self._bounds(bounds) for bounds in own]
        return max((a for a, _ in found), default=-np.inf), min(
            (b for _, b in found), default=np.inf
        )

    def _refuse_contradictions(self) -> None:
        """Raise DataError for bounds that leave a column no value."""
        for name in self.lines:
            low, high = self._range(name)
            if low > high:
                told = [str(s) for s in self.statements if s.columns == (name,)]
                raise DataError(f"these constraints leave {name!r} no value: {'; '.join(told)}")

    def _limits(self, frame: pl.DataFrame) -> Limits:
        """Return the lowest and the highest point of each row that leave room for all others.

        A column keeps within its bounds or, if it is put back from a gap, within its extent. Going
        from the last column back to the first, each narrows the limits of those that it depends on,
        in the rows where it is not missing.
        """
        gaps = {step.column: step for step in self.steps if isinstance(step, Gap)}
        limits: Limits = {}
        for name, line in self.lines.items():
            if name not in self.fixed:
                low, high = line.extent if name in gaps else self._range(name)
                limits[name] = (np.full(len(frame), low), np.full(len(frame), high))
        for name, step in reversed(gaps.items()):
            gone = frame[step.name].is_null().to_numpy() | _nan(frame[step.name])
            lowest, highest = limits[name]
            limits[name] = (np.where(gone, -np.inf, lowest), np.where(gone, np.inf, highest))
            step.narrow(limits, self.lines)
        return limits

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "statements": [str(statement) for statement in self.statements],
            "lines": {name: line.to_json() for name, line in self.lines.items()},
            "steps": [step.to_json() for step in self.steps],
            "fixed": sorted(self.fixed),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """Rebuild from `to_json`."""
        return cls(
            tuple(parse(data["statements"])),
            {name: Line.from_json(line) for name, line in data["lines"].items()},
            tuple(STEPS[step["kind"]].from_json(step) for step in data["steps"]),
            frozenset(data["fixed"]),
        )


def _nan(values: pl.Series) -> Mask:
    return np.asarray(values.is_nan().fill_null(value=True) if values.dtype.is_float() else False)


def _moved(frame: pl.DataFrame, line: Line, low: Floats, high: Floats) -> pl.DataFrame:
    """Return a frame in which a modelled column keeps within its limits."""
    points = line.points(frame[line.column.name])
    found = line.within(points, low, high)
    moved = ~np.isnan(points) & (found != points)
    return frame.with_columns(line.values(found)) if moved.any() else frame


def _groups(statements: Sequence[Statement]) -> list[list[str]]:
    """Return the columns that are bounded or compared, those that share a line together."""
    groups: list[list[str]] = []
    for statement in statements:
        if isinstance(statement, Bounds | Inequality):
            joined = [group for group in groups if set(group) & set(statement.columns)]
            groups = [group for group in groups if group not in joined]
            every = [*(name for group in joined for name in group), *statement.columns]
            groups.append(list(dict.fromkeys(every)))
    return groups


def _step(
    found: Plan,
    node: str | Combination,
    frame: pl.DataFrame,
    train: Ints,
    spelling: Spelling,
    taken: set[str],
) -> Step | None:
    """Return what becomes of a column or a combination; None where nothing does."""
    if isinstance(node, Combination):
        name = _fresh(str(node), taken)
        return Joint.fit([frame[member] for member in node.members], train, spelling, name)
    if node in found.derived:
        formula, flag = Formula(found.derived[node].formula), _fresh(f"{node} is missing", taken)
        return Computed.fit(frame[node], formula, frame, spelling, flag)
    if node in found.above:
        others = tuple(found.above[node].items())
        return Gap(node, 1, others, _fresh(f"{node} - {_extreme('max', others)}", taken))
    if node in found.below:
        others = tuple(found.below[node].items())
        return Gap(node, -1, others, _fresh(f"{_extreme('min', others)} - {node}", taken))
    return None


def _extreme(which: str, others: Sequence[tuple[str, bool]]) -> str:
    names = ", ".join(name for name, _ in others)
    return names if len(others) == 1 else f"{which}({names})"


def _fresh(name: str, taken: set[str]) -> str:
    """Return the name of a modelled column, unlike all others."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _refuse_identifiers(
    frame: pl.DataFrame, statements: Sequence[Statement], kinds: Mapping[str, str]
) -> None:
    """Raise DataError for a column that is generated fresh and has no value to be kept."""
    for statement in statements:
        for values in (frame[name] for name in statement.columns):
            kind = kinds.get(values.name)
            facts = Facts.of(values, kind) if values.dtype == pl.String and kind is None else None
            if kind == "identifier" or (facts is not None and looks_like_identifiers(facts)):
                msg = f"column {values.name!r} of {str(statement)!r} holds identifiers, which are "
                raise DataError(f"{msg}generated fresh; override it, e.g. as categorical")
