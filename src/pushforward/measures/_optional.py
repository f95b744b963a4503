"""Packages that are no dependency of this library, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from pushforward.errors import MeasureError


def import_optional(module: str, package: str, user: str) -> ModuleType:
    """Return a module that is not a dependency of this library."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MeasureError(
            f"{user} needs the package {package} ({error}); install it: pip install {package}"
        ) from None
