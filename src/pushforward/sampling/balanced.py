"""Balanced rows: as many of each category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pushforward.data.schema import ClassCondition
from pushforward.random import Stream, derived_seed, permutation
from pushforward.sampling.blocks import BLOCK, Block
from pushforward.sampling.streams import joined, regrouped


def even(n: int, among: int) -> list[int]:
    """Return n divided into so many whole numbers that differ by at most 1, the larger first."""
    return [n // among + (k < n % among) for k in range(among)]


def even_labels(condition: ClassCondition, n: int, seed: int) -> Tensor:
    """Return n codes, as many of each class that occurs (a missing one left out), in any order."""
    known = zip(condition.classes, condition.frequencies, strict=True)
    codes = [k for k, (value, share) in enumerate(known) if value is not None and share > 0]
    labels = torch.tensor(codes).repeat_interleave(torch.tensor(even(n, len(codes))))
    return labels[permutation(n, seed)]


def mixed(sources: Sequence[Iterator[Block]], counts: Sequence[int], seed: int) -> Iterator[Block]:
    """Yield the rows of all sources (so many each), a share of each at a time, in random order."""
    blocks = -(-sum(counts) // BLOCK)
    taps = [regrouped(source, even(n, blocks)) for source, n in zip(sources, counts, strict=True)]
    for k, some in enumerate(zip(*taps, strict=True)):
        rows, labels = joined(some)
        order = permutation(len(rows), derived_seed(seed, Stream.ORDER, k))
        yield rows[order], None if labels is None else labels[order]
