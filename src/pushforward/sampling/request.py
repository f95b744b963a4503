"""What a user asks of a sample: how many rows, of which class, under which condition, how balanced.

Whatever is asked becomes one stream of encoded rows, in blocks; it is taken whole, in chunks of any
size, or into a file, and is the same each time.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema, write
from pushforward.data.tables.where import Where, observed_values, parse_where, restrict
from pushforward.data.write import streams, write_stream
from pushforward.errors import ModelError, require_one_column
from pushforward.families.model import Model
from pushforward.families.options import Option, at_least, between, check_value
from pushforward.files import refuse_occupied
from pushforward.random import Stream, derived_seed, fresh_seed, generator
from pushforward.sampling.balanced import even, even_labels, mixed
from pushforward.sampling.blocks import Block, chosen_labels, imagined
from pushforward.sampling.conditional import Conditioner, Hits
from pushforward.sampling.kept import KeptShare
from pushforward.sampling.streams import joined, regrouped

CHUNK = 2**16  # rows that are turned into a data frame at once
FEW = 0.1  # effective rows, as a share of the rows, below which a sample is doubtful
COUNT = Option("n", int, 1, optional=False, help="How many rows.", limits=at_least(1))
SEED = Option("seed", int, None, optional=True, help="", limits=between(0, 2**63 - 1))


@dataclass(frozen=True)
class SampleInfo:
    """What is known of a sample besides its rows.

    Args:
        seed: the seed that gives the same rows again.
        labels: the class of each row where the rows do not hold it (images, arrays), or None.
        hits: for rows under a condition on columns, how they were obtained, or None.
    """

    seed: int
    labels: list[Any] | None
    hits: Hits | None


@dataclass
class SampleRequest:
    """One sample of a model, not drawn yet.

    Args:
        model: the network, with the weights to draw from.
        schema: how its rows become the user's data.
        n: how many rows.
        seed: they depend on it alone; None draws one.
        condition: one class, or a sequence of n.
        where: conditions on the rows, by column: see `Fitted.sample`.
        balance: the column whose categories shall all be equally frequent; columns are called by
            the labels of the user's table, which become their names.
        conditioners: what draws under a condition, each with the rows it was asked for.
    """

    model: Model
    schema: Schema
    n: int
    seed: int | None = None
    condition: Any = None
    where: Where | None = None
    balance: Any = None
    conditioners: list[tuple[Conditioner, int]] = field(default_factory=list)
    source: int = field(init=False)  # the seed that is used

    def __post_init__(self) -> None:
        self.n = check_value(COUNT, self.n)
        seed = check_value(SEED, self.seed)
        self.source = fresh_seed() if seed is None else seed
        if self.condition is not None and (self.where or self.balance):
            msg = "condition= goes with neither where= nor balance=; name its column in where"
            raise ModelError(msg)
        if isinstance(self.schema, TableSchema):
            name_of = self.schema.frame_format.name_of
            self.where = {name_of(label): values for label, values in (self.where or {}).items()}
            require_one_column("balance", self.balance, ModelError)
            self.balance = None if self.balance is None else name_of(self.balance)
        elif self.where:
            msg = f"where= takes tables, got {self.schema.kind} data; name a class by condition="
            raise ModelError(msg)

    def blocks(self) -> Iterator[Block]:
        """Return the encoded rows and their labels, in blocks of any size."""
        self.conditioners = []
        if self.balance is not None:
            return self._balanced(self.balance)
        if self.where:
            return self._restricted(self.where, self.n, self.source)
        own = self.condition
        labels = None if own is None else chosen_labels(self.schema.condition, self.n, own)
        return imagined(self.model, self.schema, self.n, self.source, labels)

    def draw(self) -> Block:
        """Return all encoded rows."""
        return joined(self.blocks())

    def take(self) -> tuple[Any, SampleInfo]:
        """Return raw data as the data came in, and what is known of them."""
        rows, labels = self.draw()
        raw = self.schema.decode(rows, labels, self._fresh())
        self._warn()
        return raw, SampleInfo(self.source, self._classes(labels), self.hits)

    def _classes(self, labels: Tensor | None) -> list[Any] | None:
        """Return the classes of codes; None for tables, whose rows hold them."""
        condition = self.schema.condition
        if labels is None or condition is None or self.schema.kind == "table":
            return None
        return [condition.classes[int(code)] for code in labels]

    def stream(self, chunk: int = CHUNK) -> Iterator[Any]:
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

        Afterwards `hits` and `doubts` say how rows under a condition were obtained.
        """
        if streams(path) and self.schema.kind != "image":
            return write_stream(self._chunks(CHUNK), path, self.schema)
        if self.schema.kind == "image" and not Path(path).suffix:
            refuse_occupied(Path(path))  # before images are drawn for it
        raw, info = self.take()
        return write(raw, path, info.labels, self.schema)

    @property
    def hits(self) -> Hits | None:
        """How rows under one condition were obtained, once they are drawn."""
        return self.conditioners[0][0].hits if len(self.conditioners) == 1 else None

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
        for rows, labels in regrouped(self.blocks(), itertools.repeat(chunk)):
            if isinstance(self.schema, TableSchema):
                yield self.schema.frame(rows, labels, self._fresh(), first)
            else:
                yield self.schema.decode(rows, labels, self._fresh())
            first += len(rows)

    def _fresh(self) -> torch.Generator:
        """Return what identifiers are drawn from: the same for every chunk."""
        return generator(self.source)

    def _restricted(self, where: Where, n: int, seed: int) -> Iterator[Block]:
        """Return n rows under a condition."""
        schema = self._table("where")
        conditioner = Conditioner(self.model, schema, restrict(schema, where), seed, self._kept)
        self.conditioners.append((conditioner, n))
        return conditioner.rows(n)

    @cached_property
    def _kept(self) -> KeptShare:
        """Which share of rows is kept."""
        return KeptShare.of(self.model, self._table("where"), self.source)

    def _balanced(self, name: str) -> Iterator[Block]:
        """Return as many rows of each category of a column, in any order."""
        condition, where = self.schema.condition, self.where or {}
        if condition is not None and condition.name == name and not where:
            labels = even_labels(condition, self.n, self.source)
            return imagined(self.model, self.schema, self.n, self.source, labels)
        if name in where:
            raise ModelError(f"balance: column {name!r} is restricted by where= already")
        values = observed_values(self._table("balance"), name)
        shares = zip(values, even(self.n, len(values)), strict=True)
        counts = [(value, n) for value, n in shares if n]
        sources = [
            self._restricted(
                {**where, name: value}, n, derived_seed(self.source, Stream.CATEGORIES, k)
            )
            for k, (value, n) in enumerate(counts)
        ]
        return mixed(sources, [n for _, n in counts], self.source)

    def _table(self, what: str) -> TableSchema:
        if isinstance(self.schema, TableSchema):
            return self.schema
        msg = f"{what}= takes a table's column, got {self.schema.kind} data"
        raise ModelError(f"{msg}; fit with condition= to balance by its classes")


def where_from_texts(texts: Sequence[str], schema: Schema) -> Where | None:
    """Read `--where` options; ModelError for data that are no table."""
    if not texts:
        return None
    if not isinstance(schema, TableSchema):
        raise ModelError(f"--where takes tables, got {schema.kind} data; use --condition")
    return parse_where(texts, schema)
