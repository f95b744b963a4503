"""Which rulers fit which kind of data, and all of them in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import narwhals as nw
import torch
from torch import Tensor

from pushforward.data import Dataset, TableSchema
from pushforward.errors import MeasureError, nearest
from pushforward.measures import _together
from pushforward.measures._inputs import Featurise, described
from pushforward.measures.features import ImageEncoder, beside_class, spread_of
from pushforward.measures.learned import classifier_test
from pushforward.measures.measurement import Measurement, Scorecard
from pushforward.measures.neighbours import NAMES, prdc
from pushforward.measures.samples import energy, mmd, sliced_wasserstein
from pushforward.measures.tables import column_shapes, pair_trends, utility

Rows = tuple[Tensor, Tensor | None]  # encoded rows, and their labels
SPREAD_ROWS = 2000  # training rows that tell how far apart two rows usually are, at most


class Scorer:
    """The rulers for one kind of data, with what they need made once.

    Tables are measured as tables (column shapes, pair trends, utility) and by their ranks and
    one-hot categories; images by an encoder that is trained on the training rows alone, and by
    their pixels; arrays by their z-scores. Where the data are conditioned, the class stands beside
    the features, so that a generator that ignores its condition is found out.

    Args:
        data: the schema, and the training rows: images' encoder is trained on them, and a table's
            utility has its null from them.
        only: names of rulers; None for those that suit the kind of data.
        features: what to measure of each row instead of the above: a map from expanded rows
            (n, ...) to vectors (n, d).
        target: the column that `utility` predicts; None for the condition, or the last column.
        seed: of the encoder.

    Raises:
        MeasureError: for a ruler that is unknown or does not suit this kind of data.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        only: Iterable[str] | None = None,
        features: Featurise | None = None,
        target: str | None = None,
        seed: int = 0,
    ) -> None:
        self.schema, self.training = data.schema, data.part("train")
        self.names, self.strict = chosen(only, data.schema.kind), only is not None
        condition = data.schema.condition
        self.target = condition.name if target is None and condition is not None else target
        self.features = features
        if features is None and data.schema.kind == "image":
            self.features = ImageEncoder.fit(self.schema.expand(self.training[0]), seed=seed)

    def score(self, real: Rows, fake: Rows, *, seed: int = 0) -> Scorecard:
        """Measure generated rows against real ones that no model has seen.

        Args:
            real: encoded rows, and their labels or None.
            fake: the same of the generated ones.
            seed: of the rulers.
        """
        training = self._some_training(len(fake[0]), seed)
        return self.apply(Scene(Side(self, *real), Side(self, *fake), training, self.target, seed))

    def _some_training(self, size: int, seed: int) -> Side:
        rows, labels = self.training  # in the order of the source, so the first ones are not enough
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:size]
        return Side(self, rows[drawn], None if labels is None else labels[drawn])

    def apply(self, scene: Scene) -> Scorecard:
        """Apply the rulers, in their order.

        One that was asked for by name and that these samples do not allow raises its MeasureError;
        else it is left out, and `notes` says why.
        """
        found: dict[str, Measurement] = {}
        notes: dict[str, MeasureError] = {}
        for name in self.names:
            try:
                found |= {} if name in found else RULERS[self.schema.kind][name](scene)
            except MeasureError as error:
                if self.strict:
                    raise
                notes[name] = error
        if not found:
            raise next(iter(notes.values()))
        told = [f"{name} is left out: {error}" for name, error in notes.items()]
        return Scorecard({name: found[name] for name in self.names if name in found}, told)

    def view(self, rows: Tensor) -> Tensor:
        """Return the Euclidean view (n, d) that most rulers look at."""
        if self.features is None:
            return self.schema.features(rows)
        return self.features(self.schema.expand(rows))

    @cached_property
    def spread(self) -> float:
        """How far apart two training rows usually are in the view, by sqrt(2)."""
        return spread_of(self.view(self.training[0][:SPREAD_ROWS]))

    @cached_property
    def spread_of_pixels(self) -> float:
        """The same of the values themselves."""
        return spread_of(self.schema.features(self.training[0][:SPREAD_ROWS]))


@dataclass(frozen=True)
class Side:
    """One sample, seen in every way that a ruler may want.

    Args:
        scorer: knows the schema and the features.
        rows: encoded rows (n, ...).
        labels: codes of the condition's classes (n,), or None.
        table: the rows as a data frame, where they are at hand.
    """

    scorer: Scorer
    rows: Tensor
    labels: Tensor | None = None
    table: Any = None

    @cached_property
    def features(self) -> Tensor:
        """The Euclidean view, with the condition's class beside it (n, d)."""
        return self._with_class(self.scorer.view(self.rows), lambda: self.scorer.spread)

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What the features are, for a measurement's `extra`."""
        return {} if self.scorer.features is None else {"features": described(self.scorer.features)}

    @cached_property
    def pixels(self) -> Tensor:
        """The values themselves, with the condition's class beside them (n, d)."""
        values = self.scorer.schema.features(self.rows)
        return self._with_class(values, lambda: self.scorer.spread_of_pixels)

    @cached_property
    def frame(self) -> Any:
        """The rows as a data frame, without the identifiers, which are generated fresh."""
        schema = self.scorer.schema
        table = self.table if self.table is not None else schema.decode(self.rows, self.labels)
        fresh = [i.name for i in schema.identifiers] if isinstance(schema, TableSchema) else []
        return nw.from_native(table, eager_only=True).drop(fresh).to_native()

    def _with_class(self, view: Tensor, spread: Callable[[], float]) -> Tensor:
        condition = self.scorer.schema.condition
        if self.labels is None or condition is None:
            return view
        return beside_class(view, self.labels, len(condition.classes), spread())


@dataclass(frozen=True)
class Scene:
    """What a ruler is given.

    Args:
        real: the real sample.
        fake: the generated one.
        training: real rows to train on, as many as were generated; None where there are none.
        target: the column that `utility` predicts, or None.
        seed: of the rulers.
    """

    real: Side
    fake: Side
    training: Side | None
    target: str | None
    seed: int


Ruler = Callable[[Scene], Mapping[str, Measurement]]


def chosen(only: Iterable[str] | None, kind: str) -> list[str]:
    """Return the rulers for a kind of data; MeasureError for one that it does not have."""
    known = RULERS[kind]
    if only is None:
        return [name for name in known if name not in ON_REQUEST[kind]]
    names = list(dict.fromkeys([only] if isinstance(only, str) else only))
    if not names:
        raise MeasureError(f"only: name at least one ruler; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise MeasureError(f"no ruler {name!r} for data of kind {kind}: {nearest(name, known)}")
    return names


def _on(view: str, measure: Callable[..., Measurement], suffix: str = "") -> Ruler:
    """Return a ruler that applies a measure to one view of both sides."""

    def ruler(scene: Scene) -> Mapping[str, Measurement]:
        real, fake = getattr(scene.real, view), getattr(scene.fake, view)
        found = measure(real, fake, seed=scene.seed)
        name = found.name + suffix
        extra = found.extra | (scene.real.origin if view == "features" else {})
        return {name: replace(found, name=name, extra=extra)}

    return ruler


def _prdc(scene: Scene) -> Mapping[str, Measurement]:
    found = prdc(scene.real.features, scene.fake.features, seed=scene.seed)
    origin = scene.real.origin
    return {name: replace(m, extra=m.extra | origin) for name, m in found.items()}


def _utility(scene: Scene) -> Mapping[str, Measurement]:
    train = None if scene.training is None else scene.training.frame
    real, fake = scene.real.frame, scene.fake.frame
    return {"utility": utility(real, fake, train=train, target=scene.target, seed=scene.seed)}


def _sharp(x: Any, y: Any, *, seed: int) -> Measurement:
    # An encoder's features are many, and what differs shifts them: trees are slow and blunt there.
    return classifier_test(x, y, classifier="logistic", seed=seed)


NEIGHBOURS: dict[str, Ruler] = dict.fromkeys(NAMES, _prdc)
RULERS: dict[str, dict[str, Ruler]] = {
    "table": {
        "column_shapes": _on("frame", column_shapes),
        "pair_trends": _on("frame", pair_trends),
        "utility": _utility,
        "classifier_test": _on("features", classifier_test),
        "energy": _on("features", energy),
        "mmd": _on("features", mmd),
        **NEIGHBOURS,
        "sliced_wasserstein": _on("features", sliced_wasserstein),
    },
    "image": {
        "energy": _on("features", energy),
        "mmd": _on("features", mmd),
        "sliced_wasserstein": _on("features", sliced_wasserstein),
        "classifier_test": _on("features", _sharp),
        **NEIGHBOURS,
        "energy_pixels": _on("pixels", energy, "_pixels"),
        "sliced_wasserstein_pixels": _on("pixels", sliced_wasserstein, "_pixels"),
        "mmd_pixels": _on("pixels", mmd, "_pixels"),
    },
    "array": {
        "energy": _on("features", energy),
        "mmd": _on("features", mmd),
        "sliced_wasserstein": _on("features", sliced_wasserstein),
        "classifier_test": _on("features", classifier_test),
        **NEIGHBOURS,
    },
}
ON_REQUEST = {"table": {"sliced_wasserstein"}, "image": {"mmd_pixels"}, "array": set[str]()}


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
    """Measure generated samples against real ones, with every ruler that suits the data.

    Tables (data frames) are measured as tables and by ranks and one-hot categories; images (arrays
    of three or four axes) by an encoder and by their pixels; matrices by their z-scores. What the
    rulers need to know of the data (ranges, ranks, scales, the encoder) is learned from the
    training rows where they are given, else from the real ones.

    Args:
        real: the real sample: a data frame, images (n, height, width[, channels]) or a matrix
            (n, d); or a `Dataset`, of which all rows are taken.
        fake: the generated sample, of the same kind.
        train: real rows that the generator was trained on, for the rulers that need them.
        only: names of rulers; None for those that suit the data. Of those, the ones that these
            samples do not allow are left out, and `notes` of the scorecard says why.
        features: what to measure of each row: a map from rows in the networks' form to vectors.
        target: the column that `utility` predicts; None for the last.
        seed: of everything random.

    Raises:
        MeasureError: for an unknown ruler (the nearest is suggested), samples that do not fit each
            other, and one named in `only` that these samples do not allow.
        DataError: for samples that cannot be read.
    """
    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    found = _together.encode(given, reference="real" if train is None else "train")
    scorer = Scorer(found.data, only=only, features=features, target=target, seed=seed)
    sides = {n: Side(scorer, rows, table=found.tables.get(n)) for n, rows in found.rows.items()}
    return scorer.apply(Scene(sides["real"], sides["fake"], sides.get("train"), target, seed))
