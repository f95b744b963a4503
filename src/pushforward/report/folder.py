"""What lies in a comparison's folder, read for its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.comparison.compare import Comparison
from pushforward.data import Schema, schema_from_json
from pushforward.families.panels import Panel
from pushforward.files import read_json, read_tensors
from pushforward.runs.folder import Folder, Json

REAL, FLOOR = "real", "floor"


@dataclass(frozen=True)
class Run:
    """One model's training on one seed."""

    model: str
    seed: int
    config: Json
    history: list[Json]
    panels: list[Panel]

    @property
    def records(self) -> list[Json]:
        """The entries about training, without the closing one about its cost."""
        return [r for r in self.history if "cost" not in r]

    @property
    def cost(self) -> Json:
        """Seconds, peak memory in bytes, parameters; empty for an unfinished run."""
        return next((r["cost"] for r in reversed(self.history) if "cost" in r), {})

    @property
    def settings(self) -> Json:
        """How it was trained."""
        settings: Json = self.config["identity"]["settings"]
        return settings

    @property
    def options(self) -> Json:
        """The model's options that were given."""
        options: Json = self.config["identity"]["options"]
        return options


@dataclass(frozen=True)
class Sample:
    """Rows of one source: encoded, with class codes, and the true density where it is known."""

    tensors: dict[str, Tensor]

    @property
    def rows(self) -> Tensor:
        """The encoded rows (n, ...)."""
        return self.tensors["rows"]

    @property
    def labels(self) -> Tensor | None:
        """The codes (n,) of their classes."""
        return self.tensors.get("labels")


@dataclass(frozen=True)
class Found:
    """Everything that a report shows."""

    comparison: Comparison
    about: Json
    schema: Schema
    runs: dict[str, list[Run]]
    samples: dict[str, Sample]

    @property
    def models(self) -> list[str]:
        """The models, in the order given."""
        return self.comparison.models

    def sources(self) -> Iterator[tuple[str, Sample]]:
        """Yield the rows that were kept: real ones, each model's, the floor's."""
        for name in (REAL, *self.models, FLOOR):
            if name in self.samples:
                yield name, self.samples[name]

    def decode(self, sample: Sample) -> Any:
        """Return rows as the user gave them."""
        return self.schema.decode(sample.rows, sample.labels, torch.Generator().manual_seed(0))


def read_folder(folder: Path) -> Found:
    """Read a finished comparison; RunError when a part of it is missing or broken."""
    comparison = Comparison.load(folder)
    runs = {
        model: [_read_run(folder, model, seed) for seed in comparison.seeds]
        for model in comparison.models
    }
    first = Folder(_run_path(folder, comparison.models[0], comparison.seeds[0]))
    return Found(
        comparison,
        read_json(folder / "comparison.json"),
        schema_from_json(read_json(first.schema)),
        runs,
        _read_samples(folder, comparison.models),
    )


def _run_path(folder: Path, model: str, seed: int) -> Path:
    return folder / "runs" / f"{model}-{seed}"


def _read_run(folder: Path, model: str, seed: int) -> Run:
    files = Folder(_run_path(folder, model, seed))
    panels = read_json(files.anatomy) if files.anatomy.exists() else []
    own = [Panel(**panel) for panel in panels]
    return Run(model, seed, read_json(files.config), files.read_history(), own)


def _read_samples(folder: Path, models: list[str]) -> dict[str, Sample]:
    paths = {name: folder / "samples" / f"{name}.safetensors" for name in (REAL, *models, FLOOR)}
    return {n: Sample(read_tensors(path)[0]) for n, path in paths.items() if path.exists()}
