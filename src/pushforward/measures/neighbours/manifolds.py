"""Measures of fidelity and coverage by nearest neighbours.

All of them share one exact search and one convention: the ball around a row is closed and reaches
to the row's k-th nearest *other* row. A row that occurs more than k times has a ball of radius
zero, which holds its exact copies. `prdc` computes all six in one pass.
"""

from __future__ import annotations

import math
from typing import Any, TypedDict, Unpack

import torch

from pushforward.measures import _search
from pushforward.measures._inputs import FeatureFunction, Pair, pair, require_at_least
from pushforward.measures._intervals import Z, at_least_binomial, share_interval, wilson
from pushforward.measures.measurement import Better, Measurement, Scorecard
from pushforward.measures.neighbours import _balls
from pushforward.measures.neighbours._balls import CLIPPED

OF_GENERATED = ("precision", "density", "clipped_density")  # means over the generated rows


class Options(TypedDict, total=False):
    """The keywords of `prdc`, for the six measures alone."""

    k: int
    chunk: int | None
    splits: int
    resamples: int
    limit: int | None
    features: FeatureFunction | None
    seed: int


def precision(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the generated rows that lie among the real rows: fidelity.

    $$\frac1m \sum_j 1\left[y_j \in \bigcup_i B(x_i, r_k(x_i))\right]$$

    The ball B around a row reaches to its k-th nearest other row, at the distance r_k. The value
    depends on both sizes and on the dimension: 0.7 may be perfect, which the null shows.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        A share; the interval is for its expectation at these sizes, over both samples.

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        generated rows where there are no real ones: noise, blurred edges, invented modes.

    Misses:
        what is missing (a generator of one perfect row has a precision of 1), and how often each
        region is visited. A real outlier has a large ball, which can make the value too high.

    Null:
        depends on n and the dimension and has no formula; it is the value of the real rows
        themselves, each among the balls of all others. So it is the same for all generators.

    Cost:
        O((n + m)^2 d) time and O(chunk (n + m)) memory; all six measures together, without
        splits and resamples, 1.4 s on one core at n = m = 10,000 and d = 64.

    Reference:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
        models".
    """
    return prdc(x, y, **options)["precision"]


def recall(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the real rows that lie among the generated rows: coverage of the data.

    $$\frac1n \sum_i 1\left[x_i \in \bigcup_j B(y_j, r_k(y_j))\right]$$

    It is `precision` with the samples exchanged.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        A share; the interval is for its expectation at these sizes, over both samples.

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        modes that are missing: precision is then high and recall low.

    Misses:
        what is generated outside the data, and how often each region is visited. Generated outliers
        have large balls, which can make the value too high; read it together with `coverage`.

    Null:
        that of `precision` for m real rows, the mean over parts of the real sample; where more rows
        were generated than there are real ones, for all n. It is the same for all generators.

    Cost:
        as for `precision`, in the same pass.

    Reference:
        Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
        models".
    """
    return prdc(x, y, **options)["recall"]


def density(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""How densely real rows lie around generated ones: 1 for equal distributions.

    $$\frac1{km} \sum_j \sum_i 1\left[y_j \in B(x_i, r_k(x_i))\right]$$

    Above 1, the generated rows lie in the centre of the data; below 1, outside it.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        A number from 0, without an upper bound; the interval is for its expectation at these sizes,
        over both samples.

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        generated rows in sparse regions or outside the data, and a generator that keeps to the
        centre.

    Misses:
        what is missing. Rows outside and rows in the centre cancel each other, so 1 alone proves
        nothing; where a few real rows lie in many balls, copies of them make it very high.

    Null:
        exactly 1 at all sizes and in all dimensions for continuous data; with exact copies, the
        value of the real rows themselves, each among the balls of all others.

    Cost:
        as for `precision`, in the same pass.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
    """
    return prdc(x, y, **options)["density"]


def coverage(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the real rows with a generated row in their ball: coverage of the data.

    $$\frac1n \sum_i 1\left[\exists j: y_j \in B(x_i, r_k(x_i))\right]$$

    Unlike `recall`, it uses the balls of the real rows only, so generated outliers do not raise it.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        A share; the interval is for its expectation at these sizes, over both samples.

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        missing modes, and regions that are visited much too rarely.

    Misses:
        what is generated outside the data. It grows with m: a larger sample of the same generator
        covers more, so compare values only at equal sizes.

    Null:
        one formula for all continuous distributions, $1 - \prod_{i=0}^{k-1} (n - 1 - i) / (n + m -
        1 - i)$; with exact copies, the mean over random splits of the real rows in
        the ratio of n and m.

    Cost:
        as for `precision`, in the same pass.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
    """
    return prdc(x, y, **options)["coverage"]


def clipped_density(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the generated rows that are good: a `density` that outliers cannot raise.

    $$\min\left(1, \frac{D(y)}{D(x)}\right), \quad
    D(v) = \frac1{|v|} \sum_j \min\left(1, \frac1k \sum_i 1[v_j \in B(x_i, R_i)]\right), \quad
    R_i = \min(r_k(x_i), \mathrm{median}_l\, r_k(x_l))$$

    No ball is larger than the median one, no row counts for more than one, and the same statistic
    of the real rows (each without its own ball) sets the scale.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        The share of good rows: with half of the rows replaced by noise it is about half. The
        interval is for the expectation at these sizes, over both samples, clipped at 1 like the
        value (`extra["unclipped"]` has the value before).

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        generated rows in sparse regions or outside the data, in proportion to their number.

    Misses:
        what is missing, and how the good rows are spread. Half of the real rows have clipped balls,
        so it says little about rows in the tails.

    Null:
        1 before the clip, and a little less after it, as the noise above 1 is cut off: from
        random splits of the real rows, whose noise is scaled to the full sizes.

    Cost:
        as for `precision`, in the same pass, of which it takes about a fifth.

    Reference:
        Salvy, Talbot & Thirion 2026, "Enhanced generative model evaluation with clipped density
        and coverage".
    """
    return prdc(x, y, **options)["clipped_density"]


def clipped_coverage(x: Any, y: Any, **options: Unpack[Options]) -> Measurement:
    r"""Share of the data that is covered: `coverage` on a scale where half the rows give half.

    $$\min\left(1, f^{-1}\left(\frac1{nk} \sum_i \min\Big(k, \sum_j 1[y_j \in B(x_i, r_k(x_i))]
    \Big)\right)\right), \quad f(a) = \frac1k E \min(k, S_{am})$$

    S_g is the number of g good rows that a ball holds: beta-binomial with parameters k and n - k,
    for every continuous distribution. So f(a) is the expected value for a sample of which the share
    a is good and the rest far away. Between whole numbers of rows f is interpolated.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        **options: the keywords of `prdc`.

    Returns:
        A share; the interval is for the expectation at these sizes, over both samples, clipped at 1
        like the value (`extra["unclipped"]` has the value before, at most 2).

    Raises:
        MeasureError: as for `prdc`.

    Sees:
        missing modes and regions that are visited too rarely, in proportion.

    Misses:
        whether rows are missing or bad: with half of the rows as noise, and with half of the modes
        missing, it is about half. Read it together with `clipped_density`.

    Null:
        1 before the clip, and a little less after it, as the noise above 1 is cut off: from
        random splits of the real rows, whose noise is scaled to the full sizes.

    Cost:
        as for `precision`, in the same pass.

    Reference:
        Salvy, Talbot & Thirion 2026, "Enhanced generative model evaluation with clipped density
        and coverage".
    """
    return prdc(x, y, **options)["clipped_coverage"]


def prdc(
    x: Any,
    y: Any,
    *,
    k: int = 5,
    chunk: int | None = None,
    splits: int = 2,
    resamples: int = 20,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Scorecard:
    r"""Precision, recall, density, coverage and the clipped forms of the last two, in one pass.

    $$B(x_i, r_k(x_i)) = \{v: |v - x_i| \le r_k(x_i)\}$$

    All six count which rows of one sample lie in which balls around the rows of the other.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        k: a row's ball reaches to its k-th nearest other row of its own sample.
        chunk: rows whose distances are computed at once: memory is chunk times the larger sample.
            None for as many as fit a CPU's cache.
        splits: number of random splits of the real rows, for the nulls of the clipped forms (and of
            coverage, with exact copies); with 0 these nulls are missing.
        resamples: number of subsamples, for the intervals; with 0 there are none.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of splits, subsamples and left-out rows.

    Returns:
        A scorecard with the six measurements. All depend on the sizes, so the intervals are for
        their expectations at *these* sizes, over both samples. The standard error is that of
        subsamples without replacement (half of each sample, at most 1,000 rows), scaled to the full
        sizes.

    Raises:
        MeasureError: for fewer than 2 (k + 1) rows of a sample, different widths, NaN or infinity,
            and k or chunk below 1.

    Sees:
        separately, which part of the data is missing (recall, coverage) and what should not be
        there (precision, density).

    Misses:
        most differences in many dimensions, where all rows are far from each other: measure
        features there. Columns with large values outweigh the others. None of the six sees copies
        of training rows, which look perfect.

    Null:
        what real rows of the same distribution give at these sizes, from the real sample alone: 1
        for density, a formula for coverage, the real rows among each other for precision and
        recall, random splits of them for the clipped forms.

    Cost:
        O((n + m)^2 d) time and O(chunk (n + m)) memory; 1.4 s on one core at n = m = 10,000 and d =
        64 with splits=0 and resamples=0; the null adds a third, and each split half as much.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models"; for the
        standard errors Shao & Wu 1989, "A general theory for jackknife variance estimation".
    """
    require_at_least(1, k=k, chunk=chunk)
    require_at_least(0, splits=splits, resamples=resamples)
    both = pair(x, y, min_rows=2 * (k + 1), limit=limit, features=features, seed=seed, dtype=None)
    (real, fake), _ = _search.magnified(both.x, both.y)
    both = Pair(real, fake, {"k": k, **both.extra})
    rng = torch.Generator().manual_seed(seed)
    values = _balls.ball_statistics(both.x, both.y, k, chunk)
    nulls = _balls.nulls(both.x, both.m, k, chunk, splits, rng)
    errors = _balls.errors(both, k, chunk, resamples, rng)
    rows = zip(_balls.ALL, values, nulls, errors, strict=True)
    return Scorecard({row[0]: _measured(*row, both) for row in rows})


def _measured(
    name: str, value: float, null: float | None, error: float | None, both: Pair
) -> Measurement:
    low, high = _interval(name, value, error, both)
    better: Better = "null" if name == "density" else "higher"
    comparison = "" if null is None else f"; {_relation(low, high, null)} {null:.3f}"
    reported = min(1.0, value) if name in CLIPPED else value
    return Measurement(
        name,
        reported,
        low=low,
        high=high,
        covers="" if error is None else "both samples (subsampling)",
        null=null,
        n=both.n,
        m=both.m,
        better=better,
        unit="" if name == "density" else "share",
        reading=f"{reported:.3f}{comparison}",
        extra={**({"unclipped": value} if name in CLIPPED else {}), **both.extra},
    )


def _relation(low: float | None, high: float | None, null: float) -> str:
    """Return on which side of the null an interval lies; equal up to rounding is on neither."""
    if high is not None and high < null and not math.isclose(high, null):
        return "below the null"
    above = low is not None and low > null and not math.isclose(low, null)
    return "above the null" if above else "null"


def _interval(
    name: str, value: float, error: float | None, both: Pair
) -> tuple[float | None, float | None]:
    if error is None:
        return None, None
    trials = both.m if name in OF_GENERATED else both.n
    if name in CLIPPED:
        low, high = (min(1.0, max(0.0, value + side * Z * error)) for side in (-1, 1))
        return at_least_binomial(min(1.0, value), low, high, trials)
    if name == "density":
        low, high = max(0.0, value - Z * error), value + Z * error
        return low, high if value else max(high, wilson(value, trials)[1])
    return share_interval(value, error**2, trials)
