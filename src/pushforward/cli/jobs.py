"""The options of `compare` that say how many runs go on at a time, and where."""

from __future__ import annotations

import importlib.util
import re
import socket
from typing import Annotated

import typer

from pushforward.errors import ModelError, RunError

ADDRESS = re.compile(r"ray|(?P<kind>ray|tcp|tls)://(?P<host>[^/\s]+):(?P<port>\d{1,5})")
PACKAGES = {"ray": "ray", "tcp": "distributed", "tls": "distributed"}
EXTRAS = {"ray": "ray", "distributed": "dask"}
PATIENCE = 5  # seconds until a cluster answers


def valid_jobs(jobs: int | None) -> int | None:
    """Return a number of jobs; ModelError for 0."""
    if jobs == 0:
        raise ModelError("--jobs must be a number of runs at a time, or -1 for all cores; got 0")
    return jobs


def valid_cluster(address: str | None) -> str | None:
    """Return a cluster's address; RunError where it is spelled wrongly, or nothing answers."""
    if address is None:
        return None
    found = ADDRESS.fullmatch(address)
    if found is None:
        msg = f"--cluster must be ray, ray://HOST:PORT or tcp://HOST:PORT; got {address!r}"
        raise RunError(msg)
    package = PACKAGES[found["kind"] or "ray"]
    if importlib.util.find_spec(package) is None:
        msg = f"--cluster {address} needs {package}: pip install 'pushforward[{EXTRAS[package]}]'"
        raise RunError(msg)
    if found["kind"]:
        _require_answer(found["host"].strip("[]"), int(found["port"]), address)
    return address


def _require_answer(host: str, port: int, address: str) -> None:
    """Raise RunError unless a server is there, and greets as Ray's and Dask's do.

    (Their clients would wait for half a minute, or for good, for one that is silent.)
    """
    try:
        with socket.create_connection((host, port), PATIENCE) as connection:
            greeting = address.startswith("tls") or connection.recv(1)
    except (OSError, OverflowError) as error:
        msg = f"no cluster answers at {address}: {error}"
        raise RunError(msg) from error
    if not greeting:
        msg = f"what answers at {address} is no cluster"
        raise RunError(msg)


Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        help="Runs at a time, which share the cores; -1 for as many as there are cores. By default "
        "1, or all that a cluster has room for.",
        callback=valid_jobs,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Cluster to run on: ray (of this machine), ray://HOST:PORT or tcp://HOST:PORT (Dask).",
        callback=valid_cluster,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print how many runs there are and how long they take, and train nothing."
    ),
]
