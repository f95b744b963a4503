"""Fifteen sanity checks for measures of fidelity and diversity, and which measures fail them.

Each check draws real and generated samples whose agreement is known, varies one parameter (its
axis), and tests whether a measure behaves as its purpose demands. No known measure passes them all;
a verdict shows where one fails, so that its numbers are not trusted there.

Distributions, axes, criteria and tolerances are those of the paper and of its authors' code, where
columns are also standardised by the real sample. Different here are: fewer places on each axis,
with the same random numbers at all of them in each repetition; 3 repetitions instead of 10; at most
5,000 rows instead of 10,000; 5 neighbours for every measure, as in `prdc`, where the authors take 3
for precision and recall; the positions of the modes in "mode dropping + invention"; and the
uncertainty of a verdict. All 15 take 30 seconds on one core.

Reference:
    Räisä, van Breugel & van der Schaar 2025, "Position: All current generative fidelity and
    diversity metrics are flawed".
"""

from __future__ import annotations

from pushforward.measures.selftest.sanity.checks import CHECKS, Case, Criterion, Either, SanityCheck
from pushforward.measures.selftest.sanity.verdicts import (
    KINDS,
    Evaluate,
    Verdict,
    evaluate_prdc,
    frame,
    table,
    verdicts,
)

__all__ = [
    "CHECKS",
    "KINDS",
    "Case",
    "Criterion",
    "Either",
    "Evaluate",
    "SanityCheck",
    "Verdict",
    "evaluate_prdc",
    "frame",
    "table",
    "verdicts",
]
