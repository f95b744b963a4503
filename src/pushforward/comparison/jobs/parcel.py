"""What every worker gets once: the bench, with the data, and the user's own classes and measures.

On this machine it is a folder, whose tensors workers map into their memory: they share its pages.
The folder is not the comparison's, in which no row of the user's data may lie; it is deleted with
the comparison. On a cluster it is one string of bytes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle
import numpy as np
import torch
from torch import Tensor

from pushforward.families.lookup import recall_sources, run_user_files, sources, user_files
from pushforward.measures._registry import adopt, registered

MAPPED = 2**14  # bytes from which on a tensor is mapped

_opened: dict[str, Any] = {}  # what this process has opened last, by its key


def pack_folder(folder: Path, context: Any, classes: Iterable[Any]) -> None:
    """Write a parcel to an empty folder."""
    with (folder / "parcel").open("wb") as file:
        _write(file, context, classes, folder)


def open_folder(folder: Path) -> Any:
    """Return what was packed in a folder; a process unpacks it once."""

    def read() -> Any:
        with (folder / "parcel").open("rb") as file:
            return _read(file, folder)

    return opened(str(folder), read)


def pack(context: Any, classes: Iterable[Any]) -> bytes:
    """Return a parcel as bytes."""
    file = io.BytesIO()
    _write(file, context, classes)
    return file.getvalue()


def unpack(parcel: bytes) -> Any:
    """Return what was packed as bytes."""
    return _read(io.BytesIO(parcel))


def opened(key: str, read: Callable[[], Any]) -> Any:
    """Return what a process has read under this key; another key takes its place."""
    if key not in _opened:
        _opened.clear()
        _opened[key] = read()
    return _opened[key]


def _write(
    file: BinaryIO, context: Any, classes: Iterable[Any], folder: Path | None = None
) -> None:
    """Write the parcel: first what has to be there before the rest can be read."""
    cloudpickle.dump((user_files(), sources(classes)), file)
    _Pickler(file, folder).dump((registered(), context))


def _read(file: BinaryIO, folder: Path | None = None) -> Any:
    files, known = pickle.load(file)
    run_user_files(files)
    recall_sources(known)
    measures, context = _Unpickler(file, folder).load()
    adopt(measures)
    return context


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # joblib ships no types
    """Writes large tensors to files of their own in a folder, each once."""

    def __init__(self, file: BinaryIO, folder: Path | None) -> None:
        super().__init__(file)
        self.folder = folder
        self.written: dict[int, tuple[str, Tensor]] = {}

    def persistent_id(self, value: Any) -> str | None:
        """Return the file of a large tensor."""
        large = isinstance(value, Tensor) and value.nbytes >= MAPPED and not value.is_cuda
        if self.folder is None or not large:
            return None
        if id(value) not in self.written:
            name = f"{len(self.written)}.npy"
            np.save(self.folder / name, value.numpy())
            self.written[id(value)] = name, value
        return self.written[id(value)][0]


class _Unpickler(pickle.Unpickler):
    """Maps the tensors that `_Pickler` wrote: their pages are shared until one is written to."""

    def __init__(self, file: BinaryIO, folder: Path | None) -> None:
        super().__init__(file)
        self.folder = folder

    def persistent_load(self, name: str) -> Tensor:
        """Return the tensor in a file."""
        assert self.folder is not None
        return torch.from_numpy(np.load(self.folder / name, mmap_mode="c"))
