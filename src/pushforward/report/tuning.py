"""What tuning tried: the trials of each model, nearest to the validation rows first."""

from __future__ import annotations

from pushforward.comparison.result import Comparison
from pushforward.comparison.tuned import Tuning
from pushforward.report.figures import TextTable


def trials(comparison: Comparison) -> list[TextTable]:
    """Return a table a model."""
    return [_table(model, tuning) for model, tuning in comparison.tuning.items()]


def _table(model: str, tuning: Tuning) -> TextTable:
    numbered = enumerate(tuning.trials, 1)
    ranked = sorted(numbered, key=lambda pair: pair[1].distance)
    rows = [
        [str(number), *(f"{trial.options[n]:g}" for n in tuning.ranges), f"{trial.distance:.4g}"]
        for number, trial in ranked
    ]
    looked = (f"{name} from {r.low:g} to {r.high:g}" for name, r in tuning.ranges.items())
    note = f"Looked for: {', '.join(looked)}. Trial 1 has the defaults."
    return TextTable(["Trial", *tuning.ranges, "Distance to validation rows"], rows, model, note)
