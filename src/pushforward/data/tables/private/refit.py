"""A schema as it was read, learned anew from noisy counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Floats, Ints
from pushforward.data.schema import Dataset
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_summary import grid_units, is_real, numpy_float, on_grid
from pushforward.data.tables.columns import RARE_LEVEL, CategoricalCodec
from pushforward.data.tables.frames import FrameFormat
from pushforward.data.tables.model_order import in_model_order
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.pandas_columns import ObjectFormat
from pushforward.data.tables.partition import Partition, count_codes, partition_categories
from pushforward.data.tables.private import numbers
from pushforward.data.tables.private.counts import NoisyCounts
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError

DECIMALS = 8  # at most; a column with more has full precision ...
FINEST = 2.0**-40  # ... in steps of this
SURE = 3.0  # deviations of the noise that something must exceed to be there


@dataclass(frozen=True)
class PrivateTable:
    """Training rows, encoded by a schema that is a release of its own.

    Args:
        schema: learned from noisy counts.
        rows: (n, columns) the encoded training rows; they are no release.
        labels: (n,) codes of the condition's classes, or None.
        size: about how many rows there are: a noisy count.
    """

    schema: TableSchema
    rows: Tensor
    labels: Tensor | None
    size: int


def questions(schema: TableSchema) -> int:
    """Return how many histograms a table takes: what is public says it."""
    return 1 + sum(map(_questions, schema.codecs.values()))


def _questions(codec: ColumnCodec) -> int:
    if isinstance(codec, CategoricalCodec):
        return 1
    return numbers.QUESTIONS + (len(_grids(codec.dtype)) > 1)


def private_table(data: Dataset, counts: NoisyCounts) -> PrivateTable:
    """Learn the schema of a table's training rows anew, from `questions` noisy histograms.

    Raises:
        DataError: the data are no table in memory, or something was learned from its rows that
            has no private form: constraints, identifiers, rare categories.

    """
    schema = require_private(data)
    rows, labels = data.subset("train")
    size = max(1, round(float(counts(np.array([len(rows)]))[0])))
    frame = schema.frame(rows, labels)
    codecs = [*schema.codecs.values()]
    nameable = counts.nameable(sum(isinstance(c, CategoricalCodec) for c in codecs))
    columns: list[ColumnCodec] = []
    encoded: list[Floats] = []
    for codec in codecs:
        values = codec.parse(frame[codec.name])
        column, own = (
            _category(codec, values, counts, nameable, size)
            if isinstance(codec, CategoricalCodec)
            else _number(codec, values, counts, size)
        )
        columns.append(column)
        encoded.append(own)
    given = schema.condition_column
    place = {column.name: i for i, column in enumerate(columns)}
    ordered = [place[column.name] for column in in_model_order(columns, {})]
    modelled = [i for i in ordered if given is None or columns[i].name != given.name]
    condition, codes = _condition(columns, encoded, schema)
    learned = TableSchema(
        schema.column_names,
        [columns[i] for i in modelled],
        (),
        condition,
        _public(schema.frame_format),
        None,
        schema.separator,
    )
    return PrivateTable(
        learned, torch.from_numpy(np.stack([encoded[i] for i in modelled], 1)), codes, size
    )


def _public(form: FrameFormat) -> FrameFormat:
    """Return a format that does not say how the value of a row is missing."""
    columns = {
        name: replace(own, missing="None") if isinstance(own, ObjectFormat) else own
        for name, own in form.columns.items()
    }
    return replace(form, columns=columns)


def require_private(data: Dataset) -> TableSchema:
    """Return the schema of a table that can be learned privately; DataError says why not."""
    schema = data.schema
    if not isinstance(schema, TableSchema):
        msg = f"epsilon= is for tables, and these data are of the kind {schema.kind!r}"
        raise DataError(f"{msg}: their range and scale would be learned without privacy")
    if data.streamed is not None:
        raise DataError("epsilon= needs a table that fits in memory; read a sample of it")
    if schema.identifiers:
        msg = f"column {schema.identifiers[0].name!r} holds identifiers, whose pattern is learned"
        raise DataError(f"{msg} from the rows: with epsilon= drop the column, or override its kind")
    if schema.constraint_set.constraints:
        msg = f"{str(schema.constraint_set.constraints[0])!r} was found in, or holds for, all rows"
        raise DataError(f"{msg}: with epsilon= read without constraints, and with relations=False")
    if any(isinstance(c, CategoricalCodec) and c.drops_rare for c in schema.codecs.values()):
        raise DataError("rare='name' drops categories by their rows: with epsilon= leave it out")
    return schema


def _condition(
    columns: list[ColumnCodec], encoded: list[Floats], schema: TableSchema
) -> tuple[CategoricalCodec | None, Tensor | None]:
    """Return the codec of the condition's column and the codes of the rows' classes."""
    given = schema.condition_column
    for column, own in zip(columns, encoded, strict=True):
        if given is not None and column.name == given.name:
            assert isinstance(column, CategoricalCodec)
            codes = np.nan_to_num(own, nan=len(column.levels))
            return column, torch.from_numpy(codes).long()
    return None, None


def _category(
    codec: CategoricalCodec, values: pl.Series, counts: NoisyCounts, nameable: float, rows: int
) -> tuple[ColumnCodec, Floats]:
    """Return a column of those categories that enough rows have, and the codes of the rows.

    Others share the category `RARE_LEVEL` (in a column that is no text: they are missing) if there
    are more of them than noise; if not, they count as the most frequent one.
    """
    codes = codec.encode_present(values)
    there = count_codes(codes, len(codec.levels))
    held = counts(np.append(there, np.isnan(codes).sum()))
    own = np.array([level != RARE_LEVEL for level in codec.levels], np.bool_)  # it joins the rare
    kept = own & (there > 0) & (held[:-1] > nameable)
    known, absent = held[:-1][kept], max(float(held[-1]), 0.0)
    sure = counts.above(SURE) * math.sqrt(2.0 + int(kept.sum()))
    rare = rows - float(known.sum()) - absent
    named = rare > sure and codec.dtype in (pl.String, pl.Categorical)
    missing = absent > sure or (rare > sure and not named) or not (named or bool(kept.any()))
    absent += rare if rare > sure and not named else 0.0
    levels = tuple(lv for lv, stays in zip(codec.levels, kept, strict=True) if stays)
    shares = np.append(known, rare) if named else known
    levels = (*levels, RARE_LEVEL) if named else levels
    usual = float(shares.argmax()) if len(shares) else np.nan
    other = float(len(levels) - 1) if named else np.nan if missing else usual
    place = np.where(kept, np.cumsum(kept) - 1.0, other)
    absent_code = np.nan if missing else usual
    new = np.where(
        np.isnan(codes), absent_code, np.append(place, np.nan)[_indices(codes, len(there))]
    )
    whole = np.rint(shares).clip(0).astype(np.int64)
    total = int(whole.sum()) + (round(absent) if missing else 0)
    cells = partition_categories(whole, np.ones(len(whole), np.bool_), total, missing)
    dropped = named or missing
    return replace(codec, levels=levels, drops_rare=dropped, partition=cells), new


def _indices(codes: Floats, missing: int) -> Ints:
    """Return codes as indices, `missing` for a missing one."""
    return np.where(np.isnan(codes), missing, codes).astype(np.int64)


def _grids(dtype: pl.DataType) -> list[int]:
    """Return the grids that a column may lie on, coarsest first: decimals, or units in ticks."""
    if dtype.is_decimal():
        return [dtype.scale]  # type: ignore[attr-defined]  # a decimal has one
    return list(range(DECIMALS + 2)) if is_real(dtype) else grid_units(dtype)


def _number(
    codec: ColumnCodec, values: pl.Series, counts: NoisyCounts, rows: int
) -> tuple[ColumnCodec, Floats]:
    """Return a column of numbers with noisy range, resolution and cells, and the rows' numbers."""
    assert isinstance(codec, NumericCodec)
    real, grids = is_real(codec.dtype), _grids(codec.dtype)
    finest = replace(
        codec,
        origin=0,
        unit=1,
        decimals=None if real else 0,
        missing_is_nan=False,  # which rows lack a value, and how, is theirs
        partition=Partition.empty(),
    )
    exact = finest.encode(values)
    grid = grids[0] if len(grids) == 1 else _resolution(exact, codec.dtype, counts)
    if real:
        decimals = None if grid > DECIMALS and len(grids) > 1 else grid
        scale = 1 / FINEST if decimals is None else 10.0**decimals
        steps = exact * scale if decimals is None else np.rint(exact * scale)
        found = replace(finest, decimals=decimals)
    else:
        steps, scale, found = exact // grid, 1.0, replace(finest, unit=grid)
    whole = not (real and found.decimals is None)
    cells, inside = numbers.noisy_partition(steps, counts, rows, integers=whole)
    return replace(found, partition=cells.scaled(scale)), inside / scale


def _resolution(exact: Floats, dtype: pl.DataType, counts: NoisyCounts) -> int:
    """Return the coarsest grid beyond which there is no more than noise."""
    grids, real, kind = _grids(dtype), is_real(dtype), numpy_float(dtype)
    present = exact[~np.isnan(exact)]
    need = np.full(len(present), len(grids) - 1)
    for i in reversed(range(len(grids) - 1)):
        fits = on_grid(present, 10.0 ** grids[i], kind) if real else present % grids[i] == 0
        need[fits] = i
    held = counts(np.bincount(need, minlength=len(grids)))
    beyond = held[::-1].cumsum()[::-1]  # those that need this grid or a finer one
    for i in range(1, len(grids)):
        if beyond[i] <= counts.above(SURE) * np.sqrt(len(grids) - i):
            return grids[i - 1]
    return grids[-1]


def cell_shares(schema: TableSchema) -> Tensor:
    """Return the noisy share of the rows in each cell of the space, (sum of cells,), float32."""
    parts: list[Floats] = []
    for p in schema.fine_partitions:
        cells = p.coarse.shares / max(float(p.coarse.shares.sum()), 1e-12)
        parts += [cells, cells @ p.shares] if p.digits > 1 else [cells]
    return torch.from_numpy(np.concatenate(parts)).float()
