"""The error tree. Each message says what was required, what was received, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class PushforwardError(Exception):
    """Base of everything that this library raises on purpose.

    `status` is the exit status of a command that fails so: 2 for bad usage or bad input, 1 for
    work that failed.
    """

    status: ClassVar[int] = 2


class DataError(PushforwardError):
    """The data cannot be read, or do not fit the schema."""


class ModelError(PushforwardError):
    """A model or one of its options is unknown or does not fit the data."""


class MeasureError(PushforwardError):
    """A measure was asked of samples for which it is not defined."""


class RunError(PushforwardError):
    """A run's folder is broken, belongs to something else, or training failed."""


class DivergedError(RunError):
    """Training left the finite numbers."""

    status: ClassVar[int] = 1


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a question that suggests the known name nearest to `name`, or a list of them all."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = [name if name.strip() == name and name else repr(name) for name in names]
    return f"known: {', '.join(shown) or 'none'}"
