"""Findings: what was noticed in a comparison, each with a stable code, its evidence and advice.

A check is a function of a comparison's `Evidence` that yields what it found. Each code has a page,
`docs/findings/CODE.md`. Codes are never used again for something else: PF1.. is about how much the
evidence can show, PF2.. about training, PF3.. about quality, PF4.. about copies of training rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pushforward.comparison.findings import (
    artefacts,
    copies,
    games,
    power,
    quality,
    training,
    tuning,
)
from pushforward.comparison.findings.checks import Evidence, Finding
from pushforward.errors import ModelError, nearest

__all__ = ["CHECKS", "COPIES", "LIKELIHOOD", "Evidence", "Finding", "find", "require_codes"]

COPIES, LIKELIHOOD = copies.copies_rows.code, training.likelihood_does_it.code
CHECKS = {
    check.code: check
    for check in (
        power.few_seeds,
        power.unresolved,
        power.failed,
        training.few_steps,
        training.improving,
        training.diverged,
        training.slowed_down,
        training.collapsed,
        training.likelihood_does_it,
        tuning.at_the_edge,
        games.saturated,
        games.overfitted,
        games.collapsed,
        games.oscillated,
        games.degraded,
        games.unwell,
        quality.below_floor,
        quality.behind_cart,
        artefacts.colour_shift,
        artefacts.grid_pattern,
        artefacts.blur,
        artefacts.corner_spots,
        artefacts.droplets,
        copies.copies_rows,
    )
}


def find(evidence: Evidence, ignore: Collection[str] = ()) -> list[Finding]:
    """Return what all checks find, but for the codes to ignore; what vetoes comes first."""
    heeded = [check for code, check in CHECKS.items() if code not in ignore]
    found = [finding for check in heeded for finding in check(evidence)]
    return sorted(found, key=lambda finding: finding.vetoes == "nothing")


def require_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Return codes of findings in capitals; ModelError for one that there is not."""
    given = tuple(code.strip().upper() for code in codes)
    for code in given:
        if code not in CHECKS:
            msg = f"no finding has the code {code!r}: {nearest(code, CHECKS)}"
            raise ModelError(msg)
    return given
