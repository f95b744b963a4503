"""All constraints of a table: checked in the user's rows, guaranteed in generated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.numeric import Ints, Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints.combination import CombinationStep
from pushforward.data.tables.constraints.definitions import (
    Bounds,
    Combination,
    Constraint,
    Derived,
    Inequality,
    Lookup,
    parse,
)
from pushforward.data.tables.constraints.dependencies import Dependencies, resolve_dependencies
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.difference import DifferenceStep, Limits
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.lookup import LookupStep
from pushforward.data.tables.constraints.number_line import NumberLine, fit_lines
from pushforward.data.tables.constraints.parts import PartsStep
from pushforward.data.tables.constraints.repeats import Repeat
from pushforward.data.tables.identifiers import looks_like_identifiers
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

Step = DifferenceStep | CombinationStep | DerivedStep | LookupStep
STEPS: dict[str, type[Step]] = {
    step.kind: step for step in (DifferenceStep, CombinationStep, DerivedStep, LookupStep)
}


@dataclass(frozen=True, eq=False)
class ConstraintSet:
    """The constraints of one table, and what was learned from it to satisfy them.

    Args:
        constraints: what must hold.
        lines: the number lines of the columns that are compared or bounded.
        steps: replace columns. They are applied in reverse order, and undone in this order.
        fixed: columns that limits cannot move: combined, derived, the condition.
        parts: columns that are modelled by their parts; they need no constraint.
        repeats: columns that repeat others in some rows, which encoded rows say.
    """

    constraints: tuple[Constraint, ...] = ()
    lines: Mapping[str, NumberLine] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    fixed: frozenset[str] = frozenset()
    parts: tuple[PartsStep, ...] = ()
    repeats: tuple[Repeat, ...] = ()

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        train: Ints,
        constraints: Sequence[Constraint],
        *,
        condition: str | None = None,
        kinds: Mapping[str, str] | None = None,
        text_formats: TextFormats | None = None,
    ) -> ConstraintSet:
        """Learn what the constraints need; DataError when they contradict each other.

        Ranges and resolutions are learned from all rows, combinations from training rows.
        """
        dependencies = resolve_dependencies(constraints, frame.columns, condition)
        _refuse_identifiers(frame, constraints, kinds or {})
        text_formats = text_formats or TextFormats()
        lines: dict[str, NumberLine] = {}
        for group in _compared_groups(constraints):
            lines |= fit_lines([frame[name] for name in group], text_formats)
        names = set(frame.columns)
        steps = [
            _fit_step(dependencies, node, frame, train, text_formats, names)
            for node in dependencies.order
        ]
        fitted = cls(
            tuple(constraints),
            lines,
            tuple(step for step in steps if step is not None),
            frozenset(dependencies.fixed(condition) if constraints else ()),
        )
        fitted._refuse_contradictions()
        return fitted

    def __bool__(self) -> bool:
        return bool(self.constraints)

    @property
    def codecs(self) -> dict[str, ColumnCodec]:
        """The codecs of the columns that are not modelled themselves, by name."""
        return self.determined | {step.column.name: step.column for step in self.parts}

    @property
    def determined(self) -> dict[str, ColumnCodec]:
        """The codecs of the columns that constraints replace, by name."""
        codecs: dict[str, ColumnCodec] = {}
        for step in self.steps:
            match step:
                case DifferenceStep():
                    codecs[step.column] = self.lines[step.column].column
                case CombinationStep():
                    codecs |= {column.name: column for column in step.columns}
                case DerivedStep() | LookupStep():
                    codecs[step.column.name] = step.column
        return codecs

    def combination_codec(self, values: pl.Series, train: Ints) -> CategoricalCodec | None:
        """Return the codec of a modelled column of combinations, None for any other column."""
        for step in self.steps:
            if isinstance(step, CombinationStep) and step.name == values.name:
                return step.codec(values, train)
        return None

    def combination_of(self, name: str) -> CombinationStep | None:
        """Return the step that combines a column with others, if there is one."""
        steps = (s for s in self.steps if isinstance(s, CombinationStep) and name in s.replaced)
        return next(steps, None)

    @property
    def zones(self) -> dict[str, str]:
        """The time zones by whose clocks columns of times are read, by name."""
        formulas = [step.formula for step in self.steps if isinstance(step, DerivedStep)]
        return {name: zone for formula in formulas for name, zone in formula.zones.items()}

    @property
    def rest_kinds(self) -> dict[str, str]:
        """The kinds of the columns of what lookups and formulas lack, by name."""
        steps = [step for step in self.steps if isinstance(step, LookupStep | DerivedStep)]
        rests = [(step.rest, step.column.kind) for step in steps]
        return {name: kind for name, kind in rests if name is not None}

    @property
    def notes(self) -> list[str]:
        """Notes for the user."""
        lookups = [step for step in self.steps if isinstance(step, LookupStep) and step.excepted]
        excepted = [
            f"{step.excepted:,} rows have combinations of {', '.join(step.keys)} that are rare, or "
            f"occur with several values of {step.column.name!r}: it is modelled there"
            for step in lookups
        ]
        return excepted + [
            f"{len(step.table):,} combinations of {', '.join(step.replaced)} occur, "
            f"{step.observed:,} of them in training rows: only those are stored and generated"
            + (f", also the {step.single:,} that a single row has" if step.single else "")
            for step in self.steps
            if isinstance(step, CombinationStep)
        ]

    def transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame that is modelled; DataError where a constraint does not hold."""
        self.refuse_violations(frame)
        for step in reversed(self.steps):
            frame = step.transform(frame, self.lines)
        for parts in self.parts:
            frame = parts.transform(frame)
        return frame

    def inverse_transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the user's frame for a modelled one. It satisfies all constraints in any case."""
        for parts in self.parts:
            frame = parts.inverse_transform(frame)
        limits = self._limits(frame)
        for name, line in self.lines.items():
            if name in frame.columns and name not in self.fixed:
                frame = line.clip_column(frame, *limits[name])
        for step in self.steps:
            frame = step.inverse_transform(frame, self.lines, limits)
        return frame

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) all constraints hold."""
        mask = np.ones(len(frame), np.bool_)
        for constraint in self.constraints:
            mask &= self._holds(constraint, frame)
        return mask

    def verify(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame that was generated; RuntimeError where a constraint does not hold."""
        for constraint in self.constraints:
            wrong = ~self._holds(constraint, frame)
            if wrong.any():
                row = frame.select(constraint.columns).row(int(wrong.argmax()), named=True)
                msg = (
                    f"a bug: {str(constraint)!r} was guaranteed, and {int(wrong.sum())} of "
                    f"{len(frame)} generated rows violate it, e.g. {row}; please report it"
                )
                raise RuntimeError(msg)
        return frame

    def refuse_violations(
        self, frame: pl.DataFrame, known: Mapping[str, Mask] | None = None
    ) -> None:
        """Raise DataError for the first constraint that does not hold in all rows.

        `known` says, by column, in which rows (n,) it has a value; None for all of them. A
        constraint is looked at where all of its columns have.
        """
        for constraint in self.constraints:
            absent = [name for name in constraint.columns if name not in frame.columns]
            if absent:
                msg = f"the table lacks the column(s) {', '.join(map(repr, absent))}"
                raise DataError(f"{msg} of the constraint {str(constraint)!r}")
            rows = _where_all(known, constraint.columns, len(frame))
            seen = frame[rows] if len(rows) < len(frame) else frame
            wrong = ~self._holds(constraint, seen) if len(rows) else np.zeros(0, np.bool_)
            if wrong.any():
                first = int(wrong.argmax())
                values = seen.select(constraint.columns).row(first, named=True)
                described = ", ".join(f"{name} = {value}" for name, value in values.items())
                msg = (
                    f"the constraint {str(constraint)!r} does not hold in {int(wrong.sum())} of "
                    f"{len(frame)} rows, the first is row {int(rows[first]) + 1} ({described}); "
                    "correct or drop these rows, or leave the constraint out"
                )
                raise DataError(msg)

    def _holds(self, constraint: Constraint, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) a constraint holds."""
        match constraint:
            case Bounds(column=name):
                points = self.lines[name].points(frame[name])
                low, high = self._interval(constraint)
                return np.asarray(~((points < low) | (points > high)))
            case Inequality(low=lower, high=upper, strict=strict):
                below = self.lines[lower].points(frame[lower])
                above = self.lines[upper].points(frame[upper])
                return np.asarray(~(below >= above if strict else below > above))
            case Combination(members=members):
                combination = next(s for s in self.steps if s.replaced == members)
                assert isinstance(combination, CombinationStep)
                return ~np.isnan(combination.codes(frame))
            case _:
                derived = next(s for s in self.steps if s.replaced == constraint.columns[:1])
                assert isinstance(derived, DerivedStep | LookupStep)
                return derived.holds(frame)

    def _interval(self, bounds: Bounds) -> tuple[float, float]:
        """Return the lowest and the highest point that bounds allow."""
        line = self.lines[bounds.column]
        low, high = -np.inf, np.inf
        if bounds.low is not None:
            low = line.bound_point(bounds.low, 1, is_open=bounds.low_open)
        if bounds.high is not None:
            high = line.bound_point(bounds.high, -1, is_open=bounds.high_open)
        return low, high

    def _column_interval(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest point that all bounds of a column allow."""
        bounds = [c for c in self.constraints if isinstance(c, Bounds) and c.column == name]
        intervals = [(-np.inf, np.inf), *map(self._interval, bounds)]
        return max(low for low, _ in intervals), min(high for _, high in intervals)

    def _refuse_contradictions(self) -> None:
        """Raise DataError for bounds that leave no value for a column."""
        for name in self.lines:
            low, high = self._column_interval(name)
            if low > high:
                texts = [str(c) for c in self.constraints if c.columns == (name,)]
                raise DataError(
                    f"these constraints leave no value for {name!r}: {'; '.join(texts)}"
                )

    def _limits(self, frame: pl.DataFrame) -> Limits:
        """Return the lowest and the highest point of each row that leave room for all others.

        A column must stay within its bounds and, if it is restored from a difference, within its
        extent. From the last column back to the first, each narrows the limits of those that it
        depends on, in the rows where it is not missing.
        """
        differences = {step.column: step for step in self.steps if isinstance(step, DifferenceStep)}
        limits: Limits = {}
        for name, line in self.lines.items():
            if name not in self.fixed:
                low, high = line.extent if name in differences else self._column_interval(name)
                limits[name] = (np.full(len(frame), low), np.full(len(frame), high))
        for name, step in reversed(differences.items()):
            missing = is_missing(frame[step.name])
            lowest, highest = limits[name]
            limits[name] = (np.where(missing, -np.inf, lowest), np.where(missing, np.inf, highest))
            step.narrow_limits(limits, self.lines)
        return limits

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        parts = {"parts": [step.to_json() for step in self.parts]} if self.parts else {}
        repeats = [repeat.to_json() for repeat in self.repeats]
        found = parts | ({"repeats": repeats} if repeats else {})
        return found | {
            "constraints": [str(constraint) for constraint in self.constraints],
            "lines": {name: line.to_json() for name, line in self.lines.items()},
            "steps": [step.to_json() for step in self.steps],
            "fixed": sorted(self.fixed),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConstraintSet:
        """Rebuild from `to_json`."""
        return cls(
            tuple(parse(data["constraints"])),
            {name: NumberLine.from_json(line) for name, line in data["lines"].items()},
            tuple(STEPS[step["kind"]].from_json(step) for step in data["steps"]),
            frozenset(data["fixed"]),
            tuple(PartsStep.from_json(step) for step in data.get("parts", ())),
            tuple(Repeat.from_json(repeat) for repeat in data.get("repeats", ())),
        )


def _where_all(known: Mapping[str, Mask] | None, names: Sequence[str], n: int) -> Ints:
    """Return the rows in which all these columns are known."""
    masks = [] if known is None else [known[name] for name in names]
    return np.flatnonzero(np.logical_and.reduce(masks)) if masks else np.arange(n)


def is_missing(values: pl.Series) -> Mask:
    """Return which numbers are null or NaN."""
    missing = values.is_null()
    if values.dtype.is_float():
        missing |= values.is_nan().fill_null(value=True)
    return missing.to_numpy()


def _compared_groups(constraints: Sequence[Constraint]) -> list[list[str]]:
    """Return the columns that are bounded or compared, in groups that share a number line."""
    groups: list[list[str]] = []
    for constraint in constraints:
        if isinstance(constraint, Bounds | Inequality):
            joined = [group for group in groups if set(group) & set(constraint.columns)]
            groups = [group for group in groups if group not in joined]
            names = [*(name for group in joined for name in group), *constraint.columns]
            groups.append(list(dict.fromkeys(names)))
    return groups


def _fit_step(
    dependencies: Dependencies,
    node: str | Combination,
    frame: pl.DataFrame,
    train: Ints,
    text_formats: TextFormats,
    names: set[str],
) -> Step | None:
    """Return the step that replaces a column or a combination; None if nothing does.

    `names` are those of all columns so far; the name of the modelled column is added.
    """
    if isinstance(node, Combination):
        members = [frame[member] for member in node.members]
        name = _unique_name(str(node), names)
        return CombinationStep.fit(members, train, text_formats, name)
    match dependencies.derived.get(node):
        case Lookup(keys=keys):
            rest = _unique_name(f"{node} not looked up", names)
            return LookupStep.fit(frame[node], keys, frame, train, text_formats, rest)
        case Derived(formula=text):
            flag = _unique_name(f"{node} is missing", names)
            rest = _unique_name(f"{node} not computed", names)
            other = _unique_name(f"{node} rounded the other way", names)
            own = flag, rest, other
            return DerivedStep.fit(frame[node], Formula(text), frame, text_formats, *own)
    if node in dependencies.above:
        others = tuple(dependencies.above[node].items())
        name = _unique_name(f"{node} - {_extreme('max', others)}", names)
        return DifferenceStep(node, 1, others, name)
    if node in dependencies.below:
        others = tuple(dependencies.below[node].items())
        name = _unique_name(f"{_extreme('min', others)} - {node}", names)
        return DifferenceStep(node, -1, others, name)
    return None


def _extreme(function: str, others: Sequence[tuple[str, bool]]) -> str:
    names = ", ".join(name for name, _ in others)
    return names if len(others) == 1 else f"{function}({names})"


def _unique_name(name: str, names: set[str]) -> str:
    """Return a name unlike all others, and add it to them."""
    while name in names:
        name += "'"
    names.add(name)
    return name


def _refuse_identifiers(
    frame: pl.DataFrame, constraints: Sequence[Constraint], kinds: Mapping[str, str]
) -> None:
    """Raise DataError for a column of identifiers, whose values are not kept."""
    for constraint in constraints:
        for values in (frame[name] for name in constraint.columns):
            kind = kinds.get(values.name)
            is_identifier = kind == "identifier"
            if kind is None and values.dtype == pl.String:
                is_identifier = looks_like_identifiers(ColumnSummary.of(values, kind))
            if is_identifier:
                msg = f"column {values.name!r} of {str(constraint)!r} holds identifiers, which are "
                raise DataError(f"{msg}generated anew; override it, e.g. as categorical")
