"""Rows out of a model: in blocks, each from a seed of its own, so that memory stays flat.

Block k depends on the seed and k alone: whoever takes the rows in chunks of another size gets the
same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.data.schema import ClassCondition
from pushforward.data.tables.orders import in_order, put_in_order
from pushforward.errors import ModelError, nearest
from pushforward.families.model import Model
from pushforward.nn.device import has_bfloat16
from pushforward.random import Stream, derived_seed, generator, isolated

CHUNK = 1024  # rows generated at once, and ...
BLOCK = 8192  # ... of a table, whose rows are small; fewer where ...
CELLS = 2**23  # ... they would have more cells than this, and not stay near the processor
TOGETHER = 2  # such blocks of a table's rows have one seed: rows are chosen among many
ROUNDS = 100  # of draws, by which rejection ends, and ...
AT_ONCE = 512  # ... rows that are drawn in one at least: fewer take as long
Block = tuple[Tensor, Tensor | None]  # encoded rows, and the codes of their classes


def one_hot(labels: Tensor, classes: int, device: torch.device) -> Tensor:
    """Return the condition c (n, classes) for class codes (n,)."""
    return torch.nn.functional.one_hot(labels.to(device), classes).float()


def block_size(schema: Schema) -> int:
    """Return how many rows are generated at once, so that memory stays within bounds."""
    if not isinstance(schema, TableSchema):
        return CHUNK
    return max(1, min(BLOCK, CELLS // sum(schema.space.sizes)))


@torch.no_grad()
def kept_rows(model: Model, schema: Schema, n: int, labels: Tensor | None = None) -> Tensor:
    """Return what `imagine` does, each row the first of those drawn that is kept.

    After `ROUNDS` rounds one that is not kept is taken, in order.
    """
    rows = imagine(model, schema, n, labels)
    if not (isinstance(schema, TableSchema) and chooses(model, schema)):
        return rows
    left, drawn, own, many = torch.arange(n), rows, labels, 1
    for _ in range(ROUNDS):
        kept = torch.rand(len(drawn)) < chance_kept(model, schema, drawn, own)
        of_row = kept.view(len(left), many)
        first = torch.where(of_row.any(1), of_row.int().argmax(1), many - 1)
        rows[left] = drawn.view(len(left), many, -1)[torch.arange(len(left)), first]
        left = left[~of_row.any(1)]
        if not len(left):
            return rows
        many = max(1, AT_ONCE // len(left))
        own = None if labels is None else labels[left].repeat_interleave(many)
        drawn = imagine(model, schema, len(left) * many, own)
    rows[left] = put_in_order(rows[left], schema.orders)
    return rows


def chooses(model: Model, schema: TableSchema) -> bool:
    """Whether not all rows of a table are kept."""
    return bool(schema.orders) or (model.refinement is not None and model.refinement.fitted)


def chance_kept(
    model: Model, schema: TableSchema, rows: Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return the probability with which drawn rows are kept, (n,) on the CPU.

    It is 0 for rows that break an order of the table, and else what the model's refinement says.
    """
    kept = in_order(rows, schema.orders).float()
    if model.refinement is None or not model.refinement.fitted:
        return kept
    return kept * model.refinement.log_accept(rows, labels).exp().cpu()


@torch.no_grad()
def imagine(model: Model, schema: Schema, n: int, labels: Tensor | None = None) -> Tensor:
    """Return n encoded rows on the CPU, of these classes (n,) where the model has a condition.

    Those of a table are drawn in blocks.
    """
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    if isinstance(schema, TableSchema):
        blocks = torch.arange(n, device=model.device).split(block_size(schema))
        cells = [_cells(model, len(rows), None if c is None else c[rows]) for rows in blocks]
        return schema.draw_in_cells(torch.cat(cells)).cpu()
    x = model.imagine(n, c)
    place = generator(int(torch.randint(2**62, ()).item()), x.device)
    return schema.quantise(x, place).cpu()


def _cells(model: Model, n: int, c: Tensor | None) -> Tensor:
    """Return the cells (n, columns) of a table's rows.

    Networks give logits in bfloat16 where the device has it, as in training; cells are drawn of
    them in float32.
    """
    z, fast = model.source.sample(n, c), has_bfloat16(model.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=fast):
        cells, _ = model.cells(z, c)
    return cells


def propose(
    model: Model, n: int, labels: Tensor | None = None, share: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the cells (n, columns) of n rows of a table under a condition, and its chance (n,).

    See `Model.cells`: a row may be kept with that probability.
    """
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    return model.cells(model.source.sample(n, c), c, share)


def imagined(
    model: Model, schema: Schema, n: int, seed: int, labels: Tensor | None = None
) -> Iterator[Block]:
    """Yield n encoded rows in blocks, of these classes (n,) or of classes by their frequencies."""
    block = block_size(schema) * (TOGETHER if isinstance(schema, TableSchema) else 1)
    for k, start in enumerate(range(0, n, block)):
        size = min(block, n - start)
        with isolated(model.device, derived_seed(seed, Stream.BLOCKS, k)):
            own = labels_of(schema.condition, size) if labels is None else labels[start:][:size]
            rows = kept_rows(model, schema, size, own)
        yield rows, own


def labels_of(condition: ClassCondition | None, n: int) -> Tensor | None:
    """Return n classes' codes, drawn by their frequencies; None without a condition."""
    if condition is None:
        return None
    return torch.multinomial(torch.tensor(condition.frequencies), n, replacement=True)


def chosen_labels(condition: ClassCondition | None, n: int, given: Any) -> Tensor:
    """Return the codes (n,) of one class, or of a sequence of n; ModelError when there is none."""
    if condition is None:
        raise ModelError(
            "this model was trained without a condition: fit it with condition= (--condition)"
        )
    single = isinstance(given, str) or not hasattr(given, "__len__")
    classes = [given] * n if single else list(given)
    if len(classes) != n:
        msg = f"condition: give one class, or one for each of {n} rows; got {len(classes)}"
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
