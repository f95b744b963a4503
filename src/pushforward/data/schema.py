"""What every kind of data has in common: a schema that carries it to tensors and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pushforward.space import Space

Kind = Literal["table", "image", "array"]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Condition:
    """What a model can be conditioned on: the classes of a column or of labels."""

    name: str
    classes: tuple[str | int | float | bool | None, ...]
    frequencies: tuple[float, ...]  # of the training rows

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Condition | None:
        """Rebuild a condition from `to_json`, or None from None."""
        if data is None:
            return None
        return cls(data["name"], tuple(data["classes"]), tuple(map(float, data["frequencies"])))


class Schema(ABC):
    """How raw data become tensors and come back. Holds no row of the data; serialises to JSON.

    Four forms of the same rows:
    raw (what the user gave), encoded (a tensor from which raw comes back), compact (what lies on
    the device for training), expanded (float: what the networks read, a batch at a time; what
    models generate).
    """

    kind: ClassVar[Kind]
    condition: Condition | None

    @property
    @abstractmethod
    def space(self) -> Space:
        """The sample space of the expanded form."""

    @abstractmethod
    def encode(self, raw: Any) -> Tensor:
        """Return the encoded rows (n, ...); DataError when `raw` does not fit."""

    def compact(self, rows: Tensor) -> Tensor:
        """Return what `expand` needs of encoded rows, as small as it goes; by default they are it.

        For every schema, `expand(compact(rows))` equals `expand(rows)`.
        """
        return rows

    @abstractmethod
    def expand(self, rows: Tensor) -> Tensor:
        """Return the expanded form of encoded or compact rows, on their device, in a few steps."""

    @abstractmethod
    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows for expanded (or generated, relaxed) ones; the inverse of `expand`.

        What `expand` discards (the place within a quantile bin) is drawn anew from `generator`.
        """

    @abstractmethod
    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return raw data for encoded rows (n, ...), as the user gave it.

        `labels` (n,) are codes of the condition's classes: a table's condition column is put back
        in its place from them. `generator` draws what is generated fresh (identifiers).
        """

    @abstractmethod
    def features(self, rows: Tensor) -> Tensor:
        """Return float32 (n, d), for measures: pixels, z-scores, or ranks and one-hot."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, with `"kind"`."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """Rebuild the schema; DataError when the description is broken."""


@dataclass(frozen=True)
class Streamed:
    """All training rows of a table that is too large to be held.

    Args:
        codes: the compact rows (n, columns), in a memory-mapped file that goes with the tensor.
        labels: codes (n,) of the condition's classes, or None.
        rows: how many rows the whole table has.
    """

    codes: Tensor
    labels: Tensor | None
    rows: int


@dataclass(frozen=True)
class Dataset:
    """A user's data, encoded: rows, labels, a seeded split, a content hash.

    Of a streamed table (see `pushforward.data.tables.stream`), `rows` and what belongs to them
    hold a sample of each part; all training rows, encoded for training alone, are in `streamed`.

    Args:
        name: where it came from, for people.
        schema: how to get back.
        rows: all encoded rows (N, ...), on the CPU.
        labels: codes (N,) int64 of the condition's classes, or None.
        parts: row indices (int64) of train, validation and test.
        digest: SHA-256 of schema, rows, labels and split, hexadecimal.
        notes: what was noticed on reading (identifier columns, all-missing ones), for people.
        target: codes (N,) of known classes that are not a condition (image labels), or None.
        log_density: for toys, the true log density at raw points (n, 2), or None.
        streamed: all training rows of a table that is too large to be held, or None.
    """

    name: str
    schema: Schema
    rows: Tensor
    labels: Tensor | None
    parts: Mapping[Part, Tensor]
    digest: str
    notes: tuple[str, ...] = ()
    target: Tensor | None = None
    log_density: Callable[[Tensor], Tensor] | None = field(default=None, compare=False)
    streamed: Streamed | None = None

    def __len__(self) -> int:
        return len(self.rows) if self.streamed is None else self.streamed.rows

    def __repr__(self) -> str:
        """Say what there is, not all of it."""
        rows = ", ".join(f"{name} {n:,}" for name, n in self.sizes.items())
        notes = "".join(f"\n  {note}" for note in self.notes)
        return f"Dataset {self.name!r}: {len(self):,} rows ({rows}) of a {self.schema.kind}{notes}"

    @property
    def sizes(self) -> dict[Part, int]:
        """How many rows each part has; all of them, where `parts` has a sample."""
        held = {name: len(index) for name, index in self.parts.items()}
        return held if self.streamed is None else held | {"train": len(self.streamed.codes)}

    def part(self, name: Part) -> tuple[Tensor, Tensor | None]:
        """Return the encoded rows of one part, and their labels."""
        index = self.parts[name]
        return self.rows[index], None if self.labels is None else self.labels[index]

    def raw(self, name: Part) -> Any:
        """Return one part as the user gave it."""
        return self.schema.decode(*self.part(name))
