"""Whether a model gives training rows away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from pushforward.comparison.findings.checks import Evidence, Found, check
from pushforward.comparison.words import joined, measure_label
from pushforward.measures import PRIVACY, Measurement, Scorecard


@check("PF401", "Gives training rows away", vetoes="model")
def copies_rows(evidence: Evidence) -> Iterator[Found]:
    """Generated rows tell which rows the model was trained on."""
    for model, cards in evidence.cards.items():
        names = leaking(cards)
        if names:
            yield (
                model,
                f"{model} leaks training rows, by {joined(map(measure_label, names))}.",
                "Protect its samples as you protect the training data; train it shorter.",
            )


def leaking(cards: Sequence[Scorecard]) -> list[str]:
    """Return the privacy measures that find training rows, over the seeds."""
    measured = {name: [card[name] for card in cards if name in card] for name in PRIVACY}
    return [name for name, by_seed in measured.items() if by_seed and leaks_rows(by_seed)]


def leaks_rows(measured: Sequence[Measurement]) -> bool:
    """Return whether a privacy measure, over the seeds, finds training rows beyond its interval.

    The interval of one seed covers the rows that the seeds share, which a spread over seeds misses.
    """
    lows, nulls = ([getattr(m, end) for m in measured] for end in ("low", "null"))
    return None not in {*lows, *nulls} and fmean(lows) > fmean(nulls)
