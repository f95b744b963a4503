"""Rows out of a model: in blocks, each from a seed of its own, so that memory stays flat.

Block k depends on the seed and k alone: whoever takes the rows in chunks of another size gets the
same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.data.schema import ClassCondition
from pushforward.errors import ModelError, nearest
from pushforward.families.model import Model
from pushforward.training.turn_optimizer import one_hot

CHUNK = 1024  # rows generated at once, and ...
BLOCK = 8192  # ... of a table, whose rows are small; fewer where ...
CELLS = 2**22  # ... they would have more cells than this
Part = tuple[Tensor, Tensor | None]  # encoded rows, and the codes of their classes


class forked:  # noqa: N801 - reads as a verb, like `suppress` and `torch.random.fork_rng`
    """A random state of our own within the block; the user's global state is untouched."""

    def __init__(self, device: torch.device, seed: int) -> None:
        devices = [device] if device.type == "cuda" else []
        self.fork = torch.random.fork_rng(devices)
        self.seed = seed

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: object) -> None:
        self.fork.__exit__(None, None, None)


def block_seed(seed: int, *place: int) -> int:
    """Return the seed of one block: a hash of the user's seed and the block's place."""
    sequence = np.random.SeedSequence([seed % 2**64, *place])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def block_size(schema: Schema) -> int:
    """Return how many rows are generated at once, so that memory stays within bounds."""
    if not isinstance(schema, TableSchema):
        return CHUNK
    return max(1, min(BLOCK, CELLS // sum(schema.space.sizes)))


@torch.no_grad()
def imagine(model: Model, schema: Schema, n: int, labels: Tensor | None = None) -> Tensor:
    """Return n encoded rows on the CPU, of these classes (n,) where the model has a condition."""
    if isinstance(schema, TableSchema):
        return schema.draw_in_cells(propose(model, n, labels)[0]).cpu()
    x = model.imagine(n, None if labels is None else one_hot(labels, model.classes, model.device))
    place = torch.Generator(x.device).manual_seed(int(torch.randint(2**62, ()).item()))
    return schema.quantise(x, place).cpu()


def propose(
    model: Model, n: int, labels: Tensor | None = None, share: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the cells (n, columns) of n rows of a table under a condition, and its chance (n,).

    See `Model.cells`: a row may be kept with that probability.
    """
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    return model.cells(model.prior.sample(n), c, share)


def imagined(
    model: Model, schema: Schema, n: int, seed: int, labels: Tensor | None = None
) -> Iterator[Part]:
    """Yield n encoded rows in blocks, of these classes (n,) or of classes by their frequencies."""
    block = block_size(schema)
    for k, start in enumerate(range(0, n, block)):
        size = min(block, n - start)
        with forked(model.device, block_seed(seed, k)):
            own = labels_of(schema.condition, size) if labels is None else labels[start:][:size]
            rows = imagine(model, schema, size, own)
        yield rows, own


def labels_of(condition: ClassCondition | None, n: int) -> Tensor | None:
    """Return n classes' codes, drawn by their frequencies; None without a condition."""
    if condition is None:
        return None
    return torch.multinomial(torch.tensor(condition.frequencies), n, replacement=True)


def chosen_labels(condition: ClassCondition | None, n: int, wanted: Any) -> Tensor:
    """Return the codes (n,) of one class, or of a sequence of n; ModelError when there is none."""
    if condition is None:
        raise ModelError("this model was trained without a condition: fit it with condition=...")
    single = isinstance(wanted, str) or not hasattr(wanted, "__len__")
    classes = [wanted] * n if single else list(wanted)
    if len(classes) != n:
        msg = f"condition: one class or {n} of them are wanted, got {len(classes)}"
        raise ModelError(msg)
    codes = {value: _class_code(condition.classes, value) for value in dict.fromkeys(classes)}
    return torch.tensor([codes[value] for value in classes])


def _class_code(classes: tuple[Any, ...], value: Any) -> int:
    """Return the code of a class, given as itself or as its text."""
    if value in classes:
        return classes.index(value)
    texts = [str(known) for known in classes]
    if str(value) in texts:
        return texts.index(str(value))
    msg = f"no class {value!r}: {nearest(str(value), texts)}"
    raise ModelError(msg)


def even(n: int, among: int) -> list[int]:
    """Return n divided into so many whole numbers that differ by at most 1, the larger first."""
    return [n // among + (k < n % among) for k in range(among)]


def even_labels(condition: ClassCondition, n: int, seed: int) -> Tensor:
    """Return n codes, as many of each class that occurs (a missing one left out), in any order."""
    known = zip(condition.classes, condition.frequencies, strict=True)
    codes = [k for k, (value, share) in enumerate(known) if value is not None and share > 0]
    labels = torch.tensor(codes).repeat_interleave(torch.tensor(even(n, len(codes))))
    return labels[shuffled(n, seed)]


def shuffled(n: int, seed: int) -> Tensor:
    """Return a random order of n things, the same for the same seed."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def regrouped(parts: Iterable[Part], sizes: Iterable[int]) -> Iterator[Part]:
    """Yield the same rows in parts of these sizes, until there are no more."""
    source = iter(parts)
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


def _more(source: Iterator[Part], rows: int) -> Iterator[Part]:
    """Yield parts until they hold so many rows."""
    while rows > 0 and (part := next(source, None)) is not None:
        rows -= len(part[0])
        yield part


def sliced(part: Part, start: int, end: int) -> Part:
    """Return rows start .. end - 1, and their labels."""
    rows, labels = part
    return rows[start:end], None if labels is None else labels[start:end]


def joined(parts: Iterable[Part]) -> Part:
    """Return all rows, and all labels, as one part."""
    rows, labels = zip(*parts, strict=True)
    known = [own for own in labels if own is not None]
    return torch.cat(rows), torch.cat(known) if known else None
