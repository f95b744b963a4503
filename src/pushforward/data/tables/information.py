"""What one column of a table tells about another, beyond chance."""

from __future__ import annotations

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints

COARSE = 10  # classes that a column has at most
MIN_Z = 5.0  # deviations of chance


def entropy(codes: Ints) -> float:
    r"""Return -\sum_c p_c \ln p_c of the shares of codes (n,), in nats."""
    few = codes.max(initial=0) <= len(codes)  # then they are counted without sorting
    counts = np.bincount(codes) if few else np.unique(codes, return_counts=True)[1]
    shares: Floats = counts[counts > 0] / max(len(codes), 1)
    return -float(np.sum(shares * np.log(shares)))


def information(a: Ints, b: Ints) -> float:
    """Return the mutual information of codes (n,) in nats, I = H(a) + H(b) - H(a, b)."""
    return entropy(a) + entropy(b) - entropy(joined(a, b))


def excess_information(a: Ints, b: Ints) -> float:
    r"""Return the mutual information of codes (n,) in nats, less that of a permutation.

    It is 0 unless it is clearly more: where there is no relation, 2 n I is about chi-square of
    d = (values of a - 1) (values of b - 1) degrees of freedom, which deviates by \sqrt{2 d}.
    """
    shuffled = np.random.default_rng(0).permutation(b)
    excess = entropy(joined(a, shuffled)) - entropy(joined(a, b))
    freedom = (len(np.unique(a)) - 1) * (len(np.unique(b)) - 1)
    deviation = np.sqrt(2 * freedom) / (2 * max(len(a), 1))
    return excess if excess > MIN_Z * deviation else 0.0


def joined(a: Ints, b: Ints) -> Ints:
    """Return one code (n,) for each pair of codes, none of them negative."""
    return a * (int(b.max(initial=0)) + 1) + b


def coarse_codes(values: pl.Series) -> Ints:
    """Return a column in at most `COARSE` classes, codes (n,) from 1; 0 stands for missing values.

    Numbers and times are cut at quantiles; of categories the most frequent have their own class.
    """
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        rank = values.to_physical().rank("max")
        codes = (rank * COARSE / max(values.count(), 1)).ceil()
    else:
        levels = values.cast(pl.String).alias("level")
        counts = levels.drop_nulls().value_counts(name="rows")
        common = counts.sort("rows", "level", descending=[True, False])["level"][: COARSE - 1]
        known = pl.Series(range(1, len(common) + 1), dtype=pl.Int64)
        codes = levels.replace_strict(common, known, default=COARSE).set(levels.is_null(), None)
    return codes.fill_null(0).to_numpy().astype(np.int64)
