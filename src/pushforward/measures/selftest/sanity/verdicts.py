"""Verdicts of the checks: what each measure should show, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures.features.maps import Standardised
from pushforward.measures.neighbours import prdc
from pushforward.measures.selftest.sanity._shapes import Need, Shape
from pushforward.measures.selftest.sanity.checks import CHECKS, Case, Either, SanityCheck

DataKind = Literal["fidelity", "diversity"]
Outcome = Literal["passes", "low", "high", "fails"]
Evaluate = Callable[[Tensor, Tensor], Mapping[str, float]]
Curves = NDArray[np.float64]  # (repetitions, places on the axis)

KINDS: dict[str, DataKind] = {
    "precision": "fidelity",
    "recall": "diversity",
    "density": "fidelity",
    "coverage": "diversity",
    "clipped_density": "fidelity",
    "clipped_coverage": "diversity",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one measure in one check, for one desideratum.

    Args:
        check: its name.
        desideratum: as the paper counts them.
        measure: its name.
        kind: what it measures.
        outcome: `"passes"`, `"fails"`, or, where diversity has two readings, the one that passes:
            `"low"` or `"high"`.
        expected: the demand with the smallest margin.
        axis: the parameter that the demand refers to.
        where: its case.
        seen: the value for that demand, as a mean over repetitions.
        margin: by how much it is met; negative: missed.
        uncertainty: half of the margin's 95 % interval over repetitions (jackknife, Student's t).
    """

    check: str
    desideratum: str
    measure: str
    kind: DataKind
    outcome: Outcome
    expected: str
    axis: str
    where: str
    seen: float
    margin: float
    uncertainty: float

    @property
    def passed(self) -> bool:
        """Whether all demands are met."""
        return self.outcome != "fails"

    @property
    def sure(self) -> bool:
        """Whether the 95 % interval of the margin leaves out zero."""
        return abs(self.margin) > self.uncertainty


def evaluate_prdc(x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the values of `prdc` by name, for columns standardised by `x`."""
    card = prdc(x, y, splits=0, resamples=0, features=Standardised.fit(x))
    return {name: measured.value for name, measured in card.items() if name in KINDS}


def verdicts(
    evaluate: Evaluate = evaluate_prdc,
    checks: Sequence[SanityCheck] | None = None,
    *,
    repetitions: int = 3,
    seed: int = 0,
) -> list[Verdict]:
    """Return the verdicts on every measure in every check.

    Args:
        evaluate: (real, generated) -> the measures' values by name, with the names of `KINDS`.
        checks: None for all 15.
        repetitions: fresh samples at each place of each axis; their mean is judged.
        seed: of the samples. A check draws the same samples, whichever others are run.

    Returns:
        One verdict for each check, desideratum and measure, in this order.

    Raises:
        MeasureError: for fewer than 2 repetitions, and a measure of unknown kind.
    """
    if repetitions < 2:
        raise MeasureError(f"the uncertainty needs at least 2 repetitions; given {repetitions}")
    return [
        verdict
        for check in (CHECKS if checks is None else checks)
        for verdict in _verdicts(check, evaluate, repetitions, seed)
    ]


def frame(results: Sequence[Verdict]) -> pl.DataFrame:
    """Return one row for each verdict."""
    return pl.DataFrame([{**asdict(v), "passed": v.passed, "sure": v.sure} for v in results])


def table(results: Sequence[Verdict]) -> pl.DataFrame:
    """Return the outcomes: one row for each check and desideratum, one column for each measure.

    An uncertain outcome has a question mark.
    """
    shown = frame(results).with_columns(
        pl.col("outcome") + pl.when("sure").then(pl.lit("")).otherwise(pl.lit("?"))
    )
    return shown.pivot("measure", index=["check", "desideratum"], values="outcome")


def _verdicts(
    check: SanityCheck, evaluate: Evaluate, repetitions: int, seed: int
) -> Iterator[Verdict]:
    cases = [_curves(case, evaluate, repetitions, seed) for case in check.cases]
    desiderata = dict.fromkeys(c.desideratum for case in check.cases for c in case.criteria)
    for desideratum in desiderata:
        for measure in cases[0]:
            yield _judged(check, desideratum, measure, [curves[measure] for curves in cases])


def _curves(case: Case, evaluate: Evaluate, repetitions: int, seed: int) -> dict[str, Curves]:
    """Return the values of every measure in one case."""
    rows = [
        [evaluate(*_drawn(case, place, seed * 1_000_003 + i)) for place in case.places]
        for i in range(repetitions)
    ]
    names = rows[0][0].keys()
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise MeasureError(
            f"not known as fidelity or diversity: {', '.join(unknown)}; known: {', '.join(KINDS)}"
        )
    return {name: np.array([[values[name] for values in row] for row in rows]) for name in names}


def _drawn(case: Case, place: float, seed: int) -> tuple[Tensor, Tensor]:
    # The same random numbers at every place, so that only the axis changes along a curve.
    return case.draw(place, torch.Generator().manual_seed(seed))


def _judged(check: SanityCheck, desideratum: str, measure: str, curves: list[Curves]) -> Verdict:
    readings = _readings(check, desideratum, KINDS[measure])
    worst = {name: _weakest(check, rows, curves) for name, rows in readings.items()}
    reading = max(worst, key=lambda name: worst[name][1].slack)
    where, need = worst[reading]
    return Verdict(
        check.name,
        desideratum,
        measure,
        KINDS[measure],
        reading if need.slack >= 0 else "fails",
        need.expected,
        check.axis,
        where,
        need.seen,
        need.slack,
        _uncertainty(check, readings[reading], curves),
    )


def _readings(
    check: SanityCheck, desideratum: str, kind: DataKind
) -> dict[Outcome, list[list[Shape]]]:
    """Return the shapes that each case demands, for each legitimate reading of the measure."""
    demanded = [
        [getattr(c, kind) for c in case.criteria if c.desideratum == desideratum]
        for case in check.cases
    ]
    if not any(isinstance(shape, Either) for row in demanded for shape in row):
        return {"passes": [[s for s in row if s is not None] for row in demanded]}
    return {"low": _read(demanded, "low"), "high": _read(demanded, "high")}


def _read(
    demanded: list[list[Shape | Either | None]], reading: Literal["low", "high"]
) -> list[list[Shape]]:
    return [
        [getattr(s, reading) if isinstance(s, Either) else s for s in row if s is not None]
        for row in demanded
    ]


def _weakest(
    check: SanityCheck, shapes: list[list[Shape]], curves: list[Curves]
) -> tuple[str, Need]:
    """Return the need with the smallest slack, and its case."""
    needs = [
        (case.name, need)
        for case, demanded, values in zip(check.cases, shapes, curves, strict=True)
        for shape in demanded
        for need in shape(dict(zip(case.places, values.mean(0).tolist(), strict=True)))
    ]
    return min(needs, key=lambda named: named[1].slack)


def _uncertainty(check: SanityCheck, shapes: list[list[Shape]], curves: list[Curves]) -> float:
    """Return half of the 95 % interval of the smallest slack, by the jackknife."""
    from scipy.stats import t

    count = len(curves[0])
    slacks = [
        _weakest(check, shapes, [np.delete(values, i, 0) for values in curves])[1].slack
        for i in range(count)
    ]
    error = np.std(slacks) * np.sqrt(count - 1)
    return float(error * t.ppf(0.975, count - 1))
