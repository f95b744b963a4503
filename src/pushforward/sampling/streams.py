"""Streams of blocks: the same rows in blocks of other sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from pushforward.sampling.blocks import Block


def regrouped(blocks: Iterable[Block], sizes: Iterable[int]) -> Iterator[Block]:
    """Yield the same rows in blocks of these sizes, until there are no more."""
    source = iter(blocks)
    held = next(source, None)
    for size in sizes:
        if held is None:
            return
        pieces = [held, *_more(source, size - len(held[0]))]
        whole = joined(pieces)
        if size and not len(whole[0]):
            return
        yield sliced(whole, 0, size)
        held = sliced(whole, size, len(whole[0]))


def _more(source: Iterator[Block], rows: int) -> Iterator[Block]:
    """Yield blocks until they hold so many rows."""
    while rows > 0 and (block := next(source, None)) is not None:
        rows -= len(block[0])
        yield block


def sliced(block: Block, start: int, end: int) -> Block:
    """Return rows start .. end - 1, and their labels."""
    rows, labels = block
    return rows[start:end], None if labels is None else labels[start:end]


def joined(blocks: Iterable[Block]) -> Block:
    """Return all rows, and all labels, as one part."""
    rows, labels = zip(*blocks, strict=True)
    known = [own for own in labels if own is not None]
    return torch.cat(rows), torch.cat(known) if known else None
