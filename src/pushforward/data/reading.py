"""How data were read: the call of `read`, as plain values, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ReadCall:
    """The source and the arguments of a call of `read`.

    Args:
        source: the path or the name of a built-in; None for data in memory.
        arguments: those that are not the defaults, as plain values; None for labels in memory.
    """

    source: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Any, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> ReadCall:
        """Return what was given that differs from the default."""
        named = str(source) if isinstance(source, str | Path) else None
        differing = {
            name: _plain(name, given[name])
            for name, default in defaults.items()
            if name != "source" and not _is_default(given[name], default)
        }
        return cls(named, differing)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"source": self.source, "arguments": dict(self.arguments)}


def _is_default(value: Any, default: Any) -> bool:
    return value is None if default is None else bool(value == default)


def _plain(name: str, value: Any) -> Any:
    """Return an argument as JSON has it; what is neither text nor a number is written as text."""
    if name == "labels":
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(name, inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(name, inner) for inner in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
