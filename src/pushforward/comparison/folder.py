"""The folder of a comparison: where its files lie, and which data it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward.errors import RunError
from pushforward.files import read_json, write_json
from pushforward.runs.folder import Folder

REAL, CEILING, FLOOR, CART = "real", "ceiling", "floor", "cart"  # rows beside the models'


@dataclass(frozen=True)
class ComparisonFolder:
    """The files of one comparison."""

    path: Path

    @property
    def comparison(self) -> Path:
        """The data, the models, the seeds, and everything that was measured."""
        return self.path / "comparison.json"

    @property
    def references(self) -> Path:
        """The scorecards of the references: what models are compared with."""
        return self.path / "references.json"

    @property
    def steps(self) -> Path:
        """The steps that a budget in seconds allows each model."""
        return self.path / "steps.json"

    @property
    def tuning(self) -> Path:
        """The journals of the trials, one a model."""
        return self.path / "tuning"

    def run(self, model: str, seed: int) -> Folder:
        """Return the folder of one run."""
        return Folder(self.path / "runs" / f"{model}-{seed}")

    def scorecards(self, model: str, seed: int) -> Path:
        """Return the scorecards of one run, one for each checkpoint."""
        return self.run(model, seed).path / "scorecard.json"

    def sample(self, source: str) -> Path:
        """Return the images or arrays that the report shows of one source: real, a model, floor."""
        return self.path / "samples" / f"{source}.safetensors"

    def summary(self, source: str) -> Path:
        """Return what the report shows of one source's table: counts and associations."""
        return self.path / "samples" / f"{source}.json"

    def open_or_create(self, description: Mapping[str, Any]) -> None:
        """Start a comparison on these data; RunError when the folder belongs to other data."""
        if not self.comparison.exists():
            write_json(self.comparison, description)
            return
        known = read_json(self.comparison)
        if known.get("digest") != description["digest"]:
            msg = (
                f"{self.path} holds a comparison on other data ({known.get('data')}); "
                "name another folder, or delete this one"
            )
            raise RunError(msg)


@contextmanager
def of_this_version(file: Path) -> Iterator[None]:
    """Raise RunError where what is read from a file is not what this version writes to it."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{file} is broken, or was written by another version ({error!r}): run its command "
        raise RunError(f"{msg}again; finished runs are kept") from error
