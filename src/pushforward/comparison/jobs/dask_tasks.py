"""Jobs as tasks of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

from distributed import Client, KilledWorker, WorkerPlugin, get_worker
from distributed.worker import thread_state

from pushforward.comparison.jobs.backends import Backend, Task, name_of
from pushforward.comparison.jobs.parcel import opened, unpack
from pushforward.comparison.jobs.site import Site
from pushforward.comparison.jobs.work import Outcome
from pushforward.comparison.jobs.workers import Answer, Probe
from pushforward.errors import RunError

PATIENCE = 30  # seconds until the first worker has come

_parcels: dict[str, bytes] = {}  # of this worker


class Tasks(Backend):
    """Tasks of Dask, whose scheduler gives those of a dead worker to another."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.jobs)
        self.client: Client = site.backend.client
        self.running: set[Any] = set()

    def start(self, task: Task, future: Future[list[Outcome]]) -> None:
        """Hand a task to the cluster's scheduler."""
        key = f"{name_of(task)}-{uuid4().hex}"
        submitted = self.client.submit(_call, task, key=key, pure=False)
        self.running.add(submitted)
        submitted.add_done_callback(partial(self._end, task, future))

    def _end(self, task: Task, future: Future[list[Outcome]], done: Any) -> None:
        self.running.discard(done)
        error = None if done.cancelled() else done.exception()
        if done.cancelled():
            future.cancel()
        elif error is None:
            future.set_result(done.result())
        elif isinstance(error, KilledWorker):
            reason = "its workers died, one after the other (KilledWorker)"
            future.set_result([Outcome(name_of(task), lost=reason)])
        else:
            future.set_exception(error)

    def trouble(self) -> str:
        """Say so where no worker is left: the scheduler waits for others, as on a busy Slurm."""
        with suppress(OSError, TimeoutError):
            if not self.client.scheduler_info()["workers"]:
                where = self.client.scheduler.address
                return f"the Dask cluster at {where} has no worker left: waiting for one to come"
        return ""

    def close(self) -> None:
        """End the tasks that still run: they notice it at their next record."""
        self.client.cancel(list(self.running), force=True)


def _call(task: Task) -> list[Outcome]:
    return task()


def threads_of_workers(client: Client) -> list[int]:
    """Return the threads of each worker, after waiting for the first; RunError if none comes."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        msg = f"the Dask cluster at {client.scheduler.address} has no worker: start some"
        raise RunError(msg) from None
    return list(client.ncores().values())


def ask_workers(probe: Probe, backend: Any) -> dict[str, Answer]:
    """Return what each worker answers."""
    answers: dict[str, Answer] = backend.client.run(probe.answer)
    return answers


@contextmanager
def sent(parcel: bytes, backend: Any) -> Iterator[Callable[[], Any]]:
    """Send a parcel to each worker once, also to those that join later."""
    client, key = backend.client, f"pushforward-{uuid4().hex}"
    client.register_plugin(_Keep(key, parcel))
    try:
        yield partial(_open, key)
    finally:
        client.unregister_worker_plugin(key)


class _Keep(WorkerPlugin):  # type: ignore[misc]  # not analysed: an optional dependency
    """Holds a parcel in each worker."""

    def __init__(self, key: str, parcel: bytes) -> None:
        self.name, self.parcel = key, parcel

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask gives it
        """Keep the parcel."""
        _parcels[self.name] = self.parcel

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """Forget it."""
        _parcels.pop(self.name, None)


def _open(key: str) -> Any:
    context = opened(key, lambda: unpack(_parcels[key]))
    context.progress = _go_on
    return context


def _go_on(stage: str, record: Mapping[str, Any]) -> None:
    """Raise RunError in a task that was cancelled: a thread cannot be killed."""
    task = get_worker().state.tasks.get(thread_state.key)
    if task is None or task.state == "cancelled":
        msg = f"{stage} was cancelled at {record.get('step', 'its start')}"
        raise RunError(msg)
