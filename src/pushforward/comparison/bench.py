"""The bench: every model is trained and measured under the same conditions.

Of a model it sees only samples: checkpoints are chosen on validation rows and measured on test
rows. What is finished is kept in the folder and reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.references import LabelledRows, ceiling_rows, first_rows, floor_rows
from pushforward.data import Dataset
from pushforward.families.model import Model
from pushforward.files import digest, read_json, write_json, write_tensors
from pushforward.measures import Scorecard, Scorer
from pushforward.measures._inputs import Featurise, described
from pushforward.runs.fitted import Checkpoint, Fitted
from pushforward.training.loop import fit
from pushforward.training.settings import Settings

TEST_ROWS = 3000  # real and generated rows that are measured, at most
SHOWN_ROWS = 100  # rows of each source that are saved for the report
SHOWN_POINTS = 2000  # ... of points in the plane
DENSITY_GRID = 120  # grid points a side at which a true density in the plane is drawn

CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "final")

Name = TypeVar("Name", bound=str)

# Called with the stage ("vae, seed 0") and the training loop's record, empty while measuring.
StageProgress = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class MeasureChoice:
    """Which measures are applied, and to what; None stands for what suits the data.

    Args:
        measures: names of measures.
        target: the column that `utility` predicts.
        features: a map from expanded rows (n, ...) to vectors (n, d).
    """

    measures: Sequence[str] | None = None
    target: str | None = None
    features: Featurise | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        features = None if self.features is None else described(self.features)
        measures = None if self.measures is None else list(self.measures)
        return {"measures": measures, "target": self.target, "features": features}

    @property
    def identifiable(self) -> bool:
        """Whether the features can be recognised: a plain function has no hash."""
        return self.features is None or bool(described(self.features)["hash"])


class Bench:
    """Trains models on one data set, and measures them.

    Args:
        data: what all models are trained on.
        folder: where runs, scorecards and samples are kept.
        choice: the measures.
        device: where models are trained and measured.
        progress: called with each stage and the training loop's records.
    """

    def __init__(
        self,
        data: Dataset,
        folder: ComparisonFolder,
        choice: MeasureChoice,
        device: str,
        progress: StageProgress,
    ) -> None:
        self.data, self.folder, self.choice = data, folder, choice
        self.device, self.progress = device, progress
        self.test = first_rows(data.part("test"), TEST_ROWS)

    @cached_property
    def scorer(self) -> Scorer:
        """The measures, prepared once: for images an encoder is trained on the training rows."""
        self.progress("preparing the measures", {})
        return Scorer(
            self.data,
            only=self.choice.measures,
            copies=self.data.schema.kind == "table",
            features=self.choice.features,
            target=self.choice.target,
        )

    def fit(
        self, model: str, source: str | type[Model], settings: Settings, options: Mapping[str, Any]
    ) -> Fitted:
        """Train one model (its name, and what it comes from) on one seed, or load its run."""
        stage = f"{model}, seed {settings.seed}"
        return fit(
            self.data,
            source,
            out=self.folder.run(model, settings.seed).path,
            device=self.device,
            progress=lambda record: self.progress(stage, record),
            settings=settings,
            **options,
        )

    def score(self, fitted: Fitted, model: str, seed: int) -> dict[Checkpoint, Scorecard]:
        """Return the scorecards of a run's checkpoints, on test rows."""
        weights = {name: digest(fitted.states[name], "") for name in CHECKPOINTS}

        def measure() -> dict[Checkpoint, Scorecard]:
            self.progress(f"{model}, seed {seed}: measuring", {})
            n = len(self.test[0])
            fakes = {name: fitted.draw(n, seed=seed, checkpoint=name) for name in CHECKPOINTS}
            self.save_sample(model, fakes["best"], seed)
            return {
                name: self.scorer.score(self.test, fake, seed=seed) for name, fake in fakes.items()
            }

        path = self.folder.scorecards(model, seed)
        return self._measure_once(path, {"weights": weights}, measure)

    def references(self) -> tuple[Scorecard, Scorecard]:
        """Return the scorecards of ceiling and floor."""

        def measure() -> dict[str, Scorecard]:
            self.progress("measuring ceiling and floor", {})
            n = len(self.test[0])
            ceiling = ceiling_rows(self.data, n)
            floor = floor_rows(self.data, n, torch.Generator().manual_seed(0))
            self.save_sample("real", self.test)
            if self.data.schema.kind != "table":  # its values are those of training rows
                self.save_sample("floor", floor)
            rows = {"ceiling": ceiling, "floor": floor}
            return {name: self.scorer.score(self.test, fake) for name, fake in rows.items()}

        cards = self._measure_once(self.folder.references, {}, measure)
        return cards["ceiling"], cards["floor"]

    def _measure_once(
        self,
        path: Path,
        measured: Mapping[str, Any],
        measure: Callable[[], dict[Name, Scorecard]],
    ) -> dict[Name, Scorecard]:
        """Return a file's scorecards if nothing that they depend on has changed, or make them."""
        bound_to = {**self.choice.to_json(), "version": version("pushforward"), **measured}
        stored = read_json(path) if path.exists() and self.choice.identifiable else {}
        if stored.get("bound_to") == bound_to:
            return {cast(Name, n): Scorecard.from_json(c) for n, c in stored["cards"].items()}
        cards = measure()
        plain = {name: card.to_json() for name, card in cards.items()}
        write_json(path, {"bound_to": bound_to, "cards": plain})
        return cards

    def save_sample(self, source: str, rows: LabelledRows, seed: int | None = None) -> None:
        """Save some test rows or generated rows for the report."""
        plane = self.data.schema.space.shape == (2,) and self.data.schema.kind == "array"
        most = SHOWN_POINTS if plane else SHOWN_ROWS
        shown, labels = first_rows(rows, TEST_ROWS if self.data.schema.kind == "table" else most)
        tensors = {"rows": shown} | ({} if labels is None else {"labels": labels})
        if plane and self.data.log_density is not None and source == "real":
            tensors |= _true_density(self.data, shown)
        write_tensors(self.folder.sample(source, seed), tensors)


def _true_density(data: Dataset, rows: Tensor) -> dict[str, Tensor]:
    """Return the true density of points in the plane, on a grid around the rows."""
    assert data.log_density is not None
    raw = torch.as_tensor(data.schema.decode(rows)).double()
    low, high = raw.amin(0), raw.amax(0)
    margin = 0.08 * (high - low)
    x, y = (
        torch.linspace(
            float(low[i] - margin[i]), float(high[i] + margin[i]), DENSITY_GRID, dtype=torch.float64
        )
        for i in range(2)
    )
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    density = data.log_density(points).exp().reshape(DENSITY_GRID, DENSITY_GRID)
    return {"density": density, "density_x": x, "density_y": y}
