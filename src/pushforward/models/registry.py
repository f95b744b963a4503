"""Models by name: those of this folder, those of installed packages, and a user's own."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import pushforward.models
from pushforward.errors import ModelError
from pushforward.families.lookup import resolve
from pushforward.families.model import Model
from pushforward.models.catalogue import GROUP, HELPERS, require_name, unknown


def all_models() -> dict[str, type[Model]]:
    """Return every model by name, in alphabetical order: our own, and those of entry points."""
    return dict(sorted((_offered() | _own()).items()))


def find(model: str | type) -> type[Model]:
    """Return the class of a model.

    Args:
        model: the name of a model, a subclass of `Model`, `my_models.py:MyModel`, or
            `package.module:MyModel`.

    Raises:
        ModelError: there is none (the nearest name is suggested), or it is not a model.
    """
    if isinstance(model, str) and ":" not in model:
        own = _own()
        models = own if model in own else all_models()  # which looks at all that is installed
        if model not in models:
            raise unknown(model, models)
        return models[model]
    if not isinstance(model, str | type):
        msg = f"expected a model's name or class, got {model!r}"
        raise ModelError(msg)
    cls = resolve(model)
    if not (isinstance(cls, type) and issubclass(cls, Model)) or inspect.isabstract(cls):
        msg = f"{cls.__name__} is not a model: inherit from pushforward.Model and define `generate`"
        raise ModelError(msg)
    require_name(cls.name)
    return cls


def is_builtin(model: type[Model]) -> bool:
    """Whether a model is one of this folder's."""
    return model.__module__.startswith(f"{pushforward.models.__name__}.")


@cache
def _own() -> dict[str, type[Model]]:
    return {cls.name: cls for cls in _defined()}


def _defined() -> Iterator[type[Model]]:
    for module in pkgutil.iter_modules(
        pushforward.models.__path__, f"{pushforward.models.__name__}."
    ):
        if module.name.rpartition(".")[2] not in HELPERS:
            for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(cls, Model) and cls.__module__ == module.name:
                    yield cls


def _offered() -> dict[str, type[Model]]:
    """Return the models of entry points; one that cannot be loaded is logged and left out."""
    loaded = ((entry.name, _loaded(entry)) for entry in entry_points(group=GROUP))
    return {name: cls for name, cls in loaded if cls is not None}


def _loaded(entry: EntryPoint) -> type[Model] | None:
    try:
        return find(entry.load())
    except Exception as error:
        logging.getLogger("pushforward").warning("model %r is left out: %s", entry.name, error)
        return None
