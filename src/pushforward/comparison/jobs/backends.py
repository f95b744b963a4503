"""joblib's backends, so that a worker that dies costs its own job and no other.

joblib gives up all tasks when one of them is lost. Here what is lost becomes an outcome like
others, and the rest goes on. On this machine each slot has a process pool of its own, of one
process: it is known which job a dead process had, and the others are not touched. Clusters have
schedulers of their own, which start what was lost again: Ray's and Dask's do it here.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from joblib._parallel_backends import ParallelBackendBase, SequentialBackend
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from pushforward.comparison.jobs.work import Outcome

ATTEMPTS = 3  # at a job whose worker dies
LIMITS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS"),
)
Task = Callable[[], list[Outcome]]  # a batch of joblib's, of one job

log = logging.getLogger("pushforward")


def name_of(task: Any) -> str:
    """Return the name of the job in a task."""
    ((_, arguments, _),) = task.items
    return str(arguments[0])


class Backend(ParallelBackendBase):  # type: ignore[misc]  # joblib ships no types
    """What all backends have in common: tasks become futures.

    Args:
        jobs: tasks at a time.
    """

    supports_retrieve_callback = True

    def __init__(self, jobs: int) -> None:
        super().__init__(nesting_level=0)
        self.jobs = jobs

    @abstractmethod
    def start(self, task: Task, future: Future[list[Outcome]]) -> None:
        """Let a worker do a task, and set the future then; to a lost outcome if the worker dies."""

    @abstractmethod
    def close(self) -> None:
        """End all that still runs, at once."""

    def trouble(self) -> str:
        """Return why no task can go on at present, or "" where they can."""
        return ""

    def effective_n_jobs(self, n_jobs: int) -> int:  # noqa: ARG002 - joblib gives it
        """Return the number of jobs for joblib, which would do the work itself if it were 1."""
        return max(2, self.jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Begin a call of joblib's; workers stay from call to call."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Task, callback: Any = None) -> Future[list[Outcome]]:
        """Start a task."""
        future: Future[list[Outcome]] = Future()
        future.add_done_callback(callback)
        self.start(func, future)
        return future

    def retrieve_result_callback(self, out: Future[list[Outcome]]) -> list[Outcome]:
        """Return what came of a task."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - the same
        """End all that still runs, at once."""
        self.close()

    def get_nested_backend(self) -> tuple[Any, None]:
        """Let a job compute alone: measures of scikit-learn's use no workers of their own."""
        return SequentialBackend(nesting_level=1), None


class Processes(Backend):
    """Processes of this machine, each in a pool of its own.

    Args:
        jobs: processes.
        threads: of each.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        super().__init__(jobs)
        self.limits = dict.fromkeys(LIMITS, str(threads))
        self.free: list[Any] = []
        self.busy: list[Any] = []
        self.closed = False
        self.lock = threading.RLock()  # of these lists: each pool tells in a thread of its own

    def start(self, task: Task, future: Future[list[Outcome]], left: int = ATTEMPTS) -> None:
        """Give a task to a free process, or to a new one."""
        with self.lock:
            if self.closed:
                future.cancel()
                return
            pool, begun = self._submit(task)
            self.busy.append(pool)
        begun.add_done_callback(partial(self._end, task, future, pool, left))

    def _submit(self, task: Task) -> tuple[Any, Future[Any]]:
        while self.free:
            pool = self.free.pop()
            with suppress(BrokenProcessPool):  # it died while it had nothing to do
                return pool, pool.submit(task)
        own: dict[str, Any] = {"initargs": (os.getpid(),), "env": self.limits}
        pool = ProcessPoolExecutor(1, initializer=_begin, **own)
        return pool, pool.submit(task)

    def _end(
        self, task: Task, future: Future[list[Outcome]], pool: Any, left: int, done: Future[Any]
    ) -> None:
        """Take what a process returned; what a dead one had is begun again, some times."""
        error = done.exception()
        with self.lock:
            self.busy.remove(pool)
            self.free += [pool] if error is None else []
        if error is None:
            future.set_result(done.result())
        elif self.closed or not isinstance(error, BrokenProcessPool):
            future.set_exception(error)
        elif left > 1:
            log.warning(
                "%s: its process died (%s); it goes on in another", name_of(task), _why(error)
            )
            self.start(task, future, left - 1)
        else:
            reason = f"its process died {ATTEMPTS} times, the last time by {_why(error)}"
            future.set_result([Outcome(name_of(task), lost=reason)])

    def close(self) -> None:
        """Kill all processes."""
        with self.lock:
            self.closed = True
            pools = [*self.free, *self.busy]
            self.free = []
        for pool in pools:
            pool.shutdown(wait=True, kill_workers=True)


def _why(error: BaseException) -> str:
    """Return what ended a process: the signal or exit code that loky found."""
    found = re.search(r"\{([^}]*)\}", str(error))
    return found[1] if found else type(error).__name__


def _begin(driver: int) -> None:
    """Prepare a process: Ctrl-C is for the driver to handle, and without it nothing goes on.

    What a job keeps for the next ones, the data and the measures, loky would take for a leak, and
    begin another process.
    """
    process_executor._USE_PSUTIL = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.5)
    os._exit(1)
