"""Which columns of numbers have a hot deck: where a category tells which values within a cell.

Each half of the training rows says how likely the values of the other half are, by the formula of
`hot_decks`: given the cell and the category, and given the cell alone (by counts of its values, or
by its histogram, whichever is better). Chance makes held-out values no likelier, and values that
hardly repeat have no deck. A column of which a category tells enough, even where a fine digit is
known, has no fine digits then: names are not ordered, and a model would learn at length which digit
goes with which category. Further columns of categories follow where they tell more.

A value enters the schema where at least `MIN_LEVEL_ROWS` training rows of the same category have
it: fewer than an atom or a piece of a histogram pools, and as many as a rare category needs for its
cell to say what it occurs with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats, Ints, Mask
from pushforward.data.tables.hot_decks import HotDeck
from pushforward.data.tables.information import joined
from pushforward.data.tables.number_chances import chances_in_cell
from pushforward.data.tables.partition import MIN_LEVEL_ROWS
from pushforward.data.tables.schema import TableSchema

MIN_GAIN = 0.1  # nats of a value, beyond what the cell alone tells
MIN_Z = 5.0  # deviations of a mean gain
MAX_PARENTS = 3  # of a column, as of a group of rare categories
MORE = 0.1  # of a row, drawn from the histogram, in each group
TESTED_ROWS = 100_000  # by which columns are chosen
MIN_SHARED = 0.5  # of the rows must have values that enough rows share


def find_hot_decks(schema: TableSchema, rows: Tensor) -> tuple[TableSchema, list[str]]:
    """Return the schema with hot decks where other columns tell values, and notes.

    Args:
        schema: of the table; encoded rows stay what they are.
        rows: the encoded training rows (n, columns).
    """
    telling = {i: _telling(schema, rows, i) for i in range(len(schema.columns))}
    named = {i: gains for i, gains in telling.items() if max(gains.values(), default=0) > MIN_GAIN}
    if not named:
        return schema, []
    columns = list(schema.columns)
    for i in named:
        columns[i] = replace(columns[i], partition=replace(columns[i].partition, fine=False))
    whole, decks, notes = schema.with_columns(columns), list[HotDeck](), list[str]()
    for i, gains in named.items():
        table = _Named.of(whole, rows, i)
        assert table is not None  # as it was, with digits
        parents = table.parents(gains)
        decks += [table.deck(parents[: k + 1]) for k in range(len(parents))]
        *names, last = (columns[parent].name for parent in parents)
        listed = f"{', '.join(names)} and {last}" if names else last
        notes.append(f"column {columns[i].name!r}: its numbers are names, drawn by {listed}")
    return whole.with_hot_decks(decks), notes


def _telling(schema: TableSchema, rows: Tensor, column: int) -> dict[int, float]:
    """Return the columns of categories that tell of a column's values within fine cells."""
    table = _Named.of(schema, rows, column)
    return {} if table is None else table.gains([], table.categories)


@dataclass(frozen=True)
class _Named:
    """The values of a column of numbers that lie in bins, of m training rows.

    Args:
        column: its position.
        value: (m,) the values.
        name: (m,) the number of each among the distinct ones.
        cell: (m,) their fine cells.
        histogram: (m,) h(v | f) of each.
        categories: by the position of each column of categories, its cells (m,).
        sizes: how many cells these columns have.
    """

    column: int
    value: Floats
    name: Ints
    cell: Ints
    histogram: Floats
    categories: Mapping[int, Ints]
    sizes: Mapping[int, int]

    @classmethod
    def of(cls, schema: TableSchema, rows: Tensor, column: int) -> _Named | None:
        """Gather the values; None unless they lie on a grid, and most are shared by enough rows."""
        codec, p = schema.columns[column], schema.fine_partitions[column].partition
        if codec.kind != "numeric" or codec.decimals is None or not len(p.cell):
            return None
        numbers = rows[:, column].numpy()
        piece = np.searchsorted(p.bounds[1:-1], np.nan_to_num(numbers), side="right")
        held = np.flatnonzero(~np.isnan(numbers) & np.isnan(p.atom[piece]) & (p.mass[piece] > 0))
        value, name = np.unique(numbers[held], return_inverse=True)
        shared = np.bincount(name, minlength=1)[name] >= MIN_LEVEL_ROWS
        if len(value) <= len(np.unique(p.cell[piece[held]])) or shared.mean() < MIN_SHARED:
            return None
        chances = chances_in_cell(p, p.comb[0] / 10.0**codec.decimals)
        cells = schema.fine_cells(schema.cells(rows[held])).numpy()
        categorical = [i for i, c in enumerate(schema.columns) if c.kind == "categorical"]
        return cls(
            column,
            numbers[held],
            name,
            cells[:, column],
            chances[piece[held]],
            {at: cells[:, at] for at in categorical},
            {at: schema.columns[at].partition.n_cells for at in categorical},
        )

    def parents(self, alone: Mapping[int, float]) -> list[int]:
        """Return the columns that tell of the values, each beyond the others.

        The one with the fewest categories comes first: where a combination has no value of its own,
        a large group has.

        Args:
            alone: how much each tells alone.
        """
        found, more = list[int](), dict(alone)
        while more and len(found) < MAX_PARENTS:
            found.append(max(more, key=lambda at: more[at]))
            more = self.gains(found, alone.keys() - set(found))
        return sorted(found, key=lambda at: self.sizes[at])

    def gains(self, known: Sequence[int], others: Iterable[int]) -> dict[int, float]:
        """Return by how many nats others make a value likelier than the known ones, if they do."""
        some = self.every(max(1, len(self.value) // TESTED_ROWS))
        before = some.likelihood(known)
        if not known and np.log(some.histogram / before).mean() > 0:
            before = some.histogram
        found = {at: np.log(some.likelihood([*known, at]) / before) for at in others}
        return {
            at: float(gain.mean())
            for at, gain in found.items()
            if gain.mean() > MIN_Z * gain.std() / np.sqrt(len(gain))
        }

    def every(self, step: int) -> _Named:
        """Return every so manieth of the rows."""
        return replace(
            self,
            value=self.value[::step],
            name=self.name[::step],
            cell=self.cell[::step],
            histogram=self.histogram[::step],
            categories={at: own[::step] for at, own in self.categories.items()},
        )

    def likelihood(self, parents: Sequence[int]) -> Floats:
        """Return p(v | f, c) of each value by the other half of the rows, (m,)."""
        first = np.random.default_rng(0).random(len(self.value)) < 0.5  # a half
        p = self.histogram.copy()
        for k in range(0 if not parents else 1, len(parents) + 1):
            _, group = np.unique(self.keys(parents[:k]), return_inverse=True)
            _, pair = np.unique(joined(group, self.name), return_inverse=True)
            for half in (first, ~first):
                own, has = self._by(half, group, pair)
                p = np.where(~half & has, own, p)
        return p

    def _by(self, half: Mask, group: Ints, pair: Ints) -> tuple[Floats, Mask]:
        """Return p(v | f, c) of all values by the counts of some, and which have a group."""
        counts = np.bincount(pair[half], minlength=pair.max() + 1)[pair]
        kept = counts >= MIN_LEVEL_ROWS
        rows = np.bincount(group[half], minlength=group.max() + 1)[group]
        stored = np.bincount(group[half & kept], minlength=group.max() + 1)[group]
        rest = (rows - stored + MORE) * self.histogram
        return (counts * kept + rest) / (rows + MORE), stored > 0

    def keys(self, parents: Sequence[int]) -> Ints:
        """Return one number (m,) for the cell of each value and its parents' cells."""
        keys = self.cell
        for at in parents:
            keys = keys * self.sizes[at] + self.categories[at]
        return keys

    def deck(self, parents: Sequence[int]) -> HotDeck:
        """Return the deck of the values that enough rows of a cell and its categories share."""
        keys, group, rows = np.unique(self.keys(parents), return_inverse=True, return_counts=True)
        _, first, counts = np.unique(
            joined(group, self.name), return_index=True, return_counts=True
        )
        kept = counts >= MIN_LEVEL_ROWS
        used, index = np.unique(group[first[kept]], return_inverse=True)
        stored = np.bincount(index, counts[kept])
        return HotDeck(
            self.column,
            torch.tensor(parents),
            torch.tensor([self.sizes[at] for at in parents]),
            torch.from_numpy(keys[used]),
            torch.from_numpy(rows[used] + MORE),
            torch.from_numpy(rows[used] - stored + MORE),
            torch.from_numpy(index),
            torch.from_numpy(self.value[first[kept]]),
            torch.from_numpy(counts[kept].astype(np.float64)),
            torch.from_numpy(self.histogram[first[kept]]),
        )
