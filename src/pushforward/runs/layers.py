"""How a run's layers did, as its checks saw them: what is alarming of them, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pushforward.families.panels import Panel

LOUD = 1000.0  # root mean square of what a layer gives; rows have one of the order 1
STILL = 0.01  # of the largest update of a layer

SIZES = (
    "The root mean square of what each layer gave in the round before a check. It should neither "
    "vanish nor grow without end."
)
SILENT = (
    "The share of units that were above 0 for no row of that round, so that the rectifier behind "
    "the layer never let them through. At 1, and where no step moves it, the layer is dead."
)
MOVES = (
    "How far one step moved each layer, of the length of its weights. A layer far below the others "
    "learns nothing, one far above them is torn about."
)

Layers = Mapping[str, Sequence[float | None]]  # size, share of silent units, update


def sizes(layers: Layers) -> dict[str, float]:
    """Return the size of what each layer gives that took part in a step."""
    return {
        name: size
        for name, (size, _, update) in layers.items()
        if size is not None and update is not None
    }


def dead(layers: Layers) -> tuple[str, ...]:
    """Return the layers that give nothing, or have no active unit, and stand still in a step.

    Without active units alone a layer is not dead: behind a leaky rectifier it learns on.
    """
    largest = max((update for _, _, update in layers.values() if update is not None), default=0)
    return tuple(
        name
        for name, (size, silent, update) in layers.items()
        if (silent == 1 or size == 0) and update is not None and update <= STILL * largest
    )


def sick(sizes: Mapping[str, float], dead: Sequence[str]) -> str | None:
    """Return what is wrong with layers: they are dead, or they explode."""
    found = [
        f"no unit of {name} was active for any row of a round of turns, and no step moves it"
        for name in dead
    ]
    found += [
        f"what {name} gave has grown to {size:,.0f} (root mean square)"
        for name, size in sizes.items()
        if size > LOUD
    ]
    more = f", and {len(found) - 1} more of its layers are dead or explode" if found[1:] else ""
    return found[0] + more if found else None


def layer_panels(history: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Return the pictures of layers by checks: what they give, silent units, updates."""
    checks = [r for r in history if "layers" in r]
    names = list(dict.fromkeys(name for r in checks for name in r["layers"]))
    steps = [r["step"] for r in checks]

    def over_steps(title: str, part: int, unit: str, note: str, *, log: bool) -> list[Panel]:
        rows = {n: [r["layers"].get(n, (None,) * 3)[part] for r in checks] for n in names}
        series = {n: values for n, values in rows.items() if any(v is not None for v in values)}
        panel = Panel(title, "heat", series, steps, "step", unit, note, logarithmic=log)
        return [panel] if series else []

    return [
        *over_steps("What layers give", 0, "root mean square", SIZES, log=True),
        *over_steps("Silent units", 1, "share of a layer's units", SILENT, log=False),
        *over_steps("Updates by layer", 2, "|change| / |weights|", MOVES, log=True),
    ]
