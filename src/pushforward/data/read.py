"""Data in: a source becomes an encoded, split and hashed `Dataset`."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.array_kind import ArrayKind, array_kind
from pushforward.data.arrays import ArraySchema
from pushforward.data.image_files import Resizing
from pushforward.data.images import ImageSchema
from pushforward.data.numeric import Ints, to_numpy
from pushforward.data.pixel_range import clip_to, given_range
from pushforward.data.raw_data import RawData
from pushforward.data.reading import ReadCall
from pushforward.data.schema import ClassCondition, Dataset, Schema, SplitName
from pushforward.data.sources import MAX_ROWS_IN_MEMORY, load_source
from pushforward.data.split import digest, folder_split, grouped_split
from pushforward.data.split import split as split_rows
from pushforward.data.tables.columns import RareHandling
from pushforward.data.tables.constraints import Constraint, parse
from pushforward.data.tables.deck_search import find_hot_decks
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.infer import fit_table
from pushforward.data.tables.metadata import Metadata, read_metadata
from pushforward.data.tables.missing_together import implied_missing
from pushforward.data.tables.orders import find_orders, orders_note
from pushforward.data.tables.rare_groups import group_rare
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.stream import ParquetSource, read_stream, sink
from pushforward.data.tables.table_options import TableOptions
from pushforward.data.tables.tails import refine_tails
from pushforward.errors import DataError, nearest, require_one_column

Shares = tuple[float, float, float]

MAX_LABEL_CLASSES = 1000
SCHEMAS: dict[str, type[Schema]] = {s.kind: s for s in (TableSchema, ImageSchema, ArraySchema)}


def read(
    source: Any,
    *,
    condition: Any = None,
    labels: Any = None,
    key: str | None = None,
    seed: int = 0,
    split: Shares = (0.8, 0.1, 0.1),
    overrides: Mapping[Any, str] | None = None,
    rare: RareHandling = "draw",
    constraints: str | Constraint | Iterable[str | Constraint] | None = None,
    metadata: str | Path | Mapping[str, Any] | None = None,
    kind: ArrayKind | None = None,
    range: str | tuple[float, float] | None = None,  # noqa: A002 - as on the command line
    resize: str | int | tuple[int, int] | None = None,
    crop: bool = False,
    name: str | None = None,
    header: bool = True,
    relations: bool = True,
) -> Dataset:
    """Read data, infer their schema, encode, split and hash them.

    A Parquet file or a Polars LazyFrame of more than 1,000,000 rows is streamed and never loaded
    as a whole: see `pushforward.data.tables.stream`. A CSV file of that size is loaded; convert it
    to Parquet first, e.g. `pl.scan_csv("t.csv").sink_parquet("t.parquet")`.

    Args:
        source: a path (CSV, TSV, Parquet, NPZ, NPY, a folder of images), a pandas or Polars data
            frame (eager or lazy), an array or tensor, the name of a built-in, or a `Dataset`,
            which is returned unchanged and takes no other argument.
        condition: what models are conditioned on: a table's column, by its label; for images and
            arrays `"label"`, `"folder"` or the name of an array of labels.
        labels: labels (n,) of images or of an array in memory, which models are conditioned on;
            `condition` is their name, by default `"label"`.
        key: the array to read from an NPZ file that holds several.
        seed: of the split.
        split: the shares of train, validation and test.
        overrides: the kinds of a table's columns, by label: categorical, numeric, integer,
            datetime, boolean or identifier.
        rare: how a table's rare categories are handled. `"draw"`: in a column with more than 1000,
            all but the 255 most frequent share cells, and are generated as often as they occur.
            `"name"`: those, and in every column the values of fewer than 20 training rows, are not
            stored; generated rows say "(rare)", or are missing in a column that is not text (but
            numbers, intervals, UUIDs).
            `"keep"`: each has a cell of its own.
        constraints: what must hold in every row of a table, as text (`"start <= end"`,
            `"0 <= age <= 120"`, `"combine(city, state)"`, `"total = price * quantity"`) or as
            objects of `pushforward.constraints`; rows that violate one are a DataError, generated
            rows satisfy all.
        metadata: the kinds of a table's columns, by the metadata of SDV (of a single table): a JSON
            file, or its content. `overrides` take precedence.
        kind: what an array of three or four axes holds: `"images"`, or `"array"` for vectors each
            value of which has a scale of its own; by default its shape and its values tell.
        range: the values of black and white pixels, (0, 1) or "0..1"; by default all pixels tell.
            The few pixels that lie outside are moved to its ends.
        resize: the width and height, "32x32" or (32, 32), of all images of a folder.
        crop: cut what does not fit the proportions of `resize`, instead of distorting it; without
            `resize`, cut all images around their middle to the smallest width and height.
        name: of the data set; by default that of the source.
        header: whether the first line of a CSV file names the columns; else they are called
            column_1, column_2, ...
        relations: whether relations between columns that hold in every row of a table (`amount =
            price * quantity`, `sent <= paid`) become constraints, as if they had been stated. A
            note names each of them.

    Raises:
        DataError: the data cannot be read, or an argument does not fit them.
    """
    parsed = None if constraints is None else tuple(parse(constraints))
    reading = ReadCall.of(source, locals() | {"constraints": parsed}, DEFAULTS)
    if isinstance(source, Dataset):
        _refuse_arguments(reading)
        return source
    require_one_column("condition", condition, DataError)
    resizing = Resizing.parse(resize, crop)
    known = Metadata() if metadata is None else read_metadata(metadata)
    stated = TableOptions(condition, {**known.kinds, **(overrides or {})}).stated_kinds
    raw = load_source(source, key=key, header=header, resizing=resizing, kinds=stated)
    options = TableOptions(
        condition, overrides or {}, rare, raw.text_formats, parsed or (), relations=relations
    )
    options = options.with_metadata(known) if metadata is not None else options
    match raw.data:
        case np.ndarray() | Tensor():
            _refuse_table_options(options)
            images = ImageOptions(kind, None if range is None else given_range(range))
            dataset = _read_array(raw, images, condition, labels, split, seed)
        case _ if kind is not None or range is not None:
            msg = "kind= and range= are for images and arrays, and these data are a table"
            raise DataError(f"{msg}; leave them out (a column's kind is set by overrides=)")
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
        notes=ranked([*raw.notes, *options.metadata.notes, *dataset.notes]),
        log_density=raw.log_density,
        reading=reading,
    )


DEFAULTS = {name: p.default for name, p in inspect.signature(read).parameters.items()}


def ranked(notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes, those first that a user must act on: they begin with "check: "."""
    return tuple(sorted(dict.fromkeys(notes), key=lambda note: not note.startswith("check: ")))


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from `Schema.to_json`; DataError when the description is broken."""
    try:
        return SCHEMAS[data["kind"]].from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        msg = f"the schema's description is broken ({type(error).__name__}: {error})"
        raise DataError(f"{msg}; read the data again") from None


def _refuse_arguments(reading: ReadCall) -> None:
    """Raise DataError for an argument of `read` beside a data set that is already read."""
    if reading.arguments:
        given = ", ".join(f"{name}=" for name in reading.arguments)
        msg = f"{given} cannot change a Dataset, which is encoded and split already"
        raise DataError(f"{msg}; give the arguments when the data are first read")


def _refuse_table_options(options: TableOptions) -> None:
    """Raise DataError for options that only a table can have."""
    given = {
        "overrides": options.kinds,
        "rare": options.rare != "draw",
        "constraints": options.constraints,
        "metadata": options.metadata.columns,
        "relations": not options.relations,
    }
    names = [name for name, value in given.items() if value]
    if names:
        msg = f"{' and '.join(names)} apply to the columns of a table, and these data are an array"
        raise DataError(f"{msg}; leave them out, or give a data frame")


def _read_table(raw: Any, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table."""
    frame, frame_format, notes = to_polars(raw)
    splits = split_rows(len(frame), split, seed)
    options, train = options.with_names(frame_format), splits["train"]
    schema, remarks = fit_table(frame, train.numpy(), options, frame_format)
    rows, labels = schema.encode(frame), schema.labels(frame)
    known = rows[train], None if labels is None else labels[train]
    schema, grouped = group_rare(refine_tails(schema, *known), *known)
    schema, notes = schema.with_implied(implied_missing(known[0])), [*notes, *remarks, *grouped]
    if options.relations:
        schema = schema.with_orders(find_orders(schema, rows))
        notes += [orders_note(schema)] if schema.orders else []
    if options.rare != "name":  # which stores nothing that few rows share
        schema, named = find_hot_decks(schema, known[0])
        notes += named
    return Dataset("", schema, rows, labels, splits, digest="", notes=tuple(notes))


def _read_lazy(raw: pl.LazyFrame, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table that may be too large for memory."""
    with tempfile.TemporaryDirectory(prefix="pushforward-") as folder:
        source = ParquetSource(sink(raw, Path(folder)))
        if source.rows <= MAX_ROWS_IN_MEMORY:
            return _read_table(source.scan.collect(), options, split, seed)
        return _read_stream(source, options, split, seed)


def _read_stream(source: ParquetSource, options: TableOptions, split: Shares, seed: int) -> Dataset:
    """Encode a table that is streamed from its file."""
    bounds = options.metadata.bounds
    if any(constraint not in bounds for constraint in options.constraints):
        msg = f"constraints need a table of at most {MAX_ROWS_IN_MEMORY:,} rows, got"
        raise DataError(f"{msg} {source.rows:,}; read a sample of it")
    dataset = read_stream(source, replace(options, constraints=()), split, seed)
    note = "the ranges of the metadata are not checked in a streamed table; generated rows stay"
    return replace(
        dataset, notes=(*dataset.notes, *([f"{note} within those of the data"] if bounds else []))
    )


class ImageOptions(NamedTuple):
    """What a user says of an array: its kind, and the values of black and white pixels."""

    kind: ArrayKind | None
    limits: tuple[float, float] | None


def _read_array(
    raw: RawData,
    options: ImageOptions,
    condition: str | None,
    labels: Any,
    split: Shares,
    seed: int,
) -> Dataset:
    """Encode images, or vectors of any shape."""
    if raw.data.ndim == 0:
        raise DataError("an array must have rows, got a single number; give one row for each case")
    kind, notes = array_kind(raw.data, options.kind or ("images" if raw.from_folder else None))
    splits, split_note = _array_splits(raw, split, seed)
    train = splits["train"].numpy()
    codes, classes = _condition(raw, condition, labels, train)
    if kind == "images":
        schema, data, remarks = _image_schema(raw, options.limits, classes)
    elif options.limits is not None:
        msg = f"range= is for images, and rows of shape {tuple(raw.data.shape[1:])} are vectors"
        raise DataError(f"{msg}; give kind='images' (--kind images) if they are images")
    else:
        schema, data, remarks = ArraySchema.fit(raw.data, train, classes), raw.data, ()
    all_notes = (*notes, *remarks, *filter(None, [split_note]))
    return Dataset("", schema, schema.encode(data), codes, splits, digest="", notes=all_notes)


def _image_schema(
    raw: RawData, limits: tuple[float, float] | None, classes: ClassCondition | None
) -> tuple[Schema, Any, tuple[str, ...]]:
    """Return the schema of images, their pixels within its range, and notes."""
    data, clipped = (raw.data, "") if limits is None else clip_to(to_numpy(raw.data), *limits)
    schema, notes = ImageSchema.fit(raw.data, classes, limits, raw.from_folder)
    return schema, data, (*filter(None, [clipped]), *notes)


def _array_splits(
    raw: RawData, shares: Shares, seed: int
) -> tuple[Mapping[SplitName, Tensor], str]:
    """Return the splits: those that the source has, unless the user gives shares; and a note."""
    if raw.splits and shares == DEFAULTS["split"]:
        return folder_split(raw.splits, shares, seed, raw.groups)
    splits, note = grouped_split(len(raw.data), shares, seed, raw.groups)
    anew = "the folders train, validation and test are split anew, as split= says"
    return splits, "; ".join(filter(None, [note, anew if raw.splits else ""]))


def _condition(
    raw: RawData, name: str | None, labels: Any, train: Ints
) -> tuple[Tensor | None, ClassCondition | None]:
    """Return the codes (n,) and the classes of the labels that models are conditioned on."""
    what = "labels"
    if labels is not None:
        name = name or "label"
    elif name is None:
        return None, None
    else:
        own = _label_name(raw, name)
        labels, what = raw.labels[own], f"labels {own!r}"
    codes, classes = _encode_labels(labels, len(raw.data), what)
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


def _encode_labels(labels: Any, n: int, what: str) -> tuple[Tensor, tuple[Any, ...]]:
    """Return the codes (n,) of labels, and their classes in ascending order.

    `what` they are in a message: labels, or an array's name.
    """
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.shape not in ((n,), (n, 1)):
        msg = f"{what} must be one per row, of shape ({n},), got shape {array.shape}"
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
