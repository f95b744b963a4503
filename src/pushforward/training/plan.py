"""How many steps a stage of a run has, and the learning rate over them.

A stage's record in config.json is the whole plan: the steps that were `foreseen`, fixed once from
its budget, and what they were `shortened` to where the machine turned out too slow, [position,
steps] each. Everything here follows from that record and a position, nothing from the clock: so a
run that was killed, and one that repeats it, do the very same.
"""

from __future__ import annotations

import math

from pushforward.families.model import Turn
from pushforward.runs.folder import Json
from pushforward.training.settings import Budget, Change

WARM_UP = 50  # steps over which the learning rate rises
RECORDS = 200  # entries of the history
CHECKS = 10  # times that validation rows are looked at
SAVES = 20  # times that the state is written, at most ...
APART = 15.0  # ... and seconds that a budget in seconds leaves between them: a disk takes its time
NEVER = 2**62  # a position that no stage comes to


def due(position: int, length: int, times: int) -> bool:
    """Whether something done `times` times, evenly and at the end, is due after so many steps."""
    return position == length or position % math.ceil(length / times) == 0


def record_due(position: int, length: int | None) -> bool:
    """Whether a record is due; before the length is known, ever more seldom: 10, 20, 40, ..."""
    if length is None:
        tens, rest = divmod(position, 10)
        return rest == 0 and tens & (tens - 1) == 0
    return position % max(10, length // RECORDS) == 0


def phase(turn: Turn, length: int | None) -> tuple[int, int]:
    """Return the steps of a stage (of so many) at which a turn's phase begins and ends.

    Until the length is known, only what is played from the start on is played.
    """
    if length is None:
        return (0 if turn.start == 0 else NEVER), NEVER
    return round(turn.start * length), round(turn.end * length)


def saves(budget: Budget) -> int:
    """Return how many times the state is written within a budget; once is at the end."""
    if budget.unit != "seconds":
        return SAVES
    return min(SAVES, max(2, round(budget.amount / APART)))


class Plan:
    """The steps of one stage, read from its record and written to it."""

    def __init__(self, stage: Json) -> None:
        self.stage, self.budget = stage, Budget.parse(stage["budget"])
        self.lengths: list[Change] = []  # from which position on the stage has how many steps
        if stage["steps"] is not None:
            first = (0, stage.get("foreseen") or stage["steps"])
            self.lengths = [first, *((at, n) for at, n in stage.get("shortened", []))]

    def fix(self, steps: int) -> None:
        """Record the number of steps, and the changes that the budget itself names."""
        self.stage["foreseen"] = self.stage["steps"] = steps
        self.stage["shortened"] = []
        self.lengths = [(0, steps)]
        for change in self.budget.changes:
            self.shorten(*change)

    def shorten(self, position: int, steps: int) -> None:
        """Record that from a position on the stage has only so many steps."""
        self.stage["shortened"].append([position, steps])
        self.stage["steps"] = steps
        self.lengths.append((position, steps))

    def stop(self, position: int) -> None:
        """Record that the stage ends at a position, if it has not been recorded already."""
        if self.length(position) != position:
            self.shorten(position, position)

    def length(self, position: int) -> int | None:
        """Return the steps of the stage as they are planned at a position; None before they are."""
        return next((n for at, n in reversed(self.lengths) if at <= position), None)

    @property
    def newest(self) -> int:
        """The position of the last change: behind it there may be another one."""
        return self.lengths[-1][0] if self.lengths else 0

    def rate(self, turn: Turn, position: int) -> float:
        """Return the learning rate's factor: a short rise, level, then falling from half-way to 0.

        A phase that is shortened when it is past its new half-way falls from there on, in a line to
        its new end. Before half-way the factor does not depend on the length, so a stage can start
        before that is known.
        """
        known = [(at, n) for at, n in self.lengths if at <= position]
        begin, _ = phase(turn, known[-1][1] if known else None)
        rise, fall = min(1.0, (position - begin + 1) / WARM_UP), 1.0
        until = [*(at for at, _ in known[1:]), position]
        for (at, n), last in zip(known, until, strict=False):
            start, end = phase(turn, n)
            top = max((start + end) / 2, at)
            fall *= min(1.0, (end - last) / (end - top)) if last < end else 0.0
        return min(rise, fall)
