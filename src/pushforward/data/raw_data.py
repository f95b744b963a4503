"""Raw data as a source holds them, before a schema is inferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pushforward.data.numeric import Ints
from pushforward.data.schema import SplitName
from pushforward.data.tables.text_types import TextFormats


@dataclass(frozen=True)
class RawData:
    """Raw data, and what their source says about them.

    Args:
        name: of the source, for messages and reports.
        data: a data frame, an array or a tensor.
        labels: one label per row, by the names of the label arrays; the first is the default. Of a
            file also those that do not fit the rows, behind all others.
        text_formats: how the numbers and dates of a CSV file are written.
        notes: remarks for the user.
        log_density: the true log density, for toys.
        from_folder: whether the data are images that were files of their own.
        splits: the rows of the splits that the source has, or none.
        groups: of each row (n,), where rows of a group must fall into the same split.
    """

    name: str
    data: Any
    labels: Mapping[str, Any] = field(default_factory=dict)
    text_formats: TextFormats = field(default_factory=TextFormats)
    notes: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None
    from_folder: bool = False
    splits: Mapping[SplitName, Ints] = field(default_factory=dict)
    groups: Ints | None = None
