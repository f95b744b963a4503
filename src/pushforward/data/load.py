"""Raw data out of files, folders, built-ins and objects."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pushforward.data import builtin
from pushforward.data.folders import read_folder
from pushforward.data.loaded import Loaded
from pushforward.data.numeric import Array
from pushforward.data.tables.stream import Source
from pushforward.data.tables.text import read_csv
from pushforward.errors import DataError, nearest

MAGIC = b"\x93NUMPY"
LARGE = 1_000_000  # rows from which on a Parquet file is streamed


def load(source: Any, *, key: str | None = None) -> Loaded:
    """Return the raw data of a path, the name of a built-in, or an object that holds them.

    The name of a built-in goes before a path; write `./digits` for a folder of that name.
    """
    if not isinstance(source, str | Path):
        return Loaded(type(source).__name__, source)
    if str(source) in builtin.names() or str(source).startswith(builtin.OPENML):
        return builtin.load_builtin(str(source))
    path = Path(source)
    if not path.exists():
        known = nearest(str(source), builtin.names())
        raise DataError(f"no such file or built-in: {str(source)!r}; {known}")
    return _load_path(path, key)


def read_raw(source: Any, *, key: str | None = None) -> Any:
    """Return the raw rows of a source alone: a data frame, images or an array."""
    raw = load(source, key=key).raw
    return raw.scan.collect() if isinstance(raw, Source) else raw


def _load_path(path: Path, key: str | None) -> Loaded:
    """Return the raw data of a file or folder, by its ending."""
    if path.is_dir():
        images, folders = read_folder(path)
        return Loaded(str(path), images, labels={} if folders is None else {"folder": folders})
    ending = path.suffix.lower()
    if ending not in READERS:
        msg = f"{path}: unknown ending; {nearest(ending, READERS)}, or a folder of images"
        raise DataError(msg)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; it must hold at least ten rows")
    with _explained(path):
        return READERS[ending](path, key)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what readers raise for a broken file into a DataError that names it."""
    broken = (
        *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError),
        *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    )
    try:
        yield
    except broken as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in reason or "Object arrays" in reason:
            reason = "it holds Python objects; save plain numbers instead"
        raise DataError(f"{path} cannot be read: {reason}") from None


def _csv(path: Path, _key: str | None) -> Loaded:
    frame, spelling = read_csv(path)
    return Loaded(str(path), frame, spelling=spelling)


def _parquet(path: Path, _key: str | None) -> Loaded:
    """Return a file's rows; of one with too many to hold, what scans it."""
    scan = pl.scan_parquet(path)
    source = Source(scan)
    return Loaded(str(path), source if source.rows > LARGE else pl.read_parquet(path))


def _npy(path: Path, _key: str | None) -> Loaded:
    with path.open("rb") as file:
        # NumPy takes a file that does not start so for a pickle
        if file.read(len(MAGIC)) != MAGIC:
            raise DataError(f"{path} is not an NPY file, or is broken from its start")
    return Loaded(str(path), np.load(path, allow_pickle=False))


def _npz(path: Path, key: str | None) -> Loaded:
    """Return one of the arrays of an NPZ file, and the labels that belong to it."""
    # Opened here: on a broken archive `np.load` would leave its own handle to the collector.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    chosen, notes = _choose(path, arrays, key)
    labels = _labels(arrays, chosen)
    return Loaded(str(path), arrays[chosen], labels=labels, notes=notes)


READERS: dict[str, Callable[[Path, str | None], Loaded]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".npz": _npz,
    ".npy": _npy,
}


def _choose(
    path: Path, arrays: Mapping[str, Array], key: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the name of the array to take, and a note when others were there."""
    if key is not None:
        if key not in arrays:
            raise DataError(f"{path} has no array {key!r}; {nearest(key, arrays)}")
        return key, ()
    data = [name for name in arrays if not _is_label(name)]
    if len(data) == 1:
        return data[0], ()
    listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    usual = next((name for name in ("x_train", "X_train", "x", "X") if name in data), None)
    if usual is None:
        raise DataError(f"{path} holds several arrays ({listed}): name one with --key (key=)")
    return usual, (f"took {usual} of {path.name}, which holds {listed}; --key names another",)


def _is_label(name: str) -> bool:
    """Tell whether an array's name says that it holds labels."""
    return name.lower() == "y" or name.lower().startswith(("y_", "label", "target"))


def _labels(arrays: Mapping[str, Array], chosen: str) -> dict[str, Array]:
    """Return the label arrays that fit the chosen one, the one of the same ending first."""
    n = arrays[chosen].shape[:1]
    fitting = {k: a for k, a in arrays.items() if _is_label(k) and k != chosen and a.shape == n}
    twin = {"x": "y", "X": "y"}.get(chosen[:1], "y") + chosen[1:]
    first = {twin: fitting[twin]} if twin in fitting else {}
    return first | fitting
