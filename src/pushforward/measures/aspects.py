"""What measures look at: those of one aspect are views of the same thing, and share one vote.

- marginals: single columns, or projections on single lines;
- joint structure: all columns together, by distances, kernels and classifiers;
- fidelity: whether each generated row could be a real one;
- coverage: whether each kind of real row is generated;
- use: what a model learns from the generated rows;
- own: measures that a user registered without naming an aspect.

Measures of copying have no aspect: a generator of noise is best by them, so a good value is no
merit, and a bad one is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Aspect = Literal["marginals", "joint structure", "fidelity", "coverage", "use", "own"]
OWN: Aspect = "own"
MEMBERS: dict[Aspect, tuple[str, ...]] = {
    "marginals": ("column_shapes", "sliced_wasserstein", "sliced_wasserstein_pixels"),
    "joint structure": (
        *("pair_trends", "pair_information", "classifier_test", "classifier_test_xgboost"),
        *("energy", "energy_pixels", "mmd", "mmd_pixels"),
        *("frechet", "kid", "max_sliced_wasserstein", "sinkhorn", "nearest_neighbour_test"),
        *("knn_kl", "jensen_shannon", "f_divergence", "wasserstein_critic"),
        *("histogram_js", "histogram_kl"),
    ),
    "fidelity": ("precision", "density", "clipped_density"),
    "coverage": ("recall", "coverage", "clipped_coverage", "vendi"),
    "use": ("utility",),
}
ASPECTS: dict[str, Aspect] = {name: aspect for aspect, own in MEMBERS.items() for name in own}
# Raking brings the marginals of generated tables to those of the training rows: after it, this
# measure says nothing of the model, so it is no aspect by itself.
NOT_ALONE = ("column_shapes",)


def in_order(aspects: Iterable[str]) -> list[str]:
    """Return aspects, each once, in the order in which everything lists them: as above, own last.

    What has no aspect comes behind all.
    """
    present = set(aspects)
    return [aspect for aspect in (*MEMBERS, OWN, "") if aspect in present]
