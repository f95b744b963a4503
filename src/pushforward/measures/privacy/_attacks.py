"""Membership attacks: each gives every candidate a score, high for training rows.

Each looks at the generated rows; most compare them with reference rows, since a candidate in a
dense region is near everything. None sees the model, its weights, or other training rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.measures import _search
from pushforward.measures.learned import classifier_score

Floats = NDArray[np.float64]
Scores = dict[str, Floats]
POOLED = 20  # nearest rows among which DPI counts the generated ones
CLASSIFIED = 5000  # generated rows, and reference rows, that LOGAN's classifier learns from


def attacks(
    candidates: Tensor,
    fake: Tensor,
    reference: Tensor | None,
    k: int,
    chunk: int | None,
    seed: int = 0,
) -> Scores:
    """Return every attack's scores (c,) by its name.

    Args:
        candidates: rows of which some were trained on (c, d).
        fake: the generated rows (m, d).
        reference: real rows that are not candidates (r, d), or None: then attacks that need them
            are left out.
        k: neighbours.
        chunk: rows whose distances are held at once.
        seed: of LOGAN's classifier.
    """
    pooled = max(k, min(POOLED, len(fake)))
    near = _search.nearest(candidates, fake, pooled, chunk=chunk)
    nearest = near.squared[:, 0]
    (inside,) = _search.balls(
        fake, candidates, nearest.median().expand(len(candidates)), chunk=chunk
    )
    scores = {
        "the distance to the nearest generated row": -nearest,
        f"the mean distance to the {k} nearest generated rows": -near.squared[:, :k].sqrt().mean(1),
        "the number of generated rows nearby": inside.of_ball.double(),
    }
    if reference is not None:
        far = _search.nearest(candidates, reference, min(pooled, len(reference)), chunk=chunk)
        of_nearest, of_last = (_ratio(far.squared[:, i], near.squared[:, i]) for i in (0, k - 1))
        surrogate = _search.nearest(fake, reference, k, chunk=chunk).squared
        scores |= {
            "the nearest generated row against the nearest real one": of_nearest,
            f"the density of generated rows against that of real ones ({k} nearest)": of_last,
            "the likelihood ratio of the nearest generated row (Gen-LRA)": likelihood_ratio(
                nearest, surrogate[near.index[:, 0]]
            ),
            "the share of generated rows among the nearest ones (DPI)": plagiarism_index(
                near.squared, far.squared
            ),
            "a classifier between generated and real rows (LOGAN)": discriminator(
                candidates, fake, reference, seed
            ),
        }
    return {name: np.asarray(score.double().cpu()) for name, score in scores.items()}


def _ratio(far: Tensor, near: Tensor) -> Tensor:
    """Return far / (far + near), which rises with the ratio of the densities; 1/2 where both are 0.

    A density is proportional to the k-th distance to the power of -d, so all such ratios have the
    same order, in any dimension d.
    """
    total = far + near
    return (far / total).where(total > 0, 0.5)


def likelihood_ratio(squared: Tensor, surrogate: Tensor) -> Tensor:
    r"""Return how much more likely the nearest generated row is if the candidate was trained on.

    $$\log \frac{\sum_j \kappa(|s - r_j|) + \kappa(|s - c|)}{\sum_j \kappa(|s - r_j|)}, \quad
    \kappa(u) = \exp(-u^2 / 2 h^2), \quad h = \max_j |s - r_j|$$

    Two kernel densities at the generated row s: of its k nearest reference rows r alone, and with
    the candidate c. A bandwidth of each s its own leaves no power of the dimension in the ratio.

    Args:
        squared: squared distances of the candidates to their nearest generated row s (c,).
        surrogate: squared distances of that row to its k nearest reference rows (c, k), in order.

    Reference:
        Ward, Wang & Cheng 2025, "Privacy auditing synthetic data release through local likelihood
        attacks" (Gen-LRA, which has one bandwidth for all rows; here with one nearest row).
    """
    width = 2 * surrogate[:, -1:]
    own, others = (_kernel(rows, width) for rows in (squared[:, None], surrogate))
    return torch.log1p(own[:, 0] / others.sum(1))


def _kernel(squared: Tensor, width: Tensor) -> Tensor:
    """Return exp(-squared / width); for a width of 0 its limit, 1 at 0 and else 0."""
    return torch.exp(-squared / width).where(width > 0, (squared == 0).to(squared))


def plagiarism_index(near: Tensor, far: Tensor) -> Tensor:
    """Return the share of generated rows among the nearest ones of generated and reference rows.

    Rows at the distance of the last one count in proportion, as if drawn at random.

    Args:
        near: squared distances of the candidates to the nearest generated rows (c, k), in order.
        far: those to the nearest reference rows (c, at most k).

    Reference:
        Ward, Wang & Cheng 2024, "Data plagiarism index: characterizing the privacy risk of
        data-copying in tabular generative models".
    """
    k = far.shape[1]
    both = torch.cat([near, far], 1)
    last = both.sort(1).values[:, k - 1 : k]
    generated, closer, tied = (near < last).sum(1), (both < last).sum(1), (both == last).sum(1)
    return (generated + (k - closer) * (near == last).sum(1) / tied) / k


def discriminator(candidates: Tensor, fake: Tensor, reference: Tensor, seed: int) -> Tensor:
    """Return a classifier's probability that a candidate (c, d) was generated.

    A network with two hidden layers learns it from generated and reference rows, at most 5,000 of
    each, in equal numbers.

    Reference:
        Hayes et al. 2019, "LOGAN: membership inference attacks against generative models" (the
        black-box attack with auxiliary rows of other people).
    """
    size = min(len(fake), len(reference), CLASSIFIED)
    rng = torch.Generator().manual_seed(seed)
    real, generated = (
        rows[torch.randperm(len(rows), generator=rng)[:size].to(rows.device)]
        for rows in (reference, fake)
    )
    return torch.from_numpy(classifier_score("network", real, generated, seed)(candidates))
