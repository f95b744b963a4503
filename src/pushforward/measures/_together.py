"""Raw samples of one kind, encoded together: what `measure` does before it measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data import ArraySchema, Dataset, ImageSchema, Schema, read_raw
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.infer import fit_table
from pushforward.errors import MeasureError
from pushforward.measures.tables import _columns


@dataclass(frozen=True)
class Together:
    """Samples by name: encoded, as tables where they are tables, and what is known of them all.

    Args:
        data: the schema, with the reference's rows as its training rows.
        rows: the encoded rows of each sample.
        tables: the data frame of each sample; empty for images and arrays.
    """

    data: Dataset
    rows: Mapping[str, Tensor]
    tables: Mapping[str, Any]


def encode(given: Mapping[str, Any], reference: str) -> Together:
    """Encode samples by a schema that is learned from one of them.

    Args:
        given: data frames, images, matrices, paths or data sets, by name.
        reference: the one that is learned from. Only the names of a table's categories are taken
            from all of them, so that a generated category that is new counts and does not fail.

    Raises:
        MeasureError: for samples of different kinds, columns or types.
        DataError: for samples that cannot be read.
    """
    sides = {name: _raw(side) for name, side in given.items()}
    frames = {name: nw.dependencies.is_into_dataframe(side) for name, side in sides.items()}
    if len(set(frames.values())) > 1:
        told = ", ".join(f"{name}: {type(side).__name__}" for name, side in sides.items())
        raise MeasureError(f"all samples must be tables, or none; given {told}")
    return _tables(sides, reference) if all(frames.values()) else _arrays(sides, reference)


def _raw(side: Any) -> Any:
    if isinstance(side, Dataset):
        return side.schema.decode(side.rows, side.labels)
    raw = read_raw(side)
    return np.asarray(raw) if isinstance(raw, list | tuple) else raw


def _tables(sides: Mapping[str, Any], reference: str) -> Together:
    _columns.read(*sides.values())  # says what does not fit
    frames = {name: to_polars(side)[0] for name, side in sides.items()}
    order = frames[reference].columns
    frames = {name: frame.select(order) for name, frame in frames.items()}
    first = [reference, *(name for name in frames if name != reference)]
    pooled = pl.concat([frames[name] for name in first], how="vertical_relaxed")
    schema, _ = fit_table(pooled, np.arange(len(frames[reference])))
    rows = {name: schema.encode(frame) for name, frame in frames.items()}
    return Together(_dataset(schema, rows[reference]), rows, sides)


def _arrays(sides: Mapping[str, Any], reference: str) -> Together:
    shapes = {name: np.shape(side)[1:] for name, side in sides.items()}
    if len(set(shapes.values())) > 1:
        raise MeasureError(f"all samples need rows of one shape; given {shapes}")
    known = sides[reference]
    schema = (
        ArraySchema.fit(known, np.arange(len(known)))
        if len(shapes[reference]) <= 1
        else ImageSchema.fit(known)
    )
    rows = {name: schema.encode(side) for name, side in sides.items()}
    return Together(_dataset(schema, rows[reference]), rows, {})


def _dataset(schema: Schema, rows: Tensor) -> Dataset:
    return Dataset("", schema, rows, None, {"train": torch.arange(len(rows))}, "")
