"""How a model of tables is raked after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pushforward.families.model import Batch
from pushforward.nn.priors import Prior
from pushforward.nn.raking import Raking

CODES = 2**11  # codes that raking looks at in a round; fewer where they would have ...
CELLS = 2**24  # ... more cells than this


@torch.no_grad()
def rake(
    raking: Raking,
    prior: Prior,
    shares: Callable[[Tensor, Tensor | None], Tensor],
    batches: Iterable[Batch],
) -> None:
    """Give a table's generated columns the shares that they have in the training rows.

    Args:
        raking: the offsets that are fitted.
        prior: where codes are drawn, anew in each round.
        shares: from codes z and conditions c to the probabilities (n, cells) of each row's cells.
        batches: the training rows x (n, cells), and their conditions.
    """
    counts, classes, rows = torch.zeros_like(raking.offset), None, 0
    for x, c in batches:
        counts, rows = counts + x.sum(0), rows + len(x)
        classes = None if c is None else c.sum(0) if classes is None else classes + c.sum(0)
    size = max(1, min(CODES, CELLS // len(counts)))

    def expected() -> Tensor:
        c = _drawn_classes(classes, size)
        return shares(prior.sample(size, c), c).mean(0)

    raking.fit(counts / rows, expected, rows)


def _drawn_classes(frequencies: Tensor | None, n: int) -> Tensor | None:
    """Return n one-hot classes (n, classes) by their frequencies; None where there are none."""
    if frequencies is None:
        return None
    drawn = torch.multinomial(frequencies, n, replacement=True)
    return torch.nn.functional.one_hot(drawn, len(frequencies)).to(frequencies)
