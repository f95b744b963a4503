"""The models: one variant a file. A new file in this folder is found without being named."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from pushforward.errors import ModelError, nearest
from pushforward.families.model import Model


def all_models() -> dict[str, type[Model]]:
    """Return every model by name, in alphabetical order."""
    found: dict[str, type[Model]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Model) and cls.__module__ == module.name:
                found[cls.name] = cls
    return dict(sorted(found.items()))


def find(name: str) -> type[Model]:
    """Return the model of that name; ModelError suggests the nearest for an unknown one."""
    models = all_models()
    if name not in models:
        msg = f"unknown model {name!r}: {nearest(name, models)}"
        raise ModelError(msg)
    return models[name]
