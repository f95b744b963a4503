"""The rate-distortion curve: what a model's codes cost and carry, at several weights of the rate.

At the optimum of E[distortion] + beta E[rate] the curve's slope is -beta (Alemi et al. 2018,
"Fixing a broken ELBO"): beta chooses the place on it, and beta = 1 the one where -ELBO is lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pushforward.data import read
from pushforward.errors import ModelError
from pushforward.families.panels import Panel
from pushforward.families.rates import WithRate
from pushforward.models import find
from pushforward.runs import Fitted
from pushforward.training.fit import fit

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class RatePoint:
    """What one weight of the rate comes to, on validation rows.

    Args:
        beta: the weight.
        rate: nats in a code, E KL(q(z|x) || p(z)).
        distortion: nats that a row needs beside its code, E[-log p(x|z)].
        active: dimensions that say something of a row: see `docs/anatomy.md`.
    """

    beta: float
    rate: float
    distortion: float
    active: int


@dataclass(frozen=True)
class RateDistortion:
    """The curve of one model on one data set; `points` are in the order of beta."""

    model: str
    points: tuple[RatePoint, ...]

    def frame(self) -> pl.DataFrame:
        """Return one row a point, with the bound on -log p(x) beside: rate + distortion."""
        points = pl.DataFrame([asdict(point) for point in self.points])
        return points.with_columns(bound=pl.col("rate") + pl.col("distortion"))

    def figure(self) -> Any:
        """Return the curve as a plotly figure."""
        return self.panel.figure()

    @property
    def panel(self) -> Panel:
        """The curve, ready to be drawn."""
        betas = ", ".join(f"{point.beta:g}" for point in self.points)
        return Panel(
            f"Rate and distortion of {self.model}",
            "lines",
            {"distortion": [point.distortion for point in self.points]},
            [point.rate for point in self.points],
            "rate (nats)",
            "distortion (nats)",
            f"From the right to the left, beta = {betas}. Along the curve a nat more in the code "
            "saves beta nats of distortion.",
        )


def rate_distortion(
    data: Any,
    model: str | type,
    *,
    betas: Sequence[float] = BETAS,
    out: str | Path | None = None,
    condition: Any = None,
    **keywords: Any,
) -> RateDistortion:
    """Train a model at several weights of its rate, and return what each comes to.

    Args:
        data: as `fit` takes it.
        model: one that pays for its rate, such as `"vae"`: its name, its class, or where it is.
        betas: the weights; each is a fit of its own.
        out: a folder for the runs, `beta-0.1` and so on. Finished ones are reused.
        condition: as for `fit`.
        **keywords: as for `fit`, the same for all: give `budget` in steps, so that all points are
            trained alike.

    Raises:
        ModelError: for a model whose loss has no rate with a weight, no weights at all, and fewer
            than 3 validation rows.
        DataError, RunError, DivergedError: as for `fit`.

    """
    cls = find(model)
    if not issubclass(cls, WithRate):
        msg = f"model {cls.name!r} has no rate that a beta weighs; vae has one"
        raise ModelError(msg)
    if not betas:
        msg = f"betas must hold at least one weight of the rate, got {betas!r}"
        raise ModelError(msg)
    dataset = read(data, condition=condition)
    points = []
    for beta in sorted(map(float, betas)):
        folder = None if out is None else Path(out) / f"beta-{beta:g}"
        fitted = fit(dataset, cls, out=folder, beta=beta, **keywords)
        points.append(_point(beta, fitted))
    return RateDistortion(cls.name, tuple(points))


def _point(beta: float, fitted: Fitted) -> RatePoint:
    facts = fitted.facts
    if not {"rate", "distortion", "active"} <= facts.keys():
        msg = (
            f"the curve of {fitted.model.name!r} needs codes with noise, a likelihood and at "
            "least 3 validation rows; what the run tells of itself has no rate or no distortion"
        )
        raise ModelError(msg)
    return RatePoint(beta, facts["rate"], facts["distortion"], int(facts["active"]))
