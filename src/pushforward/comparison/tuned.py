"""What tuning has tried: a model's trials, and the options that it chose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pushforward.families.options import Range

EDGE = 0.05  # of a range, on either side


@dataclass(frozen=True)
class Trial:
    """One fit with the options of a trial.

    Args:
        options: those that are tuned.
        seed: of the fit.
        distance: the energy distance between validation rows and those of the checkpoint that
            validation chose; infinite for a fit that diverged.
    """

    options: Mapping[str, Any]
    seed: int
    distance: float


@dataclass(frozen=True)
class Tuning:
    """All trials of a model, the first with its defaults.

    Args:
        ranges: where each option was looked for.
        trials: in the order in which they were made.
    """

    ranges: Mapping[str, Range]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial that came nearest to the validation rows."""
        return min(self.trials, key=lambda trial: trial.distance)

    @property
    def chosen(self) -> dict[str, Any]:
        """The options of the best trial."""
        return dict(self.best.options)

    def edges(self) -> Iterator[tuple[str, float]]:
        """Yield the options whose best value lies at an edge of their range, and that value."""
        for name, value in self.best.options.items():
            if not EDGE < self.ranges[name].place(value) < 1 - EDGE:
                yield name, value

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values; a distance that is not finite is None."""
        trials = [asdict(trial) for trial in self.trials]
        for trial in trials:
            trial["distance"] = trial["distance"] if math.isfinite(trial["distance"]) else None
        return {"ranges": {n: asdict(r) for n, r in self.ranges.items()}, "trials": trials}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Tuning:
        """Rebuild it from `to_json`."""
        trials = (
            Trial(t["options"], t["seed"], math.inf if t["distance"] is None else t["distance"])
            for t in stored["trials"]
        )
        return cls({n: Range(**r) for n, r in stored["ranges"].items()}, tuple(trials))

    def __str__(self) -> str:
        chosen = ", ".join(f"{name}={value:.3g}" for name, value in self.best.options.items())
        return f"{chosen} (best of {len(self.trials)} trials on validation rows)"
