"""Data in: a source becomes an encoded, split and hashed `Dataset`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.labels import classes_of, encode_labels
from pushforward.data.load import LARGE, load
from pushforward.data.loaded import Loaded
from pushforward.data.schema import Condition, Dataset, Part, Schema, Streamed
from pushforward.data.split import digest
from pushforward.data.split import split as split_rows
from pushforward.data.tables.column_summary import Facts
from pushforward.data.tables.columns import Category, Rare
from pushforward.data.tables.constraints import Statement, parse
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.infer import Wishes, fit_table
from pushforward.data.tables.metadata import read_metadata
from pushforward.data.tables.partition import Ints
from pushforward.data.tables.stream import Source, read_stream, sink
from pushforward.errors import DataError, nearest


def read(
    source: Any,
    *,
    condition: str | None = None,
    target: Any = None,
    key: str | None = None,
    seed: int = 0,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    overrides: Mapping[str, str] | None = None,
    rare: Rare = "draw",
    constraints: str | Statement | Iterable[str | Statement] | None = None,
    metadata: str | Path | Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Dataset:
    """Read data, infer their schema, encode, split and hash them.

    A Parquet file or a Polars LazyFrame of more than 1,000,000 rows is streamed and never held: see
    `pushforward.data.tables.stream`. A CSV file of that size is held; turn it into Parquet first,
    e.g. `pl.scan_csv("t.csv").sink_parquet("t.parquet")`.

    Args:
        source: a path (CSV, TSV, Parquet, NPZ, NPY, a folder of images), a pandas or Polars data
            frame (eager or lazy), an array or tensor, the name of a built-in, or a `Dataset`,
            returned as it is.
        condition: what models are conditioned on: a table's column; for images and arrays
            `"label"`, `"folder"` or the name of an array of labels.
        target: known classes that are no condition: labels (n,), or the name of a column or array.
        key: the array to take out of an NPZ file that holds several.
        seed: of the split.
        split: the shares of train, validation and test.
        overrides: what a table's columns are, by name: categorical, numeric, integer, datetime,
            boolean or identifier.
        rare: what becomes of a table's rare categories. `"draw"`: of a column with more than 1000,
            all but the 255 most frequent share one cell, and are generated as often as they occur.
            `"name"`: those, and in every column the values of fewer than 20 training rows, are not
            stored; generated rows say "(rare)", or are missing in a column that is not text.
            `"keep"`: each has a cell of its own.
        constraints: what must hold in every row of a table, as text (`"start <= end"`,
            `"0 <= age <= 120"`, `"combine(city, state)"`, `"total = price * quantity"`) or as
            statements of `pushforward.constraints`; rows that break one are a DataError, generated
            rows keep all.
        metadata: what a table's columns are, by the metadata of SDV (of a single table): a JSON
            file, or its content. `overrides` go before it.
        name: what to call the data; by default the source.

    Raises:
        DataError: the data cannot be read, or an argument does not fit them.
    """
    if isinstance(source, Dataset):
        return source
    loaded = load(source, key=key)
    said = tuple(parse(constraints or ()))
    wishes = Wishes(condition, overrides or {}, rare, loaded.spelling, said)
    if metadata is not None:
        wishes = wishes.described(read_metadata(metadata))
    match loaded.raw:
        case np.ndarray() | Tensor() if said or metadata is not None:
            msg = "constraints and metadata are for a table's columns, and these data are an array"
            raise DataError(msg)
        case np.ndarray() | Tensor():
            encoded = _read_array(loaded, condition, target, split, seed, overrides)
        case Source():
            encoded = _read_stream(loaded.raw, wishes, target, split, seed)
        case pl.LazyFrame():
            encoded = _read_lazy(loaded.raw, wishes, target, split, seed)
        case _:
            encoded = _read_table(loaded.raw, wishes, target, split, seed)
    own = ("schema", "rows", "labels", "parts", "target", "streamed")
    return Dataset(
        name=name or loaded.name,
        digest=encoded.digest
        or digest(encoded.schema, encoded.rows, encoded.labels, encoded.parts),
        notes=(*loaded.notes, *wishes.metadata.notes, *encoded.notes),
        log_density=loaded.log_density,
        **{key: getattr(encoded, key) for key in own},
    )


@dataclass(frozen=True)
class _Encoded:
    """What a schema makes of raw data."""

    schema: Schema
    rows: Tensor
    labels: Tensor | None
    target: Tensor | None
    parts: dict[Part, Tensor]
    notes: tuple[str, ...] = ()
    digest: str = ""  # that of a streamed table
    streamed: Streamed | None = None


Shares = tuple[float, float, float]
Overrides = Mapping[str, str] | None


def _read_table(raw: Any, wishes: Wishes, target: Any, split: Shares, seed: int) -> _Encoded:
    """Encode a table."""
    frame, make, notes = to_polars(raw)
    parts = split_rows(len(frame), split, seed)
    schema, more = fit_table(frame, parts["train"].numpy(), wishes, make)
    known = None if target is None else _column_codes(frame, target)
    labels = schema.labels(frame)
    return _Encoded(schema, schema.encode(frame), labels, known, parts, (*notes, *more))


def _read_lazy(
    raw: pl.LazyFrame, wishes: Wishes, target: Any, split: Shares, seed: int
) -> _Encoded:
    """Encode a table that may be too large to hold."""
    with tempfile.TemporaryDirectory(prefix="pushforward-") as folder:
        source = Source(sink(raw, Path(folder)))
        if source.rows <= LARGE:
            return _read_table(source.scan.collect(), wishes, target, split, seed)
        return _read_stream(source, wishes, target, split, seed)


def _read_stream(source: Source, wishes: Wishes, target: Any, split: Shares, seed: int) -> _Encoded:
    """Encode a table that is streamed from its file."""
    if wishes.constraints:
        msg = f"constraints are for tables that are held, of up to {LARGE:,} rows; this one has"
        raise DataError(f"{msg} {source.rows:,}: read a sample of it")
    named = isinstance(target, str)
    if named and target not in source.dtypes:
        raise DataError(f"no column {target!r} for the target; {nearest(target, source.dtypes)}")
    found, roles, notes = read_stream(source, wishes, split, seed, [target] if named else [])
    if named or target is None:
        known = _column_codes(found.held, target) if named else None
    else:
        known = encode_labels(target, source.rows)[0][torch.from_numpy(roles.held)]
    return _Encoded(
        *(found.schema, found.rows, found.labels, known, roles.positions),
        notes=tuple(notes),
        digest=found.digest,
        streamed=found.streamed,
    )


def _column_codes(frame: pl.DataFrame, target: Any) -> Tensor:
    """Return the codes of a table's target: a column of it, or labels of their own."""
    if not isinstance(target, str):
        return encode_labels(target, len(frame))[0]
    if target not in frame.columns:
        raise DataError(f"no column {target!r} for the target; {nearest(target, frame.columns)}")
    column = Category.fit(Facts.of(frame[target], "categorical"), frame[target])
    return torch.from_numpy(column.encode(frame[target])).nan_to_num(len(column.levels)).long()


def _read_array(
    loaded: Loaded, condition: str | None, target: Any, split: Shares, seed: int, kinds: Overrides
) -> _Encoded:
    """Encode images or a matrix, by the number of dimensions."""
    if kinds:
        raise DataError("overrides are for a table's columns, and these data are an array")
    if loaded.raw.ndim not in (1, 2, 3, 4):
        msg = f"an array must have 1 or 2 dimensions, images 3 or 4; got {tuple(loaded.raw.shape)}"
        raise DataError(msg)
    n = len(loaded.raw)
    parts = split_rows(n, split, seed)
    train = parts["train"].numpy()
    known = dict(loaded.labels)
    if target is not None and not isinstance(target, str):
        known = {"label": target} | known
    labels, classes = _condition(known, condition, n, train)
    is_matrix = loaded.raw.ndim <= 2
    schema: Schema = (
        ArraySchema.fit(loaded.raw, train, classes)
        if is_matrix
        else ImageSchema.fit(loaded.raw, classes)
    )
    codes, notes = _target(known, target, condition, n)
    return _Encoded(schema, schema.encode(loaded.raw), labels, codes, parts, notes)


def _condition(
    known: Mapping[str, Any], name: str | None, n: int, train: Ints
) -> tuple[Tensor | None, Condition | None]:
    """Return the codes and the classes of the labels that models are conditioned on."""
    if name is None:
        return None, None
    codes, classes = encode_labels(known[_label_name(known, name)], n)
    return codes, classes_of(name, classes, codes, train)


def _label_name(known: Mapping[str, Any], name: str) -> str:
    """Return the name of a label array; `"label"` stands for the usual one."""
    if name in known:
        return name
    if not known:
        msg = f"no labels {name!r}: these data have none; give them with target="
        raise DataError(msg)
    if name == "label":
        return next(iter(known))
    raise DataError(f"no labels {name!r}; {nearest(name, [*known, 'label'])}")


def _target(
    known: Mapping[str, Any], target: Any, condition: str | None, n: int
) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the codes of labels that are no condition, and a note when they are no classes."""
    if isinstance(target, str):
        return encode_labels(known[_label_name(known, target)], n)[0], ()
    if not known or condition is not None:
        return None, ()
    name = next(iter(known))
    try:
        return encode_labels(known[name], n)[0], ()
    except DataError as error:
        if target is not None:
            raise
        return None, (f"the labels {name!r} are left aside: {error}",)
