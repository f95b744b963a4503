"""The models: one variant a file. A new file in this folder is found without being named.

`registry` imports them; `catalogue` only reads them, so that it needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushforward.models.registry import all_models, find, is_builtin

__all__ = ["all_models", "find", "is_builtin"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the registry, and torch with it, when it is first used."""
        if name in __all__:
            return getattr(import_module(f"{__name__}.registry"), name)
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
