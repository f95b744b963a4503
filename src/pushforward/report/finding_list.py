"""Findings as the report lists them: one entry a code, with what was seen of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pushforward.comparison.findings import Finding

CONSEQUENCES = {"comparison": "no model is recommended", "model": "not recommended"}


@dataclass(frozen=True)
class FindingEntry:
    """All findings of one code.

    Args:
        code: theirs.
        title: theirs.
        page: where the documentation explains them.
        consequence: what they forbid; empty for nothing.
        evidence: what was seen, a line each.
        advice: what to do, each thing once.
    """

    code: str
    title: str
    page: str
    consequence: str
    evidence: list[str]
    advice: list[str]


def entries(findings: Sequence[Finding]) -> list[FindingEntry]:
    """Return findings by their code, in the order in which they come."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return [_entry(own) for own in by_code.values()]


def _entry(findings: Sequence[Finding]) -> FindingEntry:
    first = findings[0]
    return FindingEntry(
        first.code,
        first.title,
        first.page,
        CONSEQUENCES.get(first.vetoes, ""),
        list(map(_sentence, findings)),
        list(dict.fromkeys(f.advice for f in findings)),
    )


def _sentence(finding: Finding) -> str:
    """Return the evidence with a capital, unless it begins with the model's name."""
    text = finding.evidence
    return text if text.startswith(finding.model or " ") else text[:1].upper() + text[1:]
