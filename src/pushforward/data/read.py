"""Data in: a source becomes an encoded, split and hashed `Dataset`."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.numeric import Ints
from pushforward.data.raw_data import RawData
from pushforward.data.schema import ClassCondition, Dataset, Schema
from pushforward.data.sources import MAX_ROWS_IN_MEMORY, load_source
from pushforward.data.split import digest
from pushforward.data.split import split as split_rows
from pushforward.data.tables.columns import RareHandling
from pushforward.data.tables.constraints import Constraint, parse
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.infer import TableOptions, fit_table
from pushforward.data.tables.metadata import read_metadata
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.stream import ParquetSource, read_stream, sink
from pushforward.data.tables.tails import refine_tails
from pushforward.errors import DataError, nearest

Shares = tuple[float, float, float]

MAX_LABEL_CLASSES = 1000
SCHEMAS: dict[str, type[Schema]] = {s.kind: s for s in (TableSchema, ImageSchema, ArraySchema)}


def read(
    source: Any,
    *,
    condition: str | None = None,
    labels: Any = None,
    key: str | None = None,
    seed: int = 0,
    split: Shares = (0.8, 0.1, 0.1),
    overrides: Mapping[str, str] | None = None,
    rare: RareHandling = "draw",
    constraints: str | Constraint | Iterable[str | Constraint] | None = None,
    metadata: str | Path | Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Dataset:
    """Read data, infer their schema, encode, split and hash them.

    A Parquet file or a Polars LazyFrame of more than 1,000,000 rows is streamed and never loaded
    as a whole: see `pushforward.data.tables.stream`. A CSV file of that size is loaded; convert it
    to Parquet first, e.g. `pl.scan_csv("t.csv").sink_parquet("t.parquet")`.

    Args:
        source: a path (CSV, TSV, Parquet, NPZ, NPY, a folder of images), a pandas or Polars data
            frame (eager or lazy), an array or tensor, the name of a built-in, or a `Dataset`,
            which is returned unchanged and takes no other argument.
        condition: what models are conditioned on: a table's column; for images and arrays
            `"label"`, `"folder"` or the name of an array of labels.
        labels: labels (n,) of images or of an array in memory, which models are conditioned on;
            `condition` is their name, by default `"label"`.
        key: the array to read from an NPZ file that holds several.
        seed: of the split.
        split: the shares of train, validation and test.
        overrides: the kinds of a table's columns, by name: categorical, numeric, integer, datetime,
            boolean or identifier.
        rare: how a table's rare categories are handled. `"draw"`: in a column with more than 1000,
            all but the 255 most frequent share one cell, and are generated as often as they occur.
            `"name"`: those, and in every column the values of fewer than 20 training rows, are not
            stored; generated rows say "(rare)", or are missing in a column that is not text.
            `"keep"`: each has a cell of its own.
        constraints: what must hold in every row of a table, as text (`"start <= end"`,
            `"0 <= age <= 120"`, `"combine(city, state)"`, `"total = price * quantity"`) or as
            objects of `pushforward.constraints`; rows that violate one are a DataError, generated
            rows satisfy all.
        metadata: the kinds of a table's columns, by the metadata of SDV (of a single table): a JSON
            file, or its content. `overrides` take precedence.
        name: of the data set; by default that of the source.

    Raises:
        DataError: the data cannot be read, or an argument does not fit them.
    """
    if isinstance(source, Dataset):
        _refuse_arguments(
            condition=condition,
            labels=labels,
            key=key,
            seed=seed,
            split=split,
            overrides=overrides,
            rare=rare,
            constraints=constraints,
            metadata=metadata,
            name=name,
        )
        return source
    raw = load_source(source, key=key)
    text_formats, parsed = raw.text_formats, tuple(parse(constraints or ()))
    options = TableOptions(condition, overrides or {}, rare, text_formats, parsed)
    if metadata is not None:
        options = options.with_metadata(read_metadata(metadata))
    match raw.data:
        case np.ndarray() | Tensor():
            _refuse_table_options(options)
            dataset = _read_array(raw, condition, labels, split, seed)
        case _ if labels is not None:
            msg = "labels= are for images and arrays, and these data are a table"
            raise DataError(f"{msg}; name one of its columns by condition=")
        case ParquetSource():
            dataset = _read_stream(raw.data, options, split, seed)
        case pl.LazyFrame():
            dataset = _read_lazy(raw.data, options, split, seed)
        case _:
            dataset = _read_table(raw.data, options, split, seed)
    return replace(
        dataset,
        name=name or raw.name,
        digest=dataset.digest
        or digest(dataset.schema, dataset.rows, dataset.labels, dataset.splits),
        notes=(*raw.notes, *options.metadata.notes, *dataset.notes),
        log_density=raw.log_density,
    )


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from `Schema.to_json`; DataError when the description is broken."""
    try:
        return SCHEMAS[data["kind"]].from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        msg = f"the schema's description is broken ({type(error).__name__}: {error})"
        raise DataError(f"{msg}; read the data again") from None


def _refuse_arguments(**arguments: Any) -> None:
    """Raise DataError for an argument of `read` beside a data set that is already read."""
    defaults = {name: p.default for name, p in inspect.signature(read).parameters.items()}
    given = [
        f"{name}="
        for name, value in arguments.items()
        if (value is not None if defaults[name] is None else value != defaults[name])
    ]
    if given:
        msg = f"{', '.join(given)} cannot change a Dataset, which is encoded and split already"
        raise DataError(f"{msg}; give the arguments when the data are first read")


def _refuse_table_options(options: TableOptions) -> None:
    """Raise DataError for options that only a table can have."""
    given = {
        "overrides": options.kinds,
        "rare": options.rare != "draw",
        "constraints": options.constraints,
        "metadata": options.metadata.columns,
    }
    names = [name for name, value in given.items() if value]
    if names:
        msg = f"{' and '.join(names)} apply to the columns of a table, and these data are an array"
        raise DataError(f"{msg}; leave them out, or give a data frame")


def _read_table(raw: Any, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table."""
    frame, frame_format, notes = to_polars(raw)
    splits = split_rows(len(frame), split, seed)
    train = splits["train"]
    schema, remarks = fit_table(frame, train.numpy(), options, frame_format)
    rows, labels = schema.encode(frame), schema.labels(frame)
    schema = refine_tails(schema, rows[train], None if labels is None else labels[train])
    return Dataset("", schema, rows, labels, splits, digest="", notes=(*notes, *remarks))


def _read_lazy(raw: pl.LazyFrame, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table that may be too large for memory."""
    with tempfile.TemporaryDirectory(prefix="pushforward-") as folder:
        source = ParquetSource(sink(raw, Path(folder)))
        if source.rows <= MAX_ROWS_IN_MEMORY:
            return _read_table(source.scan.collect(), options, split, seed)
        return _read_stream(source, options, split, seed)


def _read_stream(source: ParquetSource, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table that is streamed from its file."""
    if options.constraints:
        msg = f"constraints need a table of at most {MAX_ROWS_IN_MEMORY:,} rows, got"
        raise DataError(f"{msg} {source.rows:,}; read a sample of it")
    return read_stream(source, options, split, seed)


def _read_array(
    raw: RawData, condition: str | None, labels: Any, split: Shares, seed: int
) -> Dataset:
    """Encode images or a matrix, by the number of dimensions."""
    if raw.data.ndim not in (1, 2, 3, 4):
        msg = f"an array must have 1 or 2 dimensions, images 3 or 4; got {tuple(raw.data.shape)}"
        raise DataError(msg)
    splits = split_rows(len(raw.data), split, seed)
    train = splits["train"].numpy()
    codes, classes = _condition(raw, condition, labels, train)
    schema: Schema = (
        ArraySchema.fit(raw.data, train, classes)
        if raw.data.ndim <= 2
        else ImageSchema.fit(raw.data, classes)
    )
    return Dataset("", schema, schema.encode(raw.data), codes, splits, digest="")


def _condition(
    raw: RawData, name: str | None, labels: Any, train: Ints
) -> tuple[Tensor | None, ClassCondition | None]:
    """Return the codes (n,) and the classes of the labels that models are conditioned on."""
    if labels is not None:
        name = name or "label"
    elif name is None:
        return None, None
    else:
        labels = raw.labels[_label_name(raw, name)]
    codes, classes = _encode_labels(labels, len(raw.data))
    counts = torch.bincount(codes[torch.from_numpy(train)], minlength=len(classes)).double()
    return codes, ClassCondition(name, classes, tuple((counts / counts.sum()).tolist()))


def _label_name(raw: RawData, name: str) -> str:
    """Return the name of a label array; `"label"` stands for the first one."""
    if name in raw.labels:
        return name
    if not raw.labels:
        raise DataError(f"no labels {name!r}: these data have none; give them as labels=")
    if name == "label":
        return next(iter(raw.labels))
    raise DataError(f"no labels {name!r}; {nearest(name, [*raw.labels, 'label'])}")


def _encode_labels(labels: Any, n: int) -> tuple[Tensor, tuple[Any, ...]]:
    """Return the codes (n,) of labels, and their classes in ascending order."""
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.shape not in ((n,), (n, 1)):
        msg = f"labels must be one per row, of shape ({n},), got shape {array.shape}"
        raise DataError(msg)
    if array.dtype.kind not in "biuUSf" or (array.dtype.kind == "f" and (array % 1 != 0).any()):
        msg = f"labels must be integers, truth values or text, got {array.dtype}"
        raise DataError(msg)
    exact = array.astype(np.int64) if array.dtype.kind == "f" else array
    classes, codes = np.unique(exact.reshape(-1), return_inverse=True)
    if len(classes) > MAX_LABEL_CLASSES:
        msg = f"labels must have at most {MAX_LABEL_CLASSES} classes, got {len(classes)}"
        raise DataError(msg)
    return torch.from_numpy(codes.astype(np.int64)), tuple(classes.tolist())
