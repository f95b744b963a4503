"""How names and counts are written in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def measure_label(name: str) -> str:
    """Return a measure's name as people read it: "column_shapes" is "column shapes"."""
    return name.replace("_", " ")


def joined(words: Iterable[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def times(count: int) -> str:
    """Return "once", "twice", "3 times"."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
