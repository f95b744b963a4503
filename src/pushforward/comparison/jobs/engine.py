"""Runs jobs one after the other here, or side by side with joblib."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker

from pushforward.comparison.jobs.backends import Backend, Processes
from pushforward.comparison.jobs.parcel import open_folder, pack, pack_folder
from pushforward.comparison.jobs.site import Site
from pushforward.comparison.jobs.watch import Progress, watched
from pushforward.comparison.jobs.work import (
    Job,
    Outcome,
    limited,
    perform,
    read_files,
    write_files,
)
from pushforward.comparison.jobs.workers import share_folder
from pushforward.errors import LostError

log = logging.getLogger("pushforward")


class Engine(Protocol):
    """Does jobs; `site` says where, how many at a time, and with how many threads."""

    site: Site

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Any]]:
        """Yield each job with its value, as it is ready.

        An error of a job is raised at once, and ends the others. Where workers die, the others are
        done before LostError says what is missing.
        """


class OneByOne:
    """Does jobs in this process."""

    def __init__(self, context: Any, site: Site) -> None:
        self.context, self.site = context, site

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Any]]:
        """Yield each job with its value, in their order."""
        for job in jobs:
            with limited(self.site.threads):
                value = job.function(self.context, *job.arguments)
            yield job, value


class SideBySide:
    """Has jobs done by a backend of joblib.

    Args:
        site: where.
        backend: what does them.
        opened: gives the context to a worker.
        folder: of the comparison.
        shared: whether workers work in it; otherwise the files of their runs are sent.
        progress: told how far runs are.
    """

    def __init__(
        self,
        site: Site,
        backend: Backend,
        opened: Callable[[], Any],
        folder: Path,
        shared: bool,
        progress: Progress,
    ) -> None:
        self.site, self.backend, self.opened = site, backend, opened
        self.folder, self.shared, self.progress = folder, shared, progress
        self.flying: dict[str, Job] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Any]]:
        """Yield each job with its value, as it is ready."""
        lost = []
        watch = watched(self.flying, self.folder, self.progress, self.backend.trouble)
        with watch, self._outcomes(jobs) as outcomes:
            for outcome in outcomes:
                job = self.flying.pop(outcome.name)
                write_files(self.folder, outcome.files)
                if outcome.error is not None:
                    raise outcome.error
                if outcome.lost:
                    log.warning("%s is missing: %s", outcome.name, outcome.lost)
                    lost.append(outcome)
                else:
                    yield job, outcome.value
        if lost:
            raise LostError(_missing(lost))

    @contextmanager
    def _outcomes(self, jobs: Iterable[Job]) -> Iterator[Iterator[Outcome]]:
        """Give what becomes of the jobs; those that are left at the end of the block are ended."""
        parallel = Parallel(
            n_jobs=self.site.jobs,
            backend=self.backend,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=self.site.jobs,
        )
        outcomes = parallel(map(self._task, jobs))
        try:
            yield outcomes
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that tasks are ended is meant
                outcomes.close()

    def _task(self, job: Job) -> Any:
        """Return the task of a job, which is in flight from now on."""
        self.flying[job.name] = job
        files = None if self.shared else read_files(self.folder, job.run) if job.run else {}
        return delayed(perform)(job.name, self.opened, self.site.threads, job.pack(), files)


def _missing(lost: list[Outcome]) -> str:
    first = f"{lost[0].name}: {lost[0].lost}"
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    runs = "1 run is" if len(lost) == 1 else f"{len(lost)} runs are"
    return (
        f"{runs} missing, {first}{more}; all others are finished and kept: run the "
        "same command again, perhaps with fewer jobs"
    )


@contextmanager
def opened(
    context: Any, site: Site, *, classes: Iterable[Any] = (), progress: Progress
) -> Iterator[Engine]:
    """Give an engine to run jobs with.

    Args:
        context: the first argument of the jobs. Workers get a copy of it, once. It has a `folder`
            with a `path`, and `at(path)` gives one that works in another folder.
        site: where jobs are done.
        classes: users' own, that the jobs need.
        progress: told how far runs are.

    Raises:
        RunError: a cluster's workers cannot do the work.
    """
    if site.place == "here":
        yield OneByOne(context, site)
        return
    folder = context.folder.path
    with ExitStack() as stack:
        backend, unpacked, shared = _backend(context, site, classes, stack)
        stack.callback(backend.close)
        yield SideBySide(site, backend, unpacked, folder, shared, progress)


def _backend(
    context: Any, site: Site, classes: Iterable[Any], stack: ExitStack
) -> tuple[Backend, Callable[[], Any], bool]:
    """Return the backend, what opens the context in its workers, and if they share the folder."""
    if site.place == "processes":
        parcel = Path(stack.enter_context(TemporaryDirectory(prefix="pushforward-")))
        resource_tracker.register(str(parcel), "folder")  # is deleted even if this process dies
        stack.callback(resource_tracker.unregister, str(parcel), "folder")
        pack_folder(parcel, context, classes)
        return Processes(site.jobs, site.threads), partial(open_folder, parcel), True
    cluster = import_module(f"{__package__}.{site.place}_tasks")
    ask = partial(cluster.ask_workers, backend=site.backend)
    shared = share_folder(ask, context.folder.path)
    unpacked = stack.enter_context(cluster.sent(pack(context, classes), site.backend))
    return cluster.Tasks(site), unpacked, shared
