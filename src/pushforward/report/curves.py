"""What models make of codes of arrays: curves and arrows in the plane, or a line for each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pushforward.comparison.folder import REAL
from pushforward.report.figures import GREY, PALETTE, Figure, Json, axis, label, layout
from pushforward.report.folder import FolderContents
from pushforward.report.numbers import significant
from pushforward.report.points import Floats, clouds, frame, markers

PLACES = 3  # panels beside each other, at most
GAP = 0.05  # between them, as a share of the width
PANEL = 110  # pixels that a panel is high
SHOWN = 7  # rows of a way that a panel shows
UNITS = "in standard deviations of a column from its mean"
FIRST, LAST = np.array([224, 102, 42]), np.array([53, 116, 200])  # colours of the ends of a way


def interpolations(contents: FolderContents, colours: dict[str, str]) -> list[Figure]:
    """Return what each model makes of the codes between two draws of its prior, a curve a way."""
    del colours
    return [
        _courses(contents, model, own, [f"way {k + 1}" for k in range(len(own))])
        for model, (own,) in contents.tensors("ways")
    ]


def traversals(contents: FolderContents, colours: dict[str, str]) -> list[Figure]:
    """Return one code of each model that encodes, a curve for each dimension that is moved."""
    del colours
    return [
        _courses(contents, model, own, [f"z{d}" for d in dimensions.tolist()])
        for model, (own, dimensions) in contents.tensors("traversals", "traversed")
    ]


def reconstructions(contents: FolderContents, colours: dict[str, str]) -> list[Figure]:
    """Return test rows and their reconstructions, for each model that encodes."""
    found = []
    for model, (own, given) in contents.tensors("originals", "reconstructions"):
        error = significant(float((given - own).square().mean().sqrt()), 2)
        note = f"root mean squared error: {error} standard deviations of a column"
        if own.shape[1] == 2:
            arrows = _arrow(_raw(contents, own), _raw(contents, given), colours[model])
            alt = f"Arrows from {len(own)} test rows to what {model} gives back"
            found.append(_in_the_plane(contents, [arrows], alt, model, note))
        else:
            pairs = zip(own.numpy(), given.numpy(), strict=True)
            panels = [[_line(a, GREY), _line(b, colours[model])] for a, b in pairs]
            names = [f"test row {i + 1}" for i in range(len(own))]
            alt = f"Lines of {len(own)} test rows (grey) and what {model} gives back"
            found.append(_multiples(panels, names, alt, model, note))
    return found


def _courses(contents: FolderContents, model: str, rows: Tensor, names: Sequence[str]) -> Figure:
    """Return rows (curves, steps, d) in the plane, or in a panel for each curve."""
    alt = f"{len(rows)} curves of {rows.shape[1]} rows by {model}: {', '.join(names)}"
    if rows.shape[2] == 2:
        curves = [
            _curve(_raw(contents, own), PALETTE[k % len(PALETTE)], name)
            for k, (own, name) in enumerate(zip(rows, names, strict=True))
        ]
        return _in_the_plane(contents, curves, alt, model, "the dot is the start")
    places = np.linspace(0, rows.shape[1] - 1, SHOWN).round().astype(int)
    share = np.linspace(0, 1, SHOWN)[:, None]
    shades = [f"rgb({r}, {g}, {b})" for r, g, b in (FIRST + share * (LAST - FIRST)).astype(int)]
    panels = [
        [_line(own[p], s) for p, s in zip(places, shades, strict=True)] for own in rows.numpy()
    ]
    return _multiples(panels, names, alt, model, f"from orange to blue, {UNITS}")


def _raw(contents: FolderContents, rows: Tensor) -> Floats:
    """Return encoded rows in the user's own units."""
    return np.asarray(contents.schema.decode(rows), dtype=np.float64)


def _in_the_plane(
    contents: FolderContents, traces: list[Json], alt: str, title: str, note: str
) -> Figure:
    """Return curves over the real rows."""
    sources, names = clouds(contents)
    low, high = frame(sources[REAL])
    style = layout(
        height=330,
        xaxis=axis(names[0], range=[low[0], high[0]]),
        yaxis=axis(names[1], range=[low[1], high[1]], scaleanchor="x"),
        showlegend=len(traces) > 1,
        legend={"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"},
    )
    behind = markers(sources[REAL], GREY, 0.25) | {"showlegend": False}
    return Figure([behind, *traces], style, alt, title, note)


def _curve(points: Floats, colour: str, name: str) -> Json:
    """Return a curve through points (n, 2), its first one marked."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(name),
        "x": points[:, 0],
        "y": points[:, 1],
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": [9, *[0] * (len(points) - 1)], "line": {"width": 0}},
        "hoverinfo": "name",
    }


def _arrow(start: Floats, end: Floats, colour: str) -> Json:
    """Return an arrow for each pair of points (n, 2)."""
    way = np.stack([start, end, np.full_like(start, np.nan)], 1).reshape(-1, 2)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": way[:, 0],
        "y": way[:, 1],
        "line": {"color": colour, "width": 1.2},
        "marker": {
            "color": colour,
            "size": [0, 7, 0] * len(start),
            "symbol": "arrow",
            "angleref": "previous",
            "opacity": 1,
            "line": {"width": 0},
        },
        "hoverinfo": "skip",
    }


def _line(row: Floats, colour: str) -> Json:
    return {
        "type": "scatter",
        "mode": "lines" if len(row) > 1 else "markers",
        "x": np.arange(1, len(row) + 1),
        "y": row,
        "line": {"color": colour, "width": 1.4},
        "hoverinfo": "x+y",
    }


def _multiples(
    panels: list[list[Json]], names: Sequence[str], alt: str, title: str, note: str
) -> Figure:
    """Return a panel for each list of lines, all on the same axes."""
    across = 2 if len(panels) == 4 else PLACES
    rows = -(-len(panels) // across)
    height = PANEL * rows + 60
    ends = [float(np.nanmin([t["y"].min() for p in panels for t in p]))]
    ends.append(float(np.nanmax([t["y"].max() for p in panels for t in p])))
    own = layout(height=height, margin={"l": 40, "r": 8, "t": 22, "b": 34}, showlegend=False)
    traces, headings = [], []
    for k, (lines, name) in enumerate(zip(panels, names, strict=True)):
        x, y = (
            _domain(k % across, across, GAP),
            _domain(rows - 1 - k // across, rows, 0.3 / rows),
        )
        suffix = "" if k == 0 else str(k + 1)
        lowest = k + across >= len(panels)
        own[f"xaxis{suffix}"] = axis(
            "column" if lowest else "", domain=x, anchor=f"y{suffix}", showticklabels=lowest
        )
        own[f"yaxis{suffix}"] = axis(
            domain=y, anchor=f"x{suffix}", range=ends, showticklabels=k % across == 0, nticks=4
        )
        traces += [t | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"} for t in lines]
        headings.append(_heading(name, x[0], y[1]))
    return Figure(traces, own | {"annotations": headings}, alt, title, note)


def _domain(place: int, of: int, gap: float) -> tuple[float, float]:
    """Return where one of several parts lies in [0, 1]."""
    size = (1 - gap * (of - 1)) / of
    return place * (size + gap), place * (size + gap) + size


def _heading(text: str, x: float, y: float) -> Json:
    return {
        "text": label(text),
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11},
    }
