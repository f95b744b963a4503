"""Tables: every column becomes one categorical over atoms and quantile bins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.schema import ClassCondition, DataKind, Schema
from pushforward.data.tables.cell_table import CellTable
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec, column_from_json
from pushforward.data.tables.constraints import ConstraintSet
from pushforward.data.tables.fine_digits import FinePartition, FineTable, space_of
from pushforward.data.tables.frames import FrameFormat, by_name, to_polars
from pushforward.data.tables.hot_decks import HotDeck
from pushforward.data.tables.identifiers import Identifier
from pushforward.data.tables.missing_together import Implied, with_implied
from pushforward.data.tables.partition import PLAIN_COMB
from pushforward.data.tables.quantile_table import QuantileTable
from pushforward.data.tables.repeated import Repeater, repeaters
from pushforward.errors import DataError
from pushforward.space import Cells

OFF_GRID = 0.25  # of the last decimal: what is farther from a comb does not lie on it
Order = tuple[int, int]  # the positions of a lower and an upper column


class TableSchema(Schema):
    """Tables of numbers, categories, truth values and times, with missing values in each.

    Encoded: float64 (n, columns), one number for each modelled column: a number as itself, a time
    in units since an origin, a category's code, NaN for a missing value; nothing is lost. Expanded:
    one-hot over each column's cells (atoms and quantile bins, see `partition`).

    Args:
        column_names: of all columns, in the order of the user's table.
        columns: the codecs of the modelled columns, in the order in which they are modelled.
        identifiers: the columns that are generated anew.
        condition_column: the codec of the column that models are conditioned on, or None.
        frame_format: the library and the types of the user's data frame.
        constraint_set: transforms the user's table to the modelled one, and back.
        separator: of the user's CSV file, or None.
        hot_decks: the numbers that are drawn, within their cells, by a category.
        implied: which columns are missing where others are.
        orders: which columns of numbers never lie above others; kept by who draws rows.
    """

    kind: ClassVar[DataKind] = "table"

    def __init__(
        self,
        column_names: Sequence[str],
        columns: Sequence[ColumnCodec],
        identifiers: Sequence[Identifier] = (),
        condition_column: CategoricalCodec | None = None,
        frame_format: FrameFormat | None = None,
        constraint_set: ConstraintSet | None = None,
        separator: str | None = None,
        hot_decks: Sequence[HotDeck] = (),
        implied: Implied = (),
        orders: tuple[Order, ...] = (),
    ) -> None:
        self.column_names, self.columns = tuple(column_names), tuple(columns)
        self.identifiers, self.condition_column = tuple(identifiers), condition_column
        self.condition = None if condition_column is None else _condition(condition_column)
        self.frame_format = frame_format or FrameFormat()
        self.constraint_set = ConstraintSet() if constraint_set is None else constraint_set
        self.separator, self.hot_decks, self.implied = separator, tuple(hot_decks), implied
        self.orders = orders
        self._cell_tables: dict[torch.device, CellTable] = {}
        self._quantile_tables: dict[torch.device, QuantileTable] = {}
        if not columns:
            msg = (
                "a table needs at least one column to model, and each of its columns is an "
                "identifier or the condition; override one of them, e.g. as categorical"
            )
            raise DataError(msg)

    def with_columns(self, columns: Sequence[ColumnCodec]) -> TableSchema:
        """Return the schema with other codecs of the modelled columns, and without hot decks."""
        return self._with(columns=columns, hot_decks=())

    def with_hot_decks(self, hot_decks: Sequence[HotDeck]) -> TableSchema:
        """Return the schema with these hot decks."""
        return self._with(hot_decks=hot_decks)

    def with_implied(self, implied: Implied) -> TableSchema:
        """Return the schema in which these columns are missing where others are."""
        return self._with(implied=implied)

    def with_orders(self, orders: tuple[Order, ...]) -> TableSchema:
        """Return the schema of rows that keep to these orders."""
        return self._with(orders=orders)

    def _with(self, **changes: Any) -> TableSchema:
        own = {name: getattr(self, name) for name in signature(TableSchema).parameters}
        return TableSchema(**own | changes)

    @cached_property
    def fine_partitions(self) -> list[FinePartition]:
        """The partitions of the modelled columns, and the fine digits of their bins."""
        return [FinePartition.of(column.partition) for column in self.columns]

    @cached_property
    def space(self) -> Cells:
        """One categorical for each column, and one for each fine digit, right after it."""
        return space_of(self.columns, self.fine_partitions)

    @cached_property
    def _offsets(self) -> Tensor:
        """The first position of each column of the space in an expanded row."""
        sizes = torch.tensor(self.space.sizes)
        return sizes.cumsum(0) - sizes

    @cached_property
    def _codecs(self) -> dict[str, ColumnCodec]:
        """The codecs of the user's columns, modelled or not, and of others, by name."""
        return self.constraint_set.codecs | {column.name: column for column in self.columns}

    @cached_property
    def codecs(self) -> dict[str, ColumnCodec]:
        """The codecs of the user's columns but identifiers, by name; the condition's too."""
        own = self._codecs
        if self.condition_column is not None:
            own = own | {self.condition_column.name: self.condition_column}
        return {name: own[name] for name in self.column_names if name in own}

    @cached_property
    def combs(self) -> dict[int, tuple[int, int, float]]:
        """Step, offset and scale of the comb of each column whose values all lie on one."""
        return {
            i: (*column.partition.comb, 10.0 ** (column.decimals or 0))
            for i, column in enumerate(self.columns)
            if column.partition.comb != PLAIN_COMB
        }

    @cached_property
    def numeric_columns(self) -> tuple[int, ...]:
        """The positions of the numeric columns among the modelled ones."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "numeric")

    def numeric(self, rows: Tensor) -> Tensor:
        """Return the values (n, numeric columns) of the numeric columns, NaN where missing."""
        return rows[:, list(self.numeric_columns)]

    def cells(self, rows: Tensor) -> Tensor:
        """Return the cell of each value and its fine digits, (n, columns of the space)."""
        return self._cell_table(rows.device).rows(rows).mT

    def fine_cells(self, cells: Tensor) -> Tensor:
        """Return the fine cells (n, columns) of rows (n, columns of the space)."""
        return self._fine_table.to(cells.device).cells(cells)

    @cached_property
    def _fine_table(self) -> FineTable:
        return FineTable.of(self.fine_partitions)

    @cached_property
    def column_of_cell(self) -> Tensor:
        """The modelled column of each cell and each digit, (cells of the space,)."""
        widths = [p.coarse.n_cells + p.digits * (p.digits > 1) for p in self.fine_partitions]
        return torch.arange(len(widths)).repeat_interleave(torch.tensor(widths))

    def cells_of_column(self, column: int) -> slice:
        """Return where the cells of a modelled column lie in an expanded row."""
        at = int(self._fine_table.coarse[column])
        first = int(self._offsets[at])
        return slice(first, first + self.space.sizes[at])

    def encode(self, raw: Any) -> Tensor:
        """Return float64 (n, columns) for a data frame; DataError when it does not fit."""
        frame = self.constraint_set.transform(self._parse(to_polars(raw)[0]))
        said = {repeat.name for repeat in self.constraint_set.repeats}
        needed = [column.name for column in self.columns if column.name not in said]
        absent = [name for name in needed if name not in frame.columns]
        if absent:
            raise DataError(f"the table lacks the column(s) {', '.join(map(repr, absent))}")
        unsaid = np.full(len(frame), np.nan)
        numbers = [unsaid if c.name in said else c.encode(frame[c.name]) for c in self.columns]
        rows = torch.from_numpy(np.stack(numbers, axis=1))
        for repeater in self.repeaters:
            rows[:, repeater.at] = repeater.told(rows)
        return rows

    def _parse(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with text as the numbers and times that it is, as constraints take it."""
        return by_name(map(self.parse, frame.iter_columns()))

    def parse(self, values: pl.Series) -> pl.Series:
        """Return a column with text as the numbers and times that it is."""
        codec = self._codecs.get(values.name)
        return values if codec is None else codec.parse(values)

    def labels(self, raw: Any) -> Tensor | None:
        """Return the codes (n,) of the condition's classes in a data frame, or None."""
        column = self.condition_column
        if column is None:
            return None
        frame, _, _ = to_polars(raw)
        if column.name not in frame.columns:
            raise DataError(f"the table lacks the column {column.name!r}, the condition")
        codes = torch.from_numpy(column.encode(frame[column.name]))
        return codes.nan_to_num(len(column.levels)).long()

    def compact(self, rows: Tensor) -> Tensor:
        """Return what `cells` returns in the smallest integer type."""
        largest = max(self.space.sizes) - 1
        fitting = (t for t in (torch.uint8, torch.int16) if largest <= torch.iinfo(t).max)
        return self.cells(rows).to(next(fitting, torch.int32)).contiguous()

    def expand(self, rows: Tensor) -> Tensor:
        """Return float32 (n, sum of cells): encoded or compact rows as one-hot, by one scatter."""
        cells = self.cells(rows) if rows.is_floating_point() else rows
        position = cells + self._offsets.to(rows.device)
        x = rows.new_zeros((len(rows), *self.space.shape), dtype=torch.float32)
        return x.scatter_(1, position, 1.0)

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows: a draw from within the most probable cell of each column."""
        by_column = torch.split(x, list(self.space.sizes), dim=1)
        most_probable = torch.stack([cells.argmax(1) for cells in by_column])
        return self.draw_in_cells(most_probable.mT, generator)

    def draw_in_cells(self, cells: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows, each a draw from within its cells (n, columns of the space)."""
        fine = self.fine_cells(cells)
        rows = spread = self._quantile_table(cells.device).draw_in_cells(fine, generator)
        for deck in self.hot_decks:
            rows = deck.to(cells.device).draw(rows, spread, fine, generator)
        return with_implied(self.repeated(rows), self.implied)

    @cached_property
    def repeaters(self) -> list[Repeater]:
        """What lets columns repeat others."""
        return repeaters(self.columns, self.constraint_set)

    def repeated(self, rows: Tensor) -> Tensor:
        """Return encoded rows in which numbers repeat those of other columns, if rows say so."""
        for repeater in self.repeaters:
            rows = repeater(rows)
        return rows

    def on_grid(self, rows: Tensor) -> Tensor:
        """Return encoded rows with the nearest numbers that are generated: without odd decimals."""
        return self._quantile_table(rows.device).on_grid(rows)

    def log_odds_in_cells(self, values: Tensor, cells: Tensor) -> Tensor:
        """Return how much likelier rows' cells make their values than the histograms do, in nats.

        It is the sum of log p(value | cells) - log h(value | cell) over the columns with hot decks.

        Args:
            values: (n, columns) encoded rows, NaN where a value does not count.
            cells: (n, columns of the space) their cells.
        """
        fine = self.fine_cells(cells)
        odds = torch.ones(len(self.columns), len(cells), dtype=torch.float64, device=cells.device)
        for deck in self.hot_decks:
            odds[deck.column] = deck.to(cells.device).odds(values, fine, odds[deck.column])
        return odds.log().sum(0)

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return a data frame with the library, the columns and the dtypes of the user's."""
        return self.frame_format.restore(self.frame(rows, labels, generator))

    def frame(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        first: int = 0,
    ) -> pl.DataFrame:
        """Return a Polars frame of consecutive rows of a sample, from its row number `first` on.

        With the same generator, identifiers differ from those of the sample's other rows.
        """
        numbers = rows.detach().cpu().double().numpy()
        values = {c.name: c.decode(numbers[:, i]) for i, c in enumerate(self.columns)}
        values |= {i.name: i.generate(len(numbers), generator, first) for i in self.identifiers}
        if self.condition_column is not None:
            column = self.condition_column
            values[column.name] = column.decode(_column_codes(column, labels))
        frame = self.constraint_set.inverse_transform(pl.DataFrame(values))
        frame = self.constraint_set.verify(frame.select(self.column_names))
        return self.format_text(frame, only_held=True)

    def features(self, rows: Tensor) -> Tensor:
        """Return float32 (n, d): ranks of numbers, one-hot categories, flags for missing numbers.

        Ranks (in [0, 1], 0.5 for a missing value) are scaled by sqrt(6) and one-hot cells by
        1 / sqrt(2): then a column adds at most 1 to the expected squared distance of two rows, a
        number without ties exactly 1, a category the probability that two rows differ in it. Where
        all numbers lie on a comb (multiples of 5), a flag says which do not.
        """
        ranks = self._cell_table(rows.device).ranks(rows)[list(self.numeric_columns)]
        numeric = set(self.numeric_columns)
        with_missing = [i for i in numeric if self.columns[i].partition.missing is not None]
        by_column = torch.split(self.expand(rows), list(self.space.sizes), dim=1)
        coarse = self._fine_table.coarse.tolist()
        onehot = [by_column[at] for i, at in enumerate(coarse) if i not in numeric]
        flags = rows[:, sorted(with_missing)].isnan()
        off = [_off_comb(rows[:, [i]], *comb) for i, comb in self.combs.items()]
        scaled = [ranks.mT * math.sqrt(6), *(cells / math.sqrt(2) for cells in onehot), flags, *off]
        return torch.cat([features.float() for features in scaled], dim=1)

    def format_text(self, frame: pl.DataFrame, *, only_held: bool = False) -> pl.DataFrame:
        """Return a frame with numbers and times as the user wrote them.

        All of them, for a file of text, or `only_held`: those that the user's frame holds as text.
        """
        codecs = self._codecs
        if only_held:
            codecs = {name: codec for name, codec in codecs.items() if codec.holds_text}
        formatted = [
            codecs[values.name].format_text(values).alias(values.name)
            if values.name in codecs
            else values
            for values in frame.iter_columns()
        ]
        return by_name(formatted)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; of hot decks and implied missing values only those there are."""
        return {
            "kind": self.kind,
            "column_names": list(self.column_names),
            "columns": [column.to_json() for column in self.columns],
            "identifiers": [identifier.to_json() for identifier in self.identifiers],
            "condition_column": self.condition_column and self.condition_column.to_json(),
            "frame_format": self.frame_format.to_json(),
            "constraint_set": self.constraint_set.to_json(),
            "separator": self.separator,
        } | self._learned_json()

    def _learned_json(self) -> dict[str, Any]:
        decks = [deck.to_json() for deck in self.hot_decks]
        found = {"hot_decks": decks, "implied": [list(pair) for pair in self.implied]}
        found |= {"orders": [list(pair) for pair in self.orders]}
        return {name: values for name, values in found.items() if values}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableSchema:
        """Rebuild a schema from `to_json`."""
        condition = data["condition_column"] and column_from_json(data["condition_column"])
        return cls(
            data["column_names"],
            [column_from_json(column) for column in data["columns"]],
            [Identifier.from_json(identifier) for identifier in data["identifiers"]],
            condition if isinstance(condition, CategoricalCodec) else None,
            FrameFormat.from_json(data["frame_format"]),
            ConstraintSet.from_json(data["constraint_set"]),
            data["separator"],
            [HotDeck.from_json(deck) for deck in data.get("hot_decks", ())],
            tuple((i, j) for i, j in data.get("implied", ())),
            tuple((i, j) for i, j in data.get("orders", ())),
        )

    def _cell_table(self, device: torch.device) -> CellTable:
        """Return the lookup tables from numbers to cells, on a device."""
        if device not in self._cell_tables:
            self._cell_tables[device] = CellTable.of(self.columns).to(device)
        return self._cell_tables[device]

    def _quantile_table(self, device: torch.device) -> QuantileTable:
        """Return the lookup tables from cells to numbers, on a device."""
        if device not in self._quantile_tables:
            partitions = [p.partition for p in self.fine_partitions]
            table = QuantileTable.of(partitions, [column.decimals for column in self.columns])
            self._quantile_tables[device] = table.to(device)
        return self._quantile_tables[device]


def _off_comb(values: Tensor, step: int, offset: int, scale: float) -> Tensor:
    """Return which values do not lie on a comb; a missing one does."""
    steps = (values * scale - offset) / step
    return (steps - steps.round()).abs() * step > OFF_GRID


def _column_codes(column: CategoricalCodec, labels: Tensor | None) -> Floats:
    """Return labels as the codes of the condition's column, NaN for missing."""
    if labels is None:
        msg = f"column {column.name!r} is the condition: decoding rows needs their labels"
        raise DataError(msg)
    codes = labels.detach().cpu().double().numpy()
    return np.where(codes == len(column.levels), np.nan, codes)


def _condition(column: CategoricalCodec) -> ClassCondition:
    """Return the classes of a column; a missing value is the last class."""
    codes = np.arange(len(column.levels), dtype=np.float64)
    is_time = column.dtype.is_temporal()
    classes = map(str, column.decode(codes).to_list()) if is_time else column.levels
    missing, shares = column.partition.missing, tuple(column.partition.mass.tolist())
    if missing is None:
        return ClassCondition(column.name, tuple(classes), shares)
    return ClassCondition(column.name, (*classes, None), (*shares, missing))
