"""What a comparison's folder holds, read for its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.comparison.folder import FLOOR, REAL, ComparisonFolder, of_this_version
from pushforward.comparison.result import Comparison
from pushforward.comparison.summaries import TableSummary
from pushforward.data import Schema, schema_from_json
from pushforward.data.reading import ReadCall
from pushforward.families.panels import Panel
from pushforward.files import read_json, read_tensors
from pushforward.runs.folder import Json


@dataclass(frozen=True)
class Run:
    """One model's training on one seed; `model` is what the comparison calls it."""

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
    def has_own_name(self) -> bool:
        """Whether the comparison calls the model by its own name."""
        return bool(self.config["identity"]["model"] == self.model)

    @property
    def options(self) -> Json:
        """The model's options that were given."""
        options: Json = self.config["identity"]["options"]
        return options


@dataclass(frozen=True)
class SampleRows:
    """Images or arrays: encoded, with class codes, and what else `comparison` keeps of them.

    Of a table only the latter.
    """

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
class FolderContents:
    """Everything that a report shows."""

    comparison: Comparison
    description: Json  # of the data, the models' sources, and the choice of measures
    reading: ReadCall
    schema: Schema
    runs: dict[str, list[Run]]
    samples: dict[str, SampleRows]
    summaries: dict[str, TableSummary]  # of tables

    @property
    def models(self) -> list[str]:
        """The models, in the order given."""
        return self.comparison.models

    @property
    def first_run(self) -> Run:
        """The first model's run on the first seed."""
        return self.runs[self.models[0]][0]

    def sources(self) -> Iterator[tuple[str, SampleRows]]:
        """Yield the rows that were kept: real ones, each model's, the floor's."""
        for name in (REAL, *self.models, FLOOR):
            if name in self.samples:
                yield name, self.samples[name]

    def tensors(self, *names: str) -> list[tuple[str, list[Tensor]]]:
        """Return tensors by their names, of each source that has them all."""
        return [
            (source, [sample.tensors[name] for name in names])
            for source, sample in self.sources()
            if set(names) <= sample.tensors.keys()
        ]

    def decode(self, sample: SampleRows) -> Any:
        """Return rows in the user's own form."""
        return self.schema.decode(sample.rows, sample.labels, torch.Generator().manual_seed(0))


def title_of(source: str) -> str:
    """Return what the page calls a source of rows: real ones, a model, the floor."""
    return {REAL: "real (test rows)", FLOOR: "floor: a Gaussian fit"}.get(source, source)


def read_folder(path: Path) -> FolderContents:
    """Read a finished comparison; RunError when a part is missing, broken or outdated."""
    comparison, folder = Comparison.load(path), ComparisonFolder(path)
    runs = {
        model: [_read_run(folder, model, seed) for seed in comparison.seeds]
        for model in comparison.models
    }
    schema = folder.run(comparison.models[0], comparison.seeds[0]).schema
    description = read_json(folder.comparison)
    with of_this_version(folder.comparison):
        reading = ReadCall(**description["reading"])
    return FolderContents(
        comparison,
        description,
        reading,
        schema_from_json(read_json(schema)),
        runs,
        _read_samples(folder, comparison.models),
        _read_summaries(folder, comparison.models),
    )


def _read_run(folder: ComparisonFolder, model: str, seed: int) -> Run:
    files = folder.run(model, seed)
    stored = read_json(files.anatomy) if files.anatomy.exists() else []
    panels = [Panel(**panel) for panel in stored]
    return Run(model, seed, read_json(files.config), files.read_history(), panels)


def _read_samples(folder: ComparisonFolder, models: list[str]) -> dict[str, SampleRows]:
    paths = {name: folder.sample(name) for name in (REAL, *models, FLOOR)}
    return {n: SampleRows(read_tensors(path)[0]) for n, path in paths.items() if path.exists()}


def _read_summaries(folder: ComparisonFolder, models: list[str]) -> dict[str, TableSummary]:
    paths = {name: folder.summary(name) for name in (REAL, *models)}
    return {n: TableSummary.from_json(read_json(p)) for n, p in paths.items() if p.exists()}
