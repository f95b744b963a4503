"""The bench: every model is trained and measured under the same conditions.

It sees nothing of a model but its samples. Checkpoints are chosen on validation rows and measured
on test rows. What is finished is kept in the folder and reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pushforward.comparison.cart import cart_rows
from pushforward.comparison.facts import RunFacts, facts_of
from pushforward.comparison.folder import CART, CEILING, FLOOR, REAL, ComparisonFolder
from pushforward.comparison.gallery import Gallery
from pushforward.comparison.references import LabelledRows, ceiling_rows, first_rows, floor_rows
from pushforward.comparison.samples import KeptSamples
from pushforward.data import Dataset
from pushforward.data.schema import DataKind
from pushforward.errors import DivergedError
from pushforward.families.model import Model
from pushforward.files import digest, read_json, write_json
from pushforward.measures import Scorecard, Scorer
from pushforward.measures._applied import MeasureFunction, UserMeasure
from pushforward.measures._inputs import FeatureFunction, feature_identity
from pushforward.measures._selection import selected
from pushforward.nn.device import choose_device
from pushforward.runs import Checkpoint, Fitted, load
from pushforward.runs.fitted import CHECKPOINTS
from pushforward.sampling.request import SampleRequest
from pushforward.training.fit import fit
from pushforward.training.settings import Settings

TEST_ROWS = 3000  # real and generated rows that are measured, at most

# Called with the stage ("vae, seed 0") and the training loop's record, empty while measuring.
StageProgress = Callable[[str, Mapping[str, Any]], None]


def silent(stage: str, record: Mapping[str, Any]) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class MeasureChoice:
    """Which measures are applied, and to what; None stands for what suits the data.

    Args:
        measures: names or functions; `["all"]` for all measures of the kind of data.
        target: the column that `utility` predicts.
        features: a map from expanded rows (n, ...) to vectors (n, d).
    """

    measures: Sequence[str | MeasureFunction] | None = None
    target: str | None = None
    features: FeatureFunction | None = None

    def to_json(self, kind: DataKind) -> dict[str, Any]:
        """Return a dictionary of plain values; functions stand in it by their measures' names."""
        names = None if self.measures is None else [_name(m, kind) for m in self.measures]
        features = None if self.features is None else feature_identity(self.features)
        return {"measures": names, "target": self.target, "features": features}

    def identity(self, kind: DataKind) -> dict[str, Any] | None:
        """Return what identifies the measures and features; None where they have functions.

        Names and defaults are resolved, because a user's own measures can change them. Of a user's
        function only the name is known, not whether it still computes the same.
        """
        selection = selected(self.measures, kind, copies=True)[0]
        own = any(isinstance(measure, UserMeasure) for measure in selection.values())
        identity = self.to_json(kind) | {"measures": list(selection)}
        known = self.features is None or bool(identity["features"]["hash"])
        return identity if known and not own else None


def _name(measure: str | MeasureFunction, kind: DataKind) -> str:
    if isinstance(measure, str):
        return measure
    return next(iter(selected([measure], kind, copies=False)[0]))


@dataclass(frozen=True)
class Run:
    """One fit with its measuring: the unit of a comparison's work.

    Args:
        label: what the comparison calls the model.
        model: its class.
        options: of the model.
        settings: how to train it, with the seed.
        shown: whether a sample of it is kept for the report.
    """

    label: str
    model: type[Model]
    options: Mapping[str, Any]
    settings: Settings
    shown: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.label}, seed {self.settings.seed}"


class Completed(NamedTuple):
    """What a run comes to: scorecards by checkpoint, how it went, its last record with its cost."""

    cards: dict[Checkpoint, Scorecard]
    facts: RunFacts
    record: Mapping[str, Any]


class Bench:
    """Trains models on one data set, and measures them.

    Args:
        data: what all models are trained on.
        folder: where runs, scorecards and samples are kept.
        choice: the measures.
        device: where models are trained and measured.
        progress: called with each stage and the training loop's records.
        example_rows: whether the report may show rows of the user's own: see `KeptSamples`.
    """

    def __init__(
        self,
        data: Dataset,
        folder: ComparisonFolder,
        choice: MeasureChoice,
        device: str,
        progress: StageProgress,
        *,
        example_rows: bool = False,
    ) -> None:
        self.data, self.folder, self.choice = data, folder, choice
        self.device, self.progress = device, progress
        sizes = (data.sizes["test"], data.sizes["validation"], TEST_ROWS)
        self.test = first_rows(data.subset("test"), min(sizes))  # as many as the ceiling has
        self.samples = KeptSamples(data, folder, self.test, example_rows)
        self.gallery = Gallery(data.schema, self.test, example_rows, lambda: self.scorer)

    @cached_property
    def scorer(self) -> Scorer:
        """The measures, prepared once: for images, features are fitted to training rows."""
        self.progress("preparing the measures", {})
        return Scorer(
            self.data,
            measures=self.choice.measures,
            copies=True,
            features=self.choice.features,
            target=self.choice.target,
            device=choose_device(self.device),
        )

    def at(self, path: Path) -> Bench:
        """Return a bench like this one that works in another folder."""
        _ = self.scorer  # which both share
        other = copy(self)
        other.folder = ComparisonFolder(path)
        other.samples = replace(self.samples, folder=other.folder)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Send what it was made of: measures are prepared anew, and progress stays here."""
        own = (self.data, self.folder, self.choice, self.device, silent)
        return partial(Bench, example_rows=self.samples.example_rows), own

    def complete(self, run: Run) -> Completed:
        """Train and measure a run, or load what of it is there."""
        fitted = self.fit(run)
        cards = self.score(fitted, run.label, run.settings.seed)
        if run.shown:
            self.keep_sample(fitted, run.label, run.settings.seed)
        last = [dict(record) for record in fitted.history[-2:]]
        return Completed(
            cards, facts_of(fitted, self.test), {k: v for r in last for k, v in r.items()}
        )

    def has(self, run: Run) -> bool:
        """Whether a run is trained, and measured by these measures in this version."""
        label, seed = run.label, run.settings.seed
        path, origin = self.folder.scorecards(label, seed), self._origin()
        if origin is None or not path.exists() or not self.folder.run(label, seed).finished:
            return False
        stored = read_json(path).get("origin") or {}
        return {name: stored.get(name) for name in origin} == origin

    def prepare(self, models: Sequence[str], seeds: Sequence[int]) -> None:
        """Make the scorer if any run still needs it, so that a wrong choice fails before training.

        MeasureError for a measure that is unknown or does not suit the data.
        """
        files = [self.folder.scorecards(model, seed) for model in models for seed in seeds]
        if not all(path.exists() for path in files):
            _ = self.scorer

    def fit(self, run: Run) -> Fitted:
        """Train a run, or load it; of one that diverged, what was kept."""
        out = self.folder.run(run.label, run.settings.seed).path
        try:
            return fit(
                self.data,
                run.model,
                out=out,
                device=self.device,
                progress=lambda record: self.progress(run.name, record),
                **asdict(run.settings),
                **run.options,
            )
        except DivergedError:
            networks = run.options.get("networks")
            return load(out, device=self.device, model=run.model, networks=networks)

    def score(self, fitted: Fitted, model: str, seed: int) -> dict[Checkpoint, Scorecard]:
        """Return the scorecards of a run's checkpoints, on test rows."""
        path = self.folder.scorecards(model, seed)
        weights = {name: _weights(fitted, name) for name in CHECKPOINTS}
        origin = self._origin(weights=weights)
        stored = read_scorecards(path, origin)
        if stored is None:
            self.progress(f"{model}, seed {seed}: measuring", {})
            # A checkpoint that was best at the end is both, and measured once, as the best.
            distinct = {weights[name]: name for name in reversed(CHECKPOINTS)}
            cards = {hashed: self._score(fitted, seed, name) for hashed, name in distinct.items()}
            stored = {name: cards[weights[name]] for name in CHECKPOINTS}
            write_scorecards(path, origin, stored)
        return {name: stored[name] for name in CHECKPOINTS}

    def _score(self, fitted: Fitted, seed: int, checkpoint: Checkpoint) -> Scorecard:
        """Return a checkpoint's scorecard; a measure that its samples do not allow is left out."""
        fake = self._draw(fitted, seed, checkpoint)
        card = self.scorer.score(self.test, fake, seed=seed, strict=False)
        return self._with_row_noise(card, fake, seed) if checkpoint == "best" else card

    def _with_row_noise(self, card: Scorecard, fake: LabelledRows, seed: int = 0) -> Scorecard:
        noise = self.scorer.row_noise(self.test, fake, seed=seed)
        return Scorecard(card, card.notes, noise)

    def references(self) -> dict[str, Scorecard]:
        """Return the scorecards of what models are compared with, by name."""
        is_table, origin = CART in self._references, self._origin(references=self._references)
        stored = read_scorecards(self.folder.references, origin)
        if stored is None:
            self.progress("measuring the references", {})
            n, generator = len(self.test[0]), torch.Generator().manual_seed(0)
            rows = {
                CEILING: ceiling_rows(self.data, n),
                FLOOR: floor_rows(self.data, n, generator),
            }
            rows |= {CART: cart_rows(self.data, n, generator)} if is_table else {}
            stored = {
                name: self._with_row_noise(self.scorer.score(self.test, fake), fake)
                for name, fake in rows.items()
            }
            write_scorecards(self.folder.references, origin, stored)
        self._keep_references()
        return stored

    @property
    def has_references(self) -> bool:
        """Whether the references are measured, by these measures in this version."""
        origin = self._origin(references=self._references)
        return read_scorecards(self.folder.references, origin) is not None

    @property
    def _references(self) -> list[str]:
        return [CEILING, FLOOR, *([CART] if self.data.schema.kind == "table" else [])]

    def _keep_references(self) -> None:
        """Keep for the report what it shows of the test rows and, beside images, of the floor."""
        self.samples.keep(REAL, lambda: self.test, self._drawn_from(""), self.gallery.copies)
        if self.data.schema.kind != "table":
            n, generator = len(self.test[0]), torch.Generator().manual_seed(0)
            self.samples.keep(FLOOR, lambda: floor_rows(self.data, n, generator))

    def keep_sample(self, fitted: Fitted, model: str, seed: int) -> None:
        """Keep a sample of a model's best checkpoint for the report."""
        origin = self._drawn_from(f"{_weights(fitted, 'best')} {seed}")
        self.samples.keep(
            model,
            lambda: self._draw(fitted, seed, "best"),
            origin,
            lambda rows: self.gallery.of_model(fitted.network("best"), rows, seed),
        )

    def _drawn_from(self, what: str) -> str | None:
        """Return what a kept sample depends on: also the features, by which rows are nearest.

        None for features of the user's that nothing identifies.
        """
        features = self.choice.to_json(self.data.schema.kind)["features"]
        if features is None:
            return what
        return f"{what} {features['name']} {features['hash']}" if features["hash"] else None

    def _draw(self, fitted: Fitted, seed: int, checkpoint: Checkpoint) -> LabelledRows:
        """Return as many generated rows as there are test rows."""
        network = fitted.network(checkpoint)
        return SampleRequest(network, fitted.schema, len(self.test[0]), seed).draw()

    def _origin(self, **measured: Any) -> dict[str, Any] | None:
        """Return what scorecards depend on beside the data; None where that cannot be said."""
        identity = self.choice.identity(self.data.schema.kind)
        if identity is None:
            return None
        return identity | {"version": version("pushforward")} | measured


def read_scorecards(path: Path, origin: Mapping[str, Any] | None) -> dict[str, Scorecard] | None:
    """Return the scorecards in a file; None where there are none of this origin."""
    if origin is None or not path.exists():
        return None
    stored = read_json(path)
    if stored.get("origin") != origin:
        return None
    return {name: Scorecard.from_json(card) for name, card in stored["cards"].items()}


def write_scorecards(
    path: Path, origin: Mapping[str, Any] | None, cards: Mapping[Any, Scorecard]
) -> None:
    """Write scorecards with what they depend on."""
    plain = {name: card.to_json() for name, card in cards.items()}
    write_json(path, {"origin": origin, "cards": plain})


def _weights(fitted: Fitted, checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a checkpoint's weights."""
    return digest(fitted.states[checkpoint], "")
