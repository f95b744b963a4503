"""A doctor, as skorch has it: what each layer gives, and how far a step moves it.

It listens to the round of turns before a check, and to no other, so that the rest of a run costs
nothing; what it hears moves nothing. A layer is a module with parameters of its own. It is judged
by what it gives in that round, in all turns together:

- the root mean square of its values;
- the share of its units that are silent: whose value never is above 0 where it comes to the
  rectifier behind the layer (a unit of a map is a channel). Of a layer without one there is none.

Beside both stands the update of one step, |change| / |weights|, of the layer alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.families.model import Model
from pushforward.runs.folder import Json
from pushforward.training.turn_optimizer import TurnOptimizer, layer_of

RECTIFIERS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU)
FEWEST_UNITS = 8  # of which it is said how many are silent
DIGITS = 3  # that are recorded


@dataclass
class _Heard:
    """What one layer gave, call after call: on the device, so that nobody waits for it."""

    squares: list[Tensor] = field(default_factory=list)  # means
    active: list[Tensor] = field(default_factory=list)  # by unit, whether it ever was

    @property
    def size(self) -> float | None:
        """The root mean square of the layer's values."""
        return math.sqrt(float(torch.stack(self.squares).mean())) if self.squares else None

    @property
    def silent(self) -> float | None:
        """The share of the units that were never active."""
        counts = {len(units) for units in self.active}
        if len(counts) != 1 or min(counts) < FEWEST_UNITS:
            return None
        return 1 - float(torch.stack(self.active).any(0).float().mean())


class Doctor:
    """Listens to the layers of a model's players."""

    def __init__(self, model: Model) -> None:
        players = dict.fromkeys(name for turn in model.turns() for name in turn.players)
        self.modules = {
            module: f"{player}.{path}".rstrip(".")
            for player in players
            for path, module in model.player(player).named_modules()
        }
        self.heard: dict[str, _Heard] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what the layers give within the block."""
        self.heard, self._last = {}, ""
        hooks = [
            module.register_forward_pre_hook(self._rectified)
            if isinstance(module, RECTIFIERS)
            else module.register_forward_hook(self._given)
            for module, name in self.modules.items()
            if isinstance(module, RECTIFIERS) or _is_layer(name, module)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _given(self, module: nn.Module, _: Any, values: Any) -> None:
        self._last = self.modules[module]
        if isinstance(values, Tensor):
            heard = self.heard.setdefault(self._last, _Heard())
            heard.squares.append(values.detach().float().square().mean())

    def _rectified(self, module: nn.Module, values: tuple[Any, ...]) -> None:
        """Note which units of the last layer come to it, the first rectifier since, above 0."""
        layer, self._last = self._last, ""
        if layer in self.heard and _player(layer) == _player(self.modules[module]):
            self.heard[layer].active.append(_highest(values[0].detach()) > 0)

    def layers(self, optimizers: Sequence[TurnOptimizer]) -> Json:
        """Return `layers`: by name what was heard, and each one's update; None for what was not.

        In this order: the root mean square, the share of silent units, the update.
        """
        updates: dict[str, float] = {}
        for optimizer in optimizers:
            updates |= optimizer.layer_updates()
        names = [name for name in self.modules.values() if name in self.heard or name in updates]
        return {"layers": {name: self._of(name, updates) for name in names}}

    def _of(self, name: str, updates: Mapping[str, float]) -> list[float | None]:
        heard = self.heard.get(name, _Heard())
        return [_rounded(v) for v in (heard.size, heard.silent, updates.get(name))]


def _is_layer(name: str, module: nn.Module) -> bool:
    """Whether a module has parameters of its own; what only makes a weight is none."""
    own = next(module.parameters(recurse=False), None)
    return hasattr(module, "parametrizations") or (own is not None and layer_of(name) == name)


def _player(name: str) -> str:
    return name.partition(".")[0]


def _highest(values: Tensor) -> Tensor:
    """Return the largest value of each unit of (n, units), or of maps (n, units, h, w)."""
    unit = 1 if values.dim() > 3 else values.dim() - 1
    return values.amax([i for i in range(values.dim()) if i != unit])


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
