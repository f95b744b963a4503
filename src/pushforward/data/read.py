"""Anything a user brings, read into a `Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data import builtin
from pushforward.data.arrays import ArraySchema
from pushforward.data.dataset import classes, digest, split
from pushforward.data.files import read_arrays, read_csv, read_parquet
from pushforward.data.images import ImageSchema, read_folder
from pushforward.data.schema import Condition, Dataset, Schema
from pushforward.data.tables import TableSchema
from pushforward.errors import DataError, nearest

SHARES = (0.8, 0.1, 0.1)


def read(
    source: Any,
    *,
    condition: str | None = None,
    key: str | None = None,
    seed: int = 0,
    shares: Sequence[float] = SHARES,
    overrides: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Dataset:
    """Read a user's data and infer their schema.

    Args:
        source: a path (CSV, TSV, Parquet, NPZ, NPY, a folder of images), the name of a built-in,
            a pandas or Polars DataFrame, an array or tensor, or a `Dataset`, returned as it is.
        condition: the table's column, or the labels of images or arrays (`"label"`, or the name
            of their array), to condition on.
        key: the array to take from an NPZ file that holds several.
        seed: of the split.
        shares: of train, validation and test.
        overrides: a table's columns whose kind is known better, e.g. `{"zip": "categorical"}`.
        name: what to call the data; by default the source.

    Raises:
        DataError: the source cannot be read; the message says why and what to do.

    """
    if isinstance(source, Dataset):
        return source
    raw = _open(source, key)
    title = name or (str(source) if isinstance(source, str | Path) else type(source).__name__)
    data = _encode(raw, title, condition, seed, shares, overrides)
    return data


def _open(source: Any, key: str | None) -> builtin.Raw:
    """Return the raw rows, their labels if they have any, and what else is known of them."""
    if isinstance(source, str | Path):
        return _open_name(str(source), key)
    return builtin.Raw(source)


def _open_name(source: str, key: str | None) -> builtin.Raw:
    path = Path(source).expanduser()
    if path.is_dir():
        images, labels = read_folder(path)
        return builtin.Raw(images, labels, "folder")
    if path.is_file():
        return _open_file(path, key)
    if source in builtin.names():
        return builtin.load(source)
    if source.startswith("openml:"):
        return builtin.openml(source.removeprefix("openml:"))
    msg = f"no such file, folder or built-in: {source!r}; {nearest(source, builtin.names())}"
    raise DataError(msg)


def _open_file(path: Path, key: str | None) -> builtin.Raw:
    readers: dict[str, Callable[[], builtin.Raw]] = {
        ".csv": lambda: builtin.Raw(read_csv(path, ",")),
        ".tsv": lambda: builtin.Raw(read_csv(path, "\t")),
        ".parquet": lambda: builtin.Raw(read_parquet(path)),
        ".npz": lambda: read_arrays(path, key),
        ".npy": lambda: read_arrays(path, key),
    }
    ending = path.suffix.lower()
    if ending not in readers:
        known = ", ".join(readers)
        msg = f"{path}: files ending in {known} can be read, and folders of images; got {ending!r}"
        raise DataError(msg)
    return readers[ending]()


def _encode(
    raw: builtin.Raw,
    title: str,
    condition: str | None,
    seed: int,
    shares: Sequence[float],
    overrides: Mapping[str, str] | None,
) -> Dataset:
    """Split, infer the schema, encode."""
    parts = split(_length(raw.rows), shares, seed)
    train = cast("NDArray[np.int64]", parts["train"].numpy())
    if _is_frame(raw.rows):
        schema, notes = TableSchema.infer(
            raw.rows, train, condition=condition, overrides=overrides or {}
        )
        rows, labels = schema.encode(raw.rows), schema.labels(raw.rows)
        target = None
        found: Schema = schema
    else:
        found, labels, target = _plain(raw, train, condition)
        rows, notes = found.encode(raw.rows), ()
    return Dataset(
        name=title,
        schema=found,
        rows=rows,
        labels=labels,
        parts=parts,
        digest=digest(found, rows, labels, parts),
        notes=(*raw.notes, *notes),
        target=target,
        log_density=raw.log_density,
    )


def _plain(
    raw: builtin.Raw, train: NDArray[np.int64], condition: str | None
) -> tuple[Schema, Tensor | None, Tensor | None]:
    """Return the schema of images or an array, the condition's labels, and other known classes."""
    wanted: Condition | None = None
    codes = None
    if raw.labels is not None:
        found, codes = classes(raw.label_name, raw.labels, train)
        wanted = found if condition is not None else None
    _require_labels(raw, condition)
    shape = np.shape(raw.rows)
    schema: Schema = (
        ArraySchema.infer(raw.rows, train, wanted)
        if len(shape) == 2
        else ImageSchema.infer(raw.rows, wanted)
    )
    return (schema, codes, None) if wanted is not None else (schema, None, codes)


def _require_labels(raw: builtin.Raw, condition: str | None) -> None:
    if condition is None:
        return
    if raw.labels is None:
        msg = f"condition {condition!r}: these data come without labels"
        raise DataError(msg)
    if condition not in {"label", "labels", raw.label_name}:
        msg = f"no labels {condition!r}: {nearest(condition, ['label', raw.label_name])}"
        raise DataError(msg)


def _is_frame(rows: Any) -> bool:
    """Whether rows are a DataFrame of a library that narwhals knows."""
    import narwhals as nw

    return isinstance(rows, pl.DataFrame) or nw.dependencies.is_into_dataframe(rows)


def _length(rows: Any) -> int:
    """Return the number of rows; DataError for what is neither a frame nor an array."""
    if isinstance(rows, np.ndarray | Tensor) and rows.ndim not in {2, 3, 4}:
        msg = (
            "a matrix, or images (n, height, width[, channels]), was expected, got an array of "
            f"shape {tuple(rows.shape)}"
        )
        raise DataError(msg)
    if not isinstance(rows, np.ndarray | Tensor) and not _is_frame(rows):
        msg = (
            "a path, a DataFrame, an array, a tensor or the name of a built-in was expected, got "
            f"{type(rows).__name__}"
        )
        raise DataError(msg)
    if isinstance(rows, Tensor) and rows.dtype == torch.bfloat16:
        msg = "bfloat16 tensors are not read; convert them with .float()"
        raise DataError(msg)
    return len(rows)
