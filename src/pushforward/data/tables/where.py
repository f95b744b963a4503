"""Conditions on a table's columns: which values are wanted, as cells and places within them.

Given its code z a model draws each column on its own: a cell, then a place within the cell. A
condition on a column therefore says, of every cell, which share of it is allowed, and where within
it the allowed values lie. Both follow from the column's partition, cut at the borders of what is
allowed: no row is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.schema import Condition
from pushforward.data.tables.columns import Category, Column
from pushforward.data.tables.interval_set import Wanted, known_values, wanted
from pushforward.data.tables.partition import EMPTY, Floats, Partition
from pushforward.data.tables.quantile_table import Stack, stack
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError, nearest

Where = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Restriction:
    """What is allowed of a table's rows.

    Args:
        columns: the positions of the restricted columns among the modelled ones.
        wanted: what is allowed of each of them.
        share: (sum of cells,) the share of each cell that is allowed; 1 in every other column.
        tables: lookup tables whose quantile functions reach nothing but what is allowed.
        classes: (K,) the frequencies of the condition's allowed classes, 0 for the others.
        checked: what only the user's own table can tell: the codec of a column, and what is allowed
            of it; where a constraint moves values, of all restricted columns.
        independent: the share of training rows that would be allowed, were columns independent.
    """

    columns: tuple[int, ...]
    wanted: tuple[Wanted, ...]
    share: Tensor
    tables: Stack
    classes: Tensor | None
    checked: Mapping[str, tuple[Column, Wanted]]
    independent: float

    def to(self, device: torch.device) -> Restriction:
        """Return the same restriction on a device; the classes stay where labels are drawn."""
        return replace(self, share=self.share.to(device), tables=self.tables.to(device))

    def holds(self, rows: Tensor) -> Tensor:
        """Return which encoded rows (n, columns) are allowed."""
        kept = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        for column, allowed in zip(self.columns, self.wanted, strict=True):
            kept &= allowed.holds(rows[:, column])
        return kept

    def holds_in(self, frame: pl.DataFrame) -> Tensor:
        """Return which rows (n,) of the user's table are allowed, as far as it must be checked."""
        kept = torch.ones(len(frame), dtype=torch.bool)
        for name, (column, allowed) in self.checked.items():
            kept &= allowed.holds(torch.from_numpy(column.encode(frame[name])))
        return kept


def restrict(schema: TableSchema, where: Where) -> Restriction:
    """Compile a condition against a schema.

    Raises:
        DataError: a column is not modelled, a value is unknown, out of the column's range or of
            another type, or the condition contradicts itself.
    """
    places = {column.name: i for i, column in enumerate(schema.columns)}
    columns, partitions = list(schema.columns), [c.partition for c in schema.columns]
    shares = [np.ones(p.cells) for p in partitions]
    classes, independent = _frequencies(schema.condition), 1.0
    found: dict[int, Wanted] = {}
    checked: dict[str, tuple[Column, Wanted]] = {}
    for name, values in where.items():
        if schema.classes is not None and name == schema.classes.name:
            classes, part = _classes(schema.classes, wanted(schema.classes, values))
        elif name in schema.rules.codecs:
            # what its partition says of the column's values is not for this column
            column = replace(schema.rules.codecs[name], partition=Partition.from_json(EMPTY))
            checked[name] = column, wanted(column, values)
            continue
        else:
            place = places[_column(schema, name).name]
            found[place] = wanted(columns[place], values)
            partitions[place], shares[place] = cut(columns[place].partition, found[place])
            part = _occurs(columns[place], shares[place])
            checked |= {name: (columns[place], found[place])} if schema.rules else {}
        independent *= part
    return Restriction(
        tuple(found),
        tuple(found.values()),
        torch.from_numpy(np.concatenate(shares)),
        stack(partitions, [column.decimals for column in columns]),
        classes,
        checked,
        independent,
    )


def levels(schema: TableSchema, name: str) -> list[Any]:
    """Return the values of a column that training rows have, to balance a table by.

    DataError unless the column is modelled itself and consists of single values, of which there are
    at least two; missing ones are left out.
    """
    column = _column_or_classes(schema, name)
    own = [c.name for c in schema.columns if isinstance(c, Category) and c.name in schema.order]
    if name in schema.rules.codecs:
        msg = f"column {name!r} follows from a constraint, and no table can be balanced by it"
        raise DataError(f"{msg}; {nearest(name, own)}")
    p = column.partition
    alone = bool(len(p.atom)) and not np.isnan(p.atom[p.mass > 0]).any()
    values = np.unique(p.atom[p.mass > 0]) if alone else np.empty(0)
    if len(values) < 2:
        msg = (
            f"column {name!r} must hold at least two categories to balance a table by, "
            f"and holds {'a range of numbers' if not alone else 'one value'}; "
            f"{nearest(name, own)}"
        )
        raise DataError(msg)
    return column.decode(values).to_list()


def cut(p: Partition, allowed: Wanted) -> tuple[Partition, Floats]:
    """Return a partition without what is not allowed, and the share of each cell that is.

    A piece is cut where an allowed interval begins or ends, its mass by the widths of its parts; an
    atom stays whole. A cell without training rows spreads evenly over its pieces.
    """
    total = np.bincount(p.cell, p.mass, minlength=p.cells)
    mass = np.where(total[p.cell] > 0, p.mass, 1.0)
    ends = np.concatenate([allowed.low, allowed.high])
    inside = ends[(ends > p.bounds[0]) & (ends < p.bounds[-1])]
    bounds = np.union1d(p.bounds, inside)
    parent = np.searchsorted(p.bounds, bounds[:-1], side="right") - 1
    width, atom = np.diff(bounds), p.atom[parent]
    # halves: the sum of two huge bounds may overflow
    value = np.where(np.isnan(atom), bounds[:-1] / 2 + bounds[1:] / 2, atom)
    part = mass[parent] * width / np.diff(p.bounds)[parent]
    kept = np.where(allowed.among(value), part, 0.0)
    cells = p.cell[parent]
    whole = np.bincount(cells, part, minlength=p.cells)
    share = np.bincount(cells, kept, minlength=p.cells) / np.where(whole > 0, whole, 1.0)
    if p.missing is not None:
        share[0] = float(allowed.missing)
    return replace(p, bounds=bounds, cell=cells, mass=kept, atom=atom), share.clip(0, 1)


def _occurs(column: Column, share: Floats) -> float:
    """Return the share of training rows that are allowed; DataError where no value can be."""
    if not share.any():
        msg = (
            f"where: no row has exactly such a value in column {column.name!r}; give a range, "
            f"as (low, high), within {known_values(column)}"
        )
        raise DataError(msg)
    return float(share @ column.partition.shares)


def _frequencies(condition: Condition | None) -> Tensor | None:
    return None if condition is None else torch.tensor(condition.frequencies, dtype=torch.float64)


def _classes(column: Category, allowed: Wanted) -> tuple[Tensor, float]:
    """Return the allowed classes' frequencies (a missing value is the last class), and their sum.

    Classes without training rows are drawn equally often where nothing else is allowed.
    """
    p = column.partition
    mask = allowed.among(p.atom)
    missing = [] if p.missing is None else [float(allowed.missing)]
    share = np.concatenate([mask, missing]).astype(np.float64)
    frequency = np.concatenate([p.mass, [] if p.missing is None else [p.missing]])
    chosen = share * frequency
    return torch.from_numpy(chosen if chosen.any() else share), float(chosen.sum())


def _column(schema: TableSchema, name: str) -> Column:
    """Return a modelled column; DataError names the nearest for any other."""
    known = {c.name: c for c in schema.columns if c.name in schema.order} | schema.rules.codecs
    if name in known:
        return known[name]
    if name in {identifier.name for identifier in schema.identifiers}:
        raise DataError(f"where: column {name!r} holds identifiers, which are generated fresh")
    raise DataError(f"where: no column {name!r}; {nearest(str(name), column_names(schema))}")


def column_names(schema: TableSchema) -> Iterable[str]:
    """Return the columns that a condition may name."""
    fresh = {identifier.name for identifier in schema.identifiers}
    return [name for name in schema.order if name not in fresh]


def spoken(texts: Iterable[str], schema: TableSchema) -> dict[str, Any]:
    """Read conditions as a command line gives them.

    `column=value`, `column=low..high`, `column=a,b`, `column=` (missing), `column>=low`,
    `column<=high`. What is a category, word for word, is that category: `income=>50K`. Several
    values of one column are alternatives, of two ends the one is low and the other high.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, value = _split(text, schema)
        found.setdefault(name, []).append(_read(_column_or_classes(schema, name), sign, value))
    return {name: _both_ends(name, values) for name, values in found.items()}


def _split(text: str, schema: TableSchema) -> tuple[str, str, str]:
    """Return column, sign and value; of two columns that fit the longer."""
    for name in sorted(column_names(schema), key=len, reverse=True):
        rest = text.removeprefix(name).lstrip()
        sign = next((sign for sign in (">=", "<=", "=") if rest.startswith(sign)), None)
        if text.startswith(name) and sign is not None:
            return name, sign, rest.removeprefix(sign).strip()
    name = re.split("[<>=]", text)[0].strip()
    msg = f"--where {text!r}: wanted column=value, column=low..high, column>=low or column<=high"
    known = column_names(schema)
    hint = f"say which {name!r}" if name in known else nearest(name, known)
    raise DataError(f"{msg}; {hint}")


def _read(column: Column, sign: str, text: str) -> Any:
    """Return what a text wants of a column."""
    if sign != "=":
        return (text, None) if sign == ">=" else (None, text)
    if isinstance(column, Category) and text in map(str, column.levels):
        return text
    low, dots, high = text.partition("..")
    if dots:
        return (low or None, high or None)
    return [part.strip() or None for part in text.split(",")]


def _both_ends(name: str, values: list[Any]) -> Any:
    """Return alternatives, or one range with the ends that several conditions name."""
    ends = [value for value in values if isinstance(value, tuple) and None in value]
    if len(ends) < 2:
        return values
    lows, highs = ([end[i] for end in ends if end[i] is not None] for i in (0, 1))
    if len(values) > 2 or len(lows) != 1:
        msg = f"--where: column {name!r} has more than one low and one high end"
        raise DataError(f"{msg}; write alternatives as {name}=low..high")
    return (lows[0], highs[0])


def _column_or_classes(schema: TableSchema, name: str) -> Column:
    own = schema.classes
    return own if own is not None and own.name == name else _column(schema, name)
