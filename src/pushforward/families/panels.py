"""What a model can tell about its own measure, as numbers that are ready to be drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

CLASS = "class {}"  # what a model, which does not know their names, calls the classes


@dataclass(frozen=True)
class Panel:
    """One picture or table.

    Args:
        title: what is shown.
        kind: `"bars"` and `"lines"` draw `series` over `x`; a `"histogram"` bins each series; a
            `"table"` has the series as columns; a `"map"` has a density a series, on the grid of
            `x` and `x`: a list of rows, one for each place on the axis at the left; a `"heat"`
            map has a row of coloured cells over `x` a series.
        series: named lists of numbers (in a table also text).
        x: positions or names, shared by all series; not used by a histogram.
        x_title: the axis below, with its unit.
        y_title: the axis at the left, with its unit; of a heat map what the colours say.
        note: one or two sentences that say how to read it.
        facts: named numbers, for findings.
        logarithmic: whether the colours of a heat map go by orders of magnitude.
    """

    title: str
    kind: Literal["bars", "lines", "histogram", "table", "map", "heat"]
    series: Mapping[str, list[Any]]
    x: list[Any] = field(default_factory=list)
    x_title: str = ""
    y_title: str = ""
    note: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    logarithmic: bool = False

    def with_classes(self, names: list[str]) -> Panel:
        """Return the panel with series of classes under the classes' own names."""
        known = {CLASS.format(k): name for k, name in enumerate(names)}
        return replace(self, series={known.get(n, n): values for n, values in self.series.items()})

    def colours(self) -> list[list[float | None]]:
        """Return what the colours of a heat map show, row by row: its values, or their log10."""
        if not self.logarithmic:
            return [list(values) for values in self.series.values()]
        return [[math.log10(v) if v else None for v in row] for row in self.series.values()]

    def figure(self) -> Any:
        """Return the panel as a plotly figure."""
        from plotly import graph_objects as go

        traces = [self._trace(go, name, values) for name, values in self.series.items()]
        if self.kind == "table":
            columns = {self.x_title: self.x, **self.series} if self.x else dict(self.series)
            cells = {"values": list(columns.values())}
            traces = [go.Table(header={"values": list(columns)}, cells=cells)]
        if self.kind == "heat":
            colours = {"title": self.y_title}
            traces = [go.Heatmap(x=self.x, y=[*self.series], z=self.colours(), colorbar=colours)]
        figure = go.Figure(traces)
        below = "" if self.kind == "heat" else self.y_title
        axes = {"xaxis_title": self.x_title, "yaxis_title": below}
        return figure.update_layout(title=self.title, barmode="overlay", **axes)

    def _trace(self, go: Any, name: str, values: list[Any]) -> Any:
        if self.kind == "histogram":
            return go.Histogram(x=values, name=name, histnorm="probability", opacity=0.6)
        if self.kind == "map":
            lines = {"coloring": "lines"}
            return go.Contour(
                x=self.x, y=self.x, z=values, name=name, contours=lines, showscale=False
            )
        return (go.Bar if self.kind == "bars" else go.Scatter)(x=self.x, y=values, name=name)
