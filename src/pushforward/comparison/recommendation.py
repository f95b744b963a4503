"""What to use, in at most three sentences, and the evidence for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from pushforward.comparison.contrasts import MATTERS
from pushforward.comparison.differences import Difference, between, won
from pushforward.comparison.findings import LIKELIHOOD, Evidence, Finding
from pushforward.comparison.words import joined


@dataclass(frozen=True)
class Recommendation:
    """Which model to use, and why. `model` is None when the evidence does not show it.

    Args:
        model: the model to use, or None.
        sentence: what to do, in at most three sentences.
        evidence: a line for each pair of models.
    """

    model: str | None
    sentence: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"- {line}" for line in self.evidence)])


def recommend(
    evidence: Evidence,
    differences: Sequence[Difference],
    findings: Sequence[Finding],
    matters: float = MATTERS,
) -> Recommendation:
    """Recommend the model that leads, or say why none can be recommended."""
    leader = evidence.leader
    lines = tuple(_pair(a, b, differences) for a, b in combinations(evidence.models, 2))
    lines = lines if differences else ()
    vetoes = [f for f in findings if f.vetoes == "comparison"]
    vetoes += [f for f in findings if f.vetoes == "model" and leader in (None, f.model)]
    if len(evidence.models) < 2:
        only = "Only one model: there is nothing to compare it with."
        return Recommendation(None, " ".join([only, *_first(vetoes)]), lines)
    if not evidence.aspects:
        return Recommendation(None, _nothing_votes(evidence), lines)
    if vetoes:
        return Recommendation(None, _vetoed(evidence, vetoes), lines)
    if leader is None:
        return Recommendation(None, _not_told_apart(evidence, differences, matters), lines)
    return Recommendation(leader, _use(leader, evidence, differences, findings), lines)


def _first(vetoes: Sequence[Finding]) -> Iterable[str]:
    return (f"{_capital(finding.evidence)} {finding.advice}" for finding in vetoes[:1])


def _nothing_votes(evidence: Evidence) -> str:
    rows = max((scale.ceiling.n for scale in evidence.scales.values()), default=0)
    return (
        f"No recommendation: on {rows:,} test rows, no measure here says how far anything is from "
        "real rows. Bring more rows."
    )


def _vetoed(evidence: Evidence, vetoes: Sequence[Finding]) -> str:
    """Say why no model is recommended yet, and what to do."""
    none = "Neither yet" if len(evidence.models) == 2 else "No model yet"
    ahead = "" if evidence.leader is None else f" {evidence.leader} is ahead, but"
    others = f" ({len(vetoes) - 1} more below)" if len(vetoes) > 1 else ""
    return f"{none}:{ahead} {vetoes[0].evidence} {vetoes[0].advice}{others}"


def _use(
    leader: str,
    evidence: Evidence,
    differences: Sequence[Difference],
    findings: Sequence[Finding],
) -> str:
    """Name the leader: where it is better, where another is, and how far it is from real rows."""
    others = [model for model in evidence.models if model != leader]
    better = dict.fromkeys(a for other in others for a in won(leader, other, differences))
    than = joined(other for other in others if won(leader, other, differences))
    by_likelihood = any(f.code == LIKELIHOOD and f.model == leader for f in findings)
    as_what = ", whose likelihood does the work of its code" if by_likelihood else ""
    loss = fmean(own.mean for own in evidence.losses[leader].values())
    return (
        f"Use {leader}{as_what}: it is better than {than} in {joined(better)}. "
        f"{_worse(leader, others, differences)} On a scale from real rows (0) to the floor (1) it "
        f"stands at {loss:.2f}, the mean over {len(evidence.aspects)} aspects."
    )


def _worse(leader: str, others: Sequence[str], differences: Sequence[Difference]) -> str:
    lost = {o: won(o, leader, differences) for o in others}
    ahead = [
        f"{other} is better in {joined(aspects)}" for other, aspects in lost.items() if aspects
    ]
    return f"But {joined(ahead)}." if ahead else "In no aspect is another one shown to be better."


def _not_told_apart(evidence: Evidence, differences: Sequence[Difference], matters: float) -> str:
    """Say which models are not told apart, where each leads, and what would tell them apart."""
    models = evidence.models
    ahead = {m: dict.fromkeys(a for o in models for a in won(m, o, differences)) for m in models}
    leads = [f"{model} leads in {joined(aspects)}" for model, aspects in ahead.items() if aspects]
    if leads:
        return (
            f"No model beats every other: {'; '.join(leads)}. "
            "Choose by the aspect that matters most for your use."
        )
    return (
        f"Not told apart: {joined(models)} over {evidence.seeds} seeds. "
        f"{_power(differences, evidence.seeds, matters)}"
    )


def _power(differences: Sequence[Difference], seeds: int, matters: float) -> str:
    """Say which differences would have been found, and what would show the largest one seen."""
    claims = len(differences)
    largest = max(differences, key=lambda d: abs(d.mean))
    found = max(d.contrast.detectable(seeds, matters, claims) for d in differences)
    said = (
        f"Differences above {found:.2f}, from real rows (0) to the floor (1), would have been "
        f"found in 4 of 5 cases; the largest seen is {abs(largest.mean):.2f}, in {largest.aspect}"
    )
    if abs(largest.mean) <= matters:
        return f"{said}, which hardly matters: take the cheaper model."
    needed = largest.contrast.seeds_needed(matters, claims)
    if needed is None:
        return f"{said}, which no number of seeds would show on these test rows."
    return f"{said}, which {needed} seeds would show."


def _pair(a: str, b: str, differences: Sequence[Difference]) -> str:
    """Say in which aspects either of two models is better, and in which none is shown to be."""
    own = between(a, b, differences)
    ahead = {m: [_size(d) for d in own if d.better == m] for m in (a, b)}
    parts = [f"{m} is better in {joined(sizes)}" for m, sizes in ahead.items() if sizes]
    same = [d.aspect for d in own if d.better is None]
    parts += [f"not told apart in {joined(same)}"] if same else []
    return f"{a} against {b}: {'; '.join(parts)}."


def _size(difference: Difference) -> str:
    """Return an aspect with the size of a difference and its interval."""
    ends = sorted(abs(end) for end in (difference.low, difference.high))
    return f"{difference.aspect} (by {abs(difference.mean):.2f}, {ends[0]:.2f} to {ends[1]:.2f})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
