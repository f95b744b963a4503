"""Plots and tables ready for the page: traces for plotly.js in one style."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup

Json = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
GREY = "#8b919b"  # the real data, and what is undecided
PALETTE = ("#3574c8", "#e0662a", "#2f9e6e", "#9a5fc4", "#c9a227", "#c2456b", "#4aa6b5", "#7a6a55")
CLEAR = "rgba(0,0,0,0)"
LINES = "rgba(128,128,128,0.22)"


@dataclass(frozen=True)
class Figure:
    """One plot.

    Args:
        traces: for plotly.js.
        layout: for plotly.js.
        alt: what it shows, for readers who do not see it.
        title: the heading above it.
        note: how to read it, or its numbers.
    """

    traces: list[Json]
    layout: Json
    alt: str
    title: str = ""
    note: str = ""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.layout["height"])

    @property
    def source(self) -> Markup:
        """The plot as JSON that is safe inside a script element."""
        text = json.dumps(plain({"data": self.traces, "layout": self.layout}), allow_nan=False)
        return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))


@dataclass(frozen=True)
class TextTable:
    """A table of texts: a head, and rows; the first cell of each is its heading if `named`."""

    head: list[str]
    rows: list[list[str]]
    title: str = ""
    note: str = ""
    named: bool = True


def plain(value: Any) -> Any:
    """Return plain JSON values: arrays as lists, five significant digits, None for NaN."""
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def label(text: object, length: int = 60) -> str:
    """Return text for plotly.js, which reads tags: escaped, and shortened."""
    words = str(text)
    return escape(words if len(words) <= length else words[: length - 1] + "…", quote=False)


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name; they repeat after the eighth."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def axis(title: str = "", **own: Any) -> Json:
    """Return an axis in the page's style."""
    style = {"gridcolor": LINES, "zeroline": False, "automargin": True, "linecolor": LINES}
    return style | {"title": {"text": title, "standoff": 8}} | own


def layout(**own: Any) -> Json:
    """Return a layout in the page's style."""
    style: Json = {
        "height": 260,
        "margin": {"l": 44, "r": 10, "t": 8, "b": 36},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": "#777"},
        "hoverlabel": {"font": {"family": FONT}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": axis(),
        "yaxis": axis(),
    }
    return style | own


def ticks(values: Sequence[float]) -> list[float]:
    """Return 1, 2 and 5 in every decade of positive values, for a logarithmic scale."""
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    return [step * 10.0**decade for decade in decades for step in (1, 2, 5)]


def robust_range(values: Sequence[float]) -> list[float] | None:
    """Return a range that leaves out rare extremes, or None where there are none."""
    finite = np.array([v for v in values if math.isfinite(v)])
    if len(finite) < 10:
        return None
    low, high = np.quantile(finite, [0.02, 0.98])
    pad = 0.08 * (high - low)
    if np.ptp(finite) < 2.5 * (high - low) or pad == 0:
        return None
    return [float(max(low - pad, finite.min() - pad)), float(min(high + pad, finite.max() + pad))]
