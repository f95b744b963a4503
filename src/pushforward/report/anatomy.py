"""What a model reports about its own measure, drawn without knowing the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.families.panels import Panel
from pushforward.report.figures import (
    GREY,
    PALETTE,
    Figure,
    Json,
    TextTable,
    axis,
    label,
    layout,
    ticks,
)
from pushforward.report.numbers import significant

Floats = NDArray[np.float64]

BINS = 40
PRIOR = "prior"  # what panels call the prior
COLD, HOT = "rgba(53, 116, 200, 0.04)", "rgb(53, 116, 200)"
LAYER = 15  # pixels of a row of a heat map
HALF, QUARTERS = (0.5,), (0.25, 0.5, 0.75, 0.95)  # shares that lines of a map enclose


def draw(panel: Panel, model: str) -> Figure | TextTable:
    """Return a panel as a plot, or a table."""
    title = f"{model} · {panel.title}"
    if panel.kind == "table":
        return _text_table(panel, title)
    kinds: dict[str, Callable[[Panel], list[Json]]] = {
        "bars": _bars,
        "lines": _lines,
        "histogram": _histogram,
        "map": _map,
        "heat": _heat,
    }
    own = layout(
        height=_height(panel),
        margin={"l": 48, "r": 10, "t": 24, "b": 40},
        showlegend=len(panel.series) > 1 and panel.kind not in ("map", "heat"),
        barmode="overlay" if panel.kind == "histogram" else "group",
        bargap=0.0 if panel.kind == "histogram" else 0.25,
        xaxis=axis(label(panel.x_title), **_below(panel)),
        yaxis=axis("" if panel.kind == "heat" else label(panel.y_title), **_scale(panel)),
    )
    return Figure(kinds[panel.kind](panel), own, f"{title}. {panel.note}", title, panel.note)


def _height(panel: Panel) -> int:
    if panel.kind == "heat":
        return max(150, 80 + LAYER * len(panel.series))
    return 430 if panel.kind == "map" else 270


def _scale(panel: Panel) -> Json:
    """Return how the axis at the left is scaled: that of a map as the one below."""
    if panel.kind == "heat":
        return {"autorange": "reversed", "tickfont": {"size": 10}, "showgrid": False, "dtick": 1}
    if panel.kind == "map":
        return {"scaleanchor": "x", "constrain": "domain"}
    return {"rangemode": "tozero" if panel.kind == "bars" else "normal"}


def _below(panel: Panel) -> Json:
    """Return how places below are set that have no distance: names, the checks of a heat map."""
    if panel.kind == "heat":
        return {"type": "category", "tickangle": 0, "dtick": 2, "showgrid": False}
    named = any(isinstance(place, str) for place in panel.x)
    return {"type": "category"} if named else {}


def _text_table(panel: Panel, title: str) -> TextTable:
    names = ([panel.x_title] if panel.x else []) + list(panel.series)
    columns = ([panel.x] if panel.x else []) + list(panel.series.values())
    rows = [[_text(value) for value in row] for row in zip(*columns, strict=False)]
    return TextTable(names, rows, title, panel.note)


def _text(value: Any) -> str:
    return significant(value) if isinstance(value, float) else str(value)


def _traces(panel: Panel) -> list[Json]:
    x = [label(p) if isinstance(p, str) else p for p in panel.x]
    return [
        {"name": label(name), "x": x, "y": values, "_colour": PALETTE[i % len(PALETTE)]}
        for i, (name, values) in enumerate(panel.series.items())
    ]


def _bars(panel: Panel) -> list[Json]:
    return [t | {"type": "bar", "marker": {"color": t.pop("_colour")}} for t in _traces(panel)]


def _lines(panel: Panel) -> list[Json]:
    return [
        t | {"type": "scatter", "mode": "lines", "line": {"color": t.pop("_colour"), "width": 1.8}}
        for t in _traces(panel)
    ]


def _histogram(panel: Panel) -> list[Json]:
    """Return every series' shares over the same bins."""
    series = {name: np.array(values, dtype=float) for name, values in panel.series.items()}
    series = {name: values[np.isfinite(values)] for name, values in series.items()}
    pooled = np.concatenate(list(series.values()))
    if not len(pooled):
        return []
    edges = np.histogram_bin_edges(pooled, BINS)
    return [
        {
            "type": "bar",
            "name": label(name),
            "x": (edges[:-1] + edges[1:]) / 2,
            "y": np.histogram(values, edges)[0] / max(len(values), 1),
            "opacity": 0.55,
            "marker": {"color": PALETTE[i % len(PALETTE)], "line": {"width": 0}},
        }
        for i, (name, values) in enumerate(series.items())
    ]


def _heat(panel: Panel) -> list[Json]:
    """Return a row of coloured cells a series; where nothing is known there is none."""
    bar: Json = {"thickness": 10}
    own: Json = {"zmin": 0, "zmax": 1}
    if panel.logarithmic:
        known = [value for values in panel.series.values() for value in values if value]
        at = ticks(known) if known else []
        bar |= {"tickvals": np.log10(at), "ticktext": [f"{tick:g}" for tick in at]}
        own = {}
    return [
        {
            "type": "heatmap",
            "x": [str(step) for step in panel.x],
            "y": [label(name) for name in panel.series],
            "z": panel.colours(),
            "customdata": [list(values) for values in panel.series.values()],
            "hovertemplate": "%{y}<br>step %{x}: %{customdata:.3g}<extra></extra>",
            "colorscale": [[0, COLD], [1, HOT]],
            "colorbar": bar | {"outlinewidth": 0, "tickfont": {"size": 10}},
            "xgap": 1,
            "ygap": 1,
        }
        | own
    ]


def _map(panel: Panel) -> list[Json]:
    """Return lines that enclose shares of each density, and its name where it is highest."""
    traces: list[Json] = []
    groups = [name for name in panel.series if name != PRIOR]
    for name, rows in panel.series.items():
        values = np.array(rows, dtype=float)
        colour = GREY if name == PRIOR else PALETTE[groups.index(name) % len(PALETTE)]
        style = {"width": 2.5, "dash": "dash"} if name == PRIOR else {"width": 1.5}
        line = {"color": colour} | style
        shares = HALF if name == PRIOR or len(groups) > 1 else QUARTERS
        traces += [_enclosing(panel, values, share, line) for share in shares]
        traces += [_at_the_top(panel, values, name)] if len(groups) > 1 and name != PRIOR else []
    return traces


def _enclosing(panel: Panel, values: Floats, share: float, line: Json) -> Json:
    """Return the line that encloses the densest places with this share, which are shaded.

    Of a constraint, plotly shades where it does not hold.
    """
    return {
        "type": "contour",
        "x": panel.x,
        "y": panel.x,
        "z": values,
        "contours": {"type": "constraint", "operation": "<", "value": _level(values, share)},
        "fillcolor": f"rgba({', '.join(map(str, _rgb(line['color'])))}, 0.07)",
        "line": line,
        "hoverinfo": "skip",
        "showscale": False,
    }


def _level(values: Floats, share: float) -> float:
    """Return the density above which the densest places hold this share of the whole."""
    ranked = np.sort(values.ravel())[::-1]
    sums = np.cumsum(ranked)
    return float(ranked[np.searchsorted(sums, share * sums[-1])])


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _at_the_top(panel: Panel, values: Floats, name: str) -> Json:
    row, column = np.unravel_index(values.argmax(), values.shape)
    return {
        "type": "scatter",
        "mode": "text",
        "x": [panel.x[column]],
        "y": [panel.x[row]],
        "text": [label(name, 16)],
        "hoverinfo": "skip",
    }
