"""Raw samples of one kind, encoded by one schema: what `measure` does before it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data import ArraySchema, Dataset, ImageSchema, Schema, read_raw
from pushforward.data.array_kind import array_kind
from pushforward.data.images import channel_parts
from pushforward.data.numeric import to_numpy
from pushforward.data.pixel_range import PixelRange, PixelValues, choose_range
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.frames import by_name, to_polars, with_index_columns
from pushforward.data.tables.infer import fit_table
from pushforward.data.tables.table_options import TableOptions
from pushforward.data.tables.text_types import parse_text
from pushforward.errors import MeasureError
from pushforward.measures._pixel_units import other_units
from pushforward.measures.tables import _columns, _types
from pushforward.measures.tables._forms import with_forms

GENERATED = "fake"  # the sample whose types count for nothing
FOREIGN = "(value)"  # any value in a column of which the real ones hold none


@dataclass(frozen=True)
class Encoded:
    """Samples by name.

    Args:
        data: the schema, with the reference's rows as its training rows.
        rows: the encoded rows of each sample.
        tables: the data frame of each sample, a Polars one where text was read as numbers or times;
            empty for images and arrays.
        forms: the same with identifiers by their form.
        notes: what is wrong with whole columns of the generated sample.
    """

    data: Dataset
    rows: Mapping[str, Tensor]
    tables: Mapping[str, Any] = field(default_factory=dict)
    forms: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def encode(samples: Mapping[str, Any], reference: str) -> Encoded:
    """Encode samples by a schema that is learned from one of them.

    Args:
        samples: data frames, images, matrices, paths or data sets, by name; `"fake"` is generated.
        reference: the name of the one that is learned from. Only a table's categories are taken
            from all samples, so that a category that is new in the generated one counts as a
            difference and is no error. Neither is a value that is not of the column's type: it
            counts as missing, and in the measures of columns as a value of its own.

    Raises:
        MeasureError: for samples of different kinds or columns, and real ones of different types.
        DataError: for samples that cannot be read.
    """
    raw = {name: _raw(sample) for name, sample in samples.items()}
    tables = {name: nw.dependencies.is_into_dataframe(sample) for name, sample in raw.items()}
    if len(set(tables.values())) > 1:
        types = ", ".join(f"{name}: {type(sample).__name__}" for name, sample in raw.items())
        raise MeasureError(f"all samples must be tables, or none; given {types}")
    if all(tables.values()):
        return _tables(raw, reference)
    schemas = {n: sample.schema for n, sample in samples.items() if isinstance(sample, Dataset)}
    return _arrays(raw, reference, schemas)


def _raw(sample: Any) -> Any:
    if isinstance(sample, Dataset):
        return sample.schema.decode(sample.rows, sample.labels)
    raw = read_raw(sample)
    return np.asarray(raw) if isinstance(raw, list | tuple) else raw


def _tables(samples: Mapping[str, Any], reference: str) -> Encoded:
    samples = _texts_read(_index_read(samples), reference)
    _columns.read(*samples.values())  # raises where they do not fit each other
    first = [reference, *(name for name in samples if name != reference)]
    frames = {name: to_polars(samples[name])[0] for name in first}
    order = frames[reference].columns
    frames = {name: frame.select(order) for name, frame in frames.items()}
    read, notes = _of_one_type(frames)
    pooled = pl.concat(read.values(), how="vertical_relaxed")
    options = TableOptions(kinds=_kinds(read[reference]))
    schema, _ = fit_table(pooled, np.arange(len(frames[reference])), options)
    rows = {name: schema.encode(frame) for name, frame in read.items()}
    identifiers = [identifier.name for identifier in schema.identifiers]
    forms = with_forms(frames, identifiers) if identifiers else samples
    return Encoded(_dataset(schema, rows[reference]), rows, samples, forms, tuple(notes))


def _index_read(samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables whose pandas index, where it says something, is columns."""
    frames = with_index_columns([_columns.frame_of(sample) for sample in samples.values()])
    return {name: frame.to_native() for name, frame in zip(samples, frames, strict=True)}


def _texts_read(samples: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """Return tables with text read as the numbers or times that it is in the reference.

    As `read` does: amounts, dates and their like are not categories. Text of other tables that is
    not of the kind stays, and counts as a difference.
    """
    known = to_polars(samples[reference])[0]
    texts = [column for column in known.iter_columns() if column.dtype == pl.String]
    spelled = [column.name for column in texts if not parse_text(column).is_text]
    if not spelled:
        return samples
    frames = {name: to_polars(sample)[0] for name, sample in samples.items()}
    return {
        name: by_name(
            parse_text(c).values if c.name in spelled and c.dtype == pl.String else c
            for c in frame.iter_columns()
        )
        for name, frame in frames.items()
    }


def _of_one_type(
    frames: Mapping[str, pl.DataFrame],
) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """Return all samples in the types of the real ones, the first of which has precedence.

    Beside them are remarks on the generated one's columns.
    """
    columns: dict[str, list[pl.Series]] = {name: [] for name in frames}
    notes = []
    for parts in zip(*(frame.iter_columns() for frame in frames.values()), strict=True):
        of = dict(zip(frames, parts, strict=True))
        reference = _types.reference_of([part for name, part in of.items() if name != GENERATED])
        for name, part in of.items():
            found = _types.fitted(part, reference)
            if name == GENERATED:
                notes.append(_types.remark(part, reference, found))
            else:
                _types.require_native(part, reference, found)
            columns[name].append(_as_category(found, reference))
    return {name: pl.DataFrame(some) for name, some in columns.items()}, list(filter(None, notes))


def _as_category(found: _types.Fitted, reference: pl.Series) -> pl.Series:
    """Return a column as it is; where the real ones hold nothing, whether there is a value."""
    if _types.family(reference) != _types.NOTHING:
        return found.values
    values = [FOREIGN if there else None for there in found.foreign.tolist()]
    return pl.Series(found.values.name, values, dtype=pl.String)


def _kinds(reference: pl.DataFrame) -> dict[str, str]:
    """Return the kinds of the columns that are no numbers, from the reference alone."""
    schema, _ = fit_table(reference, np.arange(len(reference)))
    kinds = {c.name: "categorical" for c in schema.columns if isinstance(c, CategoricalCodec)}
    return kinds | {identifier.name: "identifier" for identifier in schema.identifiers}


def _arrays(samples: Mapping[str, Any], reference: str, schemas: Mapping[str, Schema]) -> Encoded:
    """Encode arrays of the kind that a data set among them has, else of the reference's."""
    given = {name: s for name, s in schemas.items() if isinstance(s, ImageSchema)}
    known, kinds = samples[reference], {schema.kind for schema in schemas.values()}
    images = "image" in kinds or (not kinds and array_kind(known)[0] == "images")
    if images:
        return _images(samples, reference, given)
    shapes = {name: np.shape(sample)[1:] for name, sample in samples.items()}
    if len(set(shapes.values())) > 1:
        raise MeasureError(f"all samples need rows of one shape; given {shapes}")
    schema = ArraySchema.fit(known, np.arange(len(known)))
    rows = {name: schema.encode(sample) for name, sample in samples.items()}
    return Encoded(_dataset(schema, rows[reference]), rows)


def _images(
    samples: Mapping[str, Any], reference: str, given: Mapping[str, ImageSchema]
) -> Encoded:
    """Encode images, whatever the order of their axes, by the reference's range.

    The range is widened to hold all samples.
    """
    own = {n: given[n] if n in given else ImageSchema.fit(x)[0] for n, x in samples.items()}
    _refuse_different_sizes(own)
    known = own[reference]
    separate = len(known.low) > 1
    parts = {
        n: channel_parts(to_numpy(x), own[n].layout, separate=separate) for n, x in samples.items()
    }
    values = {n: [PixelValues.of(part) for part in p] for n, p in parts.items()}
    _refuse_other_units(values, reference, known)
    limits = list(zip(known.low, known.high, *values.values(), strict=True))
    low = [min(black, *(v.low for v in each)) for black, _, *each in limits]
    high = [max(white, *(v.high for v in each)) for _, white, *each in limits]
    schemas = {
        n: ImageSchema(known.space, s.layout, known.dtype, low, high) for n, s in own.items()
    }
    rows = {name: schemas[name].encode(sample) for name, sample in samples.items()}
    return Encoded(_dataset(schemas[reference], rows[reference]), rows, {})


def _refuse_different_sizes(own: Mapping[str, ImageSchema]) -> None:
    """Raise MeasureError unless all images have one size and as many channels."""
    spaces = {name: schema.space for name, schema in own.items()}
    if len(set(spaces.values())) > 1:
        sizes = (f"{n}: {s.width}x{s.height}, {s.channels} channels" for n, s in spaces.items())
        raise MeasureError(
            f"all images need one size and as many channels; given {'; '.join(sizes)}"
        )


def _refuse_other_units(
    values: Mapping[str, Sequence[PixelValues]], reference: str, known: ImageSchema
) -> None:
    """Raise MeasureError for pixels that are in other units than the reference's."""
    usual = [choose_range(own).usual for own in values[reference]]
    ranges = [PixelRange(*r) for r in zip(known.low, known.high, usual, strict=True)]
    for name, parts in values.items():
        for own, limits, part in zip(values[reference], ranges, parts, strict=True):
            problem = other_units(reference, own, limits, name, part)
            if problem is not None:
                raise MeasureError(problem)


def _dataset(schema: Schema, rows: Tensor) -> Dataset:
    return Dataset("", schema, rows, None, {"train": torch.arange(len(rows))}, "")
