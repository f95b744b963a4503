"""Rulers that look at neighbours: is what was generated like the data, and is all of it there?

All of them share one exact engine and one convention: the ball around a row is closed and reaches
to the row's k-th nearest *other* row. A row that is there more than k times has a ball of radius
zero, which holds its exact copies. `prdc` makes all four in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import _search
from pushforward.measures._inputs import Featurise, Pair, pair
from pushforward.measures._intervals import Z, chosen, labels, wilson
from pushforward.measures.measurement import Better, Measurement, Scorecard

RESAMPLED = 1000  # rows a side from which the standard errors are taken, at most
NAMES = ("precision", "recall", "density", "coverage")


class Options(TypedDict, total=False):
    """The keywords of `prdc`, for the four rulers alone."""

    k: int
    chunk: int | None
    splits: int
    resamples: int
    limit: int | None
    features: Featurise | None
    seed: int


def precision(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the generated rows that lie where real rows do: fidelity.

    $$\frac1m \sum_j 1\left[y_j \in \bigcup_i B(x_i, r_k(x_i))\right]$$

    One real outlier with a large ball can make it too high; read it with `density`. It depends on
    both sizes and on the dimension: 0.7 may be perfect, and the null says so. Arguments, null,
    interval and errors are those of `prdc`; the unit is a share.

    Reference:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
        models".
    """
    return prdc(x, y, **options)["precision"]


def recall(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the real rows that lie where generated rows do: variety.

    $$\frac1n \sum_i 1\left[x_i \in \bigcup_j B(y_j, r_k(y_j))\right]$$

    A generator that leaves out a mode has a high precision and a low recall. Generated outliers can
    make it too high; read it with `coverage`. Arguments, null, interval and errors are those of
    `prdc`; the unit is a share.

    Reference:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
        models".
    """
    return prdc(x, y, **options)["recall"]


def density(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""How densely real rows lie around generated ones: 1 when both have one distribution.

    $$\frac1{km} \sum_j \sum_i 1\left[y_j \in B(x_i, r_k(x_i))\right]$$

    Above 1 the generated rows sit in the middle of the data, below 1 outside it. Arguments,
    interval and errors are those of `prdc`. The null is exactly 1 at all sizes and in all
    dimensions for continuous data.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
    """
    return prdc(x, y, **options)["density"]


def coverage(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the real rows that have a generated one in their ball: variety.

    $$\frac1n \sum_i 1\left[\exists j: y_j \in B(x_i, r_k(x_i))\right]$$

    Arguments, interval and errors are those of `prdc`; the unit is a share. For continuous data
    the null does not depend on the distribution:

    $$1 - \prod_{i=0}^{k-1} \frac{n - 1 - i}{n + m - 1 - i}$$

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
    """
    return prdc(x, y, **options)["coverage"]


def prdc(
    x: Any,
    y: Any,
    *,
    k: int = 5,
    chunk: int | None = None,
    splits: int = 2,
    resamples: int = 20,
    limit: int | None = None,
    features: Featurise | None = None,
    seed: int = 0,
) -> Scorecard:
    """Return `precision`, `recall`, `density` and `coverage` for the price of one.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        k: a row's ball reaches to its k-th nearest other row of its own sample.
        chunk: rows whose distances are held at once: memory is chunk times the larger sample. None
            for as many as fit a CPU's cache.
        splits: random splits of the pooled rows, at the same sizes, behind the nulls of precision
            and recall (and of the others, where exact copies make their formulas void). 0: none.
        resamples: subsamples behind the intervals. 0: no intervals.
        limit: the most rows taken of each side (None: all); the others are left out at random.
        features: what to measure instead of the values themselves.
        seed: of splits, subsamples and left-out rows.

    Returns:
        All four depend on the sizes, so the intervals are for their expectation at *these* sizes,
        over both samples. Their standard error is that of subsamples without replacement (half of
        each side, at most 1,000 rows), scaled to the full sizes.

    Raises:
        MeasureError: for fewer than 2 (k + 1) rows on a side, different widths, NaN or infinity,
            and k or chunk below 1.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models"; for the
        standard errors Shao & Wu 1989, "A general theory for jackknife variance estimation".
    """
    if k < 1 or (chunk is not None and chunk < 1):
        raise MeasureError(f"k and chunk must be at least 1; given {k=}, {chunk=}")
    both = pair(x, y, least=2 * (k + 1), limit=limit, features=features, seed=seed, dtype=None)
    rng = torch.Generator().manual_seed(seed)
    seen = _look(both.x, both.y, k, chunk)
    nulls = _nulls(both, seen, k, chunk, splits, rng)
    errors = _errors(both, k, chunk, resamples, rng)
    return Scorecard(
        {
            name: _measured(name, seen.values[i], nulls[i], errors[i], both, k)
            for i, name in enumerate(NAMES)
        }
    )


@dataclass(frozen=True)
class _Seen:
    """The four values, in the order of NAMES, and whether exact copies take part."""

    values: list[float]
    copies: bool


def _look(x: Tensor, y: Tensor, k: int, chunk: int | None) -> _Seen:
    radii_x = _search.nearest(x, x, k, chunk=chunk, itself=True).squared[:, -1]
    radii_y = _search.nearest(y, y, k, chunk=chunk, itself=True).squared[:, -1]
    real = _search.balls(y, x, radii_x, chunk=chunk)
    fake = _search.balls(x, y, radii_y, chunk=chunk)
    shares = [real.of_point > 0, fake.of_point > 0, real.of_point / k, real.of_ball > 0]
    return _Seen([float(s.double().mean()) for s in shares], bool((radii_x == 0).any()))


def _nulls(
    both: Pair, seen: _Seen, k: int, chunk: int | None, splits: int, rng: torch.Generator
) -> list[float | None]:
    """Return what no difference gives: by formula where there is one, else by random splits."""
    known: list[float | None] = [None] * len(NAMES)
    if not seen.copies:
        known[2:] = [1.0, _met(both.n, both.m, k)]
    if not splits:
        return known
    pooled = both.pooled
    masks = labels(both.n, both.m, splits, rng).to(pooled.device)
    views = [_look(pooled[is_x], pooled[~is_x], k, chunk).values for is_x in masks]
    means = torch.tensor(views).mean(0).tolist()
    return [
        mean if formula is None else formula for mean, formula in zip(means, known, strict=True)
    ]


def _met(n: int, m: int, k: int) -> float:
    """Return the chance that one of m rows comes before the k-th of n - 1 others."""
    missed = 1.0
    for i in range(k):
        missed *= (n - 1 - i) / (n + m - 1 - i)
    return 1 - missed


def _errors(
    both: Pair, k: int, chunk: int | None, resamples: int, rng: torch.Generator
) -> list[float | None]:
    """Return standard errors over both samples, by subsampling without replacement."""
    if resamples < 2:
        return [None] * len(NAMES)
    share = min(0.5, RESAMPLED / max(both.n, both.m))
    views = [
        _look(_part(both.x, share, k, rng), _part(both.y, share, k, rng), k, chunk).values
        for _ in range(resamples)
    ]
    # Without replacement the spread is that of 1 / b - 1 / n, and 1 / n is what is wanted.
    scale = (share / (1 - share)) ** 0.5
    return [float(error) * scale for error in torch.tensor(views).std(0)]


def _part(x: Tensor, share: float, k: int, rng: torch.Generator) -> Tensor:
    size = max(k + 1, int(len(x) * share))
    return x[torch.randperm(len(x), generator=rng)[:size].to(x.device)]


def _measured(
    name: str, value: float, null: float | None, error: float | None, both: Pair, k: int
) -> Measurement:
    low, high = _interval(name, value, error, both)
    better: Better = "null" if name == "density" else "higher"
    beside = "" if null is None else f" where no difference gives {null:.3f}"
    return Measurement(
        name,
        value,
        low=low,
        high=high,
        covers="" if error is None else "both samples (subsampling)",
        null=null,
        n=both.n,
        m=both.m,
        better=better,
        unit="" if name == "density" else "share",
        reading=f"{value:.3f}{beside}{chosen(both.extra, both.n, both.m)}",
        extra={"k": k, **both.extra},
    )


def _interval(
    name: str, value: float, error: float | None, both: Pair
) -> tuple[float | None, float | None]:
    if error is None:
        return None, None
    if name == "density":
        return max(0.0, value - Z * error), value + Z * error
    # A share's interval stays within 0 and 1: Wilson's, at the size that has this standard error.
    trials = float(both.m if name == "precision" else both.n)
    if error > 0:
        trials = max(1.0, min(trials, value * (1 - value) / error**2))
    return wilson(value, trials)
