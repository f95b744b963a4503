"""A cluster by its address, so that `joblib` runs on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config

from pushforward.errors import RunError


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Run on a cluster within the block.

    Args:
        address: "ray" for one that is started on this machine, "ray://HOST:PORT" for Ray's client
            server, "tcp://HOST:PORT" for Dask's scheduler; None for this machine alone.

    Raises:
        RunError: it does not let us in.
    """
    if address is None:
        yield
    elif address.startswith("ray"):
        with _ray(address):
            yield
    else:
        with _dask(address):
            yield


@contextmanager
def _ray(address: str) -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    try:
        if address == "ray":
            ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error")
        else:
            ray.init(address, log_to_driver=False, logging_level="error")
    except Exception as error:  # RuntimeError, ConnectionError, those of gRPC, ...
        raise _refused(address, error) from error
    try:
        register_ray()
        with parallel_config(backend="ray"):
            yield
    finally:
        ray.shutdown()


@contextmanager
def _dask(address: str) -> Iterator[None]:
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except Exception as error:  # OSError, those of its protocol, ...
        raise _refused(address, error) from error
    with client, parallel_config(backend="dask", client=client):
        yield


def _refused(address: str, error: Exception) -> RunError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return RunError(f"the cluster at {address} does not let us in: {lines[0]}")
