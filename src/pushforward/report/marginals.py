"""A table's columns, real beside generated: histograms on the real column's bins, or bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from pushforward.comparison.folder import REAL
from pushforward.report.figures import GREY, Figure, Json, axis, label, layout
from pushforward.report.numbers import share

PANELS = 24
BINS = (6, 30)
TOP = 8  # categories that are drawn; the others together are one more
FEW = 10  # a number with no more distinct values is drawn as categories
TAILS = (0.005, 0.995)  # the real values between which bins are laid
SHADE = "rgba(139,145,155,0.5)"  # the real rows
OTHERS = "all others"

Frame = nw.DataFrame[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Marginal:
    """One column: shares of each source's rows over the same bins or categories.

    Args:
        name: the column.
        kind: `"number"`, `"time"` or `"category"`.
        bins: their edges; or the categories.
        shares: by source; they add up to 1 with the missing.
        missing: by source.
    """

    name: str
    kind: str
    bins: list[Any]
    shares: dict[str, Floats]
    missing: dict[str, float]

    def distance(self, source: str) -> float:
        """Return the total variation between a source and the real rows, missing included."""
        changes = np.abs(self.shares[source] - self.shares[REAL]).sum()
        return 0.5 * float(changes + abs(self.missing[source] - self.missing[REAL]))

    @property
    def worst(self) -> float:
        """The largest distance of any source."""
        return max(self.distance(source) for source in self.shares)


def marginals(frames: Mapping[str, Frame]) -> list[Marginal]:
    """Return every column that has values in common, the largest difference first."""
    names = [n for n in frames[REAL].columns if not _identifies_rows(frames[REAL][n])]
    columns = [
        _marginal({source: frame[name] for source, frame in frames.items()}) for name in names
    ]
    return sorted((m for m in columns if m.bins), key=lambda marginal: -marginal.worst)


def _identifies_rows(column: nw.Series[Any]) -> bool:
    """Whether a column only identifies rows: text that hardly repeats."""
    return not _is_number(column.dtype) and column.n_unique() > 0.5 * len(column) > 10


def _is_number(kind: Any) -> bool:
    return bool(kind.is_numeric() or kind in (nw.Date, nw.Datetime))


def _marginal(columns: Mapping[str, nw.Series[Any]]) -> Marginal:
    real = columns[REAL]
    if _is_number(real.dtype) and real.n_unique() > FEW:
        kind = "number" if real.dtype.is_numeric() else "time"
        values = {source: _numbers(column) for source, column in columns.items()}
        return _histogram(real.name, kind, values, real.dtype.is_integer())
    return _bars(real.name, columns)


def _numbers(column: nw.Series[Any]) -> Floats:
    """Return numbers, or milliseconds since 1970, NaN where missing."""
    if not column.dtype.is_numeric():
        column = column.cast(nw.Datetime("us")) if column.dtype == nw.Date else column
        column = column.dt.timestamp("ms")
    return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)


def _histogram(name: str, kind: str, values: Mapping[str, Floats], whole: bool) -> Marginal:
    edges = _edges(values[REAL][np.isfinite(values[REAL])], whole)
    shares, missing = {}, {}
    for source, numbers in values.items():
        present = numbers[np.isfinite(numbers)]
        counts = np.histogram(present.clip(edges[0], edges[-1]), edges)[0]
        shares[source] = counts / len(numbers)
        missing[source] = 1 - len(present) / len(numbers)
    return Marginal(name, kind, edges.tolist(), shares, missing)


def _edges(real: Floats, whole: bool) -> Floats:
    """Return bins of equal width over the bulk of the real values; whole numbers are not cut.

    There are 2 n^(1/3) of them (Rice's rule), within bounds.
    """
    bins = int(np.clip(round(2 * len(real) ** (1 / 3)), *BINS))
    low, high = np.quantile(real, TAILS)
    if not low < high:
        low, high = real.min(), real.max()
    if not whole:
        return np.linspace(low, high, bins + 1)
    width = max(1, int(np.ceil((high - low + 1) / bins)))
    return np.arange(np.floor(low), high + 1 + width, width) - 0.5


def _bars(name: str, columns: Mapping[str, nw.Series[Any]]) -> Marginal:
    texts = {source: _texts(column) for source, column in columns.items()}
    sizes = {source: len(column) for source, column in columns.items()}
    known, counts = np.unique(np.array(texts[REAL], dtype=object).astype(str), return_counts=True)
    top = [str(known[i]) for i in np.argsort(-counts, kind="stable")[:TOP]]
    shares = {}
    for source, own in texts.items():
        each = [own.count(category) for category in top]
        shares[source] = np.array([*each, len(own) - sum(each)]) / sizes[source]
    missing = {s: 1 - len(own) / sizes[s] for s, own in texts.items()}
    if not any(own[-1] for own in shares.values()):
        return Marginal(name, "category", top, {s: own[:-1] for s, own in shares.items()}, missing)
    return Marginal(name, "category", [*top, OTHERS], shares, missing)


def _texts(column: nw.Series[Any]) -> list[str]:
    """Return the values that are not missing, as text."""
    pairs = zip(column.to_list(), column.is_null().to_list(), strict=True)
    return [str(value) for value, absent in pairs if not absent and value == value]  # noqa: PLR0124


def panels(marginals: list[Marginal], colours: Mapping[str, str]) -> list[Figure]:
    """Return a small plot for each of the first columns."""
    return [_panel(marginal, colours) for marginal in marginals[:PANELS]]


def _panel(marginal: Marginal, colours: Mapping[str, str]) -> Figure:
    categories = marginal.kind == "category"
    draw = _category_traces if categories else _number_traces
    y_axis = _names(marginal) if categories else axis(tickformat=".0%", rangemode="tozero")
    x_axes = {"category": axis(tickformat=".0%"), "time": axis(type="date"), "number": axis()}
    own = layout(
        height=max(190, 60 + 22 * len(marginal.bins)) if categories else 190,
        margin={"l": 40, "r": 8, "t": 4, "b": 28},
        showlegend=False,
        barmode="group",
        bargap=0.25,
        xaxis=x_axes[marginal.kind] | {"nticks": 6},
        yaxis=y_axis,
    )
    alt = f"Distribution of {marginal.name}: {', '.join(marginal.shares)}"
    return Figure(draw(marginal, colours), own, alt, marginal.name, _note(marginal))


def _names(marginal: Marginal) -> Json:
    """Return an axis of categories, their names shortened on it."""
    names = [label(place) for place in marginal.bins]
    short = [label(place, 18) for place in marginal.bins]
    return axis(autorange="reversed", type="category", tickvals=names, ticktext=short)


def _number_traces(marginal: Marginal, colours: Mapping[str, str]) -> list[Json]:
    """Return the real rows as an area, the others as steps."""
    area = {"fill": "tozeroy", "fillcolor": SHADE, "line": {"shape": "hv", "width": 0}}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(source),
            "x": marginal.bins,
            "y": [*own, own[-1]],
            "line": {"shape": "hv", "width": 1.6, "color": colours.get(source, GREY)},
            "hovertemplate": "%{x}: %{y:.1%}",
        }
        | (area if source == REAL else {})
        for source, own in marginal.shares.items()
    ]


def _category_traces(marginal: Marginal, colours: Mapping[str, str]) -> list[Json]:
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": label(source),
            "x": own,
            "y": [label(place) for place in marginal.bins],
            "marker": {"color": colours.get(source, SHADE), "line": {"width": 0}},
            "hovertemplate": "%{y}: %{x:.1%}",
        }
        for source, own in marginal.shares.items()
    ]


def _note(marginal: Marginal) -> str:
    models = [source for source in marginal.shares if source != REAL]
    distances = " · ".join(f"{m} {marginal.distance(m):.2f}" for m in models)
    if not any(marginal.missing.values()):
        return distances
    missing = " · ".join(f"{source} {share(v)}" for source, v in marginal.missing.items())
    return f"{distances}; missing: {missing}"
