"""Jobs as tasks of a Ray cluster.

Ray's own backend for joblib deals tasks out to a pool of actors in turn, whether they are busy or
not, and gives up a pool that has lost one. Tasks are what Ray schedules by itself: to nodes with
free cores, and once more when a worker or a node dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RaySystemError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pushforward.comparison.jobs.backends import ATTEMPTS, Backend, Task, name_of
from pushforward.comparison.jobs.parcel import opened, unpack
from pushforward.comparison.jobs.site import Site
from pushforward.comparison.jobs.work import Outcome
from pushforward.comparison.jobs.workers import Answer, Probe

DEATHS = (NodeDiedError, OutOfMemoryError, RaySystemError, WorkerCrashedError)


class Tasks(Backend):
    """Tasks of Ray, with what `parallel_config(backend="ray", ray_remote_args=...)` asks for."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.jobs)
        options = {"num_cpus": site.threads, "max_retries": ATTEMPTS - 1}
        options |= {"scheduling_strategy": "SPREAD"} | (site.backend.ray_remote_args or {})
        self.remote = ray.remote(_call).options(**options)
        self.running: set[Any] = set()
        # Ray tells what is done in the thread that hears from the cluster, and handing out the next
        # task waits for that: it is left to a thread of our own.
        self.thread = ThreadPoolExecutor(1)

    def start(self, task: Task, future: Future[list[Outcome]]) -> None:
        """Hand a task to the cluster's scheduler."""
        reference = self.remote.remote(task)
        self.running.add(reference)
        reference.future().add_done_callback(partial(self._later, task, future, reference))

    def _later(self, *ended: Any) -> None:
        with suppress(RuntimeError):  # where all is over already
            self.thread.submit(self._end, *ended)

    def _end(
        self, task: Task, future: Future[list[Outcome]], reference: Any, done: Future[Any]
    ) -> None:
        self.running.discard(reference)
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, DEATHS):
            reason = f"its worker died {ATTEMPTS} times ({type(error).__name__})"
            future.set_result([Outcome(name_of(task), lost=reason)])
        else:
            future.set_exception(error)

    def close(self) -> None:
        """End the tasks that still run: their processes are killed."""
        for reference in list(self.running):
            ray.cancel(reference, force=True)
        self.thread.shutdown(wait=False)


def _call(task: Task) -> list[Outcome]:
    return task()


def cores_of_nodes() -> list[int]:
    """Return the cores of each node that has any; a cluster is started here if there is none."""
    if not ray.is_initialized():
        ray.init()
    cores = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return [int(number) for number in cores if number >= 1]


def ask_workers(probe: Probe, backend: Any) -> dict[str, Answer]:  # noqa: ARG001 - as for Dask
    """Return what a worker of each node answers."""
    asked = {
        f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})": ray.remote(Probe.answer)
        .options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        )
        .remote(probe)
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    }
    return dict(zip(asked, ray.get(list(asked.values()), timeout=120), strict=True))


@contextmanager
def sent(parcel: bytes, backend: Any) -> Iterator[Callable[[], Any]]:  # noqa: ARG001 - as for Dask
    """Put a parcel into the store of the cluster, which carries it to each node once."""
    yield partial(_open, uuid4().hex, [ray.put(parcel)])


def _open(key: str, parcel: list[Any]) -> Any:
    """Return what was packed; in a list, a reference is handed on as it is."""
    return opened(key, lambda: unpack(ray.get(parcel[0])))
