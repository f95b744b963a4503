"""Files that are written whole or not at all, and read without executing anything."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from pushforward.errors import RunError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Work alone in a folder; RunError while another process does.

    The system holds the lock, on a file `.lock`, and releases it when its process ends, however it
    ends: what a killed process leaves is stale by itself. The file says who holds the lock, or held
    it last: host and process id.
    """
    path = folder / ".lock"
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        msg = f"{_holder(path)} works in {folder}; wait for it, or name another folder"
        raise RunError(msg) from None
    except FileExistsError:
        raise RunError(f"{folder} is a file; name a folder") from None
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise RunError(msg) from error
    try:
        with suppress(OSError):  # who holds it is for people only
            path.write_text(json.dumps({"host": platform.node(), "pid": os.getpid()}))
        yield
    finally:
        lock.release()


def refuse_occupied(folder: Path) -> None:
    """Raise RunError for a folder to write to that is a file, or that holds files but hidden ones.

    What is there is neither overwritten, nor mixed with what is written.
    """
    if folder.is_file():
        raise RunError(f"{folder} is a file; name a folder")
    try:
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror}") from None
    foreign = sorted(name for name in names if not name.startswith("."))
    if foreign:
        raise RunError(f"{folder} holds other files ({foreign[0]}, ...); name an empty folder")


def _holder(path: Path) -> str:
    """Return who holds a lock, for people."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes its place whole or not at all.

    It is a temporary file beside it, until all is written and safe on the disk (fsync); RunError
    when that fails. Whatever goes wrong, what was there before is untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        raise RunError(msg) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def discard_partial(folder: Path) -> None:
    """Delete what processes that were killed while they wrote to a folder have left in it.

    For one who works alone in the folder.
    """
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with whole(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file of a run; RunError when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path.parent} holds no {path.name}: it is not such a folder, or was not finished"
        raise RunError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{path} is broken ({error}); restore it, or delete the folder and train again"
        raise RunError(msg) from error


def read_text(path: Path) -> str:
    """Return the text that goes with the tensors of a file, without reading these."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    except (OSError, ValueError, struct.error, OverflowError, MemoryError) as error:
        msg = f"{path} is truncated or broken ({error}); restore it or train again"
        raise RunError(msg) from error
    return str(header.get("__metadata__", {}).get("text", ""))


def digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the SHA-256 of named tensors and a text."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(
            tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        )
    return sha.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], text: str = "") -> None:
    """Write named tensors and a text as safetensors, with a digest of both."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"text": text, "digest": digest(plain, text)}
    write_whole(path, safetensors.torch.save(plain, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read what `write_tensors` wrote; RunError when it is truncated or was changed."""
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    except FileNotFoundError:
        msg = f"{path} is missing: the run is not finished, or is not a run's folder"
        raise RunError(msg) from None
    except (OSError, ValueError, struct.error, safetensors.SafetensorError) as error:
        msg = f"{path} is truncated or broken ({error}); restore it or train again"
        raise RunError(msg) from error
    metadata = header.get("__metadata__", {})
    if metadata.get("digest") != digest(tensors, metadata.get("text", "")):
        msg = f"{path} was changed after it was written; restore it or train again"
        raise RunError(msg)
    return tensors, metadata.get("text", "")
