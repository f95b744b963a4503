"""How large a comparison is: said before it starts, so that a user can spend what it is worth."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from pushforward.comparison.all_runs import AllRuns
from pushforward.comparison.equal_steps import loop_of, time_steps
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.jobs import Site
from pushforward.runs.folder import Folder
from pushforward.threads import threads
from pushforward.training.plan import CHECKS
from pushforward.training.settings import Budget

REHEARSAL = "3s"  # the budget within whose first tenth steps are timed


@dataclass(frozen=True)
class Size:
    """The size of a comparison.

    Args:
        runs: of all models, and seeds.
        missing: those that are still to be trained or measured.
        budget: of each.
        jobs: runs at a time.
        threads: of each run, at most.
        each: seconds of a run's training; None where they are not known.
        trials: runs that choose the models' options first.
    """

    runs: int
    missing: int
    budget: str | int
    jobs: int
    threads: int
    each: float | None
    trials: int = 0

    @property
    def seconds(self) -> float | None:
        """The seconds of all training, however many runs go on at a time."""
        if self.each is None:
            return None
        return (
            math.ceil(self.missing / self.jobs) + math.ceil(self.trials / self.jobs)
        ) * self.each

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"seconds": self.seconds}

    def __str__(self) -> str:
        """Return one sentence."""
        kept = self.runs - self.missing
        done = f" ({kept} of {self.runs} are finished)" if kept else ""
        unit = " steps" if str(self.budget).strip().isdigit() else ""
        long = "" if self.seconds is None else f": {duration(self.seconds)} of training"
        first = f"{_count(self.trials, 'trial')}, then " if self.trials else ""
        most = "up to " if self.threads > 1 else ""
        return (
            f"{first}{_count(self.missing, 'run')} of {self.budget}{unit}{done}, "
            f"{self.jobs} at a time with {most}{_count(self.threads, 'thread')} each{long}, "
            "and measuring"
        )


def size_of(runs: AllRuns, site: Site, trials: int, *, rehearse: bool) -> Size:
    """Return the size of a comparison.

    Args:
        runs: its runs.
        site: where they are done.
        trials: of each model, before.
        rehearse: whether models are timed on this machine, where the budget is not in seconds.
    """
    missing = [run for run in runs if not runs.bench.has(run)]
    budget = runs.settings.budget
    each = Budget.parse(budget).amount if Budget.parse(budget).unit == "seconds" else None
    if each is None and rehearse and missing:
        with threads(site.threads):
            each = fmean(_seconds(runs).values())
    total = len(runs.models) * len(runs.seeds)
    tried = trials * len(runs.models)
    return Size(total, len(missing), budget, site.jobs, site.threads, each, tried)


def _seconds(runs: AllRuns) -> dict[str, float]:
    """Return the seconds of each model's run, for a budget in steps or samples."""
    data, device = runs.bench.data, runs.bench.device
    timed = replace(runs.settings, budget=REHEARSAL, seed=runs.seeds[0])
    with TemporaryDirectory(prefix="pushforward-") as scratch:
        costs = time_steps(data, ComparisonFolder(Path(scratch)), device, runs.models, timed)
        found = {}
        for name, own in costs.items():
            folder = Folder(Path(scratch) / name)
            loop = loop_of(data, device, runs.models[name], runs.settings, folder)
            steps = (loop.total or 0) * own.step
            found[name] = steps + CHECKS * own.check + own.saves + own.after
    return found


def duration(seconds: float) -> str:
    """Return about how long something takes, in the unit that people would name."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.3g} {unit}"
    return f"about {max(1, math.ceil(seconds))} s"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
