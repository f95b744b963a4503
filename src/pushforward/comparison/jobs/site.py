"""Where jobs run, how many at a time, and with how many threads each."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal

from joblib import cpu_count
from joblib.parallel import get_active_backend

from pushforward.errors import ModelError, RunError
from pushforward.threads import training_threads

Place = Literal["here", "processes", "ray", "dask"]
PLACES: dict[str, Place] = {
    "SequentialBackend": "here",
    # Whichever of joblib's is named: torch's random state is a process's, so threads will not do.
    **dict.fromkeys(("LokyBackend", "MultiprocessingBackend", "ThreadingBackend"), "processes"),
    "RayBackend": "ray",
    "DaskDistributedBackend": "dask",
}


@dataclass(frozen=True)
class Site:
    """Where jobs run.

    Args:
        place: this process, processes of this machine, or a cluster's.
        jobs: how many at a time.
        threads: of each.
        backend: joblib's active one.
    """

    place: Place
    jobs: int
    threads: int
    backend: Any = None


def require_jobs(n_jobs: Any) -> int | None:
    """Return a number of jobs; ModelError for anything but None and a whole number but 0."""
    try:
        jobs = None if n_jobs is None else index(n_jobs)
    except TypeError:
        jobs = 0
    if jobs == 0:
        msg = f"n_jobs (--jobs) must be a number of jobs, or -1 for all cores; got {n_jobs!r}"
        raise ModelError(msg)
    return jobs


def find_site(n_jobs: int | None, fits: int) -> Site:
    """Return where jobs run under the active `joblib.parallel_config`.

    Args:
        n_jobs: at a time, as in scikit-learn: -1 for as many as there are cores (on Dask workers),
            -2 for one less; None for what `parallel_config` says, else 1 here and all of a cluster.
        fits: how many jobs there are in all: more never run at a time.

    Raises:
        ModelError: `n_jobs` is 0, or no number.
        RunError: the active backend of joblib is none of loky, ray and dask.
    """
    asked = require_jobs(n_jobs)
    backend, configured = get_active_backend()
    asked = configured if asked is None else asked
    place = PLACES.get(type(backend).__name__)
    if place is None:
        msg = f"joblib's backend {type(backend).__name__} is none of loky, ray and dask"
        raise RunError(msg)
    if place == "ray":
        from pushforward.comparison.jobs.ray_tasks import cores_of_nodes

        cores = cores_of_nodes()
        jobs = _jobs(asked or -1, sum(cores), fits)
        return Site(place, jobs, max(1, min(*cores, sum(cores) // jobs)), backend)
    if place == "dask":
        from pushforward.comparison.jobs.dask_tasks import threads_of_workers

        threads = threads_of_workers(backend.client)
        return Site(place, _jobs(asked or -1, len(threads), fits), min(threads), backend)
    jobs = 1 if place == "here" else _jobs(asked or 1, cpu_count(), fits)
    if jobs == 1:
        return Site("here", 1, training_threads())
    return Site("processes", jobs, max(1, min(training_threads(), cpu_count() // jobs)))


def _jobs(asked: int, most: int, fits: int) -> int:
    """Return the number of jobs; one below zero is counted from the most there can be."""
    return max(1, min(asked if asked > 0 else most + 1 + asked, fits))
