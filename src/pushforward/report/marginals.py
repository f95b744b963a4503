"""A table's columns, real beside generated: histograms on the same bins, or bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.comparison.folder import REAL
from pushforward.comparison.summaries import ColumnCounts, TableSummary
from pushforward.report.figures import GREY, Figure, Json, axis, label, layout
from pushforward.report.numbers import share

PANELS = 24
SHADE = "rgba(139,145,155,0.5)"  # the real rows
OTHERS = "all others"

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


def marginals(summaries: Mapping[str, TableSummary]) -> list[Marginal]:
    """Return every column that has values in common, the largest difference first."""
    by_column = zip(*(summary.columns for summary in summaries.values()), strict=True)
    rows = {source: summary.rows for source, summary in summaries.items()}
    columns = [_marginal(dict(zip(summaries, own, strict=True)), rows) for own in by_column]
    return sorted((m for m in columns if m.bins), key=lambda marginal: -marginal.worst)


def _marginal(counts: Mapping[str, ColumnCounts], rows: Mapping[str, int]) -> Marginal:
    real, bins = counts[REAL], counts[REAL].bins
    shares = {source: np.array(own.counts) / rows[source] for source, own in counts.items()}
    missing = {source: own.missing / rows[source] for source, own in counts.items()}
    rest = {s: rows[s] - own.missing - sum(own.counts) for s, own in counts.items()}
    if bins and any(rest.values()):
        bins = [*bins, OTHERS]
        shares = {s: np.append(own, rest[s] / rows[s]) for s, own in shares.items()}
    return Marginal(real.name, real.kind, bins, shares, missing)


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
    """Return the real rows as an area, the others as steps.

    A bin that pools several is as high as each of them is on average.
    """
    widths = np.diff(marginal.bins)
    area = {"fill": "tozeroy", "fillcolor": SHADE, "line": {"shape": "hv", "width": 0}}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(source),
            "x": marginal.bins,
            "y": [*(heights := own * widths.min() / widths), heights[-1]],
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
