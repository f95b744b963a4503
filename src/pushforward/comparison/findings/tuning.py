"""What the trials of a tuned model leave open."""

from __future__ import annotations

from collections.abc import Iterator

from pushforward.comparison.findings.checks import Evidence, Found, check


@check("PF207", "The best options lie at the edge of their range")
def at_the_edge(evidence: Evidence) -> Iterator[Found]:
    """Beyond the edge, where no trial looked, a better value may lie."""
    for model, tuning in evidence.tuning.items():
        for name, value in tuning.edges():
            low, high = tuning.ranges[name].low, tuning.ranges[name].high
            side = "below" if tuning.ranges[name].place(value) < 0.5 else "above"
            yield (
                model,
                f"the best of {len(tuning.trials)} trials of {model} has {name}={value:g}, at the "
                f"edge of the range from {low:g} to {high:g}.",
                f"Compare again with values {side} it, given with --{model}.{name}, in a folder of "
                "their own.",
            )
