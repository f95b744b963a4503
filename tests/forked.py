"""Commands in processes of their own, without the seconds in which each would import torch anew.

They are forked from a process that has imported the library and done nothing else. What a command
finds is what a new interpreter has: its arguments, its folder, its environment.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from joblib.externals.loky.process_executor import ProcessPoolExecutor

LOADED = ["pushforward.cli.main", "pushforward.comparison.compare", "pushforward.training.fit"]
# What these import where they need it: an optimizer's compiler, built-in data, the report.
LOADED += ["torch._dynamo", "sklearn.datasets", "pushforward.report", "pushforward.models.registry"]
STREAMS = {1: "stdout", 2: "stderr"}


class Command:
    """`python *arguments`, begun at once.

    Args:
        arguments: `-c` and code, or `-m` and a module, and what follows.
        place: a folder for what it prints.
        folder: where it runs.
        environment: its variables.
    """

    def __init__(
        self, arguments: tuple[str | Path, ...], place: Path, folder: Path, environment: object
    ) -> None:
        self.place, self.kept = place, dict[str, str]()
        for name in STREAMS.values():
            (place / name).touch()
        context = forking()
        given = ([*map(str, arguments)], place, folder, environment)
        self.process = context.Process(target=_run, args=given)
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, which is minus the signal that ended it; None while it runs."""
        return self.process.exitcode

    @property
    def stdout(self) -> str:
        return self._printed("stdout")

    @property
    def stderr(self) -> str:
        return self._printed("stderr")

    def _printed(self, name: str) -> str:
        return self.kept[name] if name in self.kept else (self.place / name).read_text()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """Wait for its end, and return its exit status."""
        self.process.join(seconds)
        assert self.status is not None, "it goes on and on"
        return self.status

    def end(self) -> None:
        """Kill it, if it still runs, and keep what it has printed."""
        self.process.kill()
        self.process.join()
        self.kept = {name: self._printed(name) for name in STREAMS.values()}


@contextmanager
def running(
    *arguments: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Command]:
    """Run a command, at most until the block ends."""
    with TemporaryDirectory() as place:
        variables = dict(environment or os.environ)
        command = Command(arguments, Path(place), folder or Path.cwd(), variables)
        try:
            yield command
        finally:
            command.end()


def ended(
    *arguments: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Command:
    """Run a command to its end."""
    with running(*arguments, folder=folder, environment=environment) as command:
        command.wait()
    return command


def forking() -> ForkServerContext:
    """Return what starts processes in the one that has the library."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


@contextmanager
def workers() -> Iterator[None]:
    """Fork the workers of comparisons within the block, as commands are.

    They get their jobs as others do: pickled, through pipes. Those of the limits on threads that
    are variables of the environment, libraries that are imported already no longer read.
    """
    context = forking()
    multiprocessing.forkserver.ensure_running()
    parent = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

    def pool(size: int, **given: Any) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(size, **given | {"initargs": (parent,)}, context=context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pushforward.comparison.jobs.backends.ProcessPoolExecutor", pool)
        yield


def _run(arguments: list[str], place: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Be the command: called in its process."""
    for stream, name in STREAMS.items():
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_APPEND), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is in the environment
    kind, what, *rest = arguments
    sys.argv = [kind, *rest]
    sys.path.insert(0, "")
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    exec(what, {"__name__": "__main__"})
