"""What every kind of data has in common: a schema that encodes it as tensors and decodes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pushforward.data.reading import ReadCall
from pushforward.space import Space

DataKind = Literal["table", "image", "array"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class ClassCondition:
    """The classes that a model can be conditioned on: those of a column or of labels.

    Args:
        name: of the column or of the labels.
        classes: in the order of their codes; None is the class of missing values.
        frequencies: the share of the training rows in each class.
    """

    name: str
    classes: tuple[str | int | float | bool | None, ...]
    frequencies: tuple[float, ...]

    def shares(self) -> Tensor:
        """Return the frequencies (classes,) in float64, of sum 1."""
        own = torch.tensor(self.frequencies, dtype=torch.float64)
        return own / own.sum()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> ClassCondition | None:
        """Rebuild a condition from `to_json`, or None from None."""
        if data is None:
            return None
        return cls(data["name"], tuple(data["classes"]), tuple(map(float, data["frequencies"])))


class Schema(ABC):
    """How raw data are encoded as tensors and decoded. Holds no row; serialises to JSON.

    The same rows have four forms:
    raw (what the user gave), encoded (a tensor that decodes to the raw rows), compact (what is kept
    on the device for training), expanded (float: the input of the networks, one batch at a time,
    and the output of the models).
    """

    kind: ClassVar[DataKind]
    condition: ClassCondition | None

    @property
    @abstractmethod
    def space(self) -> Space:
        """The sample space of the expanded form."""

    @abstractmethod
    def encode(self, raw: Any) -> Tensor:
        """Return the encoded rows (n, ...); DataError when `raw` does not fit."""

    def compact(self, rows: Tensor) -> Tensor:
        """Return the smallest form of encoded rows that `expand` takes; by default themselves.

        For every schema, `expand(compact(rows))` equals `expand(rows)`.
        """
        return rows

    @abstractmethod
    def expand(self, rows: Tensor) -> Tensor:
        """Return the expanded form of encoded or compact rows, on their device, in a few steps."""

    @abstractmethod
    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows for expanded (or generated, relaxed) ones; the inverse of `expand`.

        What `expand` discards (the position within a quantile bin) is drawn from `generator`.
        """

    @abstractmethod
    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return raw data for encoded rows (n, ...), in the user's own format.

        `labels` (n,) are codes of the condition's classes: they fill the condition column of a
        table. `generator` draws the identifiers.
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
class StreamedRows:
    """All training rows of a table that is too large for memory.

    Args:
        codes: the compact rows (n, columns), in a memory-mapped file that is deleted with the
            tensor.
        labels: codes (n,) of the condition's classes, or None.
        total: the number of rows of the whole table.
    """

    codes: Tensor
    labels: Tensor | None
    total: int


@dataclass(frozen=True)
class Dataset:
    """A user's data, encoded: rows, labels, a seeded split, a content hash.

    For a streamed table (see `pushforward.data.tables.stream`), `rows`, `labels` and `splits` hold
    a sample of each split; all training rows, encoded for training alone, are in `streamed`.

    Args:
        name: of the source, for messages and reports.
        schema: how the rows were encoded.
        rows: all encoded rows (N, ...), on the CPU.
        labels: codes (N,) int64 of the condition's classes, or None.
        splits: row indices (int64) of train, validation and test.
        digest: SHA-256 of schema, rows, labels and split, hexadecimal.
        notes: remarks for the user (identifier columns, columns without values).
        log_density: for toys, the true log density at raw points (n, 2), or None.
        streamed: all training rows of a table that is too large for memory, or None.
        reading: the call of `read` that gave them.
    """

    name: str
    schema: Schema
    rows: Tensor
    labels: Tensor | None
    splits: Mapping[SplitName, Tensor]
    digest: str
    notes: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = field(default=None, compare=False)
    streamed: StreamedRows | None = None
    reading: ReadCall = field(default=ReadCall(), compare=False)

    def __len__(self) -> int:
        return len(self.rows) if self.streamed is None else self.streamed.total

    def __repr__(self) -> str:
        """Summarise the data in one line, and one line for each note."""
        rows = ", ".join(f"{name} {n:,}" for name, n in self.sizes.items())
        notes = "".join(f"\n  {note}" for note in self.notes)
        kind = {"table": "a table", "image": "images", "array": "an array"}[self.schema.kind]
        return f"Dataset {self.name!r}: {len(self):,} rows ({rows}) of {kind}{notes}"

    @property
    def sizes(self) -> dict[SplitName, int]:
        """The number of rows of each split, all of them where `splits` holds a sample."""
        in_memory = {name: len(index) for name, index in self.splits.items()}
        return (
            in_memory if self.streamed is None else in_memory | {"train": len(self.streamed.codes)}
        )

    def subset(self, name: SplitName) -> tuple[Tensor, Tensor | None]:
        """Return the encoded rows of one split, and their labels."""
        index = self.splits[name]
        return self.rows[index], None if self.labels is None else self.labels[index]

    def raw(self, name: SplitName) -> Any:
        """Return one split in the user's own format."""
        return self.schema.decode(*self.subset(name))
