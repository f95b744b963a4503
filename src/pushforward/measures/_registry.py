"""Which measures there are for each kind of data, which of them are the default, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, get_args, overload

from pushforward.data.schema import DataKind
from pushforward.errors import MeasureError, nearest
from pushforward.measures._applied import (
    Applied,
    Apply,
    MeasureFunction,
    UserMeasure,
    resampling_off,
    user_measure,
)
from pushforward.measures._views import NEIGHBOUR_ROWS, OwnView, Samples, View
from pushforward.measures.aspects import ASPECTS, OWN, Aspect
from pushforward.measures.images import artefacts
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
from pushforward.measures.tables import column_shapes, pair_information, pair_trends, utility

ALL = "all"
KINDS: tuple[DataKind, ...] = get_args(DataKind)
Function = TypeVar("Function", bound=MeasureFunction)


def _prdc(samples: Samples) -> dict[str, Measurement]:
    real, fake = samples.real.features, samples.fake.features
    off = resampling_off(prdc) if samples.value_only else {}
    card = prdc(real, fake, limit=NEIGHBOUR_ROWS, seed=samples.seed, **off)
    origin = samples.origin("features")
    return {
        name: replace(m, aspect=ASPECTS[name], extra=m.extra | origin) for name, m in card.items()
    }


def _artefacts(samples: Samples) -> dict[str, Measurement]:
    expand = samples.real.feature_map.schema.expand
    real, fake = (expand(s.rows.to(s.feature_map.device)) for s in (samples.real, samples.fake))
    return dict(artefacts(real, fake, seed=samples.seed))


def _by_neighbours(measure: MeasureFunction, view: OwnView = "features") -> Applied:
    return Applied(measure, view, options={"limit": NEIGHBOUR_ROWS})


NEIGHBOURS = ("precision", "recall", "density", "coverage")
PUBLISHED = {"classifier": "xgboost", "folds": 3, "limit": None}
ARTEFACTS = ("colour_shift", "grid_pattern", "blur", "corner_spots", "droplets")
SHARED: dict[str, Apply] = {
    "energy": Applied(energy),
    "mmd": Applied(mmd),
    "sliced_wasserstein": Applied(sliced_wasserstein),
    "classifier_test": Applied(classifier_test),
    **dict.fromkeys((*NEIGHBOURS, "clipped_density", "clipped_coverage"), _prdc),
    "frechet": Applied(frechet),
    "kid": Applied(kid),
    "max_sliced_wasserstein": Applied(max_sliced_wasserstein),
    "sinkhorn": Applied(sinkhorn),
    "nearest_neighbour_test": _by_neighbours(nearest_neighbour_test),
    "knn_kl": Applied(knn_kl),
    "jensen_shannon": Applied(jensen_shannon),
    "f_divergence": Applied(f_divergence),
    "wasserstein_critic": Applied(wasserstein_critic),
    "vendi": Applied(vendi),
    # On the values themselves: features that were fitted to the training rows place these elsewhere
    # than new rows, which would look as if they had been copied.
    "membership_inference": _by_neighbours(membership_inference, "values"),
    "closest_record": _by_neighbours(closest_record, "values"),
    "memorisation": _by_neighbours(memorisation, "values"),
    "authenticity": _by_neighbours(authenticity, "values"),
}
MEASURES: dict[DataKind, dict[str, Apply]] = {
    "table": {
        "column_shapes": Applied(column_shapes, "forms"),
        "pair_trends": Applied(pair_trends, "frame"),
        "pair_information": Applied(pair_information, "frame"),
        "utility": Applied(utility, "frame", halved=False),
        "exact_matches": Applied(exact_matches, "frame"),
        **SHARED,
        # How tables are compared in the literature. By its name alone: the trees look at the same,
        # and what is measured by default does not depend on which packages are installed.
        "classifier_test_xgboost": Applied(classifier_test, "frame", "_xgboost", PUBLISHED),
    },
    "image": {
        **SHARED,
        # Features of images are many, and differences shift them: trees are slow and weak there.
        "classifier_test": Applied(classifier_test, options={"classifier": "logistic"}),
        "energy_pixels": Applied(energy, "values", "_pixels"),
        "sliced_wasserstein_pixels": Applied(sliced_wasserstein, "values", "_pixels"),
        "mmd_pixels": Applied(mmd, "values", "_pixels"),
        "exact_matches": _by_neighbours(exact_matches, "values"),
        **dict.fromkeys(ARTEFACTS, _artefacts),
    },
    "array": {
        **SHARED,
        "exact_matches": _by_neighbours(exact_matches, "values"),
        "histogram_js": Applied(histogram_js),
        "histogram_kl": Applied(histogram_kl),
    },
}
DEFAULT: dict[DataKind, tuple[str, ...]] = {
    "table": (
        *("column_shapes", "pair_trends", "pair_information", "utility"),
        *("classifier_test", "energy", "mmd"),
        *NEIGHBOURS,
    ),
    "image": (
        *("energy", "mmd", "sliced_wasserstein", "frechet", "classifier_test"),
        *NEIGHBOURS,
        *("energy_pixels", "sliced_wasserstein_pixels"),
        *ARTEFACTS,
    ),
    "array": ("energy", "mmd", "sliced_wasserstein", "classifier_test", *NEIGHBOURS),
}
# Where training rows are given.
COPIES: dict[DataKind, tuple[str, ...]] = {
    kind: tuple(name for name in PRIVACY if name in MEASURES[kind]) for kind in KINDS
}
WHY: dict[DataKind, str] = {
    "table": "Chosen for tables: columns and pairs of columns as they are, what a model learns "
    "from them, and a classifier, kernels and neighbours on ranks and one-hot categories",
    "image": "Chosen for images: kernels, transport, a Gaussian fit, a classifier and neighbours "
    "on statistics of the images' differences, pixels for what they may miss, and artefacts of "
    "networks",
    "array": "Chosen for arrays: kernels, transport, a classifier and neighbours on z-scores",
}


@overload
def register(
    function: Function,
    *,
    name: str | None = None,
    kinds: Iterable[DataKind] | None = None,
    view: View = "features",
    default: bool = False,
    aspect: Aspect = OWN,
) -> Function: ...


@overload
def register(
    function: None = None,
    *,
    name: str | None = None,
    kinds: Iterable[DataKind] | None = None,
    view: View = "features",
    default: bool = False,
    aspect: Aspect = OWN,
) -> Callable[[Function], Function]: ...


def register(
    function: Any = None,
    *,
    name: str | None = None,
    kinds: Iterable[DataKind] | None = None,
    view: View = "features",
    default: bool = False,
    aspect: Aspect = OWN,
) -> Any:
    """Add a measure of your own: it can be chosen by its name, and is one of `"all"`.

    As a decorator, with keywords or without:

        @pf.measures.register(kinds=["table"], view="frame", default=True)
        def missing_values(x, y, *, seed=0):
            worst = max(abs(x[c].isna().mean() - y[c].isna().mean()) for c in x.columns)
            return pf.measures.Measurement("missing_values", worst, null=0, n=len(x), m=len(y))

    Registering the same function again (a cell of a notebook that is run twice) replaces it.

    Args:
        function: (x, y, *, seed=0) -> Measurement; x is the real sample, y the generated one. If it
            has a keyword `train`, it also gets the training rows, in the same view; if it has a
            keyword `target`, the name of the column to predict, or None.
        name: of the measure; None for the function's own name.
        kinds: the kinds of data that it suits: `"table"`, `"image"`, `"array"`; None for all of
            them, or for tables alone where it takes data frames.
        view: what x and y are. `"features"`: matrices (n, d) on the scorer's device, of what
            `features=` gives, else of a table's ranks and one-hot categories, the statistics
            of images, or an array's z-scores. `"values"`: the same without `features=` and without
            statistics (images: pixels in [-1, 1]). `"frame"`: data frames, for tables alone.
        default: whether it is also applied when no measures are named.
        aspect: with which other measures it shares a vote in comparisons: `"marginals"`,
            `"joint structure"`, `"fidelity"`, `"coverage"`, `"use"`, or `"own"`, which is that of
            measures of your own.

    Returns:
        The function itself, or a decorator where no function is given.

    Raises:
        MeasureError: for a name that is taken or is not a lower-case identifier, a function that
            cannot be called like this, an unknown kind, view or aspect, and data frames for other
            data than tables.
    """
    if function is None:
        return partial(register, name=name, kinds=kinds, view=view, default=default, aspect=aspect)
    suited, measure = _kinds(kinds, view), user_measure(function, view, name, _aspect(aspect))
    for kind in KINDS:
        _require_free(measure, MEASURES[kind].get(measure.name))
    for kind in KINDS:
        MEASURES[kind].pop(measure.name, None)
        DEFAULT[kind] = tuple(known for known in DEFAULT[kind] if known != measure.name)
    for kind in suited:
        MEASURES[kind][measure.name] = measure
        DEFAULT[kind] += (measure.name,) if default else ()
    return function


def registered() -> list[tuple[DataKind, UserMeasure, bool]]:
    """Return the measures that users registered: their kind of data, and whether it is a default.

    They are what another process needs to measure as this one does, see `adopt`.
    """
    return [
        (kind, measure, name in DEFAULT[kind])
        for kind in KINDS
        for name, measure in MEASURES[kind].items()
        if isinstance(measure, UserMeasure)
    ]


def adopt(measures: Iterable[tuple[DataKind, UserMeasure, bool]]) -> None:
    """Add the measures that users registered in another process."""
    for kind, measure, default in measures:
        MEASURES[kind][measure.name] = measure
        if default and measure.name not in DEFAULT[kind]:
            DEFAULT[kind] += (measure.name,)


def _aspect(aspect: Aspect) -> Aspect:
    if aspect not in get_args(Aspect):
        raise MeasureError(f"unknown aspect {aspect!r}; {nearest(str(aspect), get_args(Aspect))}")
    return aspect


def _kinds(kinds: Iterable[DataKind] | None, view: str) -> list[DataKind]:
    if view not in get_args(View):
        raise MeasureError(f"unknown view {view!r}; {nearest(str(view), get_args(View))}")
    if kinds is None:
        return ["table"] if view == "frame" else list(KINDS)
    given: list[Any] = [kinds] if isinstance(kinds, str) else list(kinds)
    if not given:
        raise MeasureError("kinds: name at least one kind of data, or leave it out for all")
    for kind in given:
        if kind not in KINDS:
            raise MeasureError(f"unknown kind of data {kind!r}; {nearest(str(kind), KINDS)}")
    if view == "frame" and given != ["table"]:
        raise MeasureError(f'only tables have data frames; given view="frame" and kinds={given}')
    return given


def _require_free(measure: UserMeasure, known: Apply | None) -> None:
    again = isinstance(known, UserMeasure) and known.place == measure.place
    if again or (known is None and measure.name != ALL):
        return
    raise MeasureError(f"there already is a measure {measure.name!r}; choose another name (name=)")
