"""How strongly a table's columns are related, real beside generated, as heat maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pushforward.comparison.folder import REAL
from pushforward.comparison.summaries import TableSummary
from pushforward.report.figures import Figure, Json, label, layout

SCALE = [[0, "#b5452c"], [0.25, "#e9a98f"], [0.5, "#f6f5f2"], [0.75, "#8fb4dc"], [1, "#22558f"]]
DOMAINS = ((0.0, 0.29), (0.33, 0.62), (0.66, 0.95))

Matrix = NDArray[np.float64]


def heat_maps(summaries: Mapping[str, TableSummary]) -> list[Figure]:
    """Return for each model a plot of three squares: real, generated, their difference."""
    real = np.array(summaries[REAL].associations)
    names = summaries[REAL].names[: len(real)]
    return [
        _triple(model, names, real, np.array(summary.associations))
        for model, summary in summaries.items()
        if model != REAL and summary.associations
    ]


def _triple(model: str, names: list[str], real: Matrix, fake: Matrix) -> Figure:
    squares = {"real": real, model: fake, f"{model} − real": fake - real}
    keys, short = [label(name, 200) for name in names], [label(name, 18) for name in names]
    traces = [_square(matrix, keys, i, last=i == 2) for i, matrix in enumerate(squares.values())]
    height = max(280, 120 + 12 * len(names))
    own = layout(height=height, margin={"l": 110, "r": 6, "t": 26, "b": 8})
    own |= {"annotations": [_heading(text, i) for i, text in enumerate(squares)]}
    for i, domain in enumerate(DOMAINS):
        suffix = "" if i == 0 else str(i + 1)
        own[f"xaxis{suffix}"] = {"domain": domain, "showticklabels": False, "ticks": ""}
        own[f"yaxis{suffix}"] = {
            "anchor": f"x{suffix}",
            "autorange": "reversed",
            "showticklabels": i == 0,
            "tickfont": {"size": 11 if len(names) < 20 else 9},
            "automargin": i == 0,
            "ticks": "",
            "tickvals": keys,
            "ticktext": short,
        }
    error = float(np.abs(fake - real)[~np.eye(len(real), dtype=bool)].mean())
    alt = f"Association of {len(names)} columns in real and {model} rows, and the difference"
    return Figure(traces, own, alt, model, f"mean absolute difference of a pair: {error:.3f}")


def _square(matrix: Matrix, names: list[str], position: int, *, last: bool) -> Json:
    suffix = "" if position == 0 else str(position + 1)
    return {
        "type": "heatmap",
        "z": matrix,
        "x": names,
        "y": names,
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "zmin": -1,
        "zmax": 1,
        "colorscale": SCALE,
        "showscale": last,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "x": 0.965, "xpad": 0, "dtick": 0.5},
        "hovertemplate": "%{x} and %{y}: %{z:.2f}<extra></extra>",
    }


def _heading(text: str, position: int) -> Json:
    return {
        "text": label(text),
        "x": sum(DOMAINS[position]) / 2,
        "y": 1.0,
        "xref": "paper",
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
    }
