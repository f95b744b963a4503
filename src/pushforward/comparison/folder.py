"""The folder of a comparison: where its files lie, and which data it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward.data import Dataset
from pushforward.errors import RunError
from pushforward.files import read_json, write_json

REAL, CEILING, FLOOR = "real", "ceiling", "floor"
RESERVED = (REAL, CEILING, FLOOR)  # what no model may be called


@dataclass(frozen=True)
class ComparisonFolder:
    """The files of one comparison."""

    path: Path

    @property
    def result(self) -> Path:
        """What was compared on which data, and all that was measured."""
        return self.path / "comparison.json"

    @property
    def references(self) -> Path:
        """The scorecards of ceiling and floor."""
        return self.path / "references.json"

    def run(self, model: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.path / "runs" / f"{model}-{seed}"

    def scorecards(self, model: str, seed: int) -> Path:
        """Return the scorecards of both checkpoints of one run."""
        return self.run(model, seed) / "scorecard.json"

    def sample(self, source: str) -> Path:
        """Return the rows that the report shows: real ones, a model's, or the floor's."""
        return self.path / "samples" / f"{source}.safetensors"

    def open_or_create(self, data: Dataset) -> None:
        """Start a comparison on these data here; RunError when the folder holds other data's."""
        if not self.result.exists():
            write_json(self.result, describe(data))
            return
        known = read_json(self.result)
        if known.get("digest") != data.digest:
            msg = (
                f"{self.path} holds a comparison on other data ({known.get('data')}); "
                "name another folder, or delete this one"
            )
            raise RunError(msg)


def describe(data: Dataset) -> Mapping[str, Any]:
    """Return what `comparison.json` and the report say about the data."""
    condition = data.schema.condition
    return {
        "data": data.name,
        "digest": data.digest,
        "kind": data.schema.kind,
        "notes": list(data.notes),
        "rows": data.sizes,
        "condition": None if condition is None else condition.name,
    }
