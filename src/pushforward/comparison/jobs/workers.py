"""Whether a cluster's workers can do the work: asked before any of it begins."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from pushforward.errors import RunError

PACKAGES = ("pushforward", "torch", "numpy", "scipy", "scikit-learn", "polars", "joblib")


@dataclass(frozen=True)
class Answer:
    """What a worker says.

    Args:
        versions: of Python and the packages that results depend on.
        sees: whether the comparison's folder is the driver's.
        refused: why it cannot write there.
    """

    versions: Mapping[str, str]
    sees: bool
    refused: str = ""


@dataclass(frozen=True)
class Probe:
    """A question to workers.

    Args:
        marker: a file that the driver has written to the comparison's folder.
    """

    marker: Path

    def answer(self) -> Answer:
        """Return a worker's answer."""
        if not self.marker.exists():
            return Answer(versions(), sees=False)
        own = self.marker.with_name(f"{self.marker.name}-{uuid4().hex}")
        try:
            own.touch()
            own.unlink()
        except OSError as error:
            return Answer(versions(), sees=True, refused=error.strerror or str(error))
        return Answer(versions(), sees=True)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def share_folder(ask: Callable[[Probe], Mapping[str, Answer]], folder: Path) -> bool:
    """Return whether all workers work in the driver's folder; else each has its own.

    Args:
        ask: gives the answers of a cluster's workers, by their names.
        folder: of the comparison.

    Raises:
        RunError: a worker has other versions than the driver, or may not write to the folder, or
            cannot answer.
    """
    marker = folder / f".seen-{uuid4().hex}"
    marker.touch()
    try:
        answers = ask(Probe(marker.resolve()))
    except Exception as error:  # whatever the cluster makes of it
        msg = f"a worker cannot answer: is pushforward installed there? ({_first_line(error)})"
        raise RunError(msg) from error
    finally:
        marker.unlink()
    for worker, answer in answers.items():
        _require_same_versions(worker, answer.versions)
        if answer.refused:
            msg = f"worker {worker} cannot write to {folder}: {answer.refused}; name another --out"
            raise RunError(msg)
    return all(answer.sees for answer in answers.values())


def _require_same_versions(worker: str, there: Mapping[str, str]) -> None:
    for name, here in versions().items():
        if there[name] != here:
            msg = f"worker {worker} has {name} {there[name]}, and {here} is here: install the same"
            raise RunError(msg)


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"
