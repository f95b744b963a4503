"""Divergences and distances learned by a critic: lower bounds, on rows that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError, nearest
from pushforward.measures._inputs import FeatureFunction, require_at_least
from pushforward.measures._intervals import permutation_test
from pushforward.measures.learned import _lattice, _ratio
from pushforward.measures.learned._split import Split, split, witness
from pushforward.measures.learned._variational import BOUNDS, DIFFERENCE, F_GAN, Bound
from pushforward.measures.measurement import Measurement

Divergence = Literal["kl", "reverse_kl", "js", "chi2", "hellinger", "total_variation"]
TRAINING_SHARE = 0.7  # of the rows, for training and validation
WARN_SHARE = 0.7  # of the largest value that a bound of KL can show: above it the reading warns


def jensen_shannon(
    x: Any,
    y: Any,
    *,
    permutations: int = 499,
    limit: int | None = 5000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Jensen-Shannon divergence in nats, a lower bound: how well a critic separates the samples.

    $$\log 2 + \tfrac12 E_x \log s(x) + \tfrac12 E_y \log(1 - s(y))$$

    with the critic's probability s that a row is real; it is the divergence itself for s = p/(p+q),
    and less for every other s. It lies between 0 and log 2 = 0.693. The critic is the mean of four
    small networks, trained on 70 % of the rows (each on three quarters of these, with the rest for
    early stopping); the value is from the other 30 %.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        permutations: number of random permutations of the test rows, for the p-value.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the split, the critic, permutations and left-out rows.

    Returns:
        The bound on the test rows. The interval is for this critic's own bound, its expectation
        over new rows: it covers the test rows, not the training. The p-value is from permuting the
        labels of the test rows for the fixed critic. `extra["witness"]` has the indices, in x
        (`real`) and in y (`generated`), of the ten test rows of each sample that the critic is most
        certain about.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, different widths, NaN or infinity.

    Sees:
        every difference that a small network learns from these rows: shifts, scales and dependences
        of columns. Unlike KL, it is finite and well estimated for samples that do not overlap.

    Misses:
        what takes more rows to learn: the value is a lower bound, and 0 does not prove equality. Of
        the 0.111 between N(0, I) and N(e1, I), it shows about 0.096 with 500 rows, 0.105 with 2,000
        and 0.108 with 5,000 in 10 dimensions, and hardly 0.005 with 5,000 rows in 784. Copies of
        one row within a sample may lie on both sides of the split and be memorised.

    Null:
        At most 0, and a little below it: without a difference, whatever the critic learned is
        wrong.

    Cost:
        O((n + m) d) for each of up to 500 steps of 256 rows a side; 0.3 to 1.4 seconds of one core
        for n = m = 2000, d = 10. The permutations take permutations (n + m) numbers.

    Reference:
        Goodfellow et al. 2014, "Generative adversarial nets"; Nowozin, Cseke & Tomioka 2016,
        "f-GAN: training generative neural samplers using variational divergence minimization".
    """
    require_at_least(0, permutations=permutations)
    evaluated = ratio_critic(x, y, F_GAN["js"], limit, features, seed)
    return evaluated.measurement("jensen_shannon", permutations, seed)


def f_divergence(
    x: Any,
    y: Any,
    *,
    divergence: Divergence = "kl",
    bound: Literal["dv", "nwj", "f-gan"] = "f-gan",
    permutations: int = 499,
    limit: int | None = 5000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""An f-divergence, as a variational lower bound with a learned critic.

    $$E_q f(p/q) \ge E_x T(x) - E_y f^*(T(y))$$

    for every T, with equality at T = f'(p/q); p is the density of x, q that of y, and f* the convex
    conjugate. The critic of `jensen_shannon` estimates log p/q, and T follows from it. The
    Donsker-Varadhan bound, for KL only, is at least as tight for the same u = log p/q:

    $$KL(p, q) \ge E_x u(x) - \log E_y e^{u(y)}$$

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        divergence: `"kl"`, KL(p, q); `"reverse_kl"`, KL(q, p); `"js"`; `"chi2"`, Pearson's
            E_q (p/q - 1)^2; `"hellinger"`, the squared one, 1 - E_q sqrt(p/q);
            `"total_variation"`, E_q |p/q - 1| / 2. KL and JS are in nats.
        bound: `"f-gan"`, for all of them; for KL also `"dv"` (Donsker-Varadhan) and `"nwj"`
            (Nguyen, Wainwright & Jordan), an older name of the f-GAN bound of KL.
        permutations: number of random permutations of the test rows, for the p-value.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the split, the critic, permutations and left-out rows.

    Returns:
        The bound on the test rows; interval, p-value and witness are as for `jensen_shannon`. The
        log-ratio is clipped to +-`extra["ratio_limit"]`, so that no row's term outweighs the number
        t of test rows (log t for KL, and half of it for Donsker-Varadhan, where only differences of
        log-ratios count). With t rows, larger ratios cannot be estimated, and the interval would
        not hold.

    Raises:
        MeasureError: for an unknown divergence or bound, a bound that the divergence does not have,
            fewer than 20 rows of a sample, different widths, NaN or infinity.

    Sees:
        what `jensen_shannon` sees; KL and chi2 give most weight to regions where generated rows are
        missing, and reverse KL to those with generated rows and no real ones.

    Misses:
        large divergences. The variance of a bound of KL grows with exp(KL), and no bound from t
        test rows can show more than about log t (the reading warns near it): for samples with
        little overlap use `jensen_shannon`, `hellinger` or `total_variation`, which are bounded.
        The Donsker-Varadhan bound is biased upwards on the test rows, because it contains the
        logarithm of a mean.

    Null:
        At most 0, and a little below it, as for `jensen_shannon`.

    Cost:
        as for `jensen_shannon`.

    Reference:
        Donsker & Varadhan 1983; Nguyen, Wainwright & Jordan 2010, "Estimating divergence
        functionals and the likelihood ratio by convex risk minimization"; Nowozin et al. 2016,
        "f-GAN"; for the limits Song & Ermon 2020, "Understanding the limitations of variational
        mutual information estimators", and McAllester & Stratos 2020, "Formal limitations on the
        measurement of mutual information".
    """
    require_at_least(0, permutations=permutations)
    evaluated = ratio_critic(x, y, _bound(divergence, bound), limit, features, seed)
    extra = {"divergence": divergence, "bound": bound}
    return evaluated.measurement("f_divergence", permutations, seed, extra)


def wasserstein_critic(
    x: Any,
    y: Any,
    *,
    permutations: int = 499,
    limit: int | None = 5000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Wasserstein-1 distance, as a lower bound by a critic that is certified to be 1-Lipschitz.

    $$W_1(p, q) \ge E_x f(x) - E_y f(y), \quad |f(a) - f(b)| \le |a - b|$$

    with equality for the best such f (Kantorovich and Rubinstein). The critic is the mean of four
    lattices (maxima over minima of planes and cones), whose Lipschitz constant is computed in
    float64 and divided out. The first candidate is the best linear critic, so a pure shift by delta
    gives |delta|.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        permutations: number of random permutations of the test rows, for the p-value.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the split, the critic, permutations and left-out rows.

    Returns:
        The bound on the test rows, in units of the data; interval, p-value and witness are as for
        `jensen_shannon`. `extra["lipschitz"]` is the certified constant before the division, and
        `extra["gradient"]` the longest gradient on the test rows after it.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, different widths, NaN or infinity.

    Sees:
        how far mass has to move, in all columns together. Unlike the plug-in distance between two
        samples, it is not biased upwards in many dimensions.

    Misses:
        small differences in shape, and differences in columns with small values next to columns
        with large ones: standardise the columns. The value is a lower bound.

    Null:
        0: without a difference every critic gives 0 in expectation, whatever it learned.

    Cost:
        as for `jensen_shannon`, O((n + m) d) a step; 0.2 to 1.4 seconds of one core for n = m =
        2000, d = 10.

    Reference:
        Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN"; for lattices of Lipschitz functions
        Anil, Lucas & Grosse 2019, "Sorting out Lipschitz function approximation", and Sill 1997,
        "Monotonic networks".
    """
    require_at_least(0, permutations=permutations)
    evaluated, extra = lattice_critic(x, y, limit, features, seed)
    return evaluated.measurement("wasserstein_critic", permutations, seed, extra)


@dataclass(frozen=True)
class EvaluatedCritic:
    """A trained critic and its values on the test rows.

    Args:
        bound: what the values mean.
        both: the split samples.
        critic: rows (n, d) -> its values (n,), float64.
        ratio_limit: where log-ratios are clipped; None where they are not.
    """

    bound: Bound
    both: Split
    critic: Callable[[Tensor], Tensor]
    ratio_limit: float | None = None

    def measurement(
        self, name: str, permutations: int, seed: int, extra: dict[str, Any] | None = None
    ) -> Measurement:
        """Return the bound on the test rows with its interval and p-value."""
        u_x, u_y = (self.critic(rows) for rows in self.both.test_rows())
        value = self.bound.value(u_x, u_y)
        low, high = self.bound.interval(u_x, u_y)
        rng = torch.Generator().manual_seed(seed)
        permuted = self.bound.permuted(u_x, u_y, permutations, rng)
        p_value, outcome = permutation_test(value, permuted.cpu().numpy())
        n, m = self.both.x.size, self.both.y.size
        return Measurement(
            name,
            value,
            low=low,
            high=high,
            covers="test rows, for this critic",
            null=0.0,
            p_value=p_value,
            n=n,
            m=m,
            unit=self.bound.unit,
            reading=outcome + self._limited(value),
            extra={
                **(extra or {}),
                "held_out": [len(u_x), len(u_y)],
                **({} if self.ratio_limit is None else {"ratio_limit": self.ratio_limit}),
                "witness": witness(self.both.x.test_index, self.both.y.test_index, u_x, u_y),
                **self.both.extra,
            },
        )

    def _limited(self, value: float) -> str:
        limit = math.log(min(len(self.both.x.test_index), len(self.both.y.test_index)))
        if self.ratio_limit is None or self.bound.unit != "nats" or value < WARN_SHARE * limit:
            return ""
        return (
            f"; so few test rows cannot show more than about {limit:.1f} nats, and the variance "
            "grows with exp(KL): use jensen_shannon"
        )


def ratio_critic(
    x: Any, y: Any, bound: Bound, limit: int | None, features: FeatureFunction | None, seed: int
) -> EvaluatedCritic:
    """Return a critic that estimates log p/q, clipped to what the test rows can show."""
    rng = torch.Generator().manual_seed(seed)
    both = split(x, y, share=TRAINING_SHARE, limit=limit, features=features, generator=rng)
    ratio, scaler = _ratio.fit_ratio(*both.training_rows(), rng)
    ratio_limit = bound.ratio_limit(min(len(both.x.test_index), len(both.y.test_index)))

    def critic(rows: Tensor) -> Tensor:
        return ratio.mean(scaler(rows)).clamp(-ratio_limit, ratio_limit)

    return EvaluatedCritic(bound, both, critic, ratio_limit if bound.growth else None)


def lattice_critic(
    x: Any, y: Any, limit: int | None, features: FeatureFunction | None, seed: int
) -> tuple[EvaluatedCritic, dict[str, float]]:
    """Return a 1-Lipschitz critic, and its certified constant and steepest gradient."""
    rng = torch.Generator().manual_seed(seed)
    both = split(x, y, share=TRAINING_SHARE, limit=limit, features=features, generator=rng)
    lattice, scaler = _lattice.fit_lattice(*both.training_rows(), rng)
    constant = lattice.lipschitz()
    steepest = max(lattice.steepest(scaler(rows)) for rows in both.test_rows())

    def critic(rows: Tensor) -> Tensor:
        return lattice.mean(scaler(rows)) * (scaler.unit / constant)

    extra = {"lipschitz": constant, "gradient": steepest / constant}
    return EvaluatedCritic(DIFFERENCE, both, critic), extra


def _bound(divergence: str, bound: str) -> Bound:
    if bound not in BOUNDS:
        raise MeasureError(f"unknown bound {bound!r}; {nearest(bound, BOUNDS)}")
    if divergence not in F_GAN:
        raise MeasureError(f"unknown divergence {divergence!r}; {nearest(divergence, F_GAN)}")
    if divergence not in BOUNDS[bound]:
        raise MeasureError(
            f"the bound {bound!r} is for KL only, and the divergence is {divergence!r}; use "
            "bound='f-gan', or exchange the samples for KL the other way"
        )
    return BOUNDS[bound][divergence]
