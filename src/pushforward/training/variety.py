"""How various a model's rows are, beside held-out ones: their classes, and how many are alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pushforward.data import Schema
from pushforward.families.panels import Panel

NEIGHBOURS = 5  # training rows that vote for a row's class
ROWS = 500  # whose pairs are compared
ROUNDING = 1e-6  # of a typical distance, by which those of equal rows may differ from 0
PAIRS = 20  # held-out pairs that count as alike, the closest ones

ALIKE = (
    "Two rows are alike if they are as close as the closest {pairs} pairs of held-out rows. Of "
    "rows drawn from N distinct ones, n (n - 1) / 2N pairs are alike: so their number tells N "
    "(Arora & Zhang 2017), to about one part in its root. N depends on how close is alike; that it "
    "is far smaller for generated rows means that they repeat themselves."
)
RECOGNISED = (
    "The class that most of the {k} nearest training rows have: of generated rows {generated:.0%} "
    "are recognised as the class that they were asked for, of held-out rows {held_out:.0%}."
)


def support(real: Tensor, fake: Tensor) -> list[Panel]:
    """Return the birthday estimate of how many rows a model can generate, beside that of the data.

    Args:
        real: features of held-out rows (n, d).
        fake: features of as many generated rows.
    """
    own, others = _distances(real), _distances(fake)
    if len(own) < 2 * PAIRS or not bool(others.isfinite().all()):
        return []
    alike = own.kthvalue(PAIRS).values + ROUNDING * own.mean()
    counts = [int((distances <= alike).sum()) for distances in (own, others)]
    sizes = [f"{len(own) / n:,.0f}" if n else f"over {len(own):,}" for n in counts]
    series: dict[str, list[Any]] = {
        "pairs that are alike": counts,
        "distinct rows, estimated": sizes,
    }
    rows = ["held-out rows", "generated rows"]
    note = ALIKE.format(pairs=PAIRS)
    return [Panel("How many rows are alike", "table", series, rows, "", "", note)]


def recognised(
    training: tuple[Tensor, Tensor], real: Tensor, fake: Tensor, labels: Tensor, schema: Schema
) -> list[Panel]:
    """Return the classes of generated rows, as their nearest training rows tell them.

    Args:
        training: features (m, d) and classes (m,) of training rows.
        real: features of held-out rows (n, d).
        fake: features of generated rows (n, d), which were asked for the same classes.
        labels: classes (n,) of the held-out rows.
        schema: knows the names of the classes.
    """
    if schema.condition is None or not bool(fake.isfinite().all()):
        return []
    names = schema.condition.classes
    told = [_vote(*training, rows, len(names)) for rows in (real, fake)]
    held_out, generated = (float((own == labels).float().mean()) for own in told)
    shares = {"held-out rows": labels, "held-out, recognised": told[0]}
    shares |= {"generated, recognised": told[1]}
    series = {name: _shares(own, len(names)) for name, own in shares.items()}
    note = RECOGNISED.format(k=NEIGHBOURS, generated=generated, held_out=held_out)
    at = [str(name) for name in names]
    return [Panel("Classes of generated rows", "bars", series, at, "class", "share", note)]


def _distances(rows: Tensor) -> Tensor:
    """Return the distances of all pairs of the first rows, (pairs,)."""
    x = rows[:ROWS].flatten(1).double()
    i, j = torch.triu_indices(len(x), len(x), 1)
    return torch.cdist(x, x)[i, j]


def _vote(rows: Tensor, labels: Tensor, of: Tensor, classes: int) -> Tensor:
    """Return the most frequent class among each row's nearest ones, (n,)."""
    distances = torch.cdist(of.flatten(1), rows.flatten(1))
    nearest = distances.topk(min(NEIGHBOURS, len(rows)), largest=False).indices
    return torch.nn.functional.one_hot(labels[nearest], classes).sum(1).argmax(1)


def _shares(labels: Tensor, classes: int) -> list[float]:
    return (torch.bincount(labels, minlength=classes) / len(labels)).tolist()
