r"""How two models differ by one aspect, and how sure that is: over other seeds and other test rows.

A mean loss over S seeds has the variance $s^2 / S$ of the seeds, which two models do not share. The
test rows are the same for both: with K draws $a_k, b_k$ of the error that they bring to either mean
(`Losses.row_noise`), the difference has by them the variance $\frac1K \sum_k (a_k - b_k)^2$, which
no number of seeds makes smaller. The sum of these variances V has, by Welch and Satterthwaite,

$$\nu = V^2 \Big/ \sum_i v_i^2 / \nu_i$$

degrees of freedom. A difference d is tested against the smallest one that matters, delta:

$$p = P(T_\nu > (|d| - \delta) / \sqrt V) + P(T_\nu > (|d| + \delta) / \sqrt V)$$

the largest probability, over true differences from -delta to delta, of one as large as |d|. All
p-values of a comparison, over aspects and pairs of models, are corrected together by Holm's method:
where nothing differs by more than delta, the chance of any false claim is at most 5 %.

References:
    Welch 1947, "The generalization of Student's problem when several different population variances
    are involved"; Holm 1979, "A simple sequentially rejective multiple test procedure".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import ndtri, stdtr, stdtrit

from pushforward.comparison.losses import Losses

LEVEL = 0.95
POWER = 0.8
MATTERS = 0.02  # the smallest difference that matters, in units of floor to ceiling
MANY_SEEDS = 100  # more are not advised


@dataclass(frozen=True)
class Variance:
    """A variance, and the degrees of freedom of its estimate."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Contrast:
    """A difference of mean losses with its variances.

    Args:
        mean: of the first model minus of the second.
        spreads: the variance of one seed's loss, of either model; not yet divided by the seeds.
        seeds: of either model.
        rows: the variances by the chance of the test rows.
    """

    mean: float
    spreads: tuple[Variance, ...]
    seeds: tuple[int, ...]
    rows: tuple[Variance, ...]

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(_total(self._parts()))

    @property
    def freedom(self) -> float:
        """The degrees of freedom of the standard error."""
        return _freedom(self._parts())

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the confidence interval of the difference."""
        half = _quantile(0.5 + level / 2, self.freedom) * self.error
        return self.mean - half, self.mean + half

    def p_value(self, matters: float = MATTERS) -> float:
        """Return the p-value of "no difference of more than `matters`"."""
        difference, error = abs(self.mean), self.error
        if error == 0:
            return 0.0 if difference > matters else 1.0
        tails = [(difference - matters) / error, (difference + matters) / error]
        return min(1.0, sum(float(stdtr(self.freedom, -tail)) for tail in tails))

    def detectable(self, seeds: int, matters: float = MATTERS, claims: int = 1) -> float:
        """Return the smallest difference that so many seeds show in 80 % of cases.

        Args:
            seeds: of each model.
            matters: the smallest difference that matters.
            claims: how many differences are tested; the first must pass Bonferroni's level.
        """
        parts = list(self._parts(seeds))
        freedom = _freedom(parts)
        level = 1 - (1 - LEVEL) / (2 * claims)
        steps = _quantile(level, freedom) + _quantile(POWER, freedom)
        return matters + steps * math.sqrt(_total(parts))

    def seeds_needed(self, matters: float = MATTERS, claims: int = 1) -> int | None:
        """Return how many seeds would show a difference as large as this one in 80 % of cases.

        None where 100 would not.
        """
        tried = range(2, MANY_SEEDS + 1)
        enough = (s for s in tried if self.detectable(s, matters, claims) <= abs(self.mean))
        return next(enough, None)

    def _parts(self, seeds: int | None = None) -> Iterator[Variance]:
        """Yield the parts of the variance of the mean, for other numbers of seeds if given."""
        for spread, own in zip(self.spreads, self.seeds, strict=True):
            n = seeds or own
            yield Variance(spread.value / n, spread.freedom if seeds is None else n - 1)
        yield from self.rows


def contrast(first: Losses, second: Losses) -> Contrast:
    """Return the difference of two models' losses; each needs at least two seeds."""
    both = (first, second)
    return Contrast(
        first.mean - second.mean,
        tuple(Variance(variance(own.by_seed), len(own.by_seed) - 1) for own in both),
        tuple(len(own.by_seed) for own in both),
        tuple(_row_variances(first, second)),
    )


def mean_interval(losses: Losses) -> tuple[float, float] | None:
    """Return the 95 % interval of one model's mean loss.

    None for fewer than two seeds, and where nothing is known of the noise of the rows.
    """
    if len(losses.by_seed) < 2 or math.isinf(losses.row_variance):
        return None
    by_seeds = Variance(variance(losses.by_seed), len(losses.by_seed) - 1)
    rows = tuple(_row_variances(losses, Losses(losses.by_seed)))
    return Contrast(losses.mean, (by_seeds,), (len(losses.by_seed),), rows).interval()


def _row_variances(first: Losses, second: Losses) -> Iterator[Variance]:
    """Yield the variances that the test rows bring to a difference; 0 for what has no draws."""
    draws = max(len(first.row_noise), len(second.row_noise))
    if draws:
        a, b = (own.row_noise or (0.0,) * draws for own in (first, second))
        yield Variance(fmean((x - y) ** 2 for x, y in zip(a, b, strict=True)), draws)
    yield Variance(first.row_variance + second.row_variance, math.inf)


def _total(parts: Sequence[Variance] | Iterator[Variance]) -> float:
    return sum(part.value for part in parts)


def _freedom(parts: Sequence[Variance] | Iterator[Variance]) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of estimated variances."""
    listed = list(parts)
    squares = sum(part.value**2 / part.freedom for part in listed)
    return _total(listed) ** 2 / squares if squares > 0 else math.inf


def _quantile(level: float, freedom: float) -> float:
    return float(ndtri(level) if math.isinf(freedom) else stdtrit(freedom, level))
