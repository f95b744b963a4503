"""What models there are and which options they have, without importing them, nor torch.

A model's name, place and reference are literals of its class; its options are the annotated
keyword-only arguments of the constructors of the classes that it inherits from. Both are read from
the source files: of each class a skeleton is made, with the same bases, so that Python itself
finds the order in which they are looked up. What cannot be read so is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pushforward.errors import ModelError, nearest
from pushforward.families import options
from pushforward.families.options import Option, read_option

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[1]
GROUP = "pushforward.models"  # the entry points by which an installed package offers its models
NAME = re.compile(r"\w[\w.+-]*")  # of a model, and of the folders of its runs
HELPERS = ("registry", "catalogue")
LITERALS = ("name", "place", "reference")
# What the annotation of an option may consist of: types, and bounds such as `at_least(0)`.
ANNOTATIONS = {t.__name__: t for t in (bool, int, float, str, type)} | vars(options)
ANNOTATIONS |= {"Annotated": Annotated, "__builtins__": {}}


@dataclass(frozen=True)
class Entry:
    """A model, described.

    Args:
        name: its name.
        place: where its measure sits, and the kind of measure.
        reference: the papers that it follows.
        summary: what it does, in a line.
        options: the keyword arguments of its constructor, by name.
    """

    name: str
    place: tuple[str, str]
    reference: str
    summary: str
    options: Mapping[str, Option]

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        options = {
            name: {"type": o.type.__name__, "default": o.default, "help": o.help}
            for name, o in self.options.items()
        }
        plain = {"place": list(self.place), "reference": self.reference, "summary": self.summary}
        return plain | {"options": options}


class _UnreadableError(Exception):
    """A source file says something that has to be run to be known."""


@cache
def builtin_models() -> dict[str, Entry]:
    """Return every model of this package by name, in alphabetical order."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    modules = [f"{__package__}.{path.stem}" for path in files if path.stem not in HELPERS]
    entries = [entry for module in modules for entry in _entries(module)]
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}


def installed_models() -> dict[str, str]:
    """Return where the models of installed packages are (`module:Class`), by name."""
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


def describe(model: str) -> Entry:
    """Return what is known of a model.

    Args:
        model: a name, or a user's own class: `my_models.py:MyModel`, `package.module:MyModel`.
            Only the latter, and models of other packages, are imported.

    Raises:
        ModelError: there is no such model (the nearest name is suggested), or no such file.
    """
    if model in builtin_models():
        return builtin_models()[model]
    if ":" not in model and model not in installed_models():
        raise unknown(model, [*builtin_models(), *installed_models()])
    _require_source(model)
    from pushforward.models.registry import find

    return _described(find(model))


def require_name(name: Any) -> None:
    """Raise ModelError for what a model cannot be called."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        msg = f"a model cannot be called {name!r}: letters, digits and . + - _ make a name"
        raise ModelError(msg)


def unknown(model: str, known: Iterable[str]) -> ModelError:
    """Return the error for a name that no model has."""
    if model.endswith(".py"):
        return ModelError(f"{model!r} names a file: name the class in it, {model}:MyModel")
    return ModelError(f"unknown model {model!r}: {nearest(model, known)}")


def _require_source(model: str) -> None:
    """Raise ModelError when the file or the package of `source:Class` is missing."""
    source = model.rpartition(":")[0]
    if source.endswith(".py") and not Path(source).is_file():
        msg = f"no such file: {source}"
        raise ModelError(msg)
    package = source.partition(".")[0]
    if source and not source.endswith(".py") and importlib.util.find_spec(package) is None:
        msg = f"cannot import {source!r}: no module named {package!r}"
        raise ModelError(msg)


def _described(cls: Any) -> Entry:
    """Return what a class that is imported says of itself."""
    summary = _summary(inspect.getdoc(sys.modules[cls.__module__]) or inspect.getdoc(cls))
    return Entry(cls.name, cls.place, cls.reference, summary, cls.options())


def _summary(docstring: str | None) -> str:
    """Return the first line of what the file of a model says of it."""
    return (docstring or "").partition("\n")[0]


def _entries(module: str) -> list[Entry]:
    """Return the models that a module defines, read from its source; if need be, import it."""
    try:
        return list(_read(module))
    except _UnreadableError:
        from pushforward.models.registry import all_models

        return [_described(cls) for cls in all_models().values() if cls.__module__ == module]


def _read(module: str) -> Iterator[Entry]:
    model = _skeleton("pushforward.families.model", "Model")
    for node in parse(module).body:
        skeleton = _skeleton(module, node.name) if isinstance(node, ast.ClassDef) else object
        if issubclass(skeleton, model):
            yield Entry(
                options=_options(base for base in skeleton.__mro__ if issubclass(base, model)),
                summary=_summary(ast.get_docstring(parse(module))),
                **{key: getattr(skeleton, key) for key in LITERALS},
            )


def _options(lineage: Iterable[type]) -> dict[str, Option]:
    """Return the options of classes, those of the first class first; it takes precedence."""
    known: dict[str, Option] = {}
    for cls in lineage:
        for name, option in vars(cls)["own_options"].items():
            known.setdefault(name, option)
    return known


@cache
def parse(module: str) -> ast.Module:
    """Return the syntax tree of a module of this package."""
    parts = module.split(".")[1:]
    path = ROOT.joinpath(*parts, "__init__.py")
    if not path.exists():
        path = ROOT.joinpath(*parts).with_suffix(".py")
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as error:
        raise _UnreadableError(module) from error


@cache
def _skeleton(module: str, name: str) -> type:
    """Return a class with the bases, literals and options of one that a module defines or imports.

    A class from outside the package has no options, and is an `object` here.
    """
    if module.partition(".")[0] != PACKAGE:
        return object
    for node in parse(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            bases = [_skeleton(*_origin(module, ast.unparse(base))) for base in node.bases]
            inner = tuple(base for base in bases if base is not object)
            return type(name, inner, {**_literals(node), "own_options": _own_options(node)})
    home = _imported(module).get(name)
    if home is None:
        raise _UnreadableError(f"{module}.{name}")
    return _skeleton(*home)


def _origin(module: str, base: str) -> tuple[str, str]:
    """Return the module and the name of a base class that is written `Name` or `alias.Name`."""
    head, dot, rest = base.partition("[")[0].partition(".")
    if not dot:
        return module, head
    home, name = _imported(module).get(head, (head, ""))
    path = ".".join(part for part in (home, name, rest) if part)
    return path.rpartition(".")[0], path.rpartition(".")[2]


@cache
def _imported(module: str) -> dict[str, tuple[str, str]]:
    """Return the names that a module imports at its top, each with its home and its name there."""
    names = {}
    for node in parse(module).body:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = (node.module or "", alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
    return names


def _literals(cls: ast.ClassDef) -> dict[str, Any]:
    """Return the class variables that describe a model; without a name it has the class's own."""
    given = {}
    for node in cls.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in LITERALS:
                given[target.id] = _literal(node.value)
    return given | {"name": given.get("name") or cls.name}


def _own_options(cls: ast.ClassDef) -> dict[str, Option]:
    """Return the annotated keyword-only arguments of a class's own constructor."""
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            return {a.arg: read_option(a.arg, _hint(a), _literal(value)) for a, value in given}
    return {}


def _hint(argument: ast.arg) -> Any:
    """Return an argument's annotation; it may only consist of types, texts and bounds."""
    if argument.annotation is None:
        raise _UnreadableError(argument.arg)
    try:
        return _evaluated(argument.annotation)
    except (KeyError, TypeError, ValueError) as error:
        raise _UnreadableError(argument.arg) from error


def _evaluated(node: ast.expr) -> Any:
    """Return what an annotation says, by the names of `ANNOTATIONS` alone."""
    match node:
        case ast.Name(name):
            return ANNOTATIONS[name]
        case ast.Tuple(parts):
            return tuple(_evaluated(part) for part in parts)
        case ast.Subscript(kind, inner):
            return _evaluated(kind)[_evaluated(inner)]
        case ast.BinOp(left, ast.BitOr(), right):
            return _evaluated(left) | _evaluated(right)
        case ast.Call(function, arguments, []):
            return _evaluated(function)(*(_evaluated(a) for a in arguments))
        case _:
            return ast.literal_eval(node)


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError as error:
        raise _UnreadableError(ast.unparse(node) if node else "") from error
