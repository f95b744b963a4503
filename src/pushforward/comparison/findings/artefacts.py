"""Artefacts of networks in a model's images: VIVAT's checklist.

An artefact is there where most seeds show it: its value is at least what matters (see
`measures.artefacts`), and its p-value, corrected by Holm's method for all artefacts of the run, at
most 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean

from pushforward.comparison.contrasts import LEVEL
from pushforward.comparison.findings.checks import Check, Evidence, Found, check
from pushforward.measures import Measurement, Scorecard
from pushforward.measures._intervals import holm
from pushforward.measures.images import ARTEFACTS


def _seen(card: Scorecard) -> dict[str, Measurement]:
    """Return the artefacts of a run that count, by name."""
    measured = {a.name: card[a.name] for a in ARTEFACTS if a.name in card}
    tested = {name: m.p_value for name, m in measured.items() if m.p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    matters = {a.name: a.matters for a in ARTEFACTS}
    return {
        name: m
        for name, m in measured.items()
        if m.value >= matters[name] and corrected.get(name, 1.0) <= 1 - LEVEL
    }


def _found(name: str, advice: str) -> Callable[[Evidence], Iterator[Found]]:
    """Return the function of a check for one artefact."""
    artefact = next(a for a in ARTEFACTS if a.name == name)

    def find(evidence: Evidence) -> Iterator[Found]:
        for model, cards in evidence.cards.items():
            shown = [own[name] for card in cards if name in (own := _seen(card))]
            if 2 * len(shown) > len(cards):
                value, null = (fmean(v) for v in zip(*map(_value_and_null, shown), strict=True))
                yield (
                    model,
                    f"images of {model} have {artefact.what}: {value:.2f} {artefact.unit}, where "
                    f"real images beside real ones have {null:.2f} and {artefact.matters:.2g} "
                    "is where it counts.",
                    advice,
                )

    return find


def _value_and_null(measurement: Measurement) -> tuple[float, float]:
    return measurement.value, measurement.null or 0.0


def _check(code: str, title: str, name: str, advice: str) -> Check:
    return check(code, title)(_found(name, advice))


colour_shift = _check(
    "PF303", "Another brightness or tint than real images", "colour_shift",
    "Train longer; check whether kinds of images are missing; with a critic, lower its weight.",
)  # fmt: skip
grid_pattern = _check(
    "PF304", "A grid in generated images", "grid_pattern",
    "Lower the critic's weight, or train it less often.",
)  # fmt: skip
blur = _check(
    "PF305", "Blurred images", "blur",
    "Lower --beta, make the code larger (--latent), or draw from p(x|z) (--noise); a critic "
    "makes images sharp.",
)  # fmt: skip
corner_spots = _check(
    "PF306", "Corners that stand out", "corner_spots",
    "Train longer; in networks of your own, pad by reflection instead of zeros.",
)  # fmt: skip
droplets = _check(
    "PF307", "Spots that stand alone (droplets)", "droplets",
    "In networks of your own, replace normalisation over whole maps; draw means instead of noise "
    "(--no-noise).",
)  # fmt: skip
