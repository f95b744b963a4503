"""The figures of `theory.py`: one function a statement, each returns a Matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from PIL import Image
from torch import Tensor

mpl.use("Agg")
mpl.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "figure.dpi": 100,
        "savefig.dpi": 100,
        "legend.frameon": False,
    }
)
BLUE, ORANGE, GREEN, GREY = "#2a6fbb", "#cf5a2b", "#3a8f5c", "#8a8f98"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """Draws of one prior, lines through them, and where each model carries both."""

    prior: str
    z: Tensor
    lines: list[Tensor]
    carried: dict[str, tuple[Tensor, list[Tensor]]]


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """Return a figure and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def maps(pictures: Sequence[Picture], real: Tensor) -> Figure:
    """Draw each prior, and where a VAE and a GAN carry it."""
    figure, axes = panels(len(pictures), 3, 10, 3.4 * len(pictures))
    for row, picture in zip(axes, pictures, strict=True):
        angle = torch.atan2(picture.z[:, 1], picture.z[:, 0])
        _cloud(row[0], picture.z, picture.lines, angle, f"prior: {picture.prior} Z")
        for ax, (kind, (x, lines)) in zip(row[1:], picture.carried.items(), strict=True):
            ax.scatter(real[:, 0], real[:, 1], s=6, color="#d7d9dd", linewidths=0)
            _cloud(ax, x, lines, angle, f"{kind.upper()}: X = g(Z)")
            ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
    return figure


def _cloud(ax: Axes, points: Tensor, lines: list[Tensor], angle: Any, title: str) -> None:
    ax.scatter(points[:, 0], points[:, 1], c=angle, cmap="hsv", s=5, alpha=0.7, linewidths=0)
    for line in lines:
        ax.plot(line[:, 0], line[:, 1], color="#30343b", linewidth=0.8)
    ax.set(title=title, aspect="equal")


def shifts(table: Sequence[Row], curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw exact values as lines, and what samples give as points with intervals."""
    figure, axes = panels(1, 3, 10, 3.4)
    names = {"KL": GREY, "energy": BLUE, "MMD²": ORANGE}
    for ax, (name, color) in zip(axes[0], names.items(), strict=True):
        ax.plot(curves["shift"], curves[name], color=GREY, label="exact, from both densities")
        if name != "KL":
            _estimates(ax, table, name, color)
        ax.set(
            title="energy distance" if name == "energy" else name,
            xlabel="shift δ of N(δ, 1) from N(0, 1)",
        )
        ax.legend(fontsize=10)
    axes[0, 0].set_ylabel("nats")
    return figure


def _estimates(ax: Axes, table: Sequence[Row], name: str, color: str) -> None:
    value = np.array([row[f"{name}, samples"] for row in table])
    low, high = np.array([row[f"{name}, 95 %"] for row in table]).T
    x, errors, label = [row["shift"] for row in table], [value - low, high - value], "samples, 95 %"
    ax.errorbar(x, value, errors, fmt="o", color=color, capsize=3, label=label)


def ellipses(
    mean: Tensor, sigma: Tensor, digits: Tensor, chosen: Sequence[int], images: Tensor
) -> Figure:
    """Draw the codes of a few samples as ellipses of one and two sigma, and their images."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    ax, *small = _beside(figure, len(chosen))
    ax.scatter(
        mean[:, 0], mean[:, 1], s=5, color="#d7d9dd", linewidths=0, label="f1(x) of all samples"
    )
    turns = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turns), np.sin(turns), "--", color="#30343b", label="N(0, I), 1σ")
    colors = mpl.colormaps["tab10"]
    for i, image, inset in zip(chosen, images, small, strict=True):
        color = colors(int(digits[i]))
        for times in (1, 2):
            _ellipse(ax, mean[i], times * sigma[i], color)
        ax.annotate(str(int(digits[i])), (float(mean[i, 0]), float(mean[i, 1])), ha="center")
        _tile(inset, image, color)
    ax.set(aspect="equal", xlabel="z₁", ylabel="z₂", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    ax.set_title("N(f1(x), exp f2(x)) of eight samples, 1σ and 2σ")
    ax.legend(loc="lower left", fontsize=10)
    return figure


def _beside(figure: Figure, n: int) -> list[Axes]:
    """Return a large panel, and n small ones at its right in two columns."""
    grid = figure.add_gridspec(n // 2, 4, width_ratios=[4, 0.1, 1, 1])
    small = [figure.add_subplot(grid[i // 2, 2 + i % 2]) for i in range(n)]
    return [figure.add_subplot(grid[:, 0]), *small]


def _ellipse(ax: Axes, centre: Tensor, radii: Tensor, color: Any) -> None:
    x, y, width, height = (*centre.tolist(), *(2 * radii).tolist())
    ax.add_patch(Ellipse((x, y), width, height, facecolor=(*color[:3], 0.18), edgecolor=color))


def _tile(ax: Axes, image: Tensor, color: Any) -> None:
    ax.imshow(image.numpy(), cmap="gray_r", vmin=-1, vmax=1)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=color, linewidth=2.5)


def sigmas(
    curves: Mapping[float, Sequence[Sequence[tuple[int, float]]]], strips: Mapping[str, Tensor]
) -> Figure:
    """Draw sigma against training, with and without the KL, and samples of both."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    grid = figure.add_gridspec(len(strips), 2, width_ratios=[1, 1.35])
    ax = figure.add_subplot(grid[:, 0])
    names = {0.0: ("reconstruction alone", ORANGE), 1.0: ("reconstruction + KL", BLUE)}
    for beta, runs in curves.items():
        for number, run in enumerate(runs):
            name, color = names[beta]
            ax.plot(*zip(*run, strict=True), color=color, label=name if number == 0 else None)
    ax.axhline(1, color=GREY, linestyle="--", linewidth=1, label="noise of the prior")
    ax.set(yscale="log", xlabel="step", ylabel="mean σ of the codes")
    ax.legend(fontsize=10)
    _strips(figure, [grid[i, 1] for i in range(len(strips))], strips)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of at most 128 colours."""
    memory = BytesIO()
    figure.savefig(memory)
    Image.open(memory).convert("RGB").quantize(128).save(path, optimize=True)


def _strips(figure: Figure, places: Sequence[Any], strips: Mapping[str, Tensor]) -> None:
    """Draw rows of images, each with its title."""
    for place, (title, images) in zip(places, strips.items(), strict=True):
        ax = figure.add_subplot(place)
        padded = np.pad(images.numpy(), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
        ax.imshow(np.concatenate(list(padded), 1), cmap="gray_r", vmin=-1, vmax=1)
        ax.set_axis_off()
        ax.set_title(title, loc="left")


def aggregates(clouds: Mapping[float, Tensor], digits: Tensor, table: Sequence[Row]) -> Figure:
    """Draw the aggregate posterior of each beta over circles of the prior."""
    figure, axes = panels(1, len(clouds), 10, 3.7)
    for ax, (beta, z), row in zip(axes[0], clouds.items(), table, strict=True):
        shown = ax.scatter(
            z[:, 0], z[:, 1], c=digits, cmap="tab10", vmin=-0.5, vmax=9.5, s=6, linewidths=0
        )
        for radius in (1, 2, 3):
            ax.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", color="#30343b"))
        ax.set(aspect="equal", xlabel="z₁", title=_aggregate_title(beta, row))
        reach = max(3.6, float(z.abs().max()))
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes[0, 0].set_ylabel("z₂")
    figure.colorbar(shown, ax=list(axes[0]), ticks=range(10), label="digit", shrink=0.85, pad=0.02)
    return figure


def _aggregate_title(beta: float, row: Row) -> str:
    found, p = row["MMD² of p(Z)"], row["p"]
    return f"β = {beta:g}\nMMD² = {found:.2g}, p = {p:.2g}"


def weights(table: Sequence[Row]) -> Figure:
    """Draw score and second moment against the weight, for both losses."""
    names = list(dict.fromkeys(row["data"] for row in table))
    figure, axes = panels(len(names), 2, 10, 3.2 * len(names) + 0.4)
    for name, (left, right) in zip(names, axes, strict=True):
        rows = [row for row in table if row["data"] == name]
        _against_weight(left, rows, "energy distance")
        _against_weight(right, rows, "E[f1² + exp f2]")
        right.axhline(1, color=GREY, linestyle="--", linewidth=1, label="second moment of N(0, I)")
        left.set_title(f"{name}: score of the samples")
        right.set_title(f"{name}: second moment of the codes")
    for ax in axes[-1]:
        ax.set_xlabel("weight w of the part that holds σ")
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _against_weight(ax: Axes, rows: Sequence[Row], key: str) -> None:
    for loss, color in (("direct", ORANGE), ("KL", BLUE)):
        own = [row for row in rows if row["loss"] == loss]
        weight = [row["weight"] for row in own]
        ax.plot(weight, [np.mean(row[key]) for row in own], color=color, label=loss)
        for row in own:
            ax.scatter([row["weight"]] * len(row[key]), row[key], s=14, color=color)
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", ylabel=key)
    low, high = ax.get_ylim()
    ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.tick_params(axis="y", which="minor", labelleft=False)


def tug_of_war(table: Sequence[Row], strips: Mapping[str, Tensor]) -> Figure:
    """Draw distortion against rate, sigma against beta, and samples at three betas."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    grid = figure.add_gridspec(len(strips), 3, width_ratios=[1.1, 0.9, 1.5])
    left, middle = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:, 1])
    rate, distortion = ([row[f"{name} (nats)"] for row in table] for name in ("rate", "distortion"))
    left.plot(rate, distortion, "-o", color=BLUE)
    for row, x, y in zip(table, rate, distortion, strict=True):
        left.annotate(f"β = {row['β']:g}", (x, y), (6, 4), textcoords="offset points", fontsize=9)
    left.margins(x=0.2, y=0.1)
    left.set(xlabel="rate (nats)", ylabel="distortion (nats)", title="rate against distortion")
    middle.plot([row["β"] for row in table], [row["mean sigma"] for row in table], "-o", color=BLUE)
    middle.axhline(1, color=GREY, linestyle="--", linewidth=1)
    middle.set(xscale="log", xlabel="β", ylabel="mean σ of the codes", title="noise of the codes")
    _strips(figure, [grid[i, 2] for i in range(len(strips))], strips)
    return figure


def measures(run: Sequence[Row]) -> Figure:
    """Draw the hand-made measures and the critic's value through training."""
    figure, axes = panels(1, 2, 10, 3.6)
    step = [row["step"] for row in run]
    for name, label, color in (
        ("energy", "energy distance", BLUE),
        ("mmd", "MMD²", GREEN),
    ):
        axes[0, 0].plot(
            step, [row[name] for row in run], "-o", markersize=4, color=color, label=label
        )
    axes[0, 0].set(title="made by hand", xlabel="step", ylabel="squared distance")
    for name, label, color in (
        ("critic, trained on", "critic, after 60 more turns alone", ORANGE),
        ("critic", "critic in play", GREY),
    ):
        axes[0, 1].plot(
            step, [row[name] for row in run], "-o", markersize=4, color=color, label=label
        )
    axes[0, 1].axhline(0, color="#30343b", linewidth=0.8)
    axes[0, 1].set(title="learned: lower bound of Jensen-Shannon", xlabel="step", ylabel="nats")
    for ax in axes[0]:
        ax.set_yscale("symlog", linthresh=1e-3)
        ax.legend(fontsize=10)
    return figure
