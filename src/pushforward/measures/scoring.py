"""The measures that suit the data, all of them in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Dataset, Schema, TableSchema
from pushforward.errors import MeasureError, listed
from pushforward.measures._applied import Apply
from pushforward.measures._encoding import encode
from pushforward.measures._inputs import FeatureFunction, require_features
from pushforward.measures._selection import MeasureSelection, reason, selected
from pushforward.measures._views import FeatureMap, Sample, Samples, at, random_rows
from pushforward.measures.features import ImageEncoder
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.privacy import CAVEAT, PRIVACY
from pushforward.measures.tables.utility import require_target
from pushforward.nn.device import choose_device

Rows = tuple[Tensor, Tensor | None]  # encoded rows, and their labels
TRAINING_ROWS = 200_000  # training rows that generated ones are compared with, at most


class Scorer:
    """The measures for one kind of data; what they need of the training rows is made once.

    Tables are measured as tables (column shapes, pair trends, utility) and by their ranks and
    one-hot categories; images by an encoder that is trained on the training rows alone, and by
    their pixels; arrays by their z-scores. Where the data are conditioned, the class stands beside
    the features, so that a generator that ignores its condition is noticed.

    Args:
        data: the schema, and the training rows: images' encoder is trained on them, and a table's
            utility has its null from them.
        measures: the measures, by name or as functions (see `register`); `"all"`, or None for the
            default ones of the kind of data.
        copies: whether the default includes a search for copies of the training rows.
        features: what to measure of each row instead of the above: a map from expanded rows
            (n, ...), tensors on `device`, to vectors (n, d).
        target: the column that `utility` predicts; None for the condition, or every
            column in turn.
        seed: of the encoder.
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
            features = ImageEncoder.fit(reference, seed=seed)
        self.feature_map = FeatureMap(schema, features, self.training[0], self.device)
        self.target = self._target(target)

    @cached_property
    def train(self) -> Sample:
        """The training rows, for the measures that compare with them."""
        rows, labels = self.training
        drawn = random_rows(rows, TRAINING_ROWS, 0)
        return Sample(self.feature_map, rows[drawn], at(labels, drawn))

    def score(self, real: Rows, fake: Rows, *, seed: int = 0) -> Scorecard:
        """Measure generated rows against real ones that no model has seen.

        Args:
            real: encoded rows, and their labels or None.
            fake: the same of the generated ones.
            seed: of the measures.
        """
        samples = [Sample(self.feature_map, *rows) for rows in (real, fake)]
        return self.apply(Samples(samples[0], samples[1], self.train, self.target, seed))

    def apply(self, samples: Samples) -> Scorecard:
        """Apply the measures, in their order.

        One that was named and that these samples do not allow raises its MeasureError; otherwise it
        is left out, and `notes` says why.
        """
        results: dict[str, Measurement] = {}
        errors: dict[str, MeasureError] = {}
        for name, apply in self.measures.items():
            try:
                results |= {} if name in results else apply(samples)
            except MeasureError as error:
                if self.strict:
                    raise
                errors[name] = error
        if not results:
            raise next(iter(errors.values()))
        notes = [f"{name} is left out: {error}" for name, error in errors.items()]
        return Scorecard({name: results[name] for name in self.measures if name in results}, notes)

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

    Tables (data frames) are measured as tables and by ranks and one-hot categories; images by an
    encoder and by their pixels; other arrays by their z-scores. Shape and values tell whether an
    array holds images, as `read` has it; a `Dataset` knows. What the measures need to know of the
    data (types, ranges, ranks, scales, the encoder) is learned from the training rows where they
    are given, else from the real ones. A generated column that is empty, constant or of another
    type is a difference, and `notes` names it first.

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
