"""Membership inference: do the generated rows reveal which real rows were trained on?"""

from __future__ import annotations

import math
import sys
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import FeatureFunction, Pair, require_at_least
from pushforward.measures._intervals import share_interval
from pushforward.measures._roc import roc_area
from pushforward.measures.measurement import Measurement
from pushforward.measures.neighbours._copying import mann_whitney_z
from pushforward.measures.neighbours._shared import with_training
from pushforward.measures.privacy import _attacks

MIN_ROWS = 20  # of each sample: half to choose the attack, half to test it
FALSE_POSITIVE_RATES = {"1 %": 0.01, "10 %": 0.1}


def membership_inference(
    x: Any,
    y: Any,
    *,
    train: Any,
    k: int = 5,
    chunk: int | None = None,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Membership inference: how well an attack distinguishes training rows from new rows.

    $$\frac{1}{c^2} \sum_{i, j} \left(1[s(t_i) > s(x_j)] + \tfrac12 1[s(t_i) = s(x_j)]\right)$$

    the area under the ROC curve of an attack's score s, over c training and c held-out rows. The
    attacker has the generated rows. Of five attacks, the strongest on one half of these candidates
    is tested on the other half, so that the choice does not bias the value: the distance d_1 to the
    nearest generated row, the mean distance to the k nearest, the number of generated rows within
    the median of d_1, and two that use the distances r to other real rows, which are not
    candidates: r_1 against d_1, and the densities r_k against d_k.

    Args:
        x: held-out real rows, which the generator has not seen (n, ...).
        y: the generated sample (m, ...).
        train: the training sample (l, ...). Training and held-out rows are candidates in equal
            numbers; the rows left over, here or in x, are the other real rows. With fewer than 20
            of these, the two attacks that need them are left out.
        k: neighbours.
        chunk: rows whose distances are computed at once; None for as many as fit a CPU's cache.
        limit: maximum rows of each sample, twice as many of the training sample (None: all); the
            rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the candidates, their halves, and left-out rows.

    Returns:
        An area between 0 and 1; 1/2 is guessing. The interval covers the candidates, for this
        attack and these generated rows: Wilson's, with DeLong's variance. The one-sided p-value is
        for "no better than guessing", by the Mann-Whitney test. `extra` has the `attack`, the areas
        of all attacks on the first half (`attacks`), the numbers of candidates and of other real
        rows (`candidates`, `reference`), and the `true_positive_rate` at 1 % and 10 % of false
        positives.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, more neighbours than generated rows,
            different widths, NaN or infinity, and k or chunk below 1.

    Sees:
        copies, near copies and higher densities at training rows. If a share s of the training rows
        is copied and the others leave no trace, the area is (1 + s) / 2.

    Misses:
        what stronger attacks would find, which train their own models or see the weights. An
        average over all rows hides a few rows that are easy to identify; look at
        `true_positive_rate`. Held-out rows from another distribution than the training rows (say, a
        later month) look new, whatever the generator did.

    Null:
        1/2.

    Cost:
        O((n + l) m d) time and O(chunk m) memory; 2 s on one core at n = m = 10,000, l = 20,000
        and d = 64.

    Reference:
        Hilprecht, Härterich & Bernau 2019, "Monte Carlo and reconstruction membership inference
        attacks against generative models"; Chen et al. 2020, "GAN-Leaks"; van Breugel et al. 2023,
        "Membership inference attacks against synthetic data through overfitting detection"; for
        true positive rates at low false positive rates Carlini et al. 2022, "Membership inference
        attacks from first principles".
    """
    require_at_least(1, k=k, chunk=chunk)
    both, rows, _ = with_training(
        x, y, train, min_rows=MIN_ROWS, limit=limit, features=features, seed=seed, times=2
    )
    if k > both.m:
        raise MeasureError(f"k must be at most the {both.m} generated rows, and is {k}")
    size = min(both.n, len(rows))
    candidates, reference = _drawn(rows, both, size, k, torch.Generator().manual_seed(seed))
    scores = _attacks.attacks(candidates, both.y, reference, k, chunk)
    selected = _attacks.select_attack(scores, size)
    area, variance = roc_area(selected.others, selected.members)
    low, high = share_interval(area, variance, 2 * len(selected.members))
    p_value = _p_value(selected)
    rates = {name: selected.true_positive_rate(rate) for name, rate in FALSE_POSITIVE_RATES.items()}
    return Measurement(
        "membership_inference",
        area,
        low=low,
        high=high,
        covers="candidates, for this attack and these generated rows",
        null=0.5,
        p_value=p_value,
        n=both.n,
        m=both.m,
        better="null",
        unit="AUC",
        reading=_reading(p_value, selected.attack, rates["10 %"]),
        extra={
            "attack": selected.attack,
            "attacks": selected.areas,
            "true_positive_rate": rates,
            "candidates": {"training": size, "held_out": size},
            "reference": 0 if reference is None else len(reference),
            **both.extra,
        },
    )


def _drawn(
    rows: Tensor, both: Pair, size: int, k: int, rng: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Return the candidates (`size` training rows, `size` held-out ones) and the reference."""
    (members, more), (new, others) = (_split(side, size, rng) for side in (rows, both.x))
    left_over = (more if len(more) else others)[: both.m]
    return torch.cat([members, new]), left_over if len(left_over) >= max(MIN_ROWS, k) else None


def _split(rows: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return `size` of the rows at random, and the others, in random order."""
    order = torch.randperm(len(rows), generator=rng).to(rows.device)
    return rows[order[:size]], rows[order[size:]]


def _p_value(selected: _attacks.SelectedAttack) -> float:
    """Return the one-sided p-value of the Mann-Whitney test, which is never 0."""
    score = mann_whitney_z(selected.others, selected.members)
    return max(math.erfc(score / math.sqrt(2)) / 2, sys.float_info.min)


def _reading(p_value: float, attack: str, rate: float) -> str:
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    if p_value > 0.05:
        return f"no attack distinguishes training rows from new ones better than guessing ({p})"
    return (
        f"training rows are distinguished from new ones ({p}) by {attack}: {rate:.0%} of them are "
        "identified at a false positive rate of 10 %"
    )
