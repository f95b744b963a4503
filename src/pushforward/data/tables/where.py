"""Conditions on a table's columns: the allowed share of each cell, and the values within it.

Given its code z a model draws each column: a cell, maybe a fine digit, then a position within the
fine cell. So a condition on a column determines, for every fine cell, which share of it is allowed,
and where within it the allowed values lie. Both follow from the column's partition, cut at the ends
of the allowed intervals: no row of the data is needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.schema import ClassCondition
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints.parts import PartsStep
from pushforward.data.tables.fine_digits import FinePartition
from pushforward.data.tables.hot_decks import HotDeck
from pushforward.data.tables.interval_set import IntervalSet, allowed_intervals, describe_values
from pushforward.data.tables.missing_together import Implied, with_implied
from pushforward.data.tables.partition import Partition
from pushforward.data.tables.quantile_table import QuantileTable
from pushforward.data.tables.repeated import Repeater
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError, nearest

Where = Mapping[Any, Any]  # by a column's name, or by its label where a user is asked


@dataclass(frozen=True, eq=False)
class Restriction:
    """Which rows of a table are allowed.

    Args:
        columns: the positions of the restricted columns among the modelled ones.
        allowed: the allowed values of each of them.
        share: (sum of the space's cells,) the allowed share of each cell, or 1 where some of a cell
            with fine digits is allowed; 1 in every other column.
        within: the restricted columns that have fine digits or a hot deck: the position among the
            modelled ones, and the allowed share of each fine cell.
        quantile_table: quantile functions of the allowed values only.
        hot_decks: those of the table, with the allowed values only.
        repeaters: what lets columns repeat others.
        implied: which columns are missing where others are.
        never: of these those whose second column must not be missing.
        class_frequencies: (K,) of the allowed classes of the condition, 0 for the others.
        checked: the conditions that must be checked on decoded rows, by column: its codec, and what
            is allowed; with constraints, those on all restricted columns.
        independent: the share of training rows that would be allowed if columns were independent.
    """

    columns: tuple[int, ...]
    allowed: tuple[IntervalSet, ...]
    share: Tensor
    within: tuple[tuple[int, Tensor], ...]
    quantile_table: QuantileTable
    hot_decks: tuple[HotDeck, ...]
    repeaters: tuple[Repeater, ...]
    implied: Implied
    never: Implied
    class_frequencies: Tensor | None
    checked: Mapping[str, tuple[ColumnCodec, IntervalSet]]
    independent: float

    def to(self, device: torch.device) -> Restriction:
        """Return the same restriction on a device; the classes stay where labels are drawn."""
        table = self.quantile_table.to(device)
        within = tuple((column, share.to(device)) for column, share in self.within)
        decks = tuple(deck.to(device) for deck in self.hot_decks)
        share = self.share.to(device)
        return replace(self, share=share, within=within, quantile_table=table, hot_decks=decks)

    def chance_within(self, fine_cells: Tensor) -> Tensor:
        """Return how much of rows' fine cells (n, columns) is allowed, given their cells, (n,)."""
        chance = torch.ones(len(fine_cells), dtype=torch.float64, device=fine_cells.device)
        for column, share in self.within:
            own = share[fine_cells[:, column]]
            for deck in self.hot_decks:
                own = deck.chance(fine_cells, own) if deck.column == column else own
            chance *= own
        for i, j in self.never:  # the first cell is that of missing values
            chance *= (fine_cells[:, i] != 0) | (fine_cells[:, j] == 0)
        return chance

    def draw_in_cells(self, fine_cells: Tensor) -> Tensor:
        """Return encoded rows (n, columns), each value an allowed draw from its fine cell."""
        rows = spread = self.quantile_table.draw_in_cells(fine_cells)
        for deck in self.hot_decks:
            rows = deck.draw(rows, spread, fine_cells)
        for repeater in self.repeaters:
            rows = repeater(rows)
        return with_implied(rows, self.implied)

    def allows(self, rows: Tensor) -> Tensor:
        """Return which encoded rows (n, columns) are allowed."""
        mask = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        for column, intervals in zip(self.columns, self.allowed, strict=True):
            mask &= intervals.allows(rows[:, column])
        return mask

    def allows_frame(self, frame: pl.DataFrame) -> Tensor:
        """Return which decoded rows (n,) meet the conditions that must be checked on them."""
        mask = torch.ones(len(frame), dtype=torch.bool)
        for name, (column, intervals) in self.checked.items():
            mask &= intervals.allows(torch.from_numpy(column.encode(frame[name])))
        return mask


def restrict(schema: TableSchema, where: Where) -> Restriction:
    """Compile conditions by column (see `interval_set.allowed_intervals`) for a schema.

    Raises:
        DataError: a column is not modelled, a value is unknown, outside the column's range or of
            another type, or the conditions contradict each other.
    """
    narrowing = _Narrowing(schema)
    shares = [narrowing.take(name, values) for name, values in where.items()]
    independent = math.prod(shares, start=1.0)
    return narrowing.restriction(independent)


class _Narrowing:
    """What is left of a table's columns, as conditions are taken up one by one."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema, self.fine = schema, schema.fine_partitions
        self.positions = {column.name: i for i, column in enumerate(schema.columns)}
        self.parts = {step.column.name: step for step in schema.constraint_set.parts}
        self.partitions = [p.partition for p in self.fine]
        self.shares = [np.ones(p.n_cells) for p in self.partitions]
        self.class_frequencies = _class_frequencies(schema.condition)
        self.allowed: dict[int, IntervalSet] = {}
        self.checked: dict[str, tuple[ColumnCodec, IntervalSet]] = {}
        # what repeats another column may be allowed, whatever its own cell: it is looked at alone
        self.repeating = {at for repeater in schema.repeaters for at in repeater.column.at}

    def take(self, name: str, values: Any) -> float:
        """Take up a column's condition; return the share of training rows that meet it."""
        condition = self.schema.condition_column
        if condition is not None and name == condition.name:
            classes = allowed_intervals(condition, values)
            self.class_frequencies, occurrence = _allowed_classes(condition, classes)
            return occurrence
        if name in self.parts:
            return self._take_parted(self.parts[name], values)
        codecs = self.schema.constraint_set.codecs
        if name in codecs:
            # the modelled table lacks this column: its codec's partition does not apply
            codec = replace(codecs[name], partition=Partition.empty())
            allowed = allowed_intervals(codec, values)
            self.checked[name] = codec, allowed
            return self._take_combined(name, allowed)
        column = _find_column(self.schema, name)
        at = self.positions[column.name]
        allowed = allowed_intervals(column, values)
        if self.schema.constraint_set:
            self.checked[name] = column, allowed
        return _occurrence(column, self.fine[at].partition, self._narrow(at, allowed))

    def _take_parted(self, step: PartsStep, values: Any) -> float:
        """Take up that of a column which is modelled by its parts.

        The coarsest part narrows the draws, the check on decoded rows does the rest.
        """
        intervals = allowed_intervals(step.column, values)
        self.checked[step.column.name] = step.column, intervals
        if self.positions[step.names[0]] not in self.repeating:
            self._narrow(self.positions[step.names[0]], step.coarsest(intervals))
        _, share = restrict_partition(step.column.partition, intervals)
        return _occurrence(step.column, step.column.partition, share)

    def _take_combined(self, name: str, allowed: IntervalSet) -> float:
        """Take up that of a column of a combination, if it is one, by those that agree with it."""
        step = self.schema.constraint_set.combination_of(name)
        if step is None:
            return 1.0
        at = self.positions[step.name]
        agree = allowed.allows(torch.from_numpy(step.numbers_of(name))).numpy()
        codes = np.flatnonzero(agree[: step.observed]).astype(np.float64)
        if at in self.allowed:
            codes = codes[self.allowed[at].contains(codes)]
        if not len(codes):
            msg = f"where: no combination of {', '.join(step.replaced)} in the training rows agrees"
            raise DataError(f"{msg} with what is allowed of {name!r}; widen the condition")
        column = self.schema.columns[at]
        self._narrow(at, IntervalSet(codes - 0.5, codes + 0.5, missing=False))
        before = self.shares[at] @ self.fine[at].partition.shares
        self._narrow(at, IntervalSet(codes - 0.5, codes + 0.5, missing=False))
        return _occurrence(column, self.fine[at].partition, self.shares[at]) / float(before)

    def _narrow(self, at: int, allowed: IntervalSet) -> Floats:
        """Allow these values of a column alone; return the share of each fine cell."""
        partition, share = restrict_partition(self.partitions[at], allowed)
        if at not in self.repeating:
            self.partitions[at], self.shares[at] = partition, share
        self.allowed[at] = allowed
        return share

    def restriction(self, independent: float) -> Restriction:
        """Return which rows are allowed; `independent` is the product of the shares."""
        columns, decks = self.schema.columns, self.schema.hot_decks
        decked = {deck.column for deck in decks}
        within = {at for at, p in enumerate(self.fine) if p.digits > 1 or at in decked}
        in_space = [
            _some_in_space(p, share) if at in within else share
            for at, (p, share) in enumerate(zip(self.fine, self.shares, strict=True))
        ]
        implied = self.schema.implied
        return Restriction(
            tuple(self.allowed),
            tuple(self.allowed.values()),
            torch.from_numpy(np.concatenate(in_space)),
            tuple((at, torch.from_numpy(self.shares[at])) for at in self.allowed if at in within),
            QuantileTable.of(self.partitions, [column.decimals for column in columns]),
            tuple(map(self._deck, decks)),
            tuple(self.schema.repeaters),
            implied,
            tuple((i, j) for i, j in implied if j in self.allowed and not self.allowed[j].missing),
            self.class_frequencies,
            self.checked,
            independent,
        )

    def _deck(self, deck: HotDeck) -> HotDeck:
        """Return a hot deck with the allowed values only."""
        if deck.column not in self.allowed or deck.column in self.repeating:
            return deck
        share = torch.from_numpy(self.shares[deck.column])
        return deck.allowing(self.allowed[deck.column], share)


def observed_values(schema: TableSchema, name: str) -> list[Any]:
    """Return the distinct values of a column in the training rows, to balance a table by.

    Missing values are left out. DataError unless the column is modelled itself and each of its
    pieces holds a single value, of which there are at least two.
    """
    column = _find_column_or_condition(schema, name)
    combination = schema.constraint_set.combination_of(name)
    if combination is not None:
        numbers = combination.numbers_of(name)[: combination.observed]
        return column.decode(np.unique(numbers[~np.isnan(numbers)])).to_list()
    candidates = [
        c.name
        for c in schema.columns
        if c.name in schema.column_names and len(_single_values(c)) >= 2
    ]
    if name in schema.constraint_set.determined:
        msg = f"column {name!r} follows from a constraint, and a table cannot be balanced by it"
        raise DataError(f"{msg}; {nearest(name, candidates)}")
    values = _single_values(column)
    if len(values) < 2:
        p = column.partition
        is_single = p.extent[0] == p.extent[1]
        msg = (
            f"column {name!r} must hold at least two categories to balance a table by, and holds "
            f"{'one value' if is_single else 'a range of numbers'}"
        )
        hint = (
            ""
            if is_single
            else (
                f"; read it with overrides={{{name!r}: 'categorical'}} to balance by each of its "
                "numbers, or name a column of categories"
            )
        )
        raise DataError(f"{msg}{hint}; {nearest(name, candidates)}")
    return column.decode(values).to_list()


def _single_values(column: ColumnCodec) -> Floats:
    """Return the numbers that training rows have; none if a piece may hold several of them.

    A piece as wide as one step of the column's grid holds one number: a rare one is no atom.
    """
    p = column.partition
    value = p.atom
    if column.decimals is not None:
        scale = 10.0**column.decimals
        low, high = np.round(p.bounds[:-1] * scale + 0.5), np.round(p.bounds[1:] * scale + 0.5)
        value = np.where(np.isnan(value) & (high - low == 1), low / scale, value)
    values = value[p.mass > 0]
    return np.empty(0) if np.isnan(values).any() else np.unique(values)


def restrict_partition(p: Partition, allowed: IntervalSet) -> tuple[Partition, Floats]:
    """Return a partition of the allowed values only, and the allowed share of each cell.

    A piece is cut where an allowed interval begins or ends, its mass in proportion to the widths;
    an atom is not cut. A cell without training rows is uniform over its pieces.
    """
    total = np.bincount(p.cell, p.mass, minlength=p.n_cells)
    mass = np.where(total[p.cell] > 0, p.mass, 1.0)
    ends = np.concatenate([allowed.low, allowed.high])
    inside = ends[(ends > p.bounds[0]) & (ends < p.bounds[-1])]
    bounds = np.union1d(p.bounds, inside)
    piece = np.searchsorted(p.bounds, bounds[:-1], side="right") - 1
    width, atom = np.diff(bounds), p.atom[piece]
    # halves: the sum of two huge bounds may overflow
    value = np.where(np.isnan(atom), bounds[:-1] / 2 + bounds[1:] / 2, atom)
    cut_mass = mass[piece] * width / np.diff(p.bounds)[piece]
    kept = np.where(allowed.contains(value), cut_mass, 0.0)
    cells = p.cell[piece]
    cell_mass = np.bincount(cells, cut_mass, minlength=p.n_cells)
    kept_mass = np.bincount(cells, kept, minlength=p.n_cells)
    share = kept_mass / np.where(cell_mass > 0, cell_mass, 1.0)
    if p.missing is not None:
        share[0] = float(allowed.missing)
    return replace(p, bounds=bounds, cell=cells, mass=kept, atom=atom), share.clip(0, 1)


def _some_in_space(p: FinePartition, share: Floats) -> Floats:
    """Return which cells may be drawn, and any digit, given how much of fine cells is allowed."""
    some = (share[p.cell] > 0) & (p.shares > 0)
    return np.concatenate(
        [some.any(1).astype(np.float64), np.ones(p.digits if p.digits > 1 else 0)]
    )


def _occurrence(column: ColumnCodec, p: Partition, share: Floats) -> float:
    """Return the share of training rows that are allowed; DataError where no value can be."""
    if not share.any():
        msg = (
            f"where: no row has exactly such a value in column {column.name!r}; give a range, "
            f"as (low, high), within {describe_values(column)}"
        )
        raise DataError(msg)
    return float(share @ p.shares)


def _class_frequencies(condition: ClassCondition | None) -> Tensor | None:
    return None if condition is None else torch.tensor(condition.frequencies, dtype=torch.float64)


def _allowed_classes(column: CategoricalCodec, allowed: IntervalSet) -> tuple[Tensor, float]:
    """Return the allowed classes' frequencies (a missing value is the last class), and their sum.

    Classes without training rows are equally frequent if no other class is allowed.
    """
    p = column.partition
    mask = allowed.contains(p.atom)
    missing = [] if p.missing is None else [float(allowed.missing)]
    share = np.concatenate([mask, missing]).astype(np.float64)
    frequency = np.concatenate([p.mass, [] if p.missing is None else [p.missing]])
    chosen = share * frequency
    return torch.from_numpy(chosen if chosen.any() else share), float(chosen.sum())


def _find_column(schema: TableSchema, name: str) -> ColumnCodec:
    """Return the codec of a modelled column; DataError names the nearest for any other."""
    modelled = {c.name: c for c in schema.columns if c.name in schema.column_names}
    modelled |= schema.constraint_set.codecs
    if name in modelled:
        return modelled[name]
    if name in {identifier.name for identifier in schema.identifiers}:
        raise DataError(f"where: column {name!r} holds identifiers, which are generated anew")
    raise DataError(f"no column {name!r}; {nearest(name, restrictable_columns(schema))}")


def restrictable_columns(schema: TableSchema) -> Iterable[str]:
    """Return the names of the columns that a condition may name."""
    identifiers = {identifier.name for identifier in schema.identifiers}
    return [name for name in schema.column_names if name not in identifiers]


def parse_where(texts: Iterable[str], schema: TableSchema) -> dict[str, Any]:
    """Parse conditions as they are written on the command line.

    `column=value`, `column=low..high`, `column=a,b`, `column=` (missing), `column>=low`,
    `column<=high`. If the text after `=` is a category, it means that category: `income=>50K`.
    Several conditions on a column are alternatives, except a lower and an upper bound.
    """
    values: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, value = _split_text(text, schema)
        column = _find_column_or_condition(schema, name)
        values.setdefault(name, []).append(_parse_value(column, sign, value))
    return {name: _join_bounds(name, alternatives) for name, alternatives in values.items()}


def _split_text(text: str, schema: TableSchema) -> tuple[str, str, str]:
    """Return column, sign and value; the longer of two column names that match."""
    names = restrictable_columns(schema)
    for name in sorted(names, key=len, reverse=True):
        rest = text.removeprefix(name).lstrip()
        sign = next((sign for sign in (">=", "<=", "=") if rest.startswith(sign)), None)
        if text.startswith(name) and sign is not None:
            return name, sign, rest.removeprefix(sign).strip()
    name = re.split("[<>=]", text)[0].strip()
    forms = "column=value, column=low..high, column>=low or column<=high"
    if name in names:
        raise DataError(f"--where {text!r}: write {forms}")
    raise DataError(f"--where {text!r}: no column {name!r}; {nearest(name, names)}")


def _parse_value(column: ColumnCodec, sign: str, text: str) -> Any:
    """Return the values that a text allows."""
    if sign != "=":
        return (text, None) if sign == ">=" else (None, text)
    if isinstance(column, CategoricalCodec) and text in map(str, column.levels):
        return text
    low, dots, high = text.partition("..")
    if dots:
        return (low or None, high or None)
    return [item.strip() or None for item in text.split(",")]


def _join_bounds(name: str, alternatives: list[Any]) -> Any:
    """Return alternatives, or a single range if they are one lower and one upper bound."""
    bounds = [value for value in alternatives if isinstance(value, tuple) and None in value]
    if len(bounds) < 2:
        return alternatives
    lows, highs = ([pair[i] for pair in bounds if pair[i] is not None] for i in (0, 1))
    if len(alternatives) > 2 or len(lows) != 1:
        msg = f"--where: column {name!r} must have at most one lower and one upper bound"
        raise DataError(f"{msg}; write alternatives as {name}=low..high")
    return (lows[0], highs[0])


def _find_column_or_condition(schema: TableSchema, name: str) -> ColumnCodec:
    condition = schema.condition_column
    if condition is not None and condition.name == name:
        return condition
    return _find_column(schema, name)
