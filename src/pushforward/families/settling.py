"""Rows for what is fitted once after training: a sample of them, a part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from pushforward.families.model import Batch

PART = 512  # rows that networks look at together


def evenly_spaced(batches: Iterable[Batch], most: int) -> tuple[Tensor, Tensor | None]:
    """Return at most so many rows, and their conditions, evenly spaced over all batches.

    Rows may lie in an order, as those of images by class do.
    """
    rows = sum(len(x) for x, _ in batches)
    step = max(1, -(-rows // most))
    parts, known, start = [], [], 0
    for x, c in batches:
        own = torch.arange(-start % step, len(x), step, device=x.device)
        parts.append(x[own])
        if c is not None:
            known.append(c[own])
        start += len(x)
    return torch.cat(parts), torch.cat(known) if known else None


def in_parts(x: Tensor, c: Tensor | None) -> Iterator[Batch]:
    """Yield rows and their conditions, or codes and theirs, in order."""
    parts = x.split(PART)
    return zip(parts, [None] * len(parts) if c is None else c.split(PART), strict=True)
