"""Exact copies of training rows, compared with chance: rows of real data repeat, too."""

from __future__ import annotations

import math
import sys
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from pushforward.measures._inputs import matrix
from pushforward.measures._intervals import wilson
from pushforward.measures.measurement import Measurement
from pushforward.measures.tables import _columns

LIMIT = 1_000_000  # rows of each table
SIDES = ("the held-out sample", "the generated sample", "the training sample")
CODES = 2**62  # codes of whole rows stay below

Ints = _columns.Ints


def exact_matches(
    x: Any, y: Any, *, train: Any, limit: int | None = LIMIT, seed: int = 0
) -> Measurement:
    r"""Share of the generated rows that equal a training row in every column.

    $$\frac1m \sum_j 1\left[y_j \in \{t_1, \dots, t_l\}\right]$$

    Rows of real data repeat, so even without copying some generated rows equal training rows by
    chance: as often as held-out rows do, which is the null. Both are compared with the same
    training rows. Numbers are equal if all of their digits are, and missing values are equal.

    Args:
        x: held-out real rows, which the generator has not seen: a data frame or numbers (n, ...).
        y: the generated sample, with the same columns (m, ...).
        train: the training sample (l, ...).
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        seed: of left-out rows.

    Returns:
        A share, with Wilson's interval: over generated rows, for these training rows. The one-sided
        p-value is for "no more often than held-out rows", by Fisher's exact test. `extra` has the
        numbers of matches (`matches`, `held_out_matches`), the number of different training rows
        that are repeated (`repeated`), and the `excess` over the null with Newcombe's interval.

    Raises:
        MeasureError: for differing columns, real samples of different types, infinite numbers,
            fewer than 2 rows of a sample, and NaN in samples that are not data frames.

    Sees:
        whole rows that were memorised, even a few: one copy in 1,000 rows is enough where held-out
        rows never equal a training row.

    Misses:
        near copies, even if only one digit differs: `closest_record` and `membership_inference`
        look for those. Where a table has few different rows, most rows match by chance, and copies
        cannot be distinguished from them.

    Null:
        the same share of the held-out rows; it is 0 where a column has many digits.

    Cost:
        O((n + m + l) d log(n + m + l)) time and O((n + m + l) d) memory; 0.1 s on one core for
        30,000 rows of Adult in each of the three samples.

    Reference:
        Fisher 1935, "The logic of inductive inference"; Newcombe 1998, "Interval estimation for
        the difference between independent proportions". What such shares cannot show: Ganev & De
        Cristofaro 2023, "On the inadequacy of similarity-based privacy metrics".
    """
    frames = [_frame(sample, name) for sample, name in zip((x, y, train), SIDES, strict=True)]
    columns = _columns.read(*frames, limit=limit, seed=seed)
    rows = _codes(columns)
    held, fake, known = (rows[columns.part(side)] for side in range(3))
    matched, held_out_matched = np.isin(fake, known), np.isin(held, known)
    value, null = float(matched.mean()), float(held_out_matched.mean())
    low, high = wilson(value, len(fake))
    p_value = _fisher(int(matched.sum()), len(fake), int(held_out_matched.sum()), len(held))
    less, more = _newcombe(value, (low, high), null, wilson(null, len(held)))
    return Measurement(
        "exact_matches",
        value,
        low=low,
        high=high,
        covers="generated rows, for these training rows",
        null=null,
        p_value=p_value,
        n=len(held),
        m=len(fake),
        better="null",
        unit="share",
        reading=_reading(value, null, p_value),
        extra={
            "matches": int(matched.sum()),
            "held_out_matches": int(held_out_matched.sum()),
            "repeated": len(np.unique(fake[matched])),
            "excess": value - null,
            "excess_low": less,
            "excess_high": more,
            "training_rows": len(known),
            **columns.extra,
        },
    )


def _frame(sample: Any, name: str) -> Any:
    """Return a data frame as it is, and anything else as a data frame of numbers."""
    if isinstance(nw.from_native(sample, eager_only=True, pass_through=True), nw.DataFrame):
        return sample
    numbers = matrix(sample, name).cpu().numpy()
    return pl.DataFrame(numbers, schema=[f"column {i}" for i in range(numbers.shape[1])])


def _codes(columns: _columns.Columns) -> Ints:
    """Return a code for each row, equal only where all columns are."""
    codes, size = np.zeros(sum(columns.rows), dtype=np.int64), 1
    for column in columns:
        if size * column.size >= CODES:
            distinct, codes = np.unique(codes, return_inverse=True)
            size = len(distinct)
        codes, size = codes * column.size + column.codes, size * column.size
    return codes


def _fisher(matched: int, m: int, held_out_matched: int, n: int) -> float:
    """Return the probability that at least so many of all matches fall on the m rows by chance."""
    from scipy.stats import hypergeom

    p_value = float(hypergeom.sf(matched - 1, n + m, matched + held_out_matched, m))
    return min(1.0, max(p_value, sys.float_info.min))


def _newcombe(
    a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]
) -> tuple[float, float]:
    """Return the 95 % interval of a - b, two independent shares with Wilson's intervals."""
    below = math.hypot(a - of_a[0], of_b[1] - b)
    above = math.hypot(of_a[1] - a, b - of_b[0])
    return a - b - below, a - b + above


def _reading(value: float, null: float, p_value: float) -> str:
    if null == 1:
        return "all held-out rows are training rows, too; give rows that the generator has not seen"
    if value == null == 0:
        return "no generated row equals a training row, and neither does a held-out row"
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    shares = (
        f"{_percent(value)} of the generated rows equal a training row, {_percent(null)} of new"
    )
    verdict = "no more than by chance" if p_value > 0.05 else "more than by chance: copies"
    return f"{shares} real ones do: {verdict} ({p})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
