"""Relations that hold in every row, found on reading: `amount = qty * price * factor(region)`.

Candidates are products of up to three factors times a constant (or a constant for each category),
sums and differences of columns, and times a duration apart. A few rows refute nearly all of them;
the others are tested on all rows, as if the user had stated them. Were a column independent of the
others, it would fit a given formula in all rows with the probability exp(-n H), H the entropy of
its values: this must be below `CHANCE`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.constraints.calendar_candidates import dates, may_be_of_dates
from pushforward.data.tables.constraints.clock import is_clock
from pushforward.data.tables.constraints.clock_candidates import (
    clock_sums,
    parts_of_times,
)
from pushforward.data.tables.constraints.definitions import (
    Combination,
    Constraint,
    Derived,
    Inequality,
    Lookup,
)
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.factors import constant_interval, simplest
from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.language import quote_name
from pushforward.data.tables.constraints.lookup_candidates import LookupFinder
from pushforward.data.tables.constraints.relation_candidates import (
    REFUTING_ROWS,
    Candidate,
    Values,
    copies,
    durations,
    ends,
    long_sum,
    not_refuted,
    products,
    sums,
)
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.text_types import TextFormats

MIN_ROWS = 100
MIN_VALUES = 5  # different ones, other than 0, that a computed column has
CHANCE = 1e-30  # that an independent column fits one of some 10^5 formulas
SAMPLE = 1000
AGREEING = 0.9  # share of the rows that are as a custom rounds; the others are ties, row by row
MAX_COLUMNS = 30  # of numbers
MAX_CATEGORIES = 50  # with a factor each


@dataclass(eq=False)
class RelationFinder:
    """Finds the relations of a table.

    Args:
        frame: the table, text read as numbers and times.
        operands: the columns of numbers and times, from which others may be computed.
        computed: those of them that may be computed, or be said to lie after another.
        categories: the columns whose categories may have factors, or be looked up by.
        looked_up: the columns that may be looked up.
        text_formats: of the table.
        found: the relations so far, by the column that is computed.
    """

    frame: pl.DataFrame
    operands: Sequence[str]
    computed: Set[str]
    categories: Sequence[str]
    looked_up: Set[str]
    text_formats: TextFormats
    found: dict[str, Derived | Lookup] = field(default_factory=dict)

    def find(self) -> list[Constraint]:
        """Return the relations, each of a column that no other one determines."""
        if len(self.frame) < MIN_ROWS:
            return []
        for column, candidate in self._candidates():
            if column not in self.found:
                self._try(column, candidate)
        self._find_lookups()
        derived = [self.found[name] for name in self.frame.columns if name in self.found]
        return [*derived, *self._dates(), *self._orders()]

    def _candidates(self) -> Iterator[tuple[str, Candidate]]:
        """Yield what a few rows do not refute: the simplest first, of later columns first."""
        sample = _spread(self.frame, SAMPLE)
        steps = {name: self._plain_step(sample[name]) for name in self.operands}
        values = {name: step.given(sample) for name, step in steps.items()}
        numbers = self._numbers(values)
        targets = [n for n in reversed(values) if n in self.computed and _is_varied(values[n])]
        few = np.linspace(0, len(sample) - 1, min(REFUTING_ROWS, len(sample))).astype(int)
        sides = _right_sides({name: x[few] for name, x in values.items()}, numbers)
        sides[True] += self._readings(values, numbers, targets, few)
        codes = {n: _codes(sample[n][few]) for n in self.categories}
        codes = {n: code for n, code in codes.items() if 1 < len(np.unique(code)) <= MAX_CATEGORIES}
        survivors = []
        for target in targets:
            y, is_number = values[target][few], target in numbers
            tolerance = steps[target].tolerance(y)
            possible = not_refuted(target, y, tolerance, sides[is_number], codes)
            survivors += [(target, candidate) for candidate in possible]
        yield from sorted(survivors, key=lambda pair: pair[1].cost)
        sums = [(n, cost) for cost in (0, 1) for n in targets if n in numbers]
        # of the finest column first: from coarser ones it can be computed, they not from it
        for target, cost in sorted(sums, key=lambda pair: steps[pair[0]].resolution):
            given = values[target]
            error = float(np.nanmax(steps[target].tolerance(given)))
            for left_out in ({target}, {target, *self.found}):
                others = {n: values[n] for n in numbers if n not in left_out}
                candidate = long_sum(given, error, others)
                if candidate is not None and candidate.cost == cost:
                    yield target, candidate

    def _readings(
        self, values: Values, numbers: Sequence[str], targets: Sequence[str], few: Ints
    ) -> Iterator[Candidate]:
        """Yield what times show on clocks, and sums of numbers that spell times of day."""
        times = {name: x for name, x in values.items() if name in self._clock_times()}
        whole = {n: values[n] for n in targets if n in numbers and (values[n] % 1 == 0).any()}
        yield from parts_of_times(times, whole, few)
        clocks = {n: values[n][few] for n in numbers if is_clock(self.frame[n])}
        amounts = {n: values[n][few] for n in numbers if n not in clocks}
        yield from clock_sums(clocks, amounts)

    def _clock_times(self) -> list[str]:
        """Return the columns of dates and times."""
        return [n for n in self.operands if self.frame[n].dtype in (pl.Date, pl.Datetime)]

    def _numbers(self, names: Iterable[str]) -> list[str]:
        """Return the columns of numbers, not times."""
        return [n for n in names if not self.frame[n].dtype.is_temporal()][:MAX_COLUMNS]

    def _plain_step(self, values: pl.Series) -> DerivedStep:
        """Return a column as computed from itself: its values and their tolerance."""
        codec = NumericCodec.of_values(values, self.text_formats)
        return DerivedStep(codec, Formula(quote_name(values.name)))

    def _step(self, column: str, formula: str, frame: pl.DataFrame) -> DerivedStep:
        modelled = (f"{column} {what}" for what in ("is missing", "not computed", "rounded"))
        return DerivedStep.fit(frame[column], Formula(formula), frame, self.text_formats, *modelled)

    def _try(self, column: str, candidate: Candidate) -> None:
        """Keep a relation if it holds in every row, and goes in no circle."""
        if column in self._needed(candidate.columns):
            return
        formula = None
        for frame in (_spread(self.frame, SAMPLE), self.frame):
            formula = self._formula(column, candidate, frame)
            if formula is None or not self._holds(column, formula, frame):
                return
        assert formula is not None
        self.found[column] = Derived(column, formula)

    def _find_lookups(self) -> None:
        """Keep what follows from one column of categories, or from two."""
        targets = [n for n in reversed(self.frame.columns) if n in self.looked_up - {*self.found}]
        for size in (1, 2):
            free = [name for name in targets if name not in self.found]
            for target, keys in LookupFinder(self.frame, free, self._keys()).find(size):
                is_new = not self.found.keys() & {target, *keys}
                if is_new and target not in self._needed(keys):
                    self.found[target] = Lookup(target, *keys)

    def _keys(self) -> list[str]:
        """Return the columns of categories that are modelled."""
        return [name for name in self.categories if name not in self.found]

    def _needed(self, columns: Iterable[str]) -> set[str]:
        """Return the columns that these are computed from, themselves included."""
        needed = set(columns)
        for name in needed & self.found.keys():
            needed |= self._needed(self.found[name].columns[1:])
        return needed

    def _formula(self, column: str, candidate: Candidate, frame: pl.DataFrame) -> str | None:
        """Return the formula of a candidate with its constant, None if no constant fits."""
        if candidate.by is not None:
            return f"{candidate.text} * factor({quote_name(candidate.by)})"
        if not candidate.scaled:
            return candidate.text
        step = self._step(column, candidate.text, frame)
        y, x = step.given(frame), step.evaluate(frame)
        rows = np.isfinite(x) & np.isfinite(y) & (x != 0)
        low, high = constant_interval(y[rows], x[rows], step.tolerance(y[rows]))
        if low > high or low <= 0 <= high:
            return None
        constant = simplest(low, high)
        return candidate.text if constant == "1" else f"{constant} * {candidate.text}"

    def _holds(self, column: str, formula: str, frame: pl.DataFrame) -> bool:
        """Whether a formula holds in every row, and not by chance."""
        step = self._step(column, formula, frame)
        if not step.holds(frame).all():
            return False
        present = ~np.isnan(step.compute(frame))
        agree = step.reproduces(frame)[present]
        if not (agree | step.is_other(frame)[present]).all() or np.mean(agree) <= AGREEING:
            return False
        category = step.formula.category
        groups = np.zeros(len(frame)) if category is None else _codes(frame[category])
        return _is_informative(step.given(frame)[present], groups[present], len(step.factors))

    def _dates(self) -> Iterator[Combination]:
        """Yield the columns of months and of days that are dates together."""
        names = [n for n in self.operands if n in self.computed and n not in self.found]
        used = {name for relation in self.found.values() for name in relation.columns}
        integers = [n for n in names if n not in used and may_be_of_dates(self.frame[n])]
        numbers = {n: self._plain_step(self.frame[n]).given(self.frame) for n in integers}
        for pair in dates(numbers):
            yield Combination(*pair)

    def _orders(self) -> Iterator[Inequality]:
        """Yield which times never lie before others, unless others in between say so."""
        times = [n for n in self.operands if n in self.computed and n not in self.found]
        times = [n for n in times if self.frame[n].dtype.is_temporal()]
        below = {(a, b) for a, b in permutations(times, 2) if self._is_ordered(a, b)}
        for a, b in sorted(below):
            if not any((a, c) in below and (c, b) in below for c in times):
                yield Inequality(a, b)

    def _is_ordered(self, low: str, high: str) -> bool:
        """Whether a time never lies before another, and not by chance."""
        if self.frame[low].dtype != self.frame[high].dtype:
            return False
        pairs = self.frame.select(low, high).drop_nulls()
        a, b = (_ticks(pairs[name]) for name in (low, high))
        if len(pairs) < MIN_ROWS or (a > b).any() or (a == b).all():
            return False
        shuffled = np.random.default_rng(0).permutation(b)
        return len(pairs) * math.log(np.mean(a <= shuffled)) < math.log(CHANCE)


def _right_sides(values: Values, numbers: Sequence[str]) -> dict[bool, list[Candidate]]:
    """Return the candidates for columns of numbers (True) and of times."""
    amounts = {name: values[name] for name in numbers}
    times = {name: x for name, x in values.items() if name not in numbers}
    for_numbers = [*copies(amounts), *sums(amounts), *products(amounts), *durations(times)]
    return {True: for_numbers, False: [*copies(times), *ends(times, amounts)]}


def _spread(frame: pl.DataFrame, n: int) -> pl.DataFrame:
    """Return n rows, spread over a table."""
    rows = np.linspace(0, len(frame) - 1, n).astype(int)
    return frame if len(frame) <= n else frame[rows]


def _ticks(values: pl.Series) -> Ints:
    return values.to_physical().to_numpy().astype(np.int64)


def _codes(values: pl.Series) -> Ints:
    """Return categories as integers."""
    return values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _is_varied(values: Floats) -> bool:
    """Whether numbers have enough different values to tell a relation from chance."""
    return len(np.unique(values[np.isfinite(values) & (values != 0)])) >= MIN_VALUES


def _is_informative(values: Floats, groups: Ints | Floats, n_factors: int) -> bool:
    """Whether these values, had they no relation to others, would hardly fit a formula.

    Each of its `n_factors` is fitted, at the cost of a row; what a category says of the values by
    itself, its `groups`, is no relation to others.
    """
    nats = sum(_surprise(values[groups == group]) for group in np.unique(groups))
    n = len(values)
    return n >= MIN_ROWS and nats * (n - n_factors) / n > -math.log(CHANCE)


def _surprise(values: Floats) -> float:
    """Return n H, the nats of n values that are independent."""
    _, counts = np.unique(values, return_counts=True)
    return -float(np.sum(counts * np.log(counts / len(values))))
