"""The measures that were asked for, or the default ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pushforward.data.schema import DataKind
from pushforward.errors import MeasureError, nearest
from pushforward.measures._applied import Apply, MeasureFunction, UserMeasure, user_measure
from pushforward.measures._registry import ALL, COPIES, DEFAULT, MEASURES, WHY

MeasureSelection = str | MeasureFunction | Iterable[str | MeasureFunction] | None


def selected(
    measures: MeasureSelection, kind: DataKind, *, copies: bool
) -> tuple[dict[str, Apply], bool]:
    """Return the measures for a kind of data by name, and whether they were named one by one.

    Args:
        measures: names or functions; `"all"`; None for the default.
        kind: of the data.
        copies: whether the default includes the search for copies of training rows.

    Raises:
        MeasureError: for an unknown name or none at all, and a function that is no measure.
    """
    known = MEASURES[kind]
    if measures is None:
        names = [*DEFAULT[kind], *(COPIES[kind] if copies else ())]
        return {name: known[name] for name in names}, False
    items = listed(measures)
    if not items:
        raise MeasureError(f"measures: name at least one measure; known: {', '.join(known)}")
    if len(items) == 1 and isinstance(items[0], str) and _normalised(items[0]) == ALL:
        return dict(known), False
    return dict(_named(item, kind) for item in items), True


def listed(
    measures: str | MeasureFunction | Iterable[str | MeasureFunction],
) -> list[str | MeasureFunction]:
    """Return one measure or several as a list; MeasureError for anything else."""
    if isinstance(measures, str) or callable(measures):
        return [measures]
    if not isinstance(measures, Iterable):
        raise MeasureError(f"measures are names or functions, or a list of them; got {measures!r}")
    return list(measures)


def _named(item: str | MeasureFunction, kind: DataKind) -> tuple[str, Apply]:
    known = MEASURES[kind]
    if not isinstance(item, str) and not _is_ours(item):
        return _own(item, known)
    name = _normalised(item if isinstance(item, str) else item.__name__)
    if name not in known:
        raise MeasureError(f"no measure {name!r} for data of kind {kind}: {nearest(name, known)}")
    return name, known[name]


def _is_ours(function: MeasureFunction) -> bool:
    return str(getattr(function, "__module__", "")).startswith("pushforward.measures.")


def _own(function: MeasureFunction, known: dict[str, Apply]) -> tuple[str, Apply]:
    """Return a function as it was registered, else as a measure of the features."""
    for name, measure in known.items():
        if isinstance(measure, UserMeasure) and measure.function is function:
            return name, measure
    measure = user_measure(function)
    if measure.name in known:
        raise MeasureError(
            f"there already is a measure {measure.name!r}; give your function another name"
        )
    return measure.name, measure


def _normalised(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def reason(kind: DataKind, *, trained: bool) -> str:
    """Return why the default measures are these, and how to have others."""
    copies = f"; {', '.join(COPIES[kind])}, as training rows are given" if trained else ""
    registered = [n for n in DEFAULT[kind] if isinstance(MEASURES[kind][n], UserMeasure)]
    own = f"; {', '.join(registered)}, as registered" if registered else ""
    every = f"All {len(MEASURES[kind])} measures: measures='{ALL}', or --measures {ALL}."
    return f"{WHY[kind]}{copies}{own}. {every}"
