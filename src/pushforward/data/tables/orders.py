"""Orders between columns of numbers, such as low <= high, that hold in every row of a table.

Each column is modelled as it is: as a distance from another it would lose its own values and grid.
Generated rows that break an order are drawn anew instead, so that rows follow the model's own
distribution, given that the orders hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.tables.schema import Order, TableSchema

MIN_ROWS = 100
CHANCE = 1e-30  # that columns which know nothing of each other are in order in all rows
REFUTING_ROWS = 1000
MAX_COLUMNS = 200  # of numbers
LEAST = 0.05  # share of rows that are in order by chance
NAMED = 5  # orders in a note


def find_orders(schema: TableSchema, rows: Tensor) -> tuple[Order, ...]:
    """Return the orders of encoded rows (n, columns): the positions of the lower and upper column.

    An order that others imply is left out, and so is one of columns in stated constraints, or that
    would be kept by few rows beside the others.
    """
    columns = [
        i
        for i, column in enumerate(schema.columns)
        if column.kind == "numeric"
        and column.dtype.is_numeric()
        and column.name in schema.column_names
        and column.name not in schema.constraint_set.lines
    ][:MAX_COLUMNS]
    values = rows[:, columns].numpy()
    few = values[np.linspace(0, len(values) - 1, min(REFUTING_ROWS, len(values))).astype(int)]
    refuted = np.array([(few[:, [a]] > few).any(0) for a in range(len(columns))], np.bool_)
    pairs = [(a, b) for a, b in np.argwhere(~refuted).tolist() if a != b]
    found = {(a, b) for a, b in pairs if _is_ordered(values[:, a], values[:, b])}
    between = [
        (a, b)
        for a, b in sorted(found)
        if not any((a, c) in found and (c, b) in found for c in range(len(columns)))
    ]
    return _affordable(rows, [(columns[a], columns[b]) for a, b in between])


def _affordable(rows: Tensor, orders: Sequence[Order]) -> tuple[Order, ...]:
    """Return orders that at least `LEAST` of the rows keep to, were their columns independent.

    So many rows need not be drawn in vain, even of a model that has learned nothing.
    """
    n, kept = min(REFUTING_ROWS, len(rows)), list[Order]()
    seed = torch.Generator().manual_seed(0)
    shuffled = torch.stack([x[torch.randperm(len(x), generator=seed)[:n]] for x in rows.T], 1)
    for order in orders:
        if float(in_order(shuffled, [*kept, order]).double().mean()) >= LEAST:
            kept.append(order)
    return tuple(kept)


def _is_ordered(low: Floats, high: Floats) -> bool:
    """Whether numbers never lie above others, and not by chance."""
    both = ~(np.isnan(low) | np.isnan(high))
    a, b = low[both], high[both]
    if len(a) < MIN_ROWS or (a > b).any() or (a == b).all():
        return False
    by_chance = float(np.mean(a <= np.random.default_rng(0).permutation(b)))
    return len(a) * math.log(max(by_chance, math.ulp(0.0))) < math.log(CHANCE)


def orders_note(schema: TableSchema) -> str:
    """Return what the user is told of the orders."""
    names = [[schema.columns[i].name for i in order] for order in schema.orders]
    listed = ", ".join(f"{low} <= {high}" for low, high in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"{listed}{more} in every row: generated rows keep to it (relations=False, or "
        "--no-relations, to model the columns freely)"
    )


def in_order(rows: Tensor, orders: Sequence[Order]) -> Tensor:
    """Return which encoded rows keep to all orders, (n,); a missing number keeps to any."""
    kept = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    for low, high in orders:
        kept &= ~(rows[:, low] > rows[:, high])
    return kept


def put_in_order(rows: Tensor, orders: Sequence[Order]) -> Tensor:
    """Return encoded rows in which upper numbers are raised until all orders hold."""
    rows = rows.clone()
    for _ in orders:  # a chain of them needs so many rounds at most
        for low, high in orders:
            raised = rows[:, low] > rows[:, high]
            rows[raised, high] = rows[raised, low]
    return rows
