"""Forest plots: paired differences between two models by each measure, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pushforward.comparison.decide import Difference, measure_label
from pushforward.comparison.result import Comparison
from pushforward.report.figures import GREY, Figure, Json, axis, label, layout
from pushforward.report.measure_table import Scale, scale

SPACE = "\N{EM SPACE}" * 4
PAIRS = 6  # pairs of models that are drawn, at most
WIDEST = 3.0  # an interval may reach so many times beyond the largest difference


def forest_plots(comparison: Comparison, colours: dict[str, str]) -> list[Figure]:
    """Return one plot for each pair of models, those with the recommended one first."""
    pairs = list(dict.fromkeys((d.first, d.second) for d in comparison.differences))
    pairs.sort(key=lambda pair: comparison.recommendation.model not in pair)
    return [_plot(comparison, pair, colours) for pair in pairs[:PAIRS]]


def without_scale(comparison: Comparison) -> list[str]:
    """Return the measures without a scale to divide by."""
    names = dict.fromkeys(d.measure for d in comparison.differences)
    return [measure_label(n) for n in names if scale(n, comparison) is None]


def _plot(comparison: Comparison, pair: tuple[str, str], colours: dict[str, str]) -> Figure:
    own = [d for d in comparison.differences if (d.first, d.second) == pair]
    scaled = [s for d in own if (s := _scaled(d, scale(d.measure, comparison))) is not None]
    names = {
        pair[0]: f"{pair[0]} better",
        pair[1]: f"{pair[1]} better",
        None: "no significant difference",
    }
    traces = [
        _trace([d for d in scaled if d.better == who], text, colours.get(who or "", GREY))
        for who, text in names.items()
    ]
    alt = f"Differences between {pair[0]} and {pair[1]} by {len(scaled)} measures, with intervals"
    title = f"{pair[0]} against {pair[1]}"
    return Figure([t for t in traces if t["x"]], _layout(scaled, pair), alt, title)


def _layout(differences: Sequence[Difference], pair: tuple[str, str]) -> Json:
    order = [label(measure_label(d.measure)) for d in differences]
    reach = _reach(differences)
    x_axis = axis(
        f"← {label(pair[0])} better {SPACE} {label(pair[1])} better →",
        range=[-reach, reach],
        zeroline=True,
        zerolinecolor=GREY,
        zerolinewidth=1.5,
    )
    y_axis = axis(categoryorder="array", categoryarray=order[::-1], range=[-0.7, len(order) - 0.3])
    return layout(height=96 + 26 * len(order), showlegend=True, xaxis=x_axis, yaxis=y_axis)


def _scaled(d: Difference, unit: Scale | None) -> Difference | None:
    """Return a difference in units of its measure's scale."""
    if unit is None:
        return None
    low, high = (None if end is None else end / unit.span for end in (d.low, d.high))
    return replace(d, mean=d.mean / unit.span, low=low, high=high)


def _reach(differences: Sequence[Difference]) -> float:
    """Return how far the axis reaches, so that one wide interval does not flatten all others."""
    means = max((abs(d.mean) for d in differences), default=1.0)
    ends = max(
        (abs(e) for d in differences for e in (d.low, d.high) if e is not None), default=means
    )
    return 1.08 * max(min(ends, WIDEST * means), 1.1 * means, 0.01)


def _trace(differences: Sequence[Difference], name: str, colour: str) -> Json:
    hollow = colour == GREY
    ends = [(d.mean if d.low is None or d.high is None else (d.low, d.high)) for d in differences]
    bounds = [e if isinstance(e, tuple) else (e, e) for e in ends]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "x": [d.mean for d in differences],
        "y": [label(measure_label(d.measure)) for d in differences],
        "marker": {"color": colour, "size": 9, "symbol": "circle-open" if hollow else "circle"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - d.mean for d, (_, high) in zip(differences, bounds, strict=True)],
            "arrayminus": [d.mean - low for d, (low, _) in zip(differences, bounds, strict=True)],
            "color": colour,
            "thickness": 1.6,
            "width": 4,
        },
        "hovertemplate": "%{y}: %{x:.3g}<extra></extra>",
    }
