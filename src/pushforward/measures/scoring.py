"""The measures that suit the data, all of them in one call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from torch import Tensor

from pushforward.data import Dataset
from pushforward.errors import MeasureError
from pushforward.measures import _sets, _together
from pushforward.measures._inputs import Featurise
from pushforward.measures._scene import Lens, Scene, Side, at, some
from pushforward.measures.features import ImageEncoder
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.privacy import CAVEAT, PRIVACY

Rows = tuple[Tensor, Tensor | None]  # encoded rows, and their labels
TRAINING_ROWS = 200_000  # training rows that generated ones are compared with, at most


class Scorer:
    """The measures for one kind of data, with what they need made once.

    Tables are measured as tables (column shapes, pair trends, utility) and by their ranks and
    one-hot categories; images by an encoder that is trained on the training rows alone, and by
    their pixels; arrays by their z-scores. Where the data are conditioned, the class stands beside
    the features, so that a generator that ignores its condition is found out.

    Args:
        data: the schema, and the training rows: images' encoder is trained on them, and a table's
            utility has its null from them.
        only: names of measures; `"all"`, or None for those that suit the kind of data.
        copies: whether these include a search for copies of the training rows.
        features: what to measure of each row instead of the above: a map from expanded rows
            (n, ...) to vectors (n, d).
        target: the column that `utility` predicts; None for the condition, or the last column.
        seed: of the encoder.

    Raises:
        MeasureError: for a measure that is unknown or does not suit this kind of data.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        only: Iterable[str] | None = None,
        copies: bool = False,
        features: Featurise | None = None,
        target: str | None = None,
        seed: int = 0,
    ) -> None:
        schema, self.training = data.schema, data.subset("train")
        self.kind, self.names = schema.kind, _sets.chosen(only, schema.kind, copies)
        self.strict = only is not None and self.names != list(_sets.MEASURES[schema.kind])
        condition = schema.condition
        self.target = condition.name if target is None and condition is not None else target
        if features is None and schema.kind == "image":
            features = ImageEncoder.fit(schema.expand(self.training[0]), seed=seed)
        self.lens = Lens(schema, features, self.training[0])

    @cached_property
    def trained(self) -> Side:
        """The training rows, for the measures that compare with them."""
        rows, labels = self.training
        drawn = some(rows, TRAINING_ROWS, 0)
        return Side(self.lens, rows[drawn], at(labels, drawn))

    def score(self, real: Rows, fake: Rows, *, seed: int = 0) -> Scorecard:
        """Measure generated rows against real ones that no model has seen.

        Args:
            real: encoded rows, and their labels or None.
            fake: the same of the generated ones.
            seed: of the measures.
        """
        sides = [Side(self.lens, *given) for given in (real, fake)]
        return self.apply(Scene(sides[0], sides[1], self.trained, self.target, seed))

    def apply(self, scene: Scene) -> Scorecard:
        """Apply the measures, in their order.

        One that was asked for by name and that these samples do not allow raises its MeasureError;
        else it is left out, and `notes` says why.
        """
        found: dict[str, Measurement] = {}
        notes: dict[str, MeasureError] = {}
        for name in self.names:
            try:
                found |= {} if name in found else _sets.MEASURES[self.kind][name](scene)
            except MeasureError as error:
                if self.strict:
                    raise
                notes[name] = error
        if not found:
            raise next(iter(notes.values()))
        told = [f"{name} is left out: {error}" for name, error in notes.items()]
        return Scorecard({name: found[name] for name in self.names if name in found}, told)


def measure(
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    only: Iterable[str] | None = None,
    features: Featurise | None = None,
    target: str | None = None,
    seed: int = 0,
) -> Scorecard:
    """Measure generated samples against real ones, with every measure that suits the data.

    Tables (data frames) are measured as tables and by ranks and one-hot categories; images (arrays
    of three or four axes) by an encoder and by their pixels; matrices by their z-scores. What the
    measures need to know of the data (ranges, ranks, scales, the encoder) is learned from the
    training rows where they are given, else from the real ones.

    Args:
        real: the real sample: a data frame, images (n, height, width[, channels]) or a matrix
            (n, d); or a `Dataset`, of which all rows are taken.
        fake: the generated sample, of the same kind.
        train: real rows that the generator was trained on, for the measures that need them.
        only: names of measures; `"all"` for all that there are for this kind of data, None for a
            choice, which `notes` of the scorecard explains. Of these, the ones that the samples do
            not allow are left out, and `notes` says why.
        features: what to measure of each row: a map from rows in the networks' form to vectors.
        target: the column that `utility` predicts; None for the last.
        seed: of everything random.

    Raises:
        MeasureError: for an unknown measure (the nearest is suggested), samples that do not fit
            each other, and one named in `only` that these samples do not allow.
        DataError: for samples that cannot be read.
    """
    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    found = _together.encode(given, reference="real" if train is None else "train")
    trained = train is not None
    scorer = Scorer(
        found.data, only=only, copies=trained, features=features, target=target, seed=seed
    )
    sides = {
        n: Side(scorer.lens, rows, table=found.tables.get(n)) for n, rows in found.rows.items()
    }
    scene = Scene(sides["real"], sides["fake"], sides.get("train"), target, seed)
    card = scorer.apply(scene)
    told = [_sets.why(scorer.kind, trained=trained)] if only is None else []
    told += [CAVEAT] if any(name in card for name in PRIVACY) else []
    fresh = [i.name for i in getattr(found.data.schema, "identifiers", ())]
    told += [f"Left out as identifiers: {', '.join(fresh)}."] if fresh else []
    return Scorecard(card, [*told, *card.notes])
