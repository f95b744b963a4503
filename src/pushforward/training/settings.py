"""How to train, whatever the model: the budget, the seed, the batch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from pushforward.errors import ModelError, nearest

Unit = Literal["seconds", "steps", "samples"]
UNITS: dict[str, tuple[float, Unit]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, "seconds")),
    **dict.fromkeys(("m", "min", "minute", "minutes"), (60.0, "seconds")),
    **dict.fromkeys(("h", "hour", "hours"), (3600.0, "seconds")),
    **dict.fromkeys(("", "step", "steps"), (1.0, "steps")),
    **dict.fromkeys(("sample", "samples"), (1.0, "samples")),
}
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Budget:
    """How long to train: seconds, steps (rounds of turns), or samples (rows drawn)."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """Read "60s", "2m", "1h", "500 steps", "1e6 samples"; a bare number counts steps."""
        match = re.fullmatch(r"\s*(\d*\.?\d+(?:e\+?\d+)?)\s*([a-z]*)\s*", str(text).lower())
        if match is not None and match[2] in UNITS:
            factor, unit = UNITS[match[2]]
            amount = float(match[1]) * factor
            if 0 < amount < math.inf:
                return cls(amount, unit)
        msg = f"budget {text!r}: wanted e.g. '60s', '2m', '500 steps' or '1e6 samples'"
        raise ModelError(msg)


@dataclass(frozen=True)
class Settings:
    """How to train, whatever the model.

    Args:
        budget: see `Budget.parse`.
        seed: of the start, the batches and all noise.
        batch: rows a batch; by kind of data when None.
        ema: decay of the moving average of the players that generate; 0 for none.
        clip: largest norm of a turn's gradient, or None.
        rate: learning rate of every turn; each turn's own when None.
        precision: what networks compute in while they are trained: float32, bfloat16, or auto,
            which takes bfloat16 for tables (whose networks say logits) on machines that are faster
            at it.
    """

    budget: str | int = "60s"
    seed: int = 0
    batch: int | None = None
    ema: float = 0.999
    clip: float | None = None
    rate: float | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        Budget.parse(self.budget)
        checks = {
            "batch": self.batch is None or self.batch >= 2,
            "ema": 0 <= self.ema < 1,
            "clip": self.clip is None or self.clip > 0,
            "rate": self.rate is None or self.rate > 0,
            "seed": 0 <= self.seed < 2**31,
        }
        for name, fine in checks.items():
            if not fine:
                msg = f"{name}={getattr(self, name)!r} is out of range"
                raise ModelError(msg)
        if self.precision not in PRECISIONS:
            msg = f"precision {self.precision!r}: {nearest(str(self.precision), PRECISIONS)}"
            raise ModelError(msg)
