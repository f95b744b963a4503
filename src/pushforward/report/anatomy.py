"""What a model reports about its own measure, drawn without knowing the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pushforward.families.panels import Panel
from pushforward.report.figures import PALETTE, Figure, Json, TextTable, axis, label, layout
from pushforward.report.numbers import significant

BINS = 40


def draw(panel: Panel, model: str) -> Figure | TextTable:
    """Return a panel as a plot, or a table."""
    title = f"{model} · {panel.title}"
    if panel.kind == "table":
        return _text_table(panel, title)
    kinds: dict[str, Callable[[Panel], list[Json]]] = {
        "bars": _bars,
        "lines": _lines,
        "histogram": _histogram,
    }
    own = layout(
        height=270,
        margin={"l": 48, "r": 10, "t": 24, "b": 40},
        showlegend=len(panel.series) > 1,
        barmode="overlay" if panel.kind == "histogram" else "group",
        bargap=0.0 if panel.kind == "histogram" else 0.25,
        xaxis=axis(label(panel.x_title), **({"type": "category"} if _named(panel) else {})),
        yaxis=axis(label(panel.y_title), rangemode="tozero" if panel.kind == "bars" else "normal"),
    )
    return Figure(kinds[panel.kind](panel), own, f"{title}. {panel.note}", title, panel.note)


def _named(panel: Panel) -> bool:
    return any(isinstance(place, str) for place in panel.x)


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
