"""Raw data as they lie in a source, before a schema is inferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pushforward.data.tables.text import Spelling


@dataclass(frozen=True)
class Loaded:
    """Raw data and what is known about them.

    Args:
        name: where they came from, for people.
        raw: a data frame, an array or a tensor.
        labels: one label a row, by the names of the label arrays; the first is the usual one.
        spelling: how numbers and dates were written in a CSV file.
        notes: what was noticed, for people.
        log_density: the true log density, of toys.
    """

    name: str
    raw: Any
    labels: Mapping[str, Any] = field(default_factory=dict)
    spelling: Spelling = field(default_factory=Spelling)
    notes: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None
