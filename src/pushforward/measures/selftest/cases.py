"""The checks on rows of numbers: measures, samples from fixed seeds, and truths.

The truths are closed forms. Between N(0, I) and N(e1, I) KL is 1/2, the best classifier is right in
F(1/2) of the cases, F the normal distribution function, and the area under its curve is
F(1 / sqrt 2). Less common truths are derived where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from pushforward import measures as pm
from pushforward.measures.selftest.checking import Check, Estimate, Samples, averaged, on

BINNED = 0.05  # what bins may hide, as a share of the truth
SHORT = 0.15  # what a learned bound may miss, as a share of the truth
N, K = 300, 5  # rows and neighbours for checks of an expectation
JS = {0.5: 0.030311, 1.0: 0.111421, 2.0: 0.336831, 4.0: 0.632720}  # of a shift, by quadrature
ACCURACY, AREA = 0.691462, 0.760250  # F(1/2) and F(1 / sqrt 2)
SCALED_ACCURACY = 0.661337  # N(0, 1) against N(0, 4): the densities cross at |x| = 1.3596


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Return n rows of N(shift e1, scale^2 I_d), float64."""
    x = scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()
    x[:, 0] += shift
    return x


def uniform(n: int, seed: int, high: float = 1.0) -> Tensor:
    """Return n rows (n, 1), uniform between 0 and `high`."""
    return high * torch.rand(n, 1, generator=torch.Generator().manual_seed(seed)).double()


def _normals(n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> Samples:
    """Return a function that draws n rows of N(0, I_d) and n of N(shift e1, scale^2 I_d)."""
    return lambda: (normal(n, d, 0), normal(n, d, 1, shift, scale))


def _expected(
    measure: str, case: str, truth: float, value: Callable[[int], float], times: int = 20
) -> Check:
    """Return a check of an expectation, by the mean of a value over seeds."""
    described = f"{case}; mean of {times}"
    return Check(measure, described, truth, lambda: averaged(map(value, range(times))))


def _without_difference(measure: str, d: int, **options: Any) -> Callable[[int], float]:
    """Return a measure's value by seed, for samples of one distribution, fresh for each seed."""

    def value(seed: int) -> float:
        x, y, train = (normal(N, d, 3 * seed + i) for i in range(3))
        known = {"train": train} if measure in {"authenticity", "memorisation"} else {}
        return float(getattr(pm, measure)(x, y, **known, **options).value)

    return value


def _densities() -> dict[str, Any]:
    zero, one = torch.tensor([0.0, 1.0]).double()
    return {
        "p": Normal(zero, one),
        "moved": Normal(one, one),
        "wide": Normal(zero, 2 * one),
        "unit in 3": Independent(Normal(zero.expand(3), one.expand(3)), 1),
        "other in 3": MultivariateNormal(torch.eye(3)[0], 4 * torch.eye(3)),
    }


def _of(*names: str) -> Samples:
    return lambda: [_densities()[name] for name in names]


CLOSED_FORM = [
    on("kl", "N(0, 1) to N(1, 1)", 0.5, _of("p", "moved")),
    on("kl", "N(0, 1) to N(0, 4)", math.log(2) - 3 / 8, _of("p", "wide")),
    on("kl", "N(0, 4) to N(0, 1)", 3 / 2 - math.log(2), _of("wide", "p")),
    on("jeffreys", "N(0, 1) and N(0, 4)", 9 / 8, _of("p", "wide")),
    on("frechet_gaussian", "N(0, I3), N(e1, 4 I3)", 4.0, _of("unit in 3", "other in 3")),
]

KERNELS = [
    on("mmd", "shift 1, d = 1, sigma = 1", 0.177268, _normals(2000, 1, 1), bandwidth=1.0),
    on("mmd", "shift 1, d = 10, sigma² = d", 0.032802, _normals(2000, 10, 1), bandwidth=10**0.5),
    on("mmd", "shift 1, d = 10, linear kernel", 1.0, _normals(2000, 10, 1), kernel="linear"),
    on("kid", "shift 1, d = 2", 4.625, _normals(2000, 2, 1)),
    on("kid", "N(0, I), N(0, 2 I), d = 8", 0.375, _normals(2000, 8, 0, 2**0.5)),
    on("energy", "shift 1, d = 1", 0.541807, _normals(2000, 1, 1)),
    on("energy", "shift 1, d = 5", 0.295673, _normals(2000, 5, 1)),
    on("energy", "shift 1, d = 10", 0.215863, _normals(2000, 10, 1)),
]


def _moved_by_one() -> Sequence[Tensor]:
    x = normal(500, 5, 0)
    return x, x + torch.eye(5).double()[0]


def _all_moved() -> Sequence[Tensor]:
    return normal(2000, 784, 0), normal(2000, 784, 1) + 1


def _squared_wasserstein_of_uniforms(seed: int) -> float:
    x, y = uniform(100, 2 * seed), uniform(100, 2 * seed + 1)
    return pm.sliced_wasserstein(x, y, permutations=1).value ** 2


TRANSPORT = [
    on("sliced_wasserstein", "shift 1, d = 10, W2", 10**-0.5, _normals(2000, 10, 1)),
    on("sliced_wasserstein", "shift 1, d = 10, W1", 0.258690, _normals(2000, 10, 1), p=1),
    # Two order statistics of n uniform numbers differ by 1 / (3 (n + 1)) in the mean square.
    _expected(
        "sliced_wasserstein",
        "U(0, 1) twice, W2², n = 100",
        1 / 303,
        _squared_wasserstein_of_uniforms,
        times=200,
    ),
    on("max_sliced_wasserstein", "shift 1, d = 10", 1.0, _normals(2000, 10, 1)),
    on("max_sliced_wasserstein", "shift 3, d = 784", 3.0, _normals(5000, 784, 3), short=0.05),
    on("max_sliced_wasserstein", "all of 784 pixels by 1", 28.0, _all_moved),
    on("sinkhorn", "x and x + e1, d = 5", 1.0, _moved_by_one, exact=1e-4),
    on("frechet", "N(0, I3), N(e1, 4 I3)", 4.0, _normals(5000, 3, 1, 2)),
    # (1/n + 1/m) (d + d (d + 1) / 4)
    _expected("frechet", "same, d = 3, n = 300", 6 * 2 / N, _without_difference("frechet", 3)),
]


def _wide_first() -> Sequence[Tensor]:
    return normal(5000, 1, 0, scale=2), normal(5000, 1, 1)


DIVERGENCES = [
    on("knn_kl", "N(0, 1) to N(1, 1)", 0.5, _normals(5000, 1, 1)),
    on("knn_kl", "N(0, 1) to N(0, 4)", math.log(2) - 3 / 8, _normals(5000, 1, 0, 2)),
    # It underestimates where the generated rows do not reach, and says so.
    on("knn_kl", "N(0, 4) to N(0, 1)", 3 / 2 - math.log(2), _wide_first, short=0.5),
    on("histogram_kl", "N(0, 1) to N(1, 1)", 0.5, _normals(20_000, 1, 1), short=BINNED),
    *(
        on("histogram_js", f"shift {shift:g}", truth, _normals(20_000, 1, shift), short=BINNED)
        for shift, truth in JS.items()
    ),
]


def _categories() -> Sequence[Tensor]:
    hot = torch.eye(10).double().repeat(100, 1)
    return hot, hot


SCORES = [
    on(
        "vendi", "20 orthogonal rows", 20.0, lambda: (torch.eye(20), torch.eye(20)), kernel="cosine"
    ),
    on("inception_score", "one-hot, uniform over 10", 10.0, _categories),
]


def _overlapping() -> Sequence[Tensor]:
    return uniform(2000, 0), uniform(2000, 1, high=2)


def _half_far_away() -> Sequence[Tensor]:
    y = normal(2000, 2, 1)
    y[:1000] += 1e6
    return normal(2000, 2, 0), y


def _half_copies(d: int) -> Samples:
    """Return held-out rows, and generated ones of which half are training rows (seed 2)."""
    return lambda: (normal(2000, d, 0), torch.cat([normal(2000, d, 2)[:1000], normal(1000, d, 1)]))


def _near_copies() -> Sequence[Tensor]:
    return normal(N, 2, 0), normal(N, 2, 2) + 1e-9 * normal(N, 2, 1)


def _met() -> float:
    """Return the null of coverage: of n rows one lies nearer than the k-th of n - 1 others."""
    return 1 - math.prod((N - 1 - i) / (2 * N - 1 - i) for i in range(K))


PRDC = {"splits": 0, "resamples": 0}
# A row and its nearest one are each other's nearest, in two dimensions with this probability: the
# area of a disc by that of two discs of radius 1 at distance 1 (Clark & Evans 1955).
MUTUAL = 6 * math.pi / (8 * math.pi + 3 * 3**0.5)

NEIGHBOURS = [
    on("precision", "U(0, 1) and U(0, 2)", 0.5, _overlapping),
    on("recall", "U(0, 1) and U(0, 2)", 1.0, _overlapping),
    _expected("density", f"same, d = 5, n = {N}", 1.0, _without_difference("density", 5, **PRDC)),
    _expected(
        "coverage", f"same, d = 5, n = {N}", _met(), _without_difference("coverage", 5, **PRDC)
    ),
    on("clipped_density", "half far away, d = 2", 0.5, _half_far_away),
    on("clipped_coverage", "half far away, d = 2", 0.5, _half_far_away),
    _expected("authenticity", "same, d = 2", 1 - MUTUAL, _without_difference("authenticity", 2)),
    on("closest_record", "same, d = 5", 0.5, _normals(2000, 5), train=normal(2000, 5, 2)),
    # Every copy is nearer to its original, and of the others half are by chance.
    on("closest_record", "half copies, d = 5", 0.75, _half_copies(5), train=normal(2000, 5, 2)),
    on(
        "membership_inference",
        "half of the training rows copied, d = 5",
        0.75,
        _half_copies(5),
        train=normal(2000, 5, 2),
    ),
    on("exact_matches", "half copies, d = 5", 0.5, _half_copies(5), train=normal(2000, 5, 2)),
    _expected(
        "memorisation", "same, d = 2", 0.0, _without_difference("memorisation", 2, resamples=2)
    ),
    # All n distances are smaller than all n held-out ones: U = 0.
    on(
        "memorisation",
        "copies, d = 2, one cell",
        -((3 * N * N / (2 * N + 1)) ** 0.5),
        _near_copies,
        train=normal(N, 2, 2),
        cells=1,
        exact=1e-9,
    ),
    # A row's own sample has one other row less.
    _expected(
        "nearest_neighbour_test",
        f"same, d = 5, n = {N}",
        (N - 1) / (2 * N - 1),
        _without_difference("nearest_neighbour_test", 5, permutations=1),
    ),
]


def _bits() -> Sequence[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [(rng.random((4000, 1)) < share).astype(float) for share in (0.3, 0.7)]


BY_XGBOOST = on(
    "classifier_test",
    "bits of 0.3 and 0.7, AUC, XGBoost, 3 folds",
    0.7**2 + 0.7 * 0.3,  # one is larger, or both are the same: half of 2 (0.7 * 0.3)
    _bits,
    part="auc",
    classifier="xgboost",
    folds=3,
)

LEARNED = [
    on(
        "classifier_test",
        "shift 1, accuracy",
        ACCURACY,
        _normals(5000, 1, 1),
        classifier="logistic",
    ),
    on(
        "classifier_test",
        "shift 1, AUC",
        AREA,
        _normals(5000, 1, 1),
        part="auc",
        classifier="logistic",
    ),
    on(
        "classifier_test",
        "shift 1, AUC, 3 folds",
        AREA,
        _normals(5000, 1, 1),
        part="auc",
        classifier="logistic",
        folds=3,
    ),
    *([BY_XGBOOST] if find_spec("xgboost") else []),
    on(
        "classifier_test",
        "N(0, 1), N(0, 4)",
        SCALED_ACCURACY,
        _normals(5000, 1, 0, 2),
        classifier="network",
    ),
    *(
        on(
            "jensen_shannon",
            f"shift {shift:g}",
            truth,
            _normals(5000 if shift >= 1 else 10_000, 1, shift),  # half of 0.03 is to be told
            short=SHORT,
            limit=None,
        )
        for shift, truth in JS.items()
    ),
    *(
        on("f_divergence", case, truth, samples, short=SHORT, limit=None, divergence=divergence)
        for case, truth, samples, divergence in (
            ("KL, N(0, 1) to N(1, 1)", 0.5, _normals(5000, 1, 1), "kl"),
            ("KL, N(0, 1) to N(0, 4)", math.log(2) - 3 / 8, _normals(5000, 1, 0, 2), "kl"),
            ("reverse KL, the same", 3 / 2 - math.log(2), _normals(5000, 1, 0, 2), "reverse_kl"),
        )
    ),
    on("wasserstein_critic", "shift 1, d = 5", 1.0, _normals(2000, 5, 1), short=SHORT),
]


def _linear(measure: str) -> Check:
    """Return a check of a bound of log p(x) on a linear-Gaussian decoder, where it is exact."""
    rng = torch.Generator().manual_seed(0)
    weights, noise = torch.randn(2, 10, generator=rng).double(), 0.5
    rows = normal(50, 2, 0) @ weights + noise * normal(50, 10, 1)
    marginal = MultivariateNormal(
        torch.zeros(10).double(), weights.mT @ weights + noise**2 * torch.eye(10).double()
    )

    def estimate() -> Estimate:
        decoder = pm.LatentDecoder(lambda z: z @ weights, 2, dtype=torch.float64)
        measurement = getattr(pm, measure)(decoder, rows, sigma=noise, seed=0)
        error = 1.96 * measurement.extra["monte_carlo_error"]
        return Estimate(measurement.value, measurement.value - error, measurement.value + error)

    truth = float(marginal.log_prob(rows).mean())
    return Check(measure, "x = W z + noise, 2 to 10 dimensions", truth, estimate)


LIKELIHOOD = [_linear("importance_bound"), _linear("annealed_importance")]

# One draw at 0 for each x from N(0, 1), the points r from N(0, 1.01): |P(|r| < |x - r|) - 1/2|,
# where |r| < |x - r| says that x and x - 2 r have one sign.
AT_THE_MEAN = math.asin(1 / math.sqrt(1 + 4 * 1.01)) / math.pi
CONDITIONAL = [
    on(
        "tarp",
        "N(0, 1), and each draw at its mean",
        AT_THE_MEAN,
        lambda: (normal(5000, 1, 0), torch.zeros(5000, 1)),
    )
]

OF_ROWS: tuple[Check, ...] = (
    *CLOSED_FORM,
    *KERNELS,
    *TRANSPORT,
    *DIVERGENCES,
    *SCORES,
    *NEIGHBOURS,
    *LEARNED,
    *LIKELIHOOD,
    *CONDITIONAL,
)
