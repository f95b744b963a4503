"""Rare categories that share a cell, grouped by what they occur with: each group has a cell.

Categories within a cell are drawn whatever the rest of the row says. A plane belongs to one
carrier: were all rare planes in one cell, most generated ones would fly for another. So the rare
categories are split by the column that tells most about them, each going with the value that it
occurs with most often, and the parts are split again, as a tree grows. Within a group they are
drawn as often as they occur, as before.

What a column tells is the mutual information in the training rows, less that after a permutation:
with thousands of categories most of it is chance. A category with fewer than `MIN_LEVEL_ROWS`
training rows is in no such group, so that its cell says nothing about what few rows hold. But codes
are often spelled by what they belong to (the last letters of a plane's are those of its airline):
the rarest go by their first or last letters where these tell about another column, and all others
stay in the shared cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.numeric import Ints
from pushforward.data.tables.cell_table import CellTable
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.information import excess_information
from pushforward.data.tables.partition import MIN_LEVEL_ROWS, MIN_POOLED_ROWS, Partition
from pushforward.data.tables.schema import TableSchema

MOST_GROUPS = 512  # of a column: no group has fewer rows than this part of the table
MAX_VALUES = 128  # of a column that categories are grouped by
MAX_DEPTH = 3  # columns that a group is a part by
TESTED_ROWS = 5_000  # from which the column is chosen
ENDS = {f"their first {k} letters": slice(k) for k in (1, 2, 3)} | {
    f"their last {k} letters": slice(-k, None) for k in (1, 2, 3)
}


def group_rare(
    schema: TableSchema, rows: Tensor, labels: Tensor | None
) -> tuple[TableSchema, list[str]]:
    """Return the schema, its rare categories in groups where other columns tell, and notes.

    Args:
        schema: of the table; encoded rows stay what they are.
        rows: the encoded training rows (n, columns).
        labels: the codes of their classes (n,), if models are conditioned on a column.
    """
    columns, notes = list(schema.columns), list[str]()
    for i, column in enumerate(columns):
        if not isinstance(column, CategoricalCodec):
            continue
        cell = _rare_cell(column.partition)
        if cell is None:
            continue
        grown = _Tree.of(schema, i, cell, rows, labels)
        groups = grown.groups(column.levels)
        if len(groups) > 1:
            partition = _with_groups(column.partition, cell, groups, grown.min_rows / len(rows))
            columns[i] = replace(column, partition=partition)
            notes.append(grown.note(column.name, len(np.unique(partition.cell[grown.levels]))))
    return (schema.with_columns(columns), notes) if notes else (schema, notes)


def _rare_cell(p: Partition) -> int | None:
    """Return the cell that several categories of training rows share, if there is one."""
    shared = np.bincount(p.cell[p.mass > 0], minlength=1) > 1
    return int(shared.argmax()) if shared.any() else None


def _with_groups(p: Partition, shared: int, groups: Sequence[Ints], min_share: float) -> Partition:
    """Return the partition with a cell for each group of categories; the others keep theirs.

    If these have too few rows for a cell of their own, the largest group joins them.
    """
    cell, by_mass = p.cell.copy(), sorted(groups, key=lambda group: p.mass[group].sum())
    for number, group in enumerate(by_mass, start=p.n_cells):
        cell[group] = number
    if p.mass[cell == shared].sum() < min_share:
        cell[by_mass[-1]] = shared
    return replace(p, cell=cell)


@dataclass
class _Tree:
    """The rare categories of a column, and what they occur with in training rows.

    Args:
        level: (n,) the category of each row that has a rare one.
        counts: (levels,) how many rows each category has; 0 for one that is not rare.
        levels: all categories of the shared cell.
        values: (n,) of each other column with few values.
        min_rows: of a group.
        used: the columns that groups are parts by, in the order of their use.
    """

    level: Ints
    counts: Ints
    levels: Ints
    values: Mapping[str, Ints]
    min_rows: int
    used: dict[str, None]

    @classmethod
    def of(
        cls, schema: TableSchema, index: int, shared: int, rows: Tensor, labels: Tensor | None
    ) -> _Tree:
        """Gather the rows with rare categories."""
        p = schema.columns[index].partition
        codes = rows[:, index].nan_to_num(-1).long()
        held = torch.cat([torch.from_numpy(p.cell), torch.tensor([-1])])[codes] == shared
        cells = CellTable.of(schema.columns).cells(rows[held]).numpy()
        values = {c.name: x for c, x in zip(schema.columns, cells, strict=True)}
        del values[schema.columns[index].name]
        if labels is not None and schema.condition_column is not None:
            values[schema.condition_column.name] = labels[held].numpy()
        few = {name: x for name, x in values.items() if 1 < len(np.unique(x)) <= MAX_VALUES}
        level = codes[held].numpy()
        return cls(
            level,
            np.bincount(level, minlength=len(p.cell)),
            np.flatnonzero(p.cell == shared),
            few,
            max(MIN_POOLED_ROWS, len(rows) // MOST_GROUPS),
            {},
        )

    def groups(self, names: Sequence[object]) -> list[Ints]:
        """Return the groups of the categories, whose names are given."""
        often = self.counts >= MIN_LEVEL_ROWS
        grown = list(self.split(np.flatnonzero(often)))
        spelled = self.by_spelling(self.levels[~often[self.levels]], names)
        return [levels for levels in grown + spelled if len(levels)]

    def split(self, levels: Ints, depth: int = MAX_DEPTH) -> Iterator[Ints]:
        """Yield the groups of these categories."""
        rows = np.flatnonzero(np.isin(self.level, levels))
        name = self._most_telling(rows) if depth and len(rows) >= 2 * self.min_rows else None
        parts = [levels] if name is None else self._parts(levels, rows, self.values[name])
        if name is None or len(parts) == 1:
            yield levels
            return
        self.used[name] = None
        for part in parts:
            yield from self.split(part, depth - 1)

    def by_spelling(self, levels: Ints, names: Sequence[object]) -> list[Ints]:
        """Return groups of these categories by the letters that tell most; none if none tell.

        Asked of one row of each category, since rows of the same one are alike anyway.
        """
        if not all(isinstance(names[level], str) for level in levels):
            return []
        rows = np.flatnonzero(np.isin(self.level, levels))
        _, first = np.unique(self.level[rows], return_index=True)
        some = rows[first[:: max(1, len(first) // TESTED_ROWS)]]
        best, most, used = list[Ints](), 0.0, dict[str, None]()
        for letters, take in ENDS.items():
            groups = self._spelled(levels, rows, np.array([str(name)[take] for name in names]))
            number = np.zeros(len(names), np.int64)
            for k, group in enumerate(groups, start=1):
                number[group] = k
            told = [
                excess_information(number[self.level[some]], x[some]) for x in self.values.values()
            ]
            if max(told, default=0.0) > most:
                best, most, used = groups, max(told), {letters: None}
        self.used |= used
        return best

    def _spelled(self, levels: Ints, rows: Ints, spelled: NDArray[np.str_]) -> list[Ints]:
        """Return these categories by their letters, where enough rows have these."""
        letters, counts = np.unique(spelled[self.level[rows]], return_counts=True)
        own = spelled[levels]
        return [levels[own == ends] for ends in letters[counts >= self.min_rows]]

    def _most_telling(self, rows: Ints) -> str | None:
        """Return the column that tells most about the categories of these rows, if one does."""
        some = rows[:: max(1, len(rows) // TESTED_ROWS)]
        told = {
            name: excess_information(self.level[some], x[some]) for name, x in self.values.items()
        }
        best = max(told, key=lambda name: told[name], default=None)
        return best if best is not None and told[best] > 0 else None

    def _parts(self, levels: Ints, rows: Ints, values: Ints) -> list[Ints]:
        """Return the categories by the value that each occurs with most, if its group is large."""
        _, level = np.unique(self.level[rows], return_inverse=True)
        distinct, value = np.unique(values[rows], return_inverse=True)
        table = np.zeros((len(levels), len(distinct)), np.int64)
        np.add.at(table, (level, value), 1)
        own = np.bincount(table.argmax(1), table.sum(1), len(distinct))
        kept = np.flatnonzero(own >= self.min_rows)
        if len(kept) < 2:
            return [levels]
        nearest = kept[table[:, kept].argmax(1)]
        return [levels[nearest == k] for k in kept]

    def note(self, name: str, cells: int) -> str:
        """Return what the user is told."""
        *columns, last = self.used
        listed = f"{', '.join(columns)} and {last}" if columns else last
        return f"column {name!r}: the rarer categories share {cells} cells, by {listed}"
