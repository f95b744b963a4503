"""Tables too large for memory: a Parquet file is read in passes, a few thousand rows at a time.

What columns of text hold (see `text_probe`), levels, ranges, resolution and missing values are
gathered from all rows. Frequencies (atoms,
quantile bins, shares) are learned from a uniform random sample of at most `MAX_SAMPLE_ROWS`
training rows: by the inequality of Dvoretzky, Kiefer and Wolfowitz (Massart 1990), P(sup |F_n - F|
> e) <= 2 exp(-2 n e^2), all quantiles of a million rows lie within 0.22 % of those of all rows with
probability 99.99 %. A last pass encodes all rows: the cells of the training rows, as small
integers, go to a temporary file, which training reads through a memory map and which is deleted
with the data set.

Columns with a pattern finer than their bins are modelled by their parts, as in memory; where a
value is missing, its finer parts repeat the row before within the batch. Tails are not cut finer
for rare classes: that would need all columns of the sample at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.numeric import Mask
from pushforward.data.schema import Dataset, SplitName, StreamedRows
from pushforward.data.split import SPLIT_NAMES, DatasetHash, shuffled_indices, split_sizes
from pushforward.data.tables.constraints import tested_rows
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.schema_builder import SchemaBuilder
from pushforward.data.tables.table_options import TableOptions
from pushforward.data.tables.table_text import (
    CATEGORIES,
    NUMBERS,
    noted,
    parse_column,
    text_as_numbers,
)
from pushforward.data.tables.text_probe import TextProbe, TextReader
from pushforward.data.tables.text_types import ParsedColumn, settle_dates
from pushforward.errors import DataError

MAX_SAMPLE_ROWS = 1_000_000  # training rows from which frequencies are learned
MAX_ROWS_PER_SPLIT = 50_000  # rows of each split in memory, for measures and reports
BATCH_VALUES = 2**22  # of a batch, which has at most ...
BATCH_ROWS = 2**17  # ... so many rows
SAMPLE_VALUES = 2**24  # of the sample in memory at a time, in whole columns


@dataclass
class ParquetSource:
    """A Parquet file, read in order, one batch of rows at a time.

    Args:
        scan: of the file.
        readers: of the columns of text that hold numbers or times.
    """

    scan: pl.LazyFrame
    readers: Mapping[str, TextReader] = field(default_factory=dict)

    @cached_property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.scan.select(pl.len()).collect().item())

    @cached_property
    def dtypes(self) -> dict[str, pl.DataType]:
        """The dtypes of the columns, once they are read."""
        read = {name: reader.dtype for name, reader in self.readers.items()}
        return dict(self.scan.collect_schema()) | read

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[slice, pl.DataFrame]]:
        """Yield these columns of all rows: the position of each batch, and the batch."""
        selected = self.scan.select(columns)
        size = max(1, min(BATCH_ROWS, BATCH_VALUES // max(len(columns), 1)))
        for start in range(0, self.rows, size):
            frame = selected.slice(start, size).collect()
            yield slice(start, start + len(frame)), self._read(frame, start)

    def _read(self, frame: pl.DataFrame, start: int) -> pl.DataFrame:
        """Return rows with text read as what it holds."""
        return frame.with_columns(
            self.readers[name].read(frame[name], start).alias(name)
            for name in frame.columns
            if name in self.readers
        )


@dataclass
class RowRoles:
    """What each row is used for.

    Args:
        splits: the rows of train, validation and test, each in shuffled order.
        in_training: (n,) whether models are trained on a row.
        in_sample: (n,) whether frequencies are learned from a row.
        in_memory: (n,) whether a row is kept in memory.
        positions: of the rows of each split, among those in memory.
    """

    splits: dict[SplitName, NDArray[np.uint32]]
    in_training: Mask
    in_sample: Mask
    in_memory: Mask
    positions: dict[SplitName, Tensor]

    @classmethod
    def draw(cls, n: int, shares: tuple[float, float, float], seed: int) -> RowRoles:
        """Split n rows as a table in memory is split, but with a limit on validation and test."""
        train, validation, _ = split_sizes(n, shares, max_held_out=MAX_ROWS_PER_SPLIT)
        cuts = np.split(shuffled_indices(n, seed, np.uint32), [train, train + validation])
        splits = dict(zip(SPLIT_NAMES, cuts, strict=True))
        in_training, in_sample, in_memory = (np.zeros(n, np.bool_) for _ in range(3))
        in_training[splits["train"]] = True
        in_sample[splits["train"][:MAX_SAMPLE_ROWS]] = True
        for rows in cuts:
            in_memory[rows[:MAX_ROWS_PER_SPLIT]] = True
        kept = np.flatnonzero(in_memory)
        positions = {
            name: torch.from_numpy(np.searchsorted(kept, rows[:MAX_ROWS_PER_SPLIT]))
            for name, rows in splits.items()
        }
        return cls(splits, in_training, in_sample, in_memory, positions)


def read_stream(
    source: ParquetSource, options: TableOptions, shares: tuple[float, float, float], seed: int
) -> Dataset:
    """Learn the schema of a table and encode it, with a limited number of its rows in memory.

    DataError when a column does not fit.
    """
    options.validate(list(source.dtypes))
    source, options, read_notes = read_text(source, options)
    roles = RowRoles.draw(source.rows, shares, seed)
    schema, remarks = fit_stream(source, options, roles.in_sample)
    counts = {name: f"{len(rows):,}" for name, rows in roles.splits.items()}
    note = (
        f"{source.rows:,} rows are streamed: {counts['train']} for training, "
        f"{counts['validation']} for validation and {counts['test']} for the test; frequencies are "
        f"learned from {int(roles.in_sample.sum()):,} training rows"
    )
    return _encode(source, schema, roles, notes=(note, *read_notes, *remarks))


def read_text(
    source: ParquetSource, options: TableOptions
) -> tuple[ParquetSource, TableOptions, list[str]]:
    """Return a source whose text is read as numbers and times where it is, as in memory.

    One pass over the columns of text; beside it are the options with their formats, and notes.
    """
    known, kinds = options.text_formats.times, options.stated_kinds
    texts = [n for n, dtype in source.dtypes.items() if dtype == pl.String]
    probes = {name: TextProbe() for name in texts if kinds.get(name) not in CATEGORIES}
    for _, frame in source.batches(list(probes)):
        for name, probe in probes.items():
            probe.add(frame[name])
    columns = [probe.texts.alias(name) for name, probe in probes.items()]
    columns += _integer_times(source, options)
    parsed = [_parse(c, kinds.get(c.name), known.get(c.name)) for c in columns]
    parsed = settle_dates(columns, parsed)
    formats, notes = noted(zip(columns, parsed, strict=True), options.text_formats)
    readers = {
        c.name: TextReader(found, found.values.dtype, kinds.get(c.name), known.get(c.name))
        for c, found in zip(columns, parsed, strict=True)
        if found.values is not c
    }
    stated = [c.name for c in columns if c.name not in readers and kinds.get(c.name) in NUMBERS]
    readers |= {name: _number_reader(source, name, kinds[name]) for name in stated}
    formats = replace(formats, held=formats.held | set(stated))
    return ParquetSource(source.scan, readers), replace(options, text_formats=formats), notes


def _parse(column: pl.Series, kind: str | None, known: str | None) -> ParsedColumn:
    """Return what texts hold; those that a kind says are numbers may stay text for now."""
    return parse_column(column, None if kind in NUMBERS else kind, known)


def _integer_times(source: ParquetSource, options: TableOptions) -> list[pl.Series]:
    """Return the first of the integers that spell times, such as 20240131, in a stated format."""
    names = [
        name
        for name in options.text_formats.times
        if options.kinds.get(name) == "datetime" and source.dtypes[name].is_integer()
    ]
    return source.scan.select(names).head(BATCH_ROWS).collect().get_columns()


def _number_reader(source: ParquetSource, name: str, kind: str) -> TextReader:
    """Return the reader of a column that is stated to hold numbers: one pass over it.

    DataError names the first row that holds none.
    """
    whole = True
    for at, frame in source.batches([name]):
        whole &= text_as_numbers(frame[name], at.start).dtype == pl.Int64
    text = ParsedColumn(pl.Series(name, [], dtype=pl.String))
    return TextReader(text, pl.Int64() if whole else pl.Float64(), kind)


def fit_stream(
    source: ParquetSource, options: TableOptions, in_sample: Mask
) -> tuple[TableSchema, list[str]]:
    """Learn a schema in two passes: summaries of all rows, then frequencies of the sample.

    Returns the schema, and notes for the user.
    """
    summaries = {name: options.empty_summary(name, dtype) for name, dtype in source.dtypes.items()}
    tested, beside = _tested(in_sample), list[pl.DataFrame]()
    for at, frame in source.batches(list(summaries)):
        beside.append(frame.filter(tested[at]))
        for series in frame.iter_columns():
            summaries[series.name].add(series)
    names = list(summaries)
    builder = SchemaBuilder(options, frozenset(names), beside=pl.concat(beside))
    width = max(1, SAMPLE_VALUES // max(int(in_sample.sum()), 1))
    for start in range(0, len(names), width):
        batches = source.batches(names[start : start + width])
        sample = pl.concat([frame.filter(in_sample[at]) for at, frame in batches])
        for series in sample.iter_columns():
            builder.add(summaries.pop(series.name), series)
    return builder.schema(names), builder.notes


def _tested(in_sample: Mask) -> Mask:
    """Return which rows of the sample tell whether parts of times carry information."""
    rows = np.flatnonzero(in_sample)
    return np.isin(np.arange(len(in_sample)), rows[tested_rows(len(rows))])


def _encode(
    source: ParquetSource, schema: TableSchema, roles: RowRoles, notes: tuple[str, ...]
) -> Dataset:
    """Encode all rows in one pass; the digest is that of the same table read into memory."""
    sha = DatasetHash(schema)
    sha.start(torch.float64, (source.rows, len(schema.columns)))
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    # The file has no name: it is deleted when nothing maps it any more.
    with tempfile.TemporaryFile(prefix="pushforward-") as file:
        for at, frame in source.batches(list(source.dtypes)):
            encoded = schema.encode(frame)
            sha.update(encoded)
            codes = schema.compact(encoded[torch.from_numpy(roles.in_training[at])])
            file.write(codes.numpy().data)
            rows.append(encoded[torch.from_numpy(roles.in_memory[at])])
            batch_labels = schema.labels(frame)
            labels += [] if batch_labels is None else [batch_labels.to(torch.uint8)]
        shape = (len(roles.splits["train"]), len(schema.space.sizes))
        mapped = _memory_mapped(file, codes.dtype, shape)
    all_labels = torch.cat(labels) if labels else None
    _hash_labels_and_split(sha, all_labels, roles)
    return Dataset(
        name="",
        schema=schema,
        rows=torch.cat(rows),
        labels=_select(all_labels, roles.in_memory, torch.int64),
        splits=roles.positions,
        digest=sha.hexdigest(),
        notes=notes,
        streamed=StreamedRows(
            mapped, _select(all_labels, roles.in_training, torch.uint8), source.rows
        ),
    )


def _select(labels: Tensor | None, mask: Mask, dtype: torch.dtype) -> Tensor | None:
    """Return the labels of some rows."""
    return None if labels is None else labels[torch.from_numpy(mask)].to(dtype)


def _memory_mapped(file: IO[bytes], dtype: torch.dtype, shape: tuple[int, int]) -> Tensor:
    """Return the content of a file as a tensor that is read from it on access."""
    file.flush()
    numpy_dtype = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}[dtype]
    return torch.from_numpy(np.memmap(file, numpy_dtype, "r+", shape=shape))


def _hash_labels_and_split(sha: DatasetHash, labels: Tensor | None, roles: RowRoles) -> None:
    """Add labels and split to the digest, as int64, block by block."""
    if labels is None:
        sha.add(None)
    else:
        sha.start(torch.int64, labels.shape)
        for block in labels.split(BATCH_ROWS):
            sha.update(block.long())
    for rows in roles.splits.values():
        sha.start(torch.int64, rows.shape)
        for start in range(0, len(rows), BATCH_ROWS):
            sha.update(torch.from_numpy(rows[start : start + BATCH_ROWS].astype(np.int64)))


def sink(frame: pl.LazyFrame, folder: Path) -> pl.LazyFrame:
    """Write the result of a lazy frame to a Parquet file in batches; return the scan of the file.

    DataError when the query fails.
    """
    path = folder / "table.parquet"
    try:
        frame.sink_parquet(path)
    except pl.exceptions.PolarsError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the lazy frame cannot be read: {reason}") from None
    return pl.scan_parquet(path)
