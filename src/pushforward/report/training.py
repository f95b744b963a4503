"""Learning curves by turn and term, and the distance that selected the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pushforward.report.figures import (
    PALETTE,
    Figure,
    Json,
    axis,
    label,
    layout,
    robust_range,
    ticks,
)
from pushforward.report.folder import FolderContents, Run

HOVER = "step %{{x}}, %{{customdata:.1f}} s: %{{y:.4g}}<extra>seed {seed}</extra>"

Series = list[tuple[int, float, float]]  # step, value, seconds


def curves(runs: Sequence[Run]) -> list[Figure]:
    """Return a panel for each turn of one model: a line a term, every seed."""
    names = list(dict.fromkeys(n for run in runs for r in run.records for n in r["terms"]))
    turns: dict[str, list[str]] = {}
    for name in names:
        turns.setdefault(name.partition(".")[0], []).append(name)
    return [_panel(runs, turn, terms) for turn, terms in turns.items()]


def _panel(runs: Sequence[Run], turn: str, names: Sequence[str]) -> Figure:
    series = {(name, run.seed): _series(run, name) for name in names for run in runs}
    traces = [
        _line(points, name.partition(".")[2], PALETTE[names.index(name) % len(PALETTE)], seed)
        | {"showlegend": seed == runs[0].seed}
        for (name, seed), points in series.items()
    ]
    clipped = robust_range([value for points in series.values() for _, value, _ in points])
    own = layout(
        height=270,
        margin={"l": 48, "r": 10, "t": 24, "b": 38},
        xaxis=axis("step"),
        yaxis=axis() | ({"range": clipped} if clipped else {}),
    )
    model = runs[0].model
    alt = f"Learning curves of {model}, turn {turn}: {', '.join(names)} by step, {len(runs)} seeds"
    note = "extreme values are outside the frame" if clipped else ""
    return Figure(traces, own, alt, f"{model} · {turn}", note)


def _series(run: Run, name: str) -> Series:
    return [(r["step"], r["terms"][name], r["seconds"]) for r in run.records if name in r["terms"]]


def _line(series: Series, name: str, colour: str, seed: int) -> Json:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "legendgroup": label(name),
        "x": [step for step, _, _ in series],
        "y": [value for _, value, _ in series],
        "customdata": [seconds for _, _, seconds in series],
        "line": {"color": colour, "width": 1.3},
        "opacity": 0.75,
        "hovertemplate": HOVER.format(seed=seed),
    }


def validation(contents: FolderContents, colours: dict[str, str]) -> Figure | None:
    """Return the distance to validation rows for every run, its best checkpoint marked."""
    traces: list[Json] = []
    for model, runs in contents.runs.items():
        for run in runs:
            series = [
                (r["step"], r["validation"], r["seconds"]) for r in run.records if "validation" in r
            ]
            if series:
                traces += _validation_traces(series, run, colours[model], first=run is runs[0])
    values = [v for t in traces for v in t["y"] if math.isfinite(v)]
    if not values:
        return None
    y_axis = _logarithmic(values) if min(values) > 0 else {}
    own = layout(
        height=300,
        margin={"l": 56, "r": 10, "t": 24, "b": 38},
        xaxis=axis("step"),
        yaxis=axis("energy distance", **y_axis),
    )
    alt = "Energy distance to the validation rows by step, for every run; best checkpoints marked"
    return Figure(traces, own, alt, "On validation rows")


def _logarithmic(values: Sequence[float]) -> Json:
    """Return a logarithmic axis with a tick at every 1, 2 and 5."""
    at = ticks(values)
    return {"type": "log", "tickvals": at, "ticktext": [f"{tick:g}" for tick in at]}


def _validation_traces(series: Series, run: Run, colour: str, *, first: bool) -> list[Json]:
    """Return a run's line and the mark of its best checkpoint."""
    line = _line(series, run.model, colour, run.seed) | {"showlegend": first}
    step, value, _ = best_check(series, [r["step"] for r in run.records if r.get("kept")])
    mark = {
        "type": "scatter",
        "mode": "markers",
        "x": [step],
        "y": [value],
        "legendgroup": label(run.model),
        "showlegend": False,
        "marker": {"color": colour, "size": 10, "symbol": "circle-open", "line": {"width": 2}},
        "hovertemplate": f"best checkpoint: step %{{x}}, %{{y:.4g}}<extra>seed {run.seed}</extra>",
    }
    return [line, mark]


def best_check(series: Series, kept: Sequence[int]) -> tuple[int, float, float]:
    """Return the check whose weights were kept last, or the lowest of the last 3/4 of training."""
    last = series[-1][0]
    if kept:
        return next(check for check in series if check[0] == kept[-1])
    return min((s for s in series if 4 * s[0] >= last), key=lambda s: s[1])
