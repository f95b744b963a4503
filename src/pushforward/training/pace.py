"""How many steps fit into seconds: before they are fixed, and when the machine is slower later."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import quantiles

import torch

from pushforward.nn.refinement import TREES
from pushforward.training.plan import CHECKS

SHARE = 0.1  # of a budget in seconds, after which its steps are fixed, ...
LONGEST = 20.0  # ... or after so many seconds, if that is sooner
FEWEST = 8  # laps that must have been timed by then; of long ones three
STRETCH = 16  # steps in a lap on a GPU: at its end the device is waited for
PERIOD = 16  # steps in a lap, at most, where not every turn is due in each round
LATE = 1.5  # how much later than its budget a run may end before it is shortened
LOOK = 0.25  # share of the budget over which the pace is measured for that
REFINED = 500  # steps from which on a table is refined: of fewer each is worth more, ...
STEPS_A_TREE = 5  # ... each tree comes with so many, ...
REFINED_MOST = STEPS_A_TREE * TREES  # ... and more than these make none more costly
APART = 5  # steps between two looks at the clock, of which all processes have to hear


def synchronise(device: torch.device) -> None:
    """Wait until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Pace:
    """Times steps in laps: the work for each is the same, however many there have been.

    A lap holds `period` steps, after which the same turns are due again; at most `PERIOD`.

    A step takes what the faster ones take (the lower quartile): the first ones allocate, and other
    work on the machine comes in bursts that should not fix the length of the whole run.
    """

    def __init__(self, device: torch.device, budget: float, period: int = 1) -> None:
        self.device, self.least = device, min(SHARE * budget, LONGEST)
        period = min(period, PERIOD)
        shortest = STRETCH if device.type == "cuda" else 1
        self.stretch = math.ceil(shortest / period) * period
        self.fewest = max(3, FEWEST // period)  # laps; the quartile of three is the shortest
        self.laps: list[float] = []  # seconds a step
        self.spent = 0.0
        self.start()

    def start(self) -> None:
        """Begin a lap now."""
        self.steps, self.mark = 0, time.perf_counter()

    def tick(self) -> None:
        """Count a step that was just made; at the end of a lap, look at the clock."""
        self.steps += 1
        if self.steps < self.stretch:
            return
        synchronise(self.device)
        seconds = time.perf_counter() - self.mark
        self.laps.append(seconds / self.steps)
        self.spent += seconds
        self.start()

    @property
    def enough(self) -> bool:
        """Whether the laps so far settle how long a step takes."""
        return len(self.laps) >= self.fewest and self.spent >= self.least

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return quantiles(self.laps, n=4)[0]


@dataclass(frozen=True)
class Costs:
    """Seconds of a step, of a check on validation rows, of all saves, and of what comes last.

    `refining` are those of a refinement, a step: it grows with the steps, from `REFINED` on.
    """

    step: float
    check: float
    saves: float
    after: float
    refining: float = 0.0

    def steps(self, seconds: float) -> int:
        """Return how many steps fit into so many seconds, everything else counted in."""
        left = seconds - CHECKS * self.check - self.saves - self.after
        plain, refined = (left / step for step in (self.step, self.step + self.refining))
        full = (left - REFINED_MOST * self.refining) / self.step  # the most that it takes
        return max(0, int(min(plain, max(refined, full, REFINED - 1))))


class Watch:
    """Says when a stage has to be shortened, because it would end far too late.

    It measures the pace anew over each quarter of the budget. `elapsed` are the stage's seconds.
    """

    def __init__(self, budget: float, position: int, elapsed: float) -> None:
        self.budget, self.mark = budget, (position, elapsed)

    def shorter(self, position: int, elapsed: float, length: int) -> int | None:
        """Return how many steps fit, if at this pace `length` end too late; None otherwise.

        Some are left in any case, for the learning rate to fall.
        """
        at, then = self.mark
        if elapsed - then < LOOK * self.budget:
            return None
        self.mark = position, elapsed
        step = (elapsed - then) / (position - at)
        if elapsed + (length - position) * step <= LATE * self.budget:
            return None
        fits = position + max(int((self.budget - elapsed) / step), position // 10 + 1)
        return fits if fits < length else None
