r"""The likelihood of a table's rows under a model: bits a row, on the table's cells.

A row's cells (atoms, quantile bins and their fine digits) are categories, and so is its class: the
probability of a row is a number below 1, with the same unit for every model of one table. Where
within its cell a number lies is no model's own, and not counted. With codes z_k of `guide`,

    log p(x, c) >= log p(c) + E log 1/K sum_k p(x | z_k, c) p(z_k | c) / m(z_k)

in expectation (Burda et al. 2016): a bound that grows tighter with K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.data.numeric import Floats
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.constraints import PartsStep
from pushforward.errors import DataError, ModelError
from pushforward.families.decoders import WithDecoder
from pushforward.families.model import Model
from pushforward.measures._intervals import Z
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import block_size, one_hot
from pushforward.sampling.guide import guided_codes
from pushforward.space import Cells

CODES = 16  # of each row
HELD_OUT = 1000  # rows that the mean is taken over, at most
NATS = math.log(2)  # in a bit


def has_likelihood(model: Model) -> bool:
    """Whether a model of tables knows the probability of a row, given its code."""
    return isinstance(model.space, Cells) and isinstance(model, WithDecoder) and not model.implicit


@torch.no_grad()
def log_likelihood(
    model: Model,
    schema: TableSchema,
    rows: Tensor,
    labels: Tensor | None,
    *,
    codes: int = CODES,
    seed: int = 0,
) -> Tensor:
    """Return the bound on log2 p of encoded rows (n, columns) and their classes, (n,), in bits.

    ModelError for a model without a likelihood.
    """
    if not (has_likelihood(model) and isinstance(model, WithDecoder)):
        raise ModelError(
            f"model {model.name!r} has no likelihood: it draws rows and knows no probability of "
            "one; a VAE has one, e.g. fit(data, 'vae')"
        )
    if codes < 1:
        raise ModelError(f"codes must be at least 1, got {codes}")
    parts = []
    for number, index in enumerate(
        torch.arange(len(rows)).split(max(1, block_size(schema) // codes))
    ):
        x = schema.expand(rows[index].to(model.device))
        own = None if labels is None else labels[index].repeat_interleave(codes)
        c = None if own is None else one_hot(own, model.classes, model.device)
        with isolated(model.device, derived_seed(seed, Stream.BLOCKS, number)):
            z, log_w = guided_codes(model, x, c, codes)
            log_p = model.decode(z, c).log_prob(x.repeat_interleave(codes, 0)).double()
        whole = (log_p + log_w).view(-1, codes).logsumexp(1) - math.log(codes)
        parts.append(whole.cpu() + _log_class(schema, labels, index))
    return torch.cat(parts) / NATS if parts else torch.zeros(0, dtype=torch.float64)


def _log_class(schema: TableSchema, labels: Tensor | None, index: Tensor) -> Tensor:
    """Return log p(c) of rows (b,), 0 without a condition."""
    if labels is None or schema.condition is None:
        return torch.zeros(len(index), dtype=torch.float64)
    return schema.condition.shares()[labels[index].cpu()].log()


def refuse_out_of_range(schema: TableSchema, rows: Tensor) -> None:
    """Raise DataError for a number beyond those of the training rows, whose cells end there."""
    steps = {name: step for step in schema.constraint_set.parts for name in step.names}
    at = {column.name: i for i, column in enumerate(schema.columns)}
    for column in schema.columns:
        low, high = column.partition.extent
        values, step = rows[:, at[column.name]], steps.get(column.name)
        outside = (values < low) | (values > high)
        if step is not None:  # the finer parts of a missing value are those of another row
            outside &= ~rows[:, at[step.names[0]]].isnan()
        if column.kind == "numeric" and len(column.partition.cell) and bool(outside.any()):
            row = int(outside.nonzero()[0])
            if step is None:
                name, wrong = column.name, _beyond(column, float(values[row]), (low, high))
            else:
                parts = rows[row, [at[part] for part in step.names]].numpy()
                name, wrong = step.column.name, _beyond_part(step, column, parts)
            raise DataError(
                f"column {name!r}, row {row + 1}: {wrong}; drop such rows, or count them as the "
                "nearest of these by clip=True (--clip)"
            )


def _beyond_part(step: PartsStep, part: ColumnCodec, numbers: Floats) -> str:
    """Return what is wrong with a value, one of whose parts (parts,) lies beyond the others'."""
    at = step.names.index(part.name)
    table = np.repeat(numbers[:, None], 3, axis=1).astype(np.int64)  # as it is, at either end
    table[at, 1:] = part.partition.extent
    whole, *ends = replace(step, extent=(-math.inf, math.inf)).join(list(table))
    if at == 0:
        return _beyond(step.column, whole, step.column.partition.extent)
    return _beyond(step.column, whole, ends, f" in its part {step.descriptions[at]!r}: here")


def _beyond(column: ColumnCodec, number: float, ends: Sequence[float], which: str = ",") -> str:
    wrong, low, high = column.decode(np.array([number, *ends]))
    return f"{wrong} is out of the range of the training rows{which} {low} to {high}"


def held_out_bits(
    model: Model, schema: Schema, rows: Tensor, labels: Tensor | None
) -> HeldOutBits | None:
    """Return bits a row of the first held-out rows, encoded; None for a model without a likelihood.

    Numbers beyond those of the training rows count as the nearest of these.
    """
    if not (isinstance(schema, TableSchema) and has_likelihood(model) and len(rows)):
        return None
    own = None if labels is None else labels[:HELD_OUT]
    log_p = log_likelihood(model, schema, rows[:HELD_OUT], own)
    return HeldOutBits.of(log_p) if bool(log_p.isfinite().all()) else None


@dataclass(frozen=True)
class HeldOutBits:
    """Bits a row on held-out rows: the mean of -log2 p.

    Args:
        value: the mean over the rows; no less than the truth in expectation.
        error: its standard error, of rows and codes; None for one row.
        rows: how many.
    """

    value: float
    error: float | None
    rows: int

    @classmethod
    def of(cls, log_p: Tensor) -> HeldOutBits:
        """Return the mean of the rows' log2 p (n,); DataError for no rows."""
        n = len(log_p)
        if not n:
            raise DataError("bits a row need at least one row, got none")
        error = float(log_p.std()) / math.sqrt(n) if n > 1 else None
        return cls(-float(log_p.mean()), error, n)

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {Z * self.error:.2f}"
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        return (
            f"{self.value:.2f}{error} bits a row ({rows}): an upper bound, by importance sampling "
            "over codes"
        )
