"""What a worker does: one job, alone in its process, with its share of the threads."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

from pushforward.errors import out_of_memory
from pushforward.files import write_whole
from pushforward.threads import threads

Files = Mapping[str, bytes]  # contents, by paths in the folder of a comparison

ALONE = threading.Lock()  # torch's random state belongs to the process, so it has one job at a time


@dataclass(frozen=True)
class Job:
    """A piece of work.

    Args:
        name: for people; no other job of the same call has it.
        function: what is done: called with the context and the arguments. A plain function of a
            module, which other processes find by its name.
        arguments: what it is called with beside the context.
        run: the folder of its run in that of the comparison, which shows how far it is, and which
            another attempt starts from; None for a job without.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    run: str | None = None

    def pack(self) -> bytes:
        """Return function and arguments for another process."""
        return bytes(cloudpickle.dumps((self.function, self.arguments)))


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        name: of the job.
        value: what the function returned.
        error: what it raised instead.
        lost: why there is neither: its worker died, or had not enough memory.
        files: what it wrote, where the worker has a folder of its own.
    """

    name: str
    value: Any = None
    error: Exception | None = None
    lost: str = ""
    files: Files = field(default_factory=dict)


def perform(
    name: str, opened: Callable[[], Any], threads: int, job: bytes, files: Files | None
) -> Outcome:
    """Do a job in this process; whatever it raises is in the outcome.

    Args:
        name: of the job.
        opened: gives the context.
        threads: to compute with.
        job: what `Job.pack` returned.
        files: what the job starts from, where this worker does not see the comparison's folder;
            None where it does.
    """
    try:
        with ALONE, limited(threads):
            context = opened()
            function, arguments = cloudpickle.loads(job)
            if files is None:
                return Outcome(name, function(context, *arguments))
            with TemporaryDirectory(prefix="pushforward-") as folder:
                write_files(Path(folder), files)
                value = function(context.at(Path(folder)), *arguments)
                return Outcome(name, value, files=read_files(Path(folder)))
    except Exception as error:
        if out_of_memory(error):
            return Outcome(name, lost=f"out of memory ({error})")
        error.add_note("".join(traceback.format_exception(error)))
        return Outcome(name, error=_portable(error))


@contextmanager
def limited(number: int) -> Iterator[None]:
    """Compute with so many threads within the block, in torch and in what NumPy is built on."""
    with threadpool_limits(number), threads(number):
        yield


def read_files(folder: Path, within: str = "") -> dict[str, bytes]:
    """Return the contents of the files below a part of a folder, by their paths in the folder."""
    files = (path for path in (folder / within).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != ".lock" and path.suffix != ".partial"
    }


def write_files(folder: Path, files: Files) -> None:
    """Write what `read_files` returned, each file whole or not at all."""
    for name, content in files.items():
        write_whole(folder / name, content)


def _portable(error: Exception) -> Exception:
    """Return an error that every process can read, with its notes."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        for note in error.__notes__:
            plain.add_note(note)
        return plain
    return error
