"""Measures that look for copies of training rows among the generated ones.

To a measure that compares distributions, copies look perfect. These three compare generated rows
with new real ones: with the other rows of the training sample (`authenticity`), or with held-out
rows, which the generator has not seen (`closest_record`, `memorisation`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.measures import _search
from pushforward.measures._inputs import FeatureFunction, require_at_least, subsample
from pushforward.measures._intervals import (
    Z,
    normal_interval,
    permutation_p,
    share_interval,
    wilson,
)
from pushforward.measures.measurement import Measurement
from pushforward.measures.neighbours import _copying
from pushforward.measures.neighbours._shared import distances, with_training


def authenticity(
    x: Any,
    y: Any,
    *,
    train: Any,
    chunk: int | None = None,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Share of the generated rows that are not near copies of a training row.

    $$\frac1m \sum_j 1\left[|y_j - t_{i(j)}| > \min_{l \ne i(j)} |t_l - t_{i(j)}|\right],
    \quad i(j) = \mathrm{argmin}_i\, |y_j - t_i|$$

    A generated row is authentic if it lies further from its nearest training row than that row lies
    from its own nearest other training row. At equal distances it is not authentic, so copies of a
    row that occurs twice count as copies.

    Args:
        x: held-out real rows (n, ...), as for the other measures of copies; the value and the null
            do not depend on them.
        y: the generated sample (m, ...).
        train: the training sample (l, ...).
        chunk: rows whose distances are computed at once; None for as many as fit a CPU's cache.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of left-out rows.

    Returns:
        A share, with Wilson's interval: for the generator's share, given the training rows.

    Raises:
        MeasureError: for fewer than 3 rows of a sample, different widths, NaN or infinity, and
            chunk below 1.

    Sees:
        exact copies, and copies with noise that is small compared with the distances in the data.

    Misses:
        copies in dense regions, which it cannot distinguish from new rows. In sparse regions,
        almost every row near an outlier counts as a copy. As it does not look at held-out rows, all
        rests on the null. Rows far from the data count as authentic.

    Null:
        the same of the training rows among each other: 1 minus the share of rows that are their
        nearest neighbour's nearest neighbour; about 1/3 on a line and 0.38 in the plane.

    Cost:
        O(l (l + m) d) time and O(chunk l) memory; 0.7 s on one core at l = m = 10,000 and d = 64.

    Reference:
        Alaa et al. 2022, "How faithful is your synthetic data? Sample-level metrics for evaluating
        and auditing generative models"; for the null Henze 1987, "On the fraction of random points
        with specified nearest-neighbour interrelations".
    """
    require_at_least(1, chunk=chunk)
    both, rows, _ = with_training(
        x, y, train, min_rows=3, limit=limit, features=features, seed=seed
    )
    among = _search.nearest(rows, rows, 1, chunk=chunk, itself=True)
    to_training = _search.nearest(both.y, rows, 1, chunk=chunk)
    own, neighbour = among.squared[:, 0], among.index[:, 0]
    distance, nearest = to_training.squared[:, 0], to_training.index[:, 0]
    copied, paired = distance <= own[nearest], own <= own[neighbour]
    value, null = 1 - _mean(copied), 1 - _mean(paired)
    low, high = wilson(value, both.m)
    half = _half_width_of_difference((copied, nearest), (paired, neighbour))
    return Measurement(
        "authenticity",
        value,
        low=low,
        high=high,
        covers="generated rows, for this training sample",
        null=null,
        n=both.n,
        m=both.m,
        better="null",
        unit="share",
        reading=_copies(value, null, half),
        extra={
            "exact_copies": _mean(distance == 0),
            "training_rows": len(rows),
            **both.extra,
        },
    )


def closest_record(
    x: Any,
    y: Any,
    *,
    train: Any,
    permutations: int = 999,
    chunk: int | None = None,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Test of copying by the closest record: is it a training row more often than a held-out one?

    $$\frac1m \sum_j \left(1[d_j < h_j] + \tfrac12 1[d_j = h_j]\right), \quad
    d_j = \min_i |y_j - t_i|, \quad h_j = \min_i |y_j - x_i|$$

    The two reference samples have the same size: rows of the larger one are left out at random
    (`extra["references"]`). Otherwise the larger one would be nearer for its size alone.

    Args:
        x: held-out real rows, which the generator has not seen (n, ...).
        y: the generated sample (m, ...).
        train: the training sample (l, ...).
        permutations: number of random exchanges of training and held-out rows, for the p-value.
        chunk: rows whose distances are computed at once; None for as many as fit a CPU's cache.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of exchanges and left-out rows.

    Returns:
        A share. The interval is for its expectation at these sizes, over generated, training and
        held-out rows. The one-sided p-value is for "training rows are no nearer", from random
        exchanges of training and held-out rows, and exact without ties. `extra` has the median and
        the 5 % quantile of the distances to both, the share of exact copies of training rows
        (`exact_copies`), and the share of exact copies among the held-out rows
        (`exact_copies_held_out`).

    Raises:
        MeasureError: for fewer than 2 rows of a sample, different widths, NaN or infinity, and
            chunk or permutations below 1.

    Sees:
        copies, near copies and any attraction to the training rows, in all regions at once.

    Misses:
        a few copies: 1 % of the rows shifts the share by half a per cent. Held-out rows from
        another distribution than the training rows (say, a later month) make any generator look as
        if it copied.

    Null:
        1/2.

    Cost:
        O(n (2 m + n) d) time and O(chunk n) memory; 1.1 s on one core at n = m = l = 10,000 and
        d = 64.

    Reference:
        Park et al. 2018, "Data synthesis based on generative adversarial networks"; Platzer &
        Reutterer 2021, "Holdout-based empirical assessment of mixed-type synthetic data".
    """
    require_at_least(1, chunk=chunk, permutations=permutations)
    both, rows, unit = with_training(
        x, y, train, min_rows=2, limit=limit, features=features, seed=seed
    )
    rng = torch.Generator().manual_seed(seed)
    size = min(both.n, len(rows))
    training, held_out = subsample(rows, size, rng), subsample(both.x, size, rng)
    to_training = distances(both.y, training, chunk)
    to_held_out = distances(both.y, held_out, chunk)
    nearer = _copying.nearer_share(to_training, to_held_out, size, permutations, rng)
    low, high = share_interval(nearer.share, nearer.variance, both.m)
    p_value = permutation_p(nearer.share, nearer.permuted)
    copies = _mean(to_training[0] == 0)
    return Measurement(
        "closest_record",
        nearer.share,
        low=low,
        high=high,
        covers="generated, training and held-out rows",
        null=0.5,
        p_value=p_value,
        n=both.n,
        m=both.m,
        better="null",
        unit="share",
        reading=f"{_nearer(p_value)}{_exact(copies, size)}",
        extra={
            "references": {"each": size, "train": len(rows), "held_out": both.n},
            "distance_train": _quantiles(to_training[0] * unit),
            "distance_held_out": _quantiles(to_held_out[0] * unit),
            "exact_copies": copies,
            "exact_copies_held_out": _mean(distances(held_out, training, chunk)[0] == 0),
            **both.extra,
        },
    )


def memorisation(
    x: Any,
    y: Any,
    *,
    train: Any,
    cells: int | None = None,
    resamples: int = 100,
    chunk: int | None = None,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Data-copying test C_T: are generated rows nearer to the training rows than new real ones?

    $$C_T = \frac{\sum_c p_c z_c}{\sum_c p_c}, \quad
    z_c = \frac{U_c - n_c m_c / 2}{\sqrt{n_c m_c (n_c + m_c + 1) / 12}}$$

    The training rows are split into cells by k-means. In cell c, U_c counts the pairs of a
    generated and a held-out row in which the generated one is farther from its nearest training row
    of that cell (ties count one half), and p_c is the share of the held-out rows. Ties reduce the
    variance under the root.

    Args:
        x: held-out real rows, which the generator has not seen (n, ...).
        y: the generated sample (m, ...).
        train: the training sample (l, ...).
        cells: number of cells; None for one per hundred rows of the smallest sample, at most 10.
        resamples: number of bootstrap samples, for the interval; with 0 there is none.
        chunk: rows whose distances are computed at once; None for as many as fit a CPU's cache.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the cells, resamples and left-out rows.

    Returns:
        C_T: far below 0 for copies, far above 0 for rows that stay away from the training rows
            (underfitting). The interval is for its expectation given the training rows and cells,
            by resampling generated and held-out rows. The one-sided p-value is for "no copying",
            from the normal approximation of the rank sums. Cells with fewer than 20 generated or
            held-out rows are left out; `extra` has the number of remaining rows.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, no cell with 20 of both kinds, different
            widths, NaN or infinity, and cells or chunk below 1.

    Sees:
        near copies, also in some of the cells only, and underfitting, by the opposite sign.

    Misses:
        a few copies, and copies in one cell that larger distances in another cancel. A weighted
        mean of z-scores varies less than one z-score: -2 is stronger evidence than it seems, as the
        p-value shows. It grows with the sizes, so compare it only at equal ones.

    Null:
        0.

    Cost:
        O((n + m) l d) time, divided by about the number of cells, and O(chunk l) memory; 0.4 s on
        one core at n = m = l = 10,000 and d = 64.

    Reference:
        Meehan, Chaudhuri & Dasgupta 2020, "A non-parametric test to detect data-copying in
        generative models".
    """
    require_at_least(1, chunk=chunk, cells=cells)
    require_at_least(0, resamples=resamples)
    both, rows, _ = with_training(
        x, y, train, min_rows=_copying.MIN_CELL_ROWS, limit=limit, features=features, seed=seed
    )
    count = cells or max(1, min(10, min(both.n, both.m, len(rows)) // 100))
    held, fake = _copying.cell_distances(both.x, both.y, rows, count, chunk, seed)
    cells_used = _copying.usable_cells(held, fake, count)
    score = _copying.copying_score(held, fake, cells_used)
    error = _copying.bootstrap(held, fake, cells_used, resamples, seed)
    low, high = normal_interval(score.value, error)
    return Measurement(
        "memorisation",
        score.value,
        low=low,
        high=high,
        covers="" if error is None else "generated and held-out rows, for this training sample",
        null=0.0,
        p_value=score.p_value,
        n=both.n,
        m=both.m,
        better="null",
        unit="standard deviations",
        reading=_nearer(score.p_value),
        extra={
            "cells": [float(z) for z in score.scores],
            "cells_left_out": count - len(cells_used),
            "rows_kept": score.rows,
            "underfitting_p_value": score.p_value_above,
            **both.extra,
        },
    )


def _mean(flags: Tensor) -> float:
    return float(flags.double().mean())


def _quantiles(values: Tensor) -> dict[str, float]:
    levels = torch.tensor([0.05, 0.5], dtype=values.dtype, device=values.device)
    low, median = torch.quantile(values, levels).tolist()
    return {"5 %": low, "median": median}


def _half_width_of_difference(*flagged: tuple[Tensor, Tensor]) -> float:
    """Return the half width of the 95 % interval of the difference of two shares of flags.

    Each flag is assigned to its training row: training rows differ much in what is near them, and
    both shares depend on the same ones.

    Args:
        flagged: flags (m,) and their training rows (m,); the second pair has each row once.
    """
    size = len(flagged[-1][0])
    of_rows = [
        torch.zeros(size, dtype=torch.float64, device=rows.device).index_add_(
            0, rows, flags.double() / len(flags)
        )
        for flags, rows in flagged
    ]
    variance = size * float((of_rows[0] - of_rows[1]).var())
    return Z * math.sqrt(variance)


def _copies(value: float, null: float, half: float) -> str:
    comparison = f"than the {null:.3f} of training rows among each other"
    if value + half < null:
        return f"fewer are authentic {comparison}: near copies"
    return (
        "no near copies" if value - half <= null else f"more are authentic {comparison}: no copies"
    )


def _nearer(p_value: float) -> str:
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    if p_value > 0.05:
        return f"no nearer to the training rows than to new real ones ({p})"
    return f"nearer to the training rows than to new real ones: copies ({p})"


def _exact(share: float, rows: int) -> str:
    return f"; {share:.1%} are exact copies of one of {rows:,} training rows" if share else ""
