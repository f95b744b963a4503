"""The error tree. Each message says what was required, what was received, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable
from typing import ClassVar

MAX_LISTED = 8  # names in a message, at most
MAX_LENGTH = 40  # characters of each of them, at most


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


class LostError(RunError):
    """Workers died, so that some runs of a comparison are missing."""

    status: ClassVar[int] = 1


def out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, that of a GPU included."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def require_one_column(option: str, given: object, error: type[PushforwardError]) -> None:
    """Raise this error for a list of columns where an option takes the name of one."""
    if not isinstance(given, Hashable):
        kind = type(given).__name__
        raise error(f"{option}= takes the name of one column, got a {kind}; name one")


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a question that suggests the known name nearest to `name`, or a list of some."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names)
    if not close:
        return f"known: {listed(names)}"

    def likeness(other: str) -> tuple[float, bool]:
        """Of names that are as near, two letters that were exchanged are the likelier slip."""
        ratio = difflib.SequenceMatcher(None, other, str(name)).ratio()
        return ratio, sorted(other) == sorted(str(name))

    return f"did you mean {quoted(max(close, key=likeness))}?"


def listed(names: Iterable[object]) -> str:
    """Return names in quotes, so that blanks show: the first few, and how many more there are."""
    every = list(names)
    shown = every if len(every) <= MAX_LISTED else every[: MAX_LISTED - 2]
    more = f" and {len(every) - len(shown):,} more" if len(shown) < len(every) else ""
    return ", ".join(map(quoted, shown)) + more or "none"


def quoted(name: object) -> str:
    """Return a name in quotes, a long one cut: a category may be a whole page of text."""
    text = str(name)
    return repr(text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…")
