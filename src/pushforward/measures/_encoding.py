"""Raw samples of one kind, encoded by one schema: what `measure` does before it measures."""

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
class Encoded:
    """Samples by name.

    Args:
        data: the schema, with the reference's rows as its training rows.
        rows: the encoded rows of each sample.
        tables: the data frame of each sample; empty for images and arrays.
    """

    data: Dataset
    rows: Mapping[str, Tensor]
    tables: Mapping[str, Any]


def encode(samples: Mapping[str, Any], reference: str) -> Encoded:
    """Encode samples by a schema that is learned from one of them.

    Args:
        samples: data frames, images, matrices, paths or data sets, by name.
        reference: the name of the one that is learned from. Only a table's categories are taken
            from all samples, so that a category that is new in the generated one counts as a
            difference and is no error.

    Raises:
        MeasureError: for samples of different kinds, columns or types.
        DataError: for samples that cannot be read.
    """
    raw = {name: _raw(sample) for name, sample in samples.items()}
    tables = {name: nw.dependencies.is_into_dataframe(sample) for name, sample in raw.items()}
    if len(set(tables.values())) > 1:
        types = ", ".join(f"{name}: {type(sample).__name__}" for name, sample in raw.items())
        raise MeasureError(f"all samples must be tables, or none; given {types}")
    return _tables(raw, reference) if all(tables.values()) else _arrays(raw, reference)


def _raw(sample: Any) -> Any:
    if isinstance(sample, Dataset):
        return sample.schema.decode(sample.rows, sample.labels)
    raw = read_raw(sample)
    return np.asarray(raw) if isinstance(raw, list | tuple) else raw


def _tables(samples: Mapping[str, Any], reference: str) -> Encoded:
    _columns.read(*samples.values())  # raises where they do not fit each other
    frames = {name: to_polars(sample)[0] for name, sample in samples.items()}
    # what one table alone has is a pandas index: all columns were compared above
    everywhere = set.intersection(*(set(frame.columns) for frame in frames.values()))
    order = [name for name in frames[reference].columns if name in everywhere]
    frames = {name: frame.select(order) for name, frame in frames.items()}
    first = [reference, *(name for name in frames if name != reference)]
    pooled = pl.concat([frames[name] for name in first], how="vertical_relaxed")
    schema, _ = fit_table(pooled, np.arange(len(frames[reference])))
    rows = {name: schema.encode(frame) for name, frame in frames.items()}
    return Encoded(_dataset(schema, rows[reference]), rows, samples)


def _arrays(samples: Mapping[str, Any], reference: str) -> Encoded:
    shapes = {name: np.shape(sample)[1:] for name, sample in samples.items()}
    if len(set(shapes.values())) > 1:
        raise MeasureError(f"all samples need rows of one shape; given {shapes}")
    known = samples[reference]
    schema = (
        ArraySchema.fit(known, np.arange(len(known)))
        if len(shapes[reference]) <= 1
        else ImageSchema.fit(known)
    )
    rows = {name: schema.encode(sample) for name, sample in samples.items()}
    return Encoded(_dataset(schema, rows[reference]), rows, {})


def _dataset(schema: Schema, rows: Tensor) -> Dataset:
    return Dataset("", schema, rows, None, {"train": torch.arange(len(rows))}, "")
