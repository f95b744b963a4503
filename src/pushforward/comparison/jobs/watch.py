"""How far the jobs in flight are, read from the histories that their runs write."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from pushforward.comparison.jobs.work import Job
from pushforward.errors import RunError
from pushforward.runs.folder import Folder, Json, steps_of

PERIOD = 0.5  # seconds
ASK_AFTER = 20.0  # seconds, each time
TAIL = 2**14  # bytes of a history, which hold its last record

log = logging.getLogger("pushforward")

# Called with a job's name and its run's record, from a thread of its own.
Progress = Callable[[str, Mapping[str, Any]], None]


@contextmanager
def watched(
    jobs: Mapping[str, Job], folder: Path, progress: Progress, trouble: Callable[[], str]
) -> Iterator[None]:
    """Tell how far the jobs in flight are, until the block ends.

    Args:
        jobs: in flight at present, by name.
        folder: of the comparison.
        progress: what is told.
        trouble: says why nothing can go on at present, or "": asked now and then.
    """
    end = Event()
    threads = [
        Thread(target=_watch, args=(jobs, folder, progress, end), daemon=True),
        Thread(target=_warn, args=(trouble, end), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


def _warn(trouble: Callable[[], str], end: Event) -> None:
    """Say once what the trouble is, each time that it comes anew."""
    said = ""
    while not end.wait(ASK_AFTER):
        found = trouble()
        if found and found != said:
            log.warning(found)
        said = found


def _watch(jobs: Mapping[str, Job], folder: Path, progress: Progress, end: Event) -> None:
    told: dict[str, int] = {}
    while not end.wait(PERIOD):
        for name, job in list(jobs.items()):
            record = None if job.run is None else latest_record(Folder(folder / job.run))
            if record is not None and record["step"] != told.get(name) and name in jobs:
                told[name] = record["step"]
                progress(name, record)


def latest_record(run: Folder) -> Json | None:
    """Return the last record of training as a loop's `progress` gets it; None if there is none."""
    with suppress(OSError, ValueError, KeyError, RunError):
        with run.history.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().splitlines()
        for line in reversed(lines):
            with suppress(ValueError):
                record: Json = json.loads(line)
                return (
                    record | {"total": steps_of(run.read_config()) or None}
                    if record["terms"]
                    else None
                )
    return None
