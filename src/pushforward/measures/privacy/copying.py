"""One alarm from all tests of copying, with a known error rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.measures.measurement import Measurement

# The tests of copying, the strongest first; also the report's order.
PRIVACY = ("membership_inference", "closest_record", "exact_matches")
FALSE_ALARMS = 0.025  # of a generator that copies nothing, at most


@dataclass(frozen=True)
class CopyEvidence:
    """Evidence that generated rows are copies of training rows, or lie too near to them.

    Args:
        measures: the tests that found it, the strongest one of `PRIVACY` first.
        p_values: of all tests that were made, by measure: each over all seeds and corrected for
            their number, so that it compares with 2.5 %.
    """

    measures: tuple[str, ...]
    p_values: dict[str, float]


def copying(measured: Mapping[str, Sequence[Measurement]]) -> CopyEvidence | None:
    """Return the evidence that training rows were copied; None where there is none.

    Each test's one-sided p-values (one a seed) become one: their mean, doubled where there are
    several, which is valid however they depend on each other; and they do, as all seeds share the
    training and the held-out rows. It is multiplied by the number of tests (Bonferroni). So at most
    2.5 % of the generators that copy nothing are accused, by all tests together.

    Measured with new real rows as generated ones (`benchmarks/copying.py`, one seed each): of 800
    honest generators of 100 rows 0.6 % are accused, of 240 of 1,000 rows 0.8 % (95 % intervals to
    1.5 % and 3.0 %), in three kinds of data together. Copiers of 1,000 rows, with 3,000 training
    rows, by the same benchmark: of those that copy 4 % exactly all are accused for the two tables
    of numbers (30 of 30; by the attacks alone 27), and with noise of a twentieth of the spread, so
    that no row matches, 24 of 30. For four categories, where most rows match by chance, none is
    (10 tries), and all of those that copy everything.

    Args:
        measured: measurements by the names in `PRIVACY`, one a seed; other measures, and
            measurements without a p-value, are left out.

    Reference:
        Vovk & Wang 2020, "Combining p-values via averaging".
    """
    known = {name: [m.p_value for m in measured.get(name, ())] for name in PRIVACY}
    tested = {n: [p for p in of_seeds if p is not None] for n, of_seeds in known.items()}
    merged = {n: _merged(of_seeds) for n, of_seeds in tested.items() if of_seeds}
    p_values = {name: min(1.0, len(merged) * p) for name, p in merged.items()}
    found = tuple(name for name, p in p_values.items() if p <= FALSE_ALARMS)
    return CopyEvidence(found, p_values) if found else None


def _merged(p_values: Sequence[float]) -> float:
    """Return one p-value from several of any dependence."""
    return p_values[0] if len(p_values) == 1 else 2 * fmean(p_values)
