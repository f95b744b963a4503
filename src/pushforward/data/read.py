"""Data in: a source becomes an encoded, split and hashed `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.arrays import ArraySchema
from pushforward.data.columns import Category
from pushforward.data.frames import to_polars
from pushforward.data.images import ImageSchema
from pushforward.data.infer import fit_table
from pushforward.data.labels import classes_of, encode_labels
from pushforward.data.load import load
from pushforward.data.loaded import Loaded
from pushforward.data.partition import Ints
from pushforward.data.schema import Condition, Dataset, Part, Schema
from pushforward.data.split import digest
from pushforward.data.split import split as split_rows
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
    name: str | None = None,
) -> Dataset:
    """Read data, infer their schema, encode, split and hash them.

    Args:
        source: a path (CSV, TSV, Parquet, NPZ, NPY, a folder of images), a pandas or Polars data
            frame, an array or tensor, the name of a built-in, or a `Dataset`, returned as it is.
        condition: what models are conditioned on: a table's column; for images and arrays
            `"label"`, `"folder"` or the name of an array of labels.
        target: known classes that are no condition: labels (n,), or the name of a column or array.
        key: the array to take out of an NPZ file that holds several.
        seed: of the split.
        split: the shares of train, validation and test.
        overrides: what a table's columns are, by name: categorical, numeric, integer, datetime,
            boolean or identifier.
        name: what to call the data; by default the source.

    Raises:
        DataError: the data cannot be read, or an argument does not fit them.
    """
    if isinstance(source, Dataset):
        return source
    loaded = load(source, key=key)
    if isinstance(loaded.raw, np.ndarray | Tensor):
        encoded = _read_array(loaded, condition, target, split, seed, overrides)
    else:
        encoded = _read_table(loaded, condition, target, split, seed, overrides)
    return Dataset(
        name=name or loaded.name,
        digest=digest(encoded.schema, encoded.rows, encoded.labels, encoded.parts),
        notes=(*loaded.notes, *encoded.notes),
        log_density=loaded.log_density,
        **{key: getattr(encoded, key) for key in ("schema", "rows", "labels", "parts", "target")},
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


Shares = tuple[float, float, float]
Overrides = Mapping[str, str] | None


def _read_table(
    loaded: Loaded, condition: str | None, target: Any, split: Shares, seed: int, kinds: Overrides
) -> _Encoded:
    """Encode a table."""
    frame, make, notes = to_polars(loaded.raw)
    parts = split_rows(len(frame), split, seed)
    schema, more = fit_table(
        frame,
        parts["train"].numpy(),
        condition=condition,
        overrides=kinds,
        spelling=loaded.spelling,
        make=make,
    )
    known = None if target is None else _column_codes(frame, target)
    labels = schema.labels(frame)
    return _Encoded(schema, schema.encode(frame), labels, known, parts, (*notes, *more))


def _column_codes(frame: pl.DataFrame, target: Any) -> Tensor:
    """Return the codes of a table's target: a column of it, or labels of their own."""
    if not isinstance(target, str):
        return encode_labels(target, len(frame))[0]
    if target not in frame.columns:
        raise DataError(f"no column {target!r} for the target; {nearest(target, frame.columns)}")
    column = Category.fit(frame[target], np.arange(len(frame)))
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
