"""Tables too large to hold: a Parquet file is read in passes, a few thousand rows at a time.

What there is (levels, ranges, resolution, what is missing) is gathered from all rows. How often
(atoms, quantile bins, shares) is learned from a uniform random sample of at most `SAMPLE` training
rows: by the inequality of Dvoretzky, Kiefer and Wolfowitz (Massart 1990), P(sup |F_n - F| > e) <=
2 exp(-2 n e^2), all quantiles of a million rows lie within 0.22 % of all rows' with probability
99.99 %. A last pass encodes all rows: the training rows' cells, as small integers, go to a
temporary file, which training reads through a memory map and which is gone with the data set.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.schema import Part, Streamed
from pushforward.data.split import PARTS, Digest, shuffled, sizes
from pushforward.data.tables.infer import Draft, Wishes
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError

SAMPLE = 1_000_000  # training rows that the schema learns frequencies from
HELD = 50_000  # rows of each part that are held for measures and reports
BATCH = 2**22  # values of a batch; a batch has up to ...
ROWS = 2**17  # ... so many rows
SAMPLED = 2**24  # values of the sample that are held at a time, in whole columns


@dataclass
class Source:
    """A Parquet file, read in its order a batch of rows at a time."""

    scan: pl.LazyFrame
    rows: int = 0
    dtypes: dict[str, pl.DataType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self.scan.select(pl.len()).collect().item()
        self.dtypes = dict(self.scan.collect_schema())

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[slice, pl.DataFrame]]:
        """Yield some columns of all rows, and where each batch lies."""
        chosen = self.scan.select(columns)
        size = max(1, min(ROWS, BATCH // max(len(columns), 1)))
        for start in range(0, self.rows, size):
            frame = chosen.slice(start, size).collect()
            yield slice(start, start + len(frame)), frame


@dataclass
class Roles:
    """What each row is for.

    Args:
        parts: the rows of train, validation and test, each in shuffled order.
        trains, sampled, held: (n,) whether a row is trained on, is one that frequencies are learned
            from, is held.
        positions: where the rows of each part lie among the held ones.
    """

    parts: dict[Part, NDArray[np.uint32]]
    trains: NDArray[np.bool_]
    sampled: NDArray[np.bool_]
    held: NDArray[np.bool_]
    positions: dict[Part, Tensor]

    @classmethod
    def draw(cls, n: int, shares: tuple[float, float, float], seed: int) -> Roles:
        """Split n rows as a table that is held is split, but for the cap on what is held out."""
        train, validation, _ = sizes(n, shares, HELD)
        cuts = np.split(shuffled(n, seed, np.uint32), [train, train + validation])
        parts = dict(zip(PARTS, cuts, strict=True))
        trains, sampled, held = (np.zeros(n, np.bool_) for _ in range(3))
        trains[parts["train"]] = True
        sampled[parts["train"][:SAMPLE]] = True
        for rows in cuts:
            held[rows[:HELD]] = True
        kept = np.flatnonzero(held)
        where = {n: torch.from_numpy(np.searchsorted(kept, p[:HELD])) for n, p in parts.items()}
        return cls(parts, trains, sampled, held, where)


def read_stream(
    source: Source,
    wishes: Wishes,
    shares: tuple[float, float, float],
    seed: int,
    keep: Sequence[str] = (),
) -> tuple[Encoding, Roles, list[str]]:
    """Learn the schema of a table and encode it, holding a bounded number of its rows.

    Returns the rows encoded (and the columns to `keep` as they are), what each row is for, and
    notes. DataError when a column does not fit.
    """
    wishes.check(list(source.dtypes))
    _refuse_text(source, wishes)
    roles = Roles.draw(source.rows, shares, seed)
    schema, notes = fit_stream(source, wishes, roles.sampled)
    encoding = Encoding.of(source, schema, roles, keep)
    many = {name: f"{len(rows):,}" for name, rows in roles.parts.items()}
    told = (
        f"{source.rows:,} rows are streamed: {many['train']} are trained on, and {many['test']} "
        f"test and {many['validation']} validation rows are held out; frequencies are learned from "
        f"{int(roles.sampled.sum()):,} training rows"
    )
    return encoding, roles, [told, *notes]


def _refuse_text(source: Source, wishes: Wishes) -> None:
    """Raise DataError for text that is to be read as something else."""
    for name, kind in wishes.kinds.items():
        if source.dtypes[name] == pl.String and kind in ("numeric", "integer", "datetime"):
            msg = (
                f"column {name!r} holds text, and a streamed table's cannot be read as {kind}; "
                f"cast it first, e.g. pl.scan_parquet(path).cast({{{name!r}: pl.Float64}})"
            )
            raise DataError(msg)


def fit_stream(
    source: Source, wishes: Wishes, sampled: NDArray[np.bool_]
) -> tuple[TableSchema, list[str]]:
    """Learn a schema in two passes: facts of all rows, then frequencies of the sampled ones."""
    facts = {name: wishes.facts(name, dtype) for name, dtype in source.dtypes.items()}
    for _, frame in source.batches(list(facts)):
        for series in frame.iter_columns():
            facts[series.name].add(series)
    draft, names = Draft(wishes), list(facts)
    width = max(1, SAMPLED // max(int(sampled.sum()), 1))
    for start in range(0, len(names), width):
        group = names[start : start + width]
        found = [frame.filter(sampled[at]) for at, frame in source.batches(group)]
        for series in pl.concat(found).iter_columns():
            draft.fit(facts.pop(series.name), series)
    return draft.schema(names), draft.notes


@dataclass
class Encoding:
    """What the last pass makes of a table.

    Args:
        schema: how to get back.
        rows: the held rows, encoded.
        labels: their codes of the condition's classes, or None.
        held: some columns of the held rows as they are in the file.
        streamed: all training rows, compact.
        digest: that of all rows; of a table that could be held, the one that it then has.
    """

    schema: TableSchema
    rows: Tensor
    labels: Tensor | None
    held: pl.DataFrame
    streamed: Streamed
    digest: str

    @classmethod
    def of(cls, source: Source, schema: TableSchema, roles: Roles, keep: Sequence[str]) -> Encoding:
        """Encode all rows in one pass."""
        digest = Digest(schema)
        digest.begin(torch.float64, (source.rows, len(schema.columns)))
        rows: list[Tensor] = []
        held: list[pl.DataFrame] = []
        labels: list[Tensor] = []
        # The file has no name: it is gone when nothing maps it any more.
        with tempfile.TemporaryFile(prefix="pushforward-") as file:
            for at, frame in source.batches(list(source.dtypes)):
                encoded = schema.encode(frame)
                digest.feed(encoded)
                codes = schema.compact(encoded[torch.from_numpy(roles.trains[at])])
                file.write(codes.numpy().data)
                rows.append(encoded[torch.from_numpy(roles.held[at])])
                held.append(frame.select(keep).filter(roles.held[at]) if keep else frame.clear())
                found = schema.labels(frame)
                labels += [] if found is None else [found.to(torch.uint8)]
            shape = (len(roles.parts["train"]), len(schema.columns))
            mapped = _mapped(file, codes.dtype, shape)
        known = torch.cat(labels) if labels else None
        _finish(digest, known, roles)
        return cls(
            schema,
            torch.cat(rows),
            None if known is None else known[torch.from_numpy(roles.held)].long(),
            pl.concat(held),
            Streamed(
                mapped,
                None if known is None else known[torch.from_numpy(roles.trains)],
                source.rows,
            ),
            digest.hexadecimal(),
        )


def _mapped(file: IO[bytes], dtype: torch.dtype, shape: tuple[int, int]) -> Tensor:
    """Return what a file holds as a tensor that is read from it when it is used."""
    file.flush()
    plain = {torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32}[dtype]
    return torch.from_numpy(np.memmap(file, plain, "r+", shape=shape))


def _finish(digest: Digest, labels: Tensor | None, roles: Roles) -> None:
    """Let the digest take in labels and split, as int64, a part at a time."""
    if labels is None:
        digest.take(None)
    else:
        digest.begin(torch.int64, labels.shape)
        for part in labels.split(ROWS):
            digest.feed(part.long())
    for rows in roles.parts.values():
        digest.begin(torch.int64, rows.shape)
        for start in range(0, len(rows), ROWS):
            digest.feed(torch.from_numpy(rows[start : start + ROWS].astype(np.int64)))


def sink(frame: pl.LazyFrame, folder: Path) -> pl.LazyFrame:
    """Write what a lazy frame gives to a file, without holding it; return what scans that file.

    DataError when the query fails.
    """
    path = folder / "table.parquet"
    try:
        frame.sink_parquet(path)
    except pl.exceptions.PolarsError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the lazy frame cannot be read: {reason}") from None
    return pl.scan_parquet(path)
