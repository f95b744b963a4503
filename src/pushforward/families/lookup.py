"""From a name to a user's own class: `my_models.py:MyModel` or `package.module:MyModel`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from pushforward.errors import ModelError, nearest

FROM_FILE = "pushforward_user_"  # begins the module names of files that were named by their path

_recalled: dict[str, bytes] = {}  # sources of classes that another process sent, see `sources`
_copies: list[TemporaryDirectory[str]] = []  # of files that another process sent


def resolve(spec: Any) -> Any:
    """Return the class or function of that name, or the class or function itself.

    `path/to/file.py:Name` runs the file, `package.module:Name` imports the module. ModelError says
    what is missing.
    """
    if callable(spec):
        return spec
    source, colon, name = str(spec).rpartition(":")
    if not colon or not source or not name:
        msg = f"{spec!r}: expected my_file.py:MyClass or package.module:MyClass"
        raise ModelError(msg)
    module = _from_file(Path(source)) if source.endswith(".py") else _imported(source)
    return _attribute(module, name, spec)


def resolve_imported(spec: str, folder: Path) -> Any:
    """Return the class that a run's config names, without running anything from files.

    Only what Python can import by itself counts, and nothing that lies in the run's own folder.
    ModelError when it cannot be imported.
    """
    source, _, name = spec.rpartition(":")
    if source in sys.modules:
        return _attribute(sys.modules[source], name, spec)
    top = None if source.endswith(".py") else _spec_of(source.split(".")[0])
    homes = [] if top is None else [top.origin, *(top.submodule_search_locations or [])]
    inside = any(home and folder.resolve() in Path(home).resolve().parents for home in homes)
    if top is None or inside:
        msg = f"{spec!r} cannot be imported"
        raise ModelError(msg)
    return _attribute(_imported(source), name, spec)


def source_digest(*classes: Any) -> str | None:
    """Return the SHA-256 of the files in which users' own classes or functions are defined.

    None for the library's own. Of what was typed into a notebook, its text alone counts.
    """
    own = [cls for cls in classes if cls.__module__.partition(".")[0] != __name__.partition(".")[0]]
    if not own:
        return None
    sha = hashlib.sha256()
    for cls in own:
        sha.update(_source(cls))
    return sha.hexdigest()


def sources(classes: Iterable[Any]) -> dict[str, bytes]:
    """Return the sources of classes that other processes cannot look up: a script's, a notebook's.

    These are sent by value, and in the process that gets them their module is another program.
    """
    return {name_of(cls): _source(cls) for cls in classes if cls.__module__ == "__main__"}


def recall_sources(sent: Mapping[str, bytes]) -> None:
    """Take the sources of classes that another process sent."""
    _recalled.update(sent)


def user_files() -> dict[str, bytes]:
    """Return the content of the files that were run because they were named, by their paths."""
    named = [module for name, module in sys.modules.items() if name.startswith(FROM_FILE)]
    paths = [Path(module.__file__).resolve() for module in named if module.__file__]
    return {str(path): path.read_bytes() for path in paths}


def run_user_files(files: Mapping[str, bytes]) -> None:
    """Run what `user_files` gave in another process: where it lies, or a copy where it does not."""
    for name, content in files.items():
        path = Path(name)
        if not (path.is_file() and path.read_bytes() == content):
            _copies.append(TemporaryDirectory(prefix="pushforward-"))
            path = Path(_copies[-1].name) / path.name
            path.write_bytes(content)
        _from_file(path)


def _source(cls: Any) -> bytes:
    if (sent := _recalled.get(name_of(cls))) is not None:
        return sent
    file: str | None = getattr(sys.modules.get(cls.__module__), "__file__", None)
    try:
        return Path(file).read_bytes() if file else inspect.getsource(cls).encode()
    except (OSError, TypeError):  # typed into an interpreter that keeps no text
        return str(cls.__qualname__).encode()


def name_of(cls: Any) -> str:
    """Return `module:Name`, or `file.py:Name` for a class of a file that was named by its path."""
    module = sys.modules.get(cls.__module__)
    if cls.__module__.startswith(FROM_FILE) and module is not None and module.__file__:
        return f"{Path(module.__file__).name}:{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def _spec_of(package: str) -> Any:
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is run
        msg = f"cannot import {module!r}: {_reason(error)}"
        raise ModelError(msg) from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module, once for each content."""
    if not path.is_file():
        msg = f"no such file: {path}"
        raise ModelError(msg)
    name = f"{FROM_FILE}{path.stem}"
    known = sys.modules.get(name)
    stamp = (str(path.resolve()), path.stat().st_mtime_ns)
    if known is not None and getattr(known, "stamp", None) == stamp:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        msg = f"{path} cannot be run: {_reason(error)}"
        raise ModelError(msg) from error
    vars(module)["stamp"] = stamp
    return module


def _attribute(module: ModuleType, name: str, spec: str) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        own = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise ModelError(f"{spec!r} names no class: {nearest(name, own)}")
    return value
