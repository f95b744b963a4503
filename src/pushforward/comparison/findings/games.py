"""How a game was lost: what a run's course alarms of, and modes that a model does not generate."""

from __future__ import annotations

from collections.abc import Iterator

from pushforward.comparison.findings.checks import Check, Evidence, Found, check
from pushforward.comparison.folder import CEILING
from pushforward.measures import Measurement
from pushforward.runs.course import ALARMS

COVERED = 0.5  # of what other real rows cover, at most
REAL = 0.8  # of the precision of other real rows, at least


def _alarm(code: str, title: str, advice: str) -> Check:
    """Return the check for an alarm of single runs."""

    def find(evidence: Evidence) -> Iterator[Found]:
        for model, runs in evidence.facts.items():
            seen = [found for run in runs if (found := ALARMS[code](run)) is not None]
            if seen:
                yield model, f"in {_of(len(seen), len(runs), model)}, {seen[0]}.", advice

    return check(code, title)(find)


def _of(some: int, runs: int, model: str) -> str:
    return f"{some} of {runs} runs of {model}"


saturated = _alarm(
    "PF210",
    "The critic is saturated",
    "Penalise its slopes (a larger gamma or penalty), or lower its learning rate; take the "
    "non-saturating loss.",
)
overfitted = _alarm(
    "PF211",
    "The critic knows the training rows by heart",
    "Bring more rows, penalise its slopes, or train shorter; of images, let it see augmented ones "
    "(--augment).",
)


@check("PF212", "Modes are missing (mode collapse)")
def collapsed(evidence: Evidence) -> Iterator[Found]:
    """Rows that look real, and are all alike."""
    ceiling = evidence.references[CEILING]
    covering = next((name for name in ("coverage", "recall") if name in ceiling), None)
    if covering is None or "precision" not in ceiling:
        return
    for model, cards in evidence.cards.items():
        pairs = [
            (c[covering], c["precision"]) for c in cards if {covering, "precision"} <= c.keys()
        ]
        lost = [pair for pair in pairs if _is_lost(pair, ceiling[covering], ceiling["precision"])]
        if lost:
            cover, precision = lost[0]
            yield (
                model,
                f"in {_of(len(lost), len(cards), model)}, generated rows look real (precision "
                f"{precision.value:.2f}, other real rows {ceiling['precision'].value:.2f}), and "
                f"their {covering} is {cover.value:.2f}, that of other real rows "
                f"{ceiling[covering].value:.2f}.",
                "Train longer; let the critic see several rows at once (--pack), or penalise its "
                "slopes.",
            )


def _is_lost(pair: tuple[Measurement, Measurement], cover: Measurement, real: Measurement) -> bool:
    """Whether rows are as precise as real ones, and cover far less, whatever the sampling error."""
    covered, precision = pair
    most = covered.value if covered.high is None else covered.high
    return most <= COVERED * cover.value and precision.value >= REAL * real.value


oscillated = _alarm(
    "PF213",
    "The distance to the data swings",
    "Lower the learning rates, or penalise the critic's slopes; a longer moving average of the "
    "weights (--ema) evens swings out.",
)
degraded = _alarm(
    "PF214",
    "Training made the model worse in the end",
    "Its samples are those of the weights that were kept, so nothing is lost; a shorter budget, or "
    "--patience, saves the time.",
)
unwell = _alarm(
    "PF215",
    "A layer is dead, or explodes",
    "Lower its learning rate, or clip the gradient (--clip-grad-norm); of networks of your own, "
    "look at how their weights start.",
)
