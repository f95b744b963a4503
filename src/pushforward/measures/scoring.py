"""The measures that suit the data, all of them in one call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Dataset, Schema, TableSchema
from pushforward.errors import MeasureError, listed
from pushforward.measures._applied import Apply, UserMeasure
from pushforward.measures._encoding import encode
from pushforward.measures._inputs import FeatureFunction, matrix, require_features
from pushforward.measures._search import magnified
from pushforward.measures._selection import MeasureSelection, reason, selected
from pushforward.measures._views import FeatureMap, Sample, Samples, at, random_rows
from pushforward.measures.aspects import ASPECTS
from pushforward.measures.features import ImageStatistics
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.neighbours._shared import distances
from pushforward.measures.privacy import CAVEAT, PRIVACY
from pushforward.measures.tables.utility import require_target
from pushforward.nn.device import choose_device

Rows = tuple[Tensor, Tensor | None]  # encoded rows, and their labels
HALVINGS = 4  # of the real rows
HALF_ROWS = 500  # of each half, at most
TRAINING_ROWS = 200_000  # training rows that generated ones are compared with, at most


class Scorer:
    """The measures for one kind of data; what they need of the training rows is made once.

    Tables are measured as tables (column shapes, pair trends, utility) and by their ranks and
    one-hot categories; images by statistics of their differences (see `ImageStatistics`) and by
    their pixels; arrays by their z-scores. Where the data are conditioned, the class stands beside
    the features, so that a generator that ignores its condition is noticed.

    Args:
        data: the schema, and the training rows: means, spreads and axes of images' statistics
            are taken from them, and a table's utility has its null from them.
        measures: the measures, by name or as functions (see `register`); `"all"`, or None for the
            default ones of the kind of data.
        copies: whether the default includes a search for copies of the training rows.
        features: what to measure of each row instead of the above: a map from expanded rows
            (n, ...), tensors on `device`, to vectors (n, d).
        target: the column that `utility` predicts; None for the condition, or every
            column in turn.
        seed: of the training images that features are fitted to.
        device: where features and measures are computed: `"cpu"`, `"cuda"`, or `"auto"` for a GPU
            where there is one. What works on data frames, or with scikit-learn, stays on the CPU.
            Measurements hold plain numbers.

    Raises:
        MeasureError: for a measure that is unknown or does not suit this kind of data, a target
            that is no column of the table or that cannot be predicted, and a device that is not
            available.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        measures: MeasureSelection = None,
        copies: bool = False,
        features: FeatureFunction | None = None,
        target: str | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        schema, self.training = data.schema, data.subset("train")
        self.kind, self.device = schema.kind, choose_device(device, MeasureError)
        self.measures, self.strict = selected(measures, schema.kind, copies=copies)
        require_features(features)
        if features is None and schema.kind == "image":
            reference = schema.expand(self.training[0].to(self.device))
            features = ImageStatistics.fit(reference, seed=seed)
        self.feature_map = FeatureMap(schema, features, self.training[0], self.device)
        self.target = self._target(target)

    @cached_property
    def train(self) -> Sample:
        """The training rows, for the measures that compare with them."""
        rows, labels = self.training
        drawn = random_rows(rows, TRAINING_ROWS, 0)
        return Sample(self.feature_map, rows[drawn], at(labels, drawn))

    def score(
        self, real: Rows, fake: Rows, *, seed: int = 0, strict: bool | None = None
    ) -> Scorecard:
        """Measure generated rows against real ones that no model has seen.

        Args:
            real: encoded rows, and their labels or None.
            fake: the same of the generated ones.
            seed: of the measures.
            strict: see `apply`.
        """
        return self.apply(self._samples(real, fake, seed), strict)

    def nearest_training_rows(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the nearest training row of each row by the features: distance (n,), and itself.

        Args:
            rows: encoded rows (n, ...), and their labels or None.

        Raises:
            MeasureError: for features with NaN or infinity.
        """
        queries = matrix(Sample(self.feature_map, *rows).features, "the sample")
        training = matrix(self.train.features, "the training sample")
        (queries, training), unit = magnified(queries, training)
        distance, index = distances(queries, training, None)
        return unit * distance.cpu(), self.train.rows[index.cpu()]

    def row_noise(self, real: Rows, fake: Rows, *, seed: int = 0) -> dict[str, list[float]]:
        r"""Return, by measure, draws of the error that the chance of the real rows brings.

        The real rows are halved at random, and each half is measured against the same generated
        rows. With voting values v, halves of h rows each, at most 500, and n real rows, a draw is

        $$\tfrac12 \left(v_1 - v_2\right) \sqrt{2 h / n}$$

        whose variance is, for a mean over rows, that of the measure of all n rows. Each of the
        halvings is the same whatever is generated: errors that two generators share cancel in the
        difference of their draws. Left out are measures without an aspect, those that have no value
        on a half, and those whose own interval covers the real rows alone.

        Reference:
            the random half-samples of McCarthy 1969, "Pseudo-replication: half samples".
        """
        names = [name for name, apply in self.measures.items() if _halved(name, apply)]
        draws: dict[str, list[float]] = {}
        for first, second, size in halvings(len(real[0])):
            fakes = fake[0][:size], None if fake[1] is None else fake[1][:size]
            values = [
                self._votes(self._samples((real[0][half], at(real[1], half)), fakes, seed), names)
                for half in (first, second)
            ]
            scale = math.sqrt(2 * size / len(real[0])) / 2
            for name in values[0].keys() & values[1].keys():
                draws.setdefault(name, []).append(scale * (values[0][name] - values[1][name]))
        return {name: found for name, found in draws.items() if len(found) == HALVINGS}

    def _samples(self, real: Rows, fake: Rows, seed: int) -> Samples:
        first, second = (Sample(self.feature_map, *rows) for rows in (real, fake))
        return Samples(first, second, self.train, self.target, seed)

    def _votes(self, samples: Samples, names: Iterable[str]) -> dict[str, float]:
        """Return the voting values of the measures that these samples allow."""
        results, _ = self._measured(replace(samples, value_only=True), names)
        return {name: m.voting_value for name, m in results.items()}

    def apply(self, samples: Samples, strict: bool | None = None) -> Scorecard:
        """Apply the measures, in their order.

        Where `strict`, a measure that these samples do not allow raises its MeasureError; otherwise
        it is left out, and `notes` says why. None: strict for measures that were named one by one,
        and where none at all is allowed.
        """
        results, errors = self._measured(samples, self.measures)
        strict = self.strict or not results if strict is None else strict
        if errors and strict:
            raise next(iter(errors.values()))
        notes = [f"{name} is left out: {error}" for name, error in errors.items()]
        return Scorecard({name: results[name] for name in self.measures if name in results}, notes)

    def _measured(
        self, samples: Samples, names: Iterable[str]
    ) -> tuple[dict[str, Measurement], dict[str, MeasureError]]:
        """Return what measures find by their names, and the errors of those that fail."""
        results: dict[str, Measurement] = {}
        errors: dict[str, MeasureError] = {}
        for name in names:
            try:
                results |= {} if name in results else self.measures[name](samples)
            except MeasureError as error:
                errors[name] = error
        return results, errors

    def _target(self, name: str | None) -> str | None:
        """Return the column to predict: the named one, or the condition."""
        schema = self.feature_map.schema
        if name is None:
            return None if schema.condition is None else schema.condition.name
        if not isinstance(schema, TableSchema):
            raise MeasureError(
                f"target names a column of a table; given {name!r} for data of kind {schema.kind}"
            )
        if name in _identifiers(schema):
            raise MeasureError(
                f"the target {name!r} holds identifiers, which nothing predicts; name another "
                "column as target"
            )
        require_target(self.train.frame, name)
        return name


def _identifiers(schema: Schema) -> list[str]:
    return [i.name for i in schema.identifiers] if isinstance(schema, TableSchema) else []


def _halved(name: str, apply: Apply) -> bool:
    """Whether a measure has a vote whose noise is told from halves of the rows."""
    votes = name in ASPECTS or isinstance(apply, UserMeasure)
    return votes and getattr(apply, "halved", True)


def halvings(n: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield two disjoint random sets of n rows, of equal sizes, and this size; always the same."""
    size = min(n // 2, HALF_ROWS)
    for seed in range(HALVINGS):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        yield order[:size], order[size : 2 * size], size


def measure(
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    measures: MeasureSelection = None,
    features: FeatureFunction | None = None,
    target: str | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Scorecard:
    """Measure generated samples against real ones, with every measure that suits the data.

    Tables (data frames) are measured as tables and by ranks and one-hot categories; images by
    statistics of their differences and by their pixels; other arrays by their z-scores. Shape and
    values tell whether an array holds images, as `read` has it; a `Dataset` knows. What the
    measures need to know of the data (types, ranges, ranks, scales, axes) is learned from the
    training rows where they are given, else from the real ones. A generated column that is empty,
    constant or of another type is a difference, and `notes` names it first.

    Args:
        real: the real sample: a data frame, images (n, height, width[, channels]) or a matrix
            (n, d); or a `Dataset`, of which all rows are taken.
        fake: the generated sample, of the same kind.
        train: real rows that the generator was trained on, for the measures that need them.
        measures: by name or as functions (see `register`); `"all"` for all that there are for this
            kind of data, None for the default ones, which `notes` of the scorecard explains. Of
            these two, measures that the samples do not allow are left out, and `notes` says why.
        features: what to measure of each row: a map from rows in the networks' form
            (tensors on `device`) to vectors.
        target: the column that `utility` predicts; None for every column in turn.
        seed: of everything random.
        device: where features and measures are computed: `"cpu"`, `"cuda"` or `"auto"`.

    Raises:
        MeasureError: for an unknown measure or target (the nearest is suggested), a target that
            cannot be predicted, samples that do not fit each other, a device that is not
            available, and a measure given by name that these samples do not allow.
        DataError: for samples that cannot be read.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:  # what NumPy and scikit-learn take
        raise MeasureError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")
    raw = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    encoded = encode(raw, reference="real" if train is None else "train")
    trained = train is not None
    scorer = Scorer(
        encoded.data,
        measures=measures,
        copies=trained,
        features=features,
        target=target,
        seed=seed,
        device=device,
    )
    of = {
        name: Sample(
            scorer.feature_map,
            rows,
            table=encoded.tables.get(name),
            table_of_forms=encoded.forms.get(name),
        )
        for name, rows in encoded.rows.items()
    }
    card = scorer.apply(Samples(of["real"], of["fake"], of.get("train"), scorer.target, seed))
    notes = [f"check: {note}" for note in encoded.notes]
    fresh = _identifiers(encoded.data.schema)
    if fresh:
        card = _without(fresh, card, scorer.measures)
        notes.append(f"Left out, as identifiers: {listed(fresh)}; column_shapes judges their form.")
    notes += card.notes
    notes += [reason(scorer.kind, trained=trained)] if measures is None else []
    notes += [CAVEAT] if any(name in card for name in PRIVACY) else []
    return Scorecard(card, notes)


def _without(columns: list[str], card: Scorecard, measures: Mapping[str, Apply]) -> Scorecard:
    """Return a scorecard whose readings say which columns they are without."""
    judged = {
        name: found
        if getattr(measures[name], "view", None) == "forms"
        else replace(
            found,
            reading=f"{found.reading}; without {listed(columns)}",
            extra=found.extra | {"left_out": columns},
        )
        for name, found in card.items()
    }
    return Scorecard(judged, card.notes)
