"""What a user asks of a sample: how many rows, of which class, under which condition, how balanced.

Whatever is asked becomes one stream of encoded rows, in parts; it is taken whole, in chunks of any
size, or into a file, and is the same each time.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema, write
from pushforward.data.tables.where import Where, observed_values, parse_where, restrict
from pushforward.data.write import streams, write_stream
from pushforward.errors import ModelError
from pushforward.families.model import Model
from pushforward.sampling.blocks import (
    BLOCK,
    Part,
    block_seed,
    chosen_labels,
    even,
    even_labels,
    imagined,
    joined,
    regrouped,
    shuffled,
)
from pushforward.sampling.conditional import Conditional, Conditioner, Hits

STREAMED = 2**16  # rows that are turned into a data frame at once
FEW = 0.1  # effective rows, as a share of the rows, below which a sample is doubtful


@dataclass
class Sampling:
    """One sample of a model, not drawn yet.

    Args:
        model: the network, with the weights to draw from.
        schema: how its rows become the user's data.
        n: how many rows.
        seed: they depend on it alone.
        condition: one class, or a sequence of n.
        where: which values are wanted, by column: see `Fitted.sample`.
        balance: the column whose categories shall all be equally frequent.
        conditioners: what draws under a condition, each with the rows it was asked for.
    """

    model: Model
    schema: Schema
    n: int
    seed: int
    condition: Any = None
    where: Where | None = None
    balance: str | None = None
    conditioners: list[tuple[Conditioner, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ModelError(f"the number of samples must be at least 1, got {self.n}")
        if self.condition is not None and (self.where or self.balance):
            msg = "condition= goes with neither where= nor balance=; name its column in where"
            raise ModelError(msg)
        if self.where and not isinstance(self.schema, TableSchema):
            msg = f"where= takes tables, got {self.schema.kind} data; name a class by condition="
            raise ModelError(msg)

    def parts(self) -> Iterator[Part]:
        """Return the encoded rows and their labels, in parts of any size."""
        self.conditioners = []
        if self.balance is not None:
            return self._balanced(self.balance)
        if self.where:
            return self._restricted(self.where, self.n, self.seed)
        own = self.condition
        labels = None if own is None else chosen_labels(self.schema.condition, self.n, own)
        return imagined(self.model, self.schema, self.n, self.seed, labels)

    def draw(self) -> Part:
        """Return all encoded rows."""
        return joined(self.parts())

    def labelled(self) -> tuple[Any, list[Any] | None]:
        """Return raw data, and each row's class where the rows do not hold it."""
        rows, labels = self.draw()
        raw = self.schema.decode(rows, labels, self._fresh())
        self._warn()
        known = self.schema.condition
        if labels is None or known is None or self.schema.kind == "table":
            return raw, None
        return raw, [known.classes[int(code)] for code in labels]

    def conditional(self) -> Conditional:
        """Return raw data, and how they were come by."""
        frame, _ = self.labelled()
        return Conditional(**asdict(self.hits), frame=frame)

    def stream(self, chunk: int = STREAMED) -> Iterator[Any]:
        """Yield raw data, `chunk` rows at a time."""
        for part in self._chunks(chunk):
            yield (
                self.schema.frame_format.restore(part)
                if isinstance(self.schema, TableSchema)
                else part
            )
        self._warn()

    def write(self, path: str | Path) -> Path:
        """Write raw data by the ending of the path; tables and arrays with flat memory.

        Afterwards `told` and `doubts` say how rows under a condition were come by.
        """
        if streams(path) and self.schema.kind != "image":
            return write_stream(self._chunks(STREAMED), path, self.schema)
        raw, labels = self.labelled()
        return write(raw, path, labels, self.schema)

    @property
    def told(self) -> list[str]:
        """How rows under one condition were come by, once they are drawn, for people."""
        return [str(self.hits)] if len(self.conditioners) == 1 else []

    @property
    def hits(self) -> Hits:
        """How rows under one condition were come by, once they are drawn."""
        ((conditioner, _),) = self.conditioners
        return conditioner.hits

    @property
    def doubts(self) -> list[str]:
        """Where rows that are drawn are worth few independent ones."""
        return [
            f"{n} rows are worth {conditioner.hits.effective:.0f} independent ones: the model "
            f"meets the condition on {', '.join(map(repr, conditioner.names))} with probability "
            f"{conditioner.hits.hit_rate:.1g}; widen it, ask for fewer rows, or fit with "
            "condition= on one of these columns"
            for conditioner, n in self.conditioners
            if conditioner.hits.effective < FEW * n
        ]

    def _warn(self) -> None:
        for doubt in self.doubts:
            warnings.warn(doubt, stacklevel=4)

    def _chunks(self, chunk: int) -> Iterator[Any]:
        """Yield raw data in chunks, of a table as Polars frames, whatever the user's make."""
        if chunk < 1:
            raise ModelError(f"a chunk must hold at least 1 row, got {chunk}")
        first = 0
        for rows, labels in regrouped(self.parts(), itertools.repeat(chunk)):
            if isinstance(self.schema, TableSchema):
                yield self.schema.frame(rows, labels, self._fresh(), first)
            else:
                yield self.schema.decode(rows, labels, self._fresh())
            first += len(rows)

    def _fresh(self) -> torch.Generator:
        """Return what identifiers are drawn from: the same for every chunk."""
        return torch.Generator().manual_seed(self.seed)

    def _restricted(self, where: Where, n: int, seed: int) -> Iterator[Part]:
        """Return n rows under a condition."""
        schema = self._table("where")
        conditioner = Conditioner(self.model, schema, restrict(schema, where), seed)
        self.conditioners.append((conditioner, n))
        return conditioner.rows(n)

    def _balanced(self, name: str) -> Iterator[Part]:
        """Return as many rows of each category of a column, in any order."""
        condition, where = self.schema.condition, self.where or {}
        if condition is not None and condition.name == name and not where:
            labels = even_labels(condition, self.n, self.seed)
            return imagined(self.model, self.schema, self.n, self.seed, labels)
        if name in where:
            raise ModelError(f"balance: column {name!r} is restricted by where= already")
        values = observed_values(self._table("balance"), name)
        shares = zip(values, even(self.n, len(values)), strict=True)
        counts = [(value, n) for value, n in shares if n]
        sources = [
            self._restricted({**where, name: value}, n, block_seed(self.seed, k, 0))
            for k, (value, n) in enumerate(counts)
        ]
        return self._mixed(sources, [n for _, n in counts])

    def _mixed(self, sources: list[Iterator[Part]], counts: list[int]) -> Iterator[Part]:
        """Yield the rows of all sources, a share of each at a time, in random order."""
        blocks = -(-self.n // BLOCK)
        taps = [
            regrouped(source, even(n, blocks)) for source, n in zip(sources, counts, strict=True)
        ]
        for k, some in enumerate(zip(*taps, strict=True)):
            rows, labels = joined(some)
            order = shuffled(len(rows), block_seed(self.seed, k, 1))
            yield rows[order], _ordered(labels, order)

    def _table(self, what: str) -> TableSchema:
        if isinstance(self.schema, TableSchema):
            return self.schema
        msg = f"{what}= takes a table's column, got {self.schema.kind} data"
        raise ModelError(f"{msg}; fit with condition= to balance by its classes")


def _ordered(labels: Tensor | None, order: Tensor) -> Tensor | None:
    return None if labels is None else labels[order]


def spoken(texts: Sequence[str], schema: Schema) -> Where | None:
    """Read `--where` options; ModelError for data that are no table."""
    if not texts:
        return None
    if not isinstance(schema, TableSchema):
        raise ModelError(f"--where takes tables, got {schema.kind} data; use --condition")
    return parse_where(texts, schema)
