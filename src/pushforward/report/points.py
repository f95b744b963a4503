"""Scatter plots of arrays: in the plane, or on the principal axes of the real rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.comparison.folder import REAL
from pushforward.report.figures import GREY, Figure, Json, axis, layout
from pushforward.report.folder import FolderContents, title_of
from pushforward.report.numbers import share

Floats = NDArray[np.float64]
POINTS = 2000  # drawn in one plot


def scatters(contents: FolderContents, colours: dict[str, str]) -> list[Figure]:
    """Return one plot a source, all on the same axes."""
    sources, names = clouds(contents)
    density = contents.samples[REAL].tensors.get("density")
    background = [] if density is None else [_contour(contents)]
    if len(sources[REAL][0]) < 2:
        return []
    low, high = frame(sources[REAL])
    style = layout(
        height=330,
        xaxis=axis(names[0], range=[low[0], high[0]]),
        yaxis=axis(names[1], range=[low[1], high[1]], scaleanchor="x"),
        showlegend=False,
    )
    real = markers(sources[REAL], GREY, 0.35)
    figures = []
    for name, points in sources.items():
        behind = background or ([] if name == REAL else [real])
        traces = [*behind, markers(points, colours.get(name, GREY), 0.55)]
        outside = np.any((points < low) | (points > high), axis=1).mean()
        title = title_of(name)
        alt = f"Scatter plot of {len(points)} points: {title}, on the axes of the real rows"
        figures.append(Figure(traces, style, alt, title, _note(len(points), float(outside))))
    return figures


def _note(n: int, outside: float) -> str:
    return f"{n:,} points" + (f", {share(outside)} outside the frame" if outside else "")


def clouds(contents: FolderContents) -> tuple[dict[str, Floats], tuple[str, str]]:
    """Return points (n, 2) of every source, and the axes' names."""
    real = contents.samples[REAL]
    if real.rows.shape[1] == 2:
        raw = {name: _array(contents.decode(s))[:POINTS] for name, s in contents.sources()}
        return raw, ("first column", "second column")
    views = {n: _array(contents.schema.features(s.rows))[:POINTS] for n, s in contents.sources()}
    centre = views[REAL].mean(0)
    _, sizes, axes = np.linalg.svd(views[REAL] - centre, full_matrices=False)
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    first, second = (
        f"principal axis {k + 1} ({share(float(s))} of the variance)" for k, s in enumerate(shares)
    )
    return {n: (v - centre) @ axes[:2].T for n, v in views.items()}, (first, second)


def _array(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)


def frame(points: Floats) -> tuple[Floats, Floats]:
    """Return the lower left and the upper right corner of a frame around points (n, 2)."""
    low, high = points.min(0), points.max(0)
    margin = 0.12 * np.maximum(high - low, 1e-9)
    return low - margin, high + margin


def markers(points: Floats, colour: str, opacity: float) -> Json:
    """Return points (n, 2) as dots."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": points[:, 0],
        "y": points[:, 1],
        "marker": {"color": colour, "size": 3.5, "opacity": opacity},
        "hoverinfo": "skip",
    }


def _contour(contents: FolderContents) -> Json:
    """Return the true density as filled contours."""
    tensors = contents.samples[REAL].tensors
    return {
        "type": "contour",
        "x": tensors["density_x"].numpy(),
        "y": tensors["density_y"].numpy(),
        "z": tensors["density"].float().numpy(),
        "ncontours": 8,
        "showscale": False,
        "colorscale": [[0, "rgba(128,128,128,0)"], [1, "rgba(128,128,128,0.55)"]],
        "line": {"width": 0.6, "color": "rgba(128,128,128,0.6)"},
        "hoverinfo": "skip",
    }
