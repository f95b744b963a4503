"""The privacy panel: how much models leak of training rows, beside what new real rows give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from pushforward.comparison.result import Comparison
from pushforward.comparison.words import joined, measure_label
from pushforward.measures import CAVEAT, PRIVACY, Measurement, Scorecard
from pushforward.measures.privacy import copying
from pushforward.report.numbers import decimals_for, fixed

MEANINGS = {
    "exact_matches": "generated rows that equal a training row",
    "closest_record": "generated rows that are closer to training rows than to as many new rows",
    "membership_inference": "how well the best of eight attacks separates training rows from "
    "new ones, as an AUC",
}
ATTACKED = "membership_inference"
RATES = ("1 %", "0.1 %")  # of false alarms
GROUPS = {
    "outliers": "the same among the 10 % of the real rows that lie furthest from all others",
    "rare groups": "the same among rows with a category that at most 1 % of the rows have",
}


@dataclass(frozen=True)
class PrivacyCell:
    """One model by one measure: mean over the seeds, mean interval, whether it leaks rows."""

    text: str
    interval: str
    leaks: bool
    reading: str


@dataclass(frozen=True)
class PrivacyRow:
    """One measure, and what new real rows give."""

    name: str
    what: str
    cells: list[PrivacyCell]
    null: str


@dataclass(frozen=True)
class Privacy:
    """The panel: its rows, a verdict for each model, and what these measures cannot show."""

    rows: list[PrivacyRow]
    verdicts: list[str]
    caveat: str


def panel(comparison: Comparison) -> Privacy | None:
    """Return the panel of the best checkpoints; None where no scorecard has a privacy measure."""
    measured = {model: _measured(cards) for model, cards in comparison.best_cards.items()}
    evidence = {model: copying(own) for model, own in measured.items()}
    leaking = {model: found.measures if found else () for model, found in evidence.items()}
    rows = [
        _row(
            name,
            [own[name] for own in measured.values()],
            [name in own for own in leaking.values()],
        )
        for name in PRIVACY
        if all(own[name] for own in measured.values())
    ]
    attacked = [own[ATTACKED] for own in measured.values()]
    rows[1:1] = [*_found(attacked), *_apart(attacked)]
    verdicts = [_verdict(model, names) for model, names in leaking.items()]
    return Privacy(rows, verdicts, CAVEAT) if rows else None


def _measured(cards: Sequence[Scorecard]) -> dict[str, list[Measurement]]:
    """Return a model's measurements of copying, one a seed."""
    return {name: [card[name] for card in cards if name in card] for name in PRIVACY}


def _verdict(model: str, measures: Sequence[str]) -> str:
    """Say by which measures a model gives training rows away."""
    if measures:
        return f"{model} leaks training rows, by {joined(map(measure_label, measures))}."
    return f"{model}: none of these measures finds training rows in its samples."


def _row(name: str, measured: Sequence[Sequence[Measurement]], leaks: Sequence[bool]) -> PrivacyRow:
    nulls = [m.null for by_seed in measured for m in by_seed if m.null is not None]
    percent = measured[0][0].unit == "share"
    null = _number(fmean(nulls), percent, decimals_for([100 * fmean(nulls)], 2) if percent else 1)
    cells = [_cell(by_seed, percent, own) for by_seed, own in zip(measured, leaks, strict=True)]
    return PrivacyRow(measure_label(name), MEANINGS[name], cells, null)


def _found(measured: Sequence[Sequence[Measurement]]) -> list[PrivacyRow]:
    """Return the shares of training rows that attacks find at low rates of false alarms."""
    return [
        PrivacyRow(
            f"found at {rate} false alarms",
            f"training rows that the best attack there finds, while it takes {rate} of new rows "
            "for training rows",
            [_share(by_seed, "true_positive_rate", rate) for by_seed in measured],
            _share(measured[0], "guessing", rate).text,
        )
        for rate in RATES
        if _all_have(measured, "guessing", rate)
    ]


def _share(measured: Sequence[Measurement], key: str, rate: str) -> PrivacyCell:
    share = fmean(m.extra[key][rate] for m in measured)
    return PrivacyCell(_number(share, True, 2), "", False, measured[0].reading)


def _apart(measured: Sequence[Sequence[Measurement]]) -> list[PrivacyRow]:
    """Return the areas within each group that is large enough in every scorecard."""
    return [
        PrivacyRow(
            group,
            what,
            [_cell([_within(m, group) for m in by_seed], False, False) for by_seed in measured],
            "0.5",
        )
        for group, what in GROUPS.items()
        if _all_have(measured, "apart", group)
    ]


def _within(measured: Measurement, group: str) -> Measurement:
    own = measured.extra["apart"][group]
    return replace(measured, value=own["auc"], low=own["low"], high=own["high"])


def _all_have(measured: Sequence[Sequence[Measurement]], key: str, name: str) -> bool:
    """Whether all scorecards have a detail; those of earlier versions, and of few rows, do not."""
    return all(
        by_seed and all(name in m.extra.get(key, {}) for m in by_seed) for by_seed in measured
    )


def _cell(measured: Sequence[Measurement], percent: bool, leaks: bool) -> PrivacyCell:
    value = fmean(m.value for m in measured)
    ends = [m.interval for m in measured if m.interval is not None]
    low, high = (fmean(end[i] for end in ends) if ends else value for i in (0, 1))
    scale = 100 if percent else 1
    decimals = decimals_for([scale * (high - low) / 2], 2) if high > low else 3
    interval = " – ".join(fixed(scale * end, decimals) for end in (low, high))
    text = _number(value, percent, decimals)
    return PrivacyCell(text, interval if ends else "", leaks, measured[0].reading)


def _number(value: float, percent: bool, decimals: int) -> str:
    return f"{fixed(100 * value, decimals)} %" if percent else fixed(value, decimals)
