"""How a table's columns move along the dimensions of a code, as heat maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pushforward.comparison.column_moves import NUMBER
from pushforward.data import TableSchema
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.report.figures import Figure, Json, axis, label, layout
from pushforward.report.folder import FolderContents
from pushforward.report.relations import SCALE

COLUMNS = 30  # that are shown, those that move most
NARROWEST = 0.2  # standard deviations at the ends of the scale, at least


def column_moves(contents: FolderContents) -> list[Figure]:
    """Return for each model that encodes, columns by places on the way of each dimension."""
    found = contents.tensors("moves", "levels", "traversed")
    end = max((float(own[0].abs().max()) for _, own in found), default=0.0)
    return [_heat_map(contents, model, own, max(end, NARROWEST)) for model, own in found]


def _heat_map(contents: FolderContents, model: str, kept: list[Tensor], end: float) -> Figure:
    """Return a heat map, with a gap between the ways of two dimensions."""
    moves, levels, dimensions = kept[0].double().numpy(), kept[1].tolist(), kept[2].tolist()
    steps = moves.shape[1]
    largest = np.abs(moves).max((0, 1))
    shown = np.sort(np.argsort(-largest, kind="stable")[:COLUMNS])
    names = [label(name, 40) for name in _names(contents, levels)]
    gap = np.full((len(moves), 1, moves.shape[2]), np.nan)
    z = np.concatenate([moves, gap], 1).reshape(-1, moves.shape[2])[:-1]
    middles = [k * (steps + 1) + (steps - 1) / 2 for k in range(len(dimensions))]
    own = layout(
        height=max(200, 80 + 15 * len(shown)),
        margin={"l": 120, "r": 6, "t": 6, "b": 34},
        xaxis=axis(
            tickvals=middles,
            ticktext=[f"z{d}" for d in dimensions],
            showgrid=False,
        ),
        yaxis=axis(
            autorange="reversed",
            showgrid=False,
            dtick=1,
            tickvals=list(range(len(shown))),
            ticktext=[names[j] for j in shown],
            tickfont={"size": 11},
        ),
    )
    alt = f"How {len(shown)} columns of {model} move along {len(dimensions)} latent dimensions"
    hidden = len(names) - len(shown)
    note = f"{hidden} columns that move less are not shown" if hidden else ""
    return Figure([_map(z[:, shown].T, end)], own, alt, model, note)


def _map(z: NDArray[np.float64], end: float) -> Json:
    return {
        "type": "heatmap",
        "z": z,
        "zmin": -end,
        "zmax": end,
        "colorscale": SCALE,
        "hoverongaps": False,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "hovertemplate": "%{z:.2f}<extra></extra>",
    }


def _names(contents: FolderContents, levels: list[int]) -> list[str]:
    """Return the columns, with the category whose share is shown."""
    schema = contents.schema
    assert isinstance(schema, TableSchema)
    return [
        column.name if cell == NUMBER else f"{column.name}: {_category(column, cell)}"
        for column, cell in zip(schema.columns, levels, strict=True)
    ]


def _category(column: ColumnCodec, cell: int) -> str:
    """Return which category has a cell."""
    if column.partition.missing is not None and cell == 0:
        return "missing"
    codes = np.flatnonzero(column.partition.cell == cell)
    return str(column.decode(codes[:1].astype(np.float64))[0]) if len(codes) == 1 else "others"
