"""What one column of a table tells about another, beyond chance."""

from __future__ import annotations

import numpy as np

from pushforward.data.numeric import Floats, Ints

MIN_Z = 5.0  # deviations of chance


def entropy(codes: Ints) -> float:
    r"""Return -\sum_c p_c \ln p_c of the shares of codes (n,), in nats."""
    _, counts = np.unique(codes, return_counts=True)
    shares: Floats = counts / max(len(codes), 1)
    return -float(np.sum(shares * np.log(shares)))


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
