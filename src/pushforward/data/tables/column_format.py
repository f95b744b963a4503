"""How a column of the user's data frame becomes a Polars series, and comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import polars as pl


@dataclass(frozen=True)
class ColumnFormat(ABC):
    """The format of a column of the user's library; it holds no value of the data."""

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def of(cls, column: Any) -> Self | None:
        """Return the format of a column, or None where another one applies."""

    @abstractmethod
    def read(self, column: Any) -> pl.Series:
        """Return a column of this format as a Polars series."""

    @abstractmethod
    def restore(self, series: pl.Series) -> Any:
        """Return a series of the dtype that `read` gives as a column of the user's library."""

    def fits(self, dtype: pl.DataType) -> bool:  # noqa: ARG002 - by default every dtype does
        """Whether `restore` takes a dtype; an override may have made another of the column's."""
        return True

    @property
    def spells_objects(self) -> bool:
        """Whether the text that `read` gives stands for objects: other text stands for none."""
        return False

    def note(self, name: str) -> str | None:  # noqa: ARG002 - of the column, for those that have one
        """Return a note for the user, or None."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`, less the kind."""
        return cls(**data)


def rebuild(data: Mapping[str, Any], families: Iterable[type[ColumnFormat]]) -> ColumnFormat:
    """Rebuild one of several families' formats from `ColumnFormat.to_json`."""
    family = {family.kind: family for family in families}[data["kind"]]
    return family.from_json({key: value for key, value in data.items() if key != "kind"})
