"""Membership inference: do the generated rows reveal which real rows were trained on?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import FeatureFunction, Pair, require_at_least
from pushforward.measures.measurement import Measurement
from pushforward.measures.neighbours._shared import with_training
from pushforward.measures.privacy import _attacks, _judging
from pushforward.measures.privacy._groups import groups

MIN_ROWS = 20  # of each sample: half to choose the attack, half to test it


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

    $$\frac{1}{c\, h} \sum_{i, j} \left(1[s(t_i) > s(x_j)] + \tfrac12 1[s(t_i) = s(x_j)]\right)$$

    the area under the ROC curve of an attack's score s, over c training and h held-out rows. The
    attacker has the generated rows. Of eight attacks, the strongest on one half of these candidates
    is tested on the other half, so that the choice does not bias the value. Three look at generated
    rows alone: the distance d_1 to the nearest, the mean distance to the k nearest, and their
    number within the median of d_1. Five compare them with other real rows, which are not
    candidates, at distances r: r_1 against d_1; the densities r_k against d_k; **Gen-LRA**,
    how much more likely the nearest generated row is if the candidate joins the k real rows around
    it; **DPI**, the share of generated rows among the 20 nearest of both; **LOGAN**, a network that
    learns to tell generated from other real rows.

    Args:
        x: held-out real rows, which the generator has not seen (n, ...).
        y: the generated sample (m, ...).
        train: the training sample (l, ...). Of the larger one of x and train, as many rows as it
            has more (at most m) are the other real rows; all rest are candidates. With fewer than
            20 other rows, the five attacks that need them are left out, and so are outliers.
        k: neighbours.
        chunk: rows whose distances are computed at once; None for as many as fit a CPU's cache.
        limit: maximum rows of each sample, twice as many of the training sample (None: all); the
            rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the candidates, their halves, LOGAN's network, and left-out rows.

    Returns:
        An area between 0 and 1; 1/2 is guessing. The interval covers the candidates, for this
        attack and these generated rows: Wilson's, with DeLong's variance.

        The one-sided p-value is for "no better than guessing", the smallest of up to four, times
        their number: the Mann-Whitney test of the value; the same within outliers and within rare
        groups; and the test of the `top`, which finds a few copies among many rows. It counts the
        training rows that any attack puts before all held-out rows but 0.1 % or 1 % of them, and
        compares the number with chance, by the hypergeometric distribution, over all candidates
        and corrected for all attacks.

        `extra` has the `attack`, the areas of all attacks on the first half (`attacks`), the
        numbers of candidates and of other real rows (`candidates`, `reference`), the
        `true_positive_rate` at false positive rates of 0.1 %, 1 % and 10 % (each by the attack that
        is strongest there on the first half) with the rates that `guessing` would have, the `top`
        with its `attack`, `found` training rows, `missed` held-out ones and `p_value`, and `apart`:
        the same area and rates within `outliers` (the 10 % of the candidates that are furthest from
        their nearest other real row) and within `rare groups` (candidates with a category that at
        most 1 % of them have), where 40 training and 40 held-out candidates are.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, more neighbours than generated rows,
            different widths, NaN or infinity, and k or chunk below 1.

    Sees:
        copies, near copies and higher densities at training rows, and of copies also a few: the
        test of the top finds them where the area does not. If a share s of the training rows is
        copied and the others leave no trace, the area is (1 + s) / 2, and the true positive rate is
        about s + (1 - s) f at a false positive rate f.

    Misses:
        what stronger attacks would find, which train their own models, ask for many samples, or see
        the weights. Persons who are few and no outliers: an average, even one over the top, says
        nothing about one row. A true positive rate at 0.1 % rests on a thousandth of the held-out
        rows, of which half is used: below 2,000 of them it tells little, and `guessing` says how
        little. Held-out rows from another distribution than the training rows (say, a later month)
        look new, whatever the generator did.

    Null:
        1/2.

    Cost:
        O((n + l) m d) time and O(chunk m) memory, and one fit of a network; 6 s on one core at
        n = m = 10,000, l = 20,000 and d = 64.

    Reference:
        Hilprecht, Härterich & Bernau 2019, "Monte Carlo and reconstruction membership inference
        attacks against generative models"; Chen et al. 2020, "GAN-Leaks"; van Breugel et al. 2023,
        "Membership inference attacks against synthetic data through overfitting detection"; Hayes
        et al. 2019, "LOGAN"; Ward, Wang & Cheng 2024, "Data plagiarism index", and 2025, "Privacy
        auditing synthetic data release through local likelihood attacks" (Gen-LRA); for true
        positive rates at low false positive rates Carlini et al. 2022, "Membership inference
        attacks from first principles"; for outliers Meeus et al. 2023, "Achilles' heels".
    """
    require_at_least(1, k=k, chunk=chunk)
    both, rows, _ = with_training(
        x, y, train, min_rows=MIN_ROWS, limit=limit, features=features, seed=seed, times=2
    )
    if k > both.m:
        raise MeasureError(f"k must be at most the {both.m} generated rows, and is {k}")
    members, new, reference = _drawn(rows, both, k, torch.Generator().manual_seed(seed))
    candidates, size = torch.cat([members, new]), len(members)
    scores = _attacks.attacks(candidates, both.y, reference, k, chunk, seed)
    selected, top = _judging.select_attack(scores, size), _judging.top(scores, size)
    apart = _judging.judged_apart(scores, size, groups(candidates, reference, chunk))
    p_values = [selected.p_value, top.p_value, *(own.p_value for own in apart.values())]
    p_value = min(1.0, len(p_values) * min(p_values))
    area, low, high = selected.area
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
        reading=_reading(p_value, len(p_values), selected, top, apart),
        extra={
            "attack": selected.attack,
            "attacks": selected.areas,
            "true_positive_rate": selected.rates,
            "guessing": selected.guessed,
            "top": asdict(top),
            "apart": {name: own.to_json() for name, own in apart.items()},
            "candidates": {"training": size, "held_out": len(new)},
            "reference": 0 if reference is None else len(reference),
            **both.extra,
        },
    )


def _drawn(
    rows: Tensor, both: Pair, k: int, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the candidates (training rows and held-out ones) and the reference."""
    members, new = (
        side[torch.randperm(len(side), generator=rng).to(side.device)] for side in (rows, both.x)
    )
    size = min(both.m, abs(len(members) - len(new)))
    if size < max(MIN_ROWS, k):
        return members, new, None
    if len(members) > len(new):
        return members[:-size], new, members[-size:]
    return members, new[:-size], new[-size:]


def _reading(
    p_value: float,
    tests: int,
    selected: _judging.SelectedAttack,
    top: _judging.Top,
    apart: dict[str, _judging.SelectedAttack],
) -> str:
    """Say what the strongest finding is: of all rows, of outliers and rare groups, of the top."""
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    if p_value > 0.05:
        return f"no attack distinguishes training rows from new ones better than guessing ({p})"
    if tests * selected.p_value <= 0.05:
        return f"training rows are distinguished from new ones ({p}) by {_found(selected)}"
    if tests * top.p_value <= 0.05:
        return (
            f"a few training rows are identified ({p}) by {top.attack}: {top.found} come before "
            f"all held-out rows but {top.missed}"
        )
    group, own = min(apart.items(), key=lambda item: item[1].p_value)
    return f"among {group}, training rows are distinguished from new ones ({p}) by {_found(own)}"


def _found(selected: _judging.SelectedAttack) -> str:
    return (
        f"{selected.attack}: {selected.rates['10 %']:.0%} of them are identified at a false "
        "positive rate of 10 %"
    )
