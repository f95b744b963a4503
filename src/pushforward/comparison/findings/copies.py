"""Whether a model gives training rows away."""

from __future__ import annotations

from collections.abc import Iterator

from pushforward.comparison.findings.checks import Evidence, Found, check
from pushforward.comparison.words import joined, measure_label
from pushforward.measures import PRIVACY
from pushforward.measures.privacy import copying


@check("PF401", "Gives training rows away", vetoes="model")
def copies_rows(evidence: Evidence) -> Iterator[Found]:
    """Generated rows tell which rows the model was trained on."""
    for model, cards in evidence.cards.items():
        found = copying({n: [card[n] for card in cards if n in card] for n in PRIVACY})
        if found is not None:
            smallest = min(found.p_values[name] for name in found.measures)
            yield (
                model,
                f"{model} leaks training rows, by {joined(map(measure_label, found.measures))} "
                f"({f'p = {smallest:.2g}' if smallest >= 0.001 else 'p < 0.001'}, corrected).",
                "Protect its samples as you protect the training data; train it shorter.",
            )
