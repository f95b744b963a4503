"""Scores of one sample: its diversity, and a classifier's confidence and variety.

By itself such a score says nothing about the data, so its null is the real sample's own score, at
the same size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError, nearest
from pushforward.measures._inputs import FeatureFunction, Pair, pair, require_at_least, subsample
from pushforward.measures._intervals import Z, permutation_masks, permutation_p, verdict
from pushforward.measures.measurement import Measurement
from pushforward.measures.samples import _quadratic, _spectral

Kernel = Literal["rbf", "cosine"]
KERNELS = ("rbf", "cosine")
ROUNDING = 1e-4  # how far from 1 the probabilities of a row may sum up, as float32 gives them


def vendi(
    x: Any,
    y: Any,
    *,
    kernel: Kernel = "rbf",
    bandwidth: float | None = None,
    limit: int | None = 1000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Vendi score of the generated rows: the effective number of different rows among them.

    $$\exp\left(-\sum_i \lambda_i \log \lambda_i\right)$$

    with the eigenvalues of K/n, for a kernel with k(a, a) = 1. It is 1 when all rows are equal and
    n when no two are similar. The score grows with the size, so the larger sample is reduced at
    random to the size of the smaller one.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        kernel: `"rbf"`, exp(-|a - b|^2 / (2 sigma^2)), or `"cosine"`, for features whose length has
            no meaning; its score is at most the number of columns.
        bandwidth: sigma of `"rbf"`; None for the median distance of the real rows, so that
            generators measured against the same rows can be compared.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of left-out rows.

    Returns:
        The generated sample's score; the null is the real one's at the same size. `extra["ratio"]`
        is generated over real, with its own interval. All intervals are for the expectations at
        *this* size (and this bandwidth), from each row's influence on the entropy. Where the score
        is not far below the size they are too narrow (83 % at 60 rows and a score of 25).

    Raises:
        MeasureError: for fewer than 2 rows of a sample, different widths, NaN or infinity, an
            unknown kernel, a bandwidth that is not positive (or given for `"cosine"`), and rows of
            zeros with `"cosine"`.

    Sees:
        A lack of variety: missing modes, repeated rows, too small a spread. It also sees too large
        a spread.

    Misses:
        The quality of the rows: noise is more diverse than data. A sample that is diverse elsewhere
        than the data has the same score; read it together with precision and recall.

    Null:
        The real sample's own score at the same size. It is the best value: more is not better.

    Cost:
        O(n^2 d + n^3) time and O(n^2) memory with `"rbf"`; O(n d^2 + d^3) with `"cosine"` and fewer
        columns than rows. Measured: 0.3 s at n = m = 1,000 with `"rbf"`.

    Reference:
        Friedman & Dieng 2023, "The Vendi score: a diversity evaluation metric for machine
        learning".
    """
    if kernel not in KERNELS:
        raise MeasureError(f"unknown kernel {kernel!r}; {nearest(kernel, KERNELS)}")
    both = _of_one_size(pair(x, y, limit=limit, features=features, seed=seed), seed)
    if kernel == "cosine":
        real, fake = _cosine(both, bandwidth)
        used: dict[str, Any] = {"kernel": kernel}
    else:
        sigma = _bandwidth(both.x, bandwidth, seed)
        real, fake = (_rbf(side, sigma) for side in (both.x, both.y))
        used = {"kernel": kernel, "bandwidth": sigma}
    low, high = _around(fake.entropy, fake.variance)
    ratio = fake.entropy - real.entropy
    ratio_low, ratio_high = _around(ratio, real.variance + fake.variance)
    return Measurement(
        "vendi",
        math.exp(fake.entropy),
        low=low,
        high=high,
        covers="the generated sample, at this size",
        null=math.exp(real.entropy),
        n=both.n,
        m=both.m,
        better="null",
        unit="effective rows",
        reading=f"{math.exp(ratio):.3f} times the real rows' variety "
        f"({ratio_low:.3f} to {ratio_high:.3f})",
        extra={
            **used,
            "ratio": math.exp(ratio),
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            **both.extra,
        },
    )


def _around(log_score: float, variance: float) -> tuple[float, float]:
    half = Z * math.sqrt(variance)
    return math.exp(log_score - half), math.exp(log_score + half)


def _of_one_size(both: Pair, seed: int) -> Pair:
    size = min(both.n, both.m)
    rng = torch.Generator().manual_seed(seed)
    extra = both.extra if both.n == both.m else {"given": [both.n, both.m], **both.extra}
    return replace(
        both, x=subsample(both.x, size, rng), y=subsample(both.y, size, rng), extra=extra
    )


def _cosine(both: Pair, bandwidth: float | None) -> list[_spectral.Spectrum]:
    if bandwidth is not None:
        raise MeasureError(f"the cosine kernel has no bandwidth, and was given {bandwidth}")
    if not (both.pooled != 0).any(1).all():
        raise MeasureError("rows of zeros have no direction; use kernel='rbf', or leave them out")
    units = (side / side.abs().amax(1, keepdim=True) for side in (both.x, both.y))
    return [_spectral.of_rows(side / side.norm(dim=1, keepdim=True)) for side in units]


def _bandwidth(x: Tensor, bandwidth: float | None, seed: int) -> float:
    if bandwidth is None:
        bandwidths = _quadratic.around_median(x, torch.Generator().manual_seed(seed))
        return bandwidths[_quadratic.SCALES.index(1.0)] if bandwidths else 1.0
    return _quadratic.positive(bandwidth)


def _rbf(x: Tensor, sigma: float) -> _spectral.Spectrum:
    kernel = _quadratic.rbf(_quadratic.squared_distances(x, x), [sigma])
    return _spectral.of_kernel(kernel.fill_diagonal_(1.0))


def inception_score(
    x: Any,
    y: Any,
    *,
    classifier: Callable[[Any], Any] | None = None,
    permutations: int = 199,
    limit: int | None = 10_000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Inception score of the generated rows: a classifier's confidence, and the classes' variety.

    $$\exp\left(E_y\, KL(p(c | y), p(c))\right)$$

    with the classifier's probabilities p(c | y) and their mean p(c) over the sample. It runs from 1
    to the number of classes, and takes any classifier, not only Inception-v3.

    Args:
        x: the real sample (n, ...): what the classifier takes, or without one its probabilities.
        y: the generated sample (m, ...), alike.
        classifier: rows -> class probabilities (n, C), not logits; None if the samples are class
            probabilities.
        permutations: number of random permutations, for the p-value; with 0 there is none.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to what the classifier takes; None for the rows themselves.
        seed: of permutations and left-out rows.

    Returns:
        The generated sample's score, on all rows (not as a mean over ten parts, as is often done);
        the null is the real one's at the same size, so the larger sample is reduced. The interval
        is for the score of the *distribution*, without the bias of the plug-in estimate. The
        p-value is for |log of the ratio of the two scores|; `extra["ratio"]` is generated over
        real.

    Raises:
        MeasureError: for rows that are not probabilities (negative, or a sum that is not 1), fewer
            than 2 classes or 2 rows on a side, different widths, NaN or infinity.

    Sees:
        Rows that clearly belong to no class, and missing classes.

    Misses:
        Everything within a class: one perfect row for each class gives the highest score. It does
        not look at the data at all; unless the classifier was trained on them, the score says
        little.

    Null:
        The real sample's own score at the same size.

    Cost:
        That of the classifier, and O((n + m) C) per permutation; memory O((n + m)(C +
        permutations)).
        Measured: 0.3 s without the classifier at n = m = 10,000 and C = 10.

    Reference:
        Salimans et al. 2016, "Improved techniques for training GANs"; Barratt & Sharma 2018, "A
        note on the Inception Score".
    """
    require_at_least(0, permutations=permutations)
    classify = _classify(features, classifier)
    both = _of_one_size(pair(x, y, limit=limit, features=classify, seed=seed), seed)
    real, fake = (_probabilities(side, classifier is not None) for side in (both.x, both.y))
    ratio = float(_information(fake) - _information(real))
    low, high = _information_interval(fake)
    p_value = _permutation(real, fake, abs(ratio), permutations, seed)
    comparison = f"{math.exp(ratio):.3f} times the real rows' score"
    return Measurement(
        "inception_score",
        math.exp(float(_information(fake))),
        low=math.exp(low),
        high=math.exp(high),
        covers="the generated sample, without the bias of its size",
        null=math.exp(float(_information(real))),
        p_value=p_value,
        n=both.n,
        m=both.m,
        better="null",
        reading=(comparison if p_value is None else f"{verdict(p_value)}; {comparison}"),
        extra={"ratio": math.exp(ratio), "classes": fake.shape[1], **both.extra},
    )


def _classify(
    features: FeatureFunction | None, classifier: Callable[[Any], Any] | None
) -> FeatureFunction | None:
    """Return what turns rows into probabilities; a classifier comes after the features."""
    if classifier is None or features is None:
        return classifier or features

    def composed(rows: Any) -> Any:
        return classifier(features(rows))

    composed.__name__ = f"{getattr(features, 'name', 'features')}, classified"
    return composed


def _probabilities(p: Tensor, classified: bool) -> Tensor:
    sums = p.sum(1, keepdim=True)
    if p.shape[1] >= 2 and bool((p >= 0).all()) and bool(((sums - 1).abs() < ROUNDING).all()):
        return p / sums
    if classified:
        raise MeasureError(
            "the classifier must return probabilities of at least 2 classes, not negative and "
            "with sum 1 in each row; apply a softmax to logits"
        )
    raise MeasureError(
        "the rows are not class probabilities (not negative, sum 1), so inception_score needs "
        "classifier=, a function from rows to class probabilities"
    )


def _information(p: Tensor) -> Tensor:
    """Return the mean of KL(p(c | y), p(c)): the information that a row has of its class."""
    return _information_of(p.mean(0), torch.xlogy(p, p).sum(1).mean())


def _information_of(marginal: Tensor, certainty: Tensor) -> Tensor:
    """Return it from the mean p(c) (..., C) and the mean of sum_c p log p over rows (...)."""
    return certainty - torch.xlogy(marginal, marginal).sum(-1)


def _information_interval(p: Tensor) -> tuple[float, float]:
    """Return the interval of the information in the distribution that p (n, C) are drawn of.

    The entropy of p(c) is too low by (1/2n) sum_c var p_c / p(c), which is given back; where every
    row tells equally much, the noise of just that term is all there is.
    """
    n = len(p)
    marginal = p.mean(0)
    met = marginal > 0
    scaled = (p - marginal)[:, met] / marginal[met].sqrt()
    each = torch.xlogy(p, p).sum(1) - torch.xlogy(p, marginal.clamp(min=1e-300)).sum(1)
    covariance = scaled.mT @ scaled / (n - 1)
    bias = float(covariance.trace()) / (2 * n)
    variance = float(each.var()) / n + float(covariance.square().sum()) / (2 * n * n)
    most = math.log(p.shape[1])
    middle, half = min(most, float(each.mean()) + bias), Z * math.sqrt(variance)
    return max(0.0, middle - half), min(most, middle + half)


def _permutation(
    real: Tensor, fake: Tensor, log_ratio: float, permutations: int, seed: int
) -> float | None:
    """Return the p-value of the gap between both log scores."""
    if not permutations:
        return None
    n, m, pooled = len(real), len(fake), torch.cat([real, fake])
    rng = torch.Generator().manual_seed(seed)
    first = permutation_masks(n, m, permutations, rng).to(pooled)
    certainty = torch.xlogy(pooled, pooled).sum(1)
    logs = [
        _information_of(side @ pooled / size, side @ certainty / size)
        for side, size in ((first, n), (1 - first, m))
    ]
    return permutation_p(log_ratio, (logs[0] - logs[1]).abs().cpu().numpy())
