"""Which measures there are for each kind of data, which of them are chosen unasked, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pushforward.errors import MeasureError, nearest
from pushforward.measures._scene import MOST, Scene, Side
from pushforward.measures.learned import (
    classifier_test,
    f_divergence,
    jensen_shannon,
    wasserstein_critic,
)
from pushforward.measures.measurement import Measurement
from pushforward.measures.neighbours import (
    authenticity,
    closest_record,
    memorisation,
    nearest_neighbour_test,
    prdc,
)
from pushforward.measures.privacy import PRIVACY, exact_matches, membership_inference
from pushforward.measures.samples import (
    energy,
    frechet,
    histogram_js,
    histogram_kl,
    kid,
    knn_kl,
    max_sliced_wasserstein,
    mmd,
    sinkhorn,
    sliced_wasserstein,
    vendi,
)
from pushforward.measures.tables import column_shapes, pair_trends, utility

Measure = Callable[[Scene], Mapping[str, Measurement]]
ALL = "all"


def _on(
    view: str, measure: Callable[..., Measurement], suffix: str = "", **options: Any
) -> Measure:
    """Return a measure that applies a measure to one view of both sides."""

    def apply(scene: Scene) -> Mapping[str, Measurement]:
        real, fake = getattr(scene.real, view), getattr(scene.fake, view)
        found = measure(real, fake, seed=scene.seed, **options)
        name = found.name + suffix
        extra = found.extra | (scene.real.origin if view == "features" else {})
        return {name: replace(found, name=name, extra=extra)}

    return apply


def _prdc(scene: Scene) -> Mapping[str, Measurement]:
    found = prdc(scene.real.features, scene.fake.features, limit=MOST, seed=scene.seed)
    origin = scene.real.origin
    return {name: replace(m, extra=m.extra | origin) for name, m in found.items()}


def _utility(scene: Scene) -> Mapping[str, Measurement]:
    train = None if scene.training is None else scene.training.frame
    real, fake = scene.real.frame, scene.fake.frame
    return {"utility": utility(real, fake, train=train, target=scene.target, seed=scene.seed)}


def _beside_training(measure: Callable[..., Measurement]) -> Measure:
    """Return a measure that compares held-out and generated rows with training rows."""

    def apply(scene: Scene) -> Mapping[str, Measurement]:
        training, (real, fake) = _training(scene, measure), (scene.real, scene.fake)
        found = measure(
            real.features, fake.features, train=training.few, limit=MOST, seed=scene.seed
        )
        return {found.name: replace(found, extra=found.extra | scene.real.origin)}

    return apply


def _exact_matches(scene: Scene) -> Mapping[str, Measurement]:
    training = _training(scene, exact_matches).frame
    real, fake = scene.real.frame, scene.fake.frame
    return {"exact_matches": exact_matches(real, fake, train=training, seed=scene.seed)}


def _training(scene: Scene, measure: Callable[..., Measurement]) -> Side:
    if scene.training is None:
        raise MeasureError(
            f"{measure.__name__.strip('_')} needs the rows that the generator was trained on "
            "(train=, or --train)"
        )
    return scene.training


def _authenticity(_: Any, y: Any, *, train: Any, limit: int, seed: int) -> Measurement:
    return authenticity(train, y, limit=limit, seed=seed)


def _sharp(x: Any, y: Any, *, seed: int) -> Measurement:
    # An encoder's features are many, and what differs shifts them: trees are slow and blunt there.
    return classifier_test(x, y, classifier="logistic", seed=seed)


SHARED: dict[str, Measure] = {
    "energy": _on("features", energy),
    "mmd": _on("features", mmd),
    "sliced_wasserstein": _on("features", sliced_wasserstein),
    "classifier_test": _on("features", classifier_test),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), _prdc),
    **dict.fromkeys(("clipped_density", "clipped_coverage"), _prdc),
    "frechet": _on("features", frechet),
    "kid": _on("features", kid),
    "max_sliced_wasserstein": _on("features", max_sliced_wasserstein),
    "sinkhorn": _on("features", sinkhorn),
    "nearest_neighbour_test": _on("features", nearest_neighbour_test, limit=MOST),
    "knn_kl": _on("features", knn_kl),
    "jensen_shannon": _on("features", jensen_shannon),
    "f_divergence": _on("features", f_divergence),
    "wasserstein_critic": _on("features", wasserstein_critic),
    "vendi": _on("features", vendi),
    "closest_record": _beside_training(closest_record),
    "membership_inference": _beside_training(membership_inference),
    "memorisation": _beside_training(memorisation),
    "authenticity": _beside_training(_authenticity),
}
MEASURES: dict[str, dict[str, Measure]] = {
    "table": {
        "column_shapes": _on("frame", column_shapes),
        "pair_trends": _on("frame", pair_trends),
        "utility": _utility,
        "exact_matches": _exact_matches,
        **SHARED,
    },
    "image": {
        **SHARED,
        "classifier_test": _on("features", _sharp),
        "energy_pixels": _on("pixels", energy, "_pixels"),
        "sliced_wasserstein_pixels": _on("pixels", sliced_wasserstein, "_pixels"),
        "mmd_pixels": _on("pixels", mmd, "_pixels"),
    },
    "array": {
        **SHARED,
        "histogram_js": _on("features", histogram_js),
        "histogram_kl": _on("features", histogram_kl),
    },
}
NEIGHBOURS = ("precision", "recall", "density", "coverage")
CHOSEN: dict[str, tuple[str, ...]] = {
    "table": (
        *("column_shapes", "pair_trends", "utility", "classifier_test", "energy", "mmd"),
        *NEIGHBOURS,
    ),
    "image": (
        *("energy", "mmd", "sliced_wasserstein", "frechet", "classifier_test"),
        *NEIGHBOURS,
        *("energy_pixels", "sliced_wasserstein_pixels"),
    ),
    "array": ("energy", "mmd", "sliced_wasserstein", "classifier_test", *NEIGHBOURS),
}
# Where training rows are given. An encoder of images has seen them, so that pictures of these lie
# elsewhere than new ones: what attacks find there may be the encoder's doing.
COPIES: dict[str, tuple[str, ...]] = {
    "table": PRIVACY,
    "image": ("closest_record",),
    "array": ("closest_record",),
}
WHY = {
    "table": "Chosen for tables: columns and pairs of columns as they are, what a model learns "
    "from them, and a classifier, kernels and neighbours on ranks and one-hot categories",
    "image": "Chosen for images: kernels, transport, a Gaussian fit, a classifier and neighbours "
    "on an encoder that has seen the real images alone, and pixels for what it may miss",
    "array": "Chosen for arrays: kernels, transport, a classifier and neighbours on z-scores",
}


def chosen(only: Iterable[str] | None, kind: str, copies: bool) -> list[str]:
    """Return the measures for a kind of data; MeasureError for one that it does not have."""
    known = MEASURES[kind]
    if only is None:
        return [*CHOSEN[kind], *(COPIES[kind] if copies else ())]
    named = [only] if isinstance(only, str) else only
    names = list(dict.fromkeys(re.sub(r"[\s-]+", "_", name.strip().lower()) for name in named))
    if names == [ALL]:
        return list(known)
    if not names:
        raise MeasureError(f"only: name at least one measure; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise MeasureError(
                f"no measure {name!r} for data of kind {kind}: {nearest(name, known)}"
            )
    return names


def why(kind: str, *, trained: bool) -> str:
    """Say why measures are chosen unasked, and how to have others."""
    copies = f"; {', '.join(COPIES[kind])}, as training rows are given" if trained else ""
    return f"{WHY[kind]}{copies}. All {len(MEASURES[kind])} measures: only='{ALL}', or --all."
