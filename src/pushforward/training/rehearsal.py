"""What the parts of a run cost: each is done once, and nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING

from pushforward.families.model import Model
from pushforward.random import isolated
from pushforward.threads import threads
from pushforward.training.pace import FEWEST, STEPS_A_TREE, Costs, Pace, synchronise
from pushforward.training.plan import saves
from pushforward.training.state import save
from pushforward.training.turn_optimizer import TurnOptimizer

if TYPE_CHECKING:
    from pushforward.training.loop import Loop

REHEARSED = 10  # trees by which the cost of one is known


def costs(loop: Loop, step: float) -> Costs:
    """Return what the parts of a loop's run take; `step` is a step as it was played so far.

    The loop, its model and all random states are afterwards as they were.
    """
    drawn, weights, model = loop.batches.drawn, loop.average.weights(), loop.average.model
    folder = loop.folder
    saved = 0.0 if folder is None else _seconds(loop, lambda: save(loop, folder))
    written = saved * saves(loop.plan.budget)
    with isolated(loop.device, loop.settings.seed):
        step *= _later_steps(loop)
        check = _seconds(loop, lambda: loop.validation.choice(model, loop.check()))
        check += _seconds(loop, loop.judge)
        settled = _seconds(loop, lambda: loop.settled(weights))  # of two checkpoints
        refining = 2 * _refining(loop, model)
        after = 2 * settled + _seconds(loop, lambda: loop.validation.anatomy(model))
    model.load_state_dict(weights)
    loop.batches.drawn = drawn
    return Costs(step, check, written, after, refining)


def _refining(loop: Loop, model: Model) -> float:
    """Return what a refinement takes for each step: its trees and rows grow with the steps."""
    return _seconds(loop, lambda: loop.refine(model, REHEARSED)) / REHEARSED / STEPS_A_TREE


def costs_together(loops: Sequence[Loop]) -> list[Costs]:
    """Return what the parts of several runs take, their steps timed in turns of a few each.

    So work beside them slows all of them alike. The loops are played, and of no use afterwards.
    """
    paces = [Pace(loop.device, loop.plan.budget.amount, loop.period) for loop in loops]
    while not all(pace.enough for pace in paces):
        for loop, pace in zip(loops, paces, strict=True):
            with _as_in_a_run(loop):
                _play_some(loop, pace)
    found = []
    for loop, pace in zip(loops, paces, strict=True):
        with _as_in_a_run(loop):
            found.append(costs(loop, pace.step))
    return found


@contextmanager
def _as_in_a_run(loop: Loop) -> Iterator[None]:
    with isolated(loop.device, loop.settings.seed), threads(loop.config["threads"]):
        yield


def _play_some(loop: Loop, pace: Pace) -> None:
    """Play steps for a share of the time that the pace needs, at least a lap."""
    laps, spent = len(pace.laps), pace.spent
    pace.start()
    while len(pace.laps) == laps or pace.spent - spent < pace.least / FEWEST:
        loop.round()
        pace.tick()


def _seconds(loop: Loop, work: Callable[[], object]) -> float:
    """Return the seconds of some work, the device's part of it too."""
    synchronise(loop.device)
    start = time.perf_counter()
    work()
    synchronise(loop.device)
    return time.perf_counter() - start


def _later_steps(loop: Loop) -> float:
    """Return how long the average step of the stage takes, in units of the steps so far.

    Not 1 where turns have phases of their own: then each is rehearsed and timed.
    """
    optimizers = loop.optimizers
    if all(o.turn.start == 0 and o.turn.end == 1 for o in optimizers):
        return 1.0
    costs = {o: _round(loop, o) for o in optimizers}
    so_far = sum(cost for o, cost in costs.items() if o.turn.start == 0)
    return sum(cost * (o.turn.end - o.turn.start) for o, cost in costs.items()) / so_far


def _round(loop: Loop, optimizer: TurnOptimizer) -> float:
    """Return the seconds of a turn in the average round of its phase."""
    turn = optimizer.turn
    rest = 0.0 if turn.between is None else _play(loop, optimizer, turn.between)
    return turn.repeat * (_play(loop, optimizer, turn.name) + (turn.every - 1) * rest) / turn.every


def _play(loop: Loop, optimizer: TurnOptimizer, play: str) -> float:
    """Return the seconds of one play of a turn, by rehearsals that change nothing."""
    return quantiles(
        [
            _seconds(loop, lambda: optimizer.rehearse(*loop.batch(optimizer.turn), play))
            for _ in range(FEWEST)
        ],
        n=4,
    )[0]
