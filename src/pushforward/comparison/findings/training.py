"""How training went: too short, still improving, diverged, slowed down, a code that is not used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from pushforward.comparison.facts import RunFacts
from pushforward.comparison.findings.checks import Evidence, Found, check

MIN_STEPS = 100  # twice the steps over which the learning rate rises
IMPROVING = 0.1  # share by which a distance must have fallen near the end
WINDOW = 0.2  # share of the steps that is compared with as many before it
NOISE = 2.0  # standard errors over the seeds that an improvement must exceed
COLLAPSED = 0.1  # nats
SMALL_CODE = 1.0  # nats


@check("PF201", "Too few steps", vetoes="comparison")
def few_steps(evidence: Evidence) -> Iterator[Found]:
    """Models that were hardly trained say nothing of what they can do."""
    for model, runs in evidence.facts.items():
        steps = min((run.steps for run in runs), default=MIN_STEPS)
        if steps < MIN_STEPS:
            yield (
                model,
                f"{model} was trained for {steps} steps.",
                f"Give a budget of at least {MIN_STEPS} steps, better thousands.",
            )


@check("PF202", "Still improving when the budget ended", vetoes="comparison")
def improving(evidence: Evidence) -> Iterator[Found]:
    """A model that still improves may yet overtake; one that leads already need not."""
    for model, runs in evidence.facts.items():
        gain = mean_gain([_gain(run) for run in runs])
        if model != evidence.leader and gain is not None and gain > IMPROVING:
            yield (
                model,
                f"in the last {WINDOW:.0%} of its steps, {model} came {gain:.0%} nearer to the "
                "validation rows.",
                "Give a longer budget.",
            )


@check("PF203", "Diverged", vetoes="model")
def diverged(evidence: Evidence) -> Iterator[Found]:
    """A run that left the finite numbers counts as the worst; its last good checkpoint is kept."""
    for model, runs in evidence.facts.items():
        reasons = [run.diverged for run in runs if run.diverged]
        if reasons:
            yield (
                model,
                f"{len(reasons)} of {len(runs)} runs of {model} left the finite numbers "
                f"({reasons[0]}); they count as the worst loss.",
                "Lower its learning rate, or clip the gradient.",
            )


@check("PF204", "The budget bought far fewer steps than planned", vetoes="comparison")
def slowed_down(evidence: Evidence) -> Iterator[Found]:
    """The machine was taken by something else, so conditions were not equal."""
    for model, runs in evidence.facts.items():
        slow = [run for run in runs if 2 * run.steps < run.foreseen_steps and not run.diverged]
        if slow:
            yield (
                model,
                f"{len(slow)} of {len(runs)} runs of {model} were cut to {slow[0].steps:,} of "
                f"{slow[0].foreseen_steps:,} steps, as the machine had become slower.",
                "Compare again on a machine that does nothing else, or give a budget in steps.",
            )


@check("PF205", "The code is not used (posterior collapse)")
def collapsed(evidence: Evidence) -> Iterator[Found]:
    """Every code is the prior: whatever the decoder draws, it is not told by the code."""
    for model, rate in _rates(evidence, independent=True):
        if rate < COLLAPSED:
            yield (
                model,
                f"the code of {model} carries {rate:.2g} nats{_active(evidence.facts[model])}.",
                "Lower beta, or let it rise slowly (--anneal); or choose a likelihood with less "
                "freedom.",
            )


@check("PF206", "The likelihood does the work of the code")
def likelihood_does_it(evidence: Evidence) -> Iterator[Found]:
    """With columns that depend on each other given the code, little is left for the code."""
    for model, rate in _rates(evidence, independent=False):
        if rate < SMALL_CODE:
            yield (
                model,
                f"the code of {model} carries {rate:.2g} nats: its rows come from an "
                "autoregressive likelihood, a column given those before it.",
                "Use it to generate rows; for codes to work with, use likelihood=categorical.",
            )


def mean_gain(gains: Sequence[float | None]) -> float | None:
    """Return the mean over the seeds of what was gained; None where it is within its noise."""
    known = [gain for gain in gains if gain is not None]
    if len(known) < 2 or len(known) < len(gains):
        return None
    mean = fmean(known)
    return mean if mean > NOISE * stdev(known) / math.sqrt(len(known)) else None


def _gain(run: RunFacts) -> float | None:
    """Return by which share the distance fell from the last window but one to the last."""
    checks = list(zip(run.checks, run.distances, strict=True))
    last = [d for step, d in checks if step > (1 - WINDOW) * run.steps]
    before = [d for step, d in checks if (1 - 2 * WINDOW) * run.steps < step]
    before = before[: len(before) - len(last)]
    if not last or not before or not all(map(math.isfinite, (*last, *before))):
        return None
    return 1 - fmean(last) / fmean(before) if fmean(before) > 0 else None


def _rates(evidence: Evidence, *, independent: bool) -> Iterator[tuple[str, float]]:
    """Yield the nats in the code of each model that has one, with such a likelihood.

    As trained, or where the loss has no rate, of validation rows.
    """
    for model, runs in evidence.facts.items():
        known = [(r.anatomy.get("rate") if r.rate is None else r.rate, r) for r in runs]
        rates = [x for x, r in known if x is not None and r.independent == independent]
        if rates:
            yield model, fmean(rates)


def _active(runs: Sequence[RunFacts]) -> str:
    """Return how many dimensions of a code are active, in words; nothing where it is not known."""
    known = [run.anatomy for run in runs if "active" in run.anatomy]
    if not known:
        return ""
    mean, all_ = fmean(facts["active"] for facts in known), known[0]["dimensions"]
    return f", and {mean:.3g} of its {all_:.0f} dimensions are active"
