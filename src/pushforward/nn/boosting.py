r"""Gradient boosting: a classifier of rows of numbers, whose parameters are a few small tensors.

Each tree asks a row `DEPTH` questions, x_j >= t, the next one by the answers so far; these lead to
a leaf, and the leaves' values add up over the trees to the log odds

    s(x) = \sum_t v_t[leaf_t(x)].

A tree is a step of Newton's on the logistic loss (Friedman 2001; Chen & Guestrin 2016). With
g = p - y and h = p (1 - p) of its rows, and G and H their sums, a question is worth
\sum_sides G^2 / (H + lambda) - (\sum_sides G)^2 / (\sum_sides H + lambda), and a leaf becomes
-eta G / (H + lambda). Thresholds are quantiles of the rows with label 0 alone, so that
those with label 1 leave no number of theirs. A missing number is below all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

DEPTH = 6
BINS = 256  # of a column, between which the thresholds are
RATE = 0.1  # eta
RIDGE = 1.0  # lambda
LEAST = 1.0  # of H, on either side of a question
ROWS, COLUMNS = 0.5, 0.5  # shares of them that a tree is grown on, ...
FEW = 8  # ... but no fewer columns
PATIENCE = 10  # trees without a gain on held-out rows, after which none is added
PART = 256  # rows that are asked at once: what is known of them stays near


@dataclass(frozen=True)
class Tree:
    """One tree. Its nodes are numbered level by level.

    Args:
        column: (2^depth - 1,) whose number a node asks about.
        threshold: (2^depth - 1,) which leads to the right if it is reached.
        value: (2^depth,) of the leaves.
    """

    column: Tensor
    threshold: Tensor
    value: Tensor


class BoostedTrees(nn.Module):
    """A sum of trees, 0 until it is fitted.

    Args:
        most: how many trees there can be.
    """

    column: Tensor
    threshold: Tensor
    value: Tensor
    count: Tensor

    def __init__(self, most: int) -> None:
        super().__init__()
        nodes, infinite = 2**DEPTH - 1, torch.inf
        self.register_buffer("column", torch.zeros(most, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((most, nodes), infinite, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(most, 2**DEPTH))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return the log odds (n,) of rows x (n, columns), in float64; NaN is a missing number."""
        parts = [self._leaves(part) for part in x.split(PART)] if int(self.count) else []
        return torch.cat(parts) if parts else torch.zeros(len(x), device=x.device)

    def _leaves(self, x: Tensor) -> Tensor:
        """Return the sum of the leaves of rows; all indices are of flat tensors: that is faster."""
        shape, nodes = (len(x), int(self.count)), self.column.shape[1]
        row, tree = (torch.arange(k, device=x.device) for k in shape)
        begin, first = (row * x.shape[1])[:, None], tree * nodes
        node = torch.zeros(shape, dtype=torch.int64, device=x.device)
        for _ in range(DEPTH):
            at = (node + first).view(-1)
            asked = begin + self.column.view(-1).index_select(0, at).view(shape)
            number = x.reshape(-1).index_select(0, asked.view(-1))
            right = number >= self.threshold.view(-1).index_select(0, at)
            node = 2 * node + 1 + right.view(shape)
        leaf = node - nodes + tree * 2**DEPTH
        return self.value.view(-1).index_select(0, leaf.view(-1)).view(shape).sum(1)

    @torch.no_grad()
    def fit(self, x: Tensor, label: Tensor, held: Tensor, most: int, seed: torch.Generator) -> None:
        """Grow trees as long as the labels of rows that are held out become likelier.

        Args:
            x: (n, columns) in float64, on the CPU.
            label: (n,) 1 or 0.
            held: (n,) which rows are held out.
            most: how many trees, at most.
            seed: of the rows that each tree is grown on.
        """
        grower, rest = _Grower(x, label.float(), ~held, seed), held.nonzero()[:, 0]
        trees, losses = list[Tree](), [grower.loss(rest)]
        while len(trees) < most and len(trees) < _lowest(losses) + PATIENCE:
            trees.append(grower.grow())
            losses.append(grower.loss(rest))
        self.count.fill_(_lowest(losses))
        for i, tree in enumerate(trees[: _lowest(losses)]):
            self.column[i].copy_(tree.column)
            self.threshold[i].copy_(tree.threshold)
            self.value[i].copy_(tree.value)


def _lowest(losses: list[float]) -> int:
    return min(range(len(losses)), key=losses.__getitem__)


class _Grower:
    """Grows one tree after another, and keeps the log odds (n,) of all rows."""

    def __init__(self, x: Tensor, label: Tensor, grown: Tensor, seed: torch.Generator) -> None:
        self.label, self.grown, self.seed = label, grown, seed
        self.edges = [_edges(numbers[grown & (label == 0)]) for numbers in x.T]
        self.codes = torch.stack(
            [
                torch.bucketize(numbers.nan_to_num(nan=-torch.inf), edges, right=True)
                for numbers, edges in zip(x.T, self.edges, strict=True)
            ]
        )
        self.odds = torch.zeros(len(label))

    def loss(self, rows: Tensor) -> float:
        """Return the mean of -log p(label) of some rows."""
        odds, label = self.odds[rows], self.label[rows]
        return float((softplus(odds) - label * odds).mean())

    def grow(self) -> Tree:
        """Grow a tree on some of the rows, and add it to the log odds of all."""
        p = self.odds.sigmoid()
        g, h = (p - self.label).double(), (p * (1 - p)).double()
        sampled = self.grown & (torch.rand(len(p), generator=self.seed) < ROWS)
        rows = sampled.nonzero()[:, 0]
        order = torch.randperm(len(self.codes), generator=self.seed)
        chosen = order[: max(FEW, math.ceil(COLUMNS * len(order)))]
        own, g, h = self.codes[chosen][:, rows], g[rows], h[rows]
        node, every = torch.zeros_like(rows), torch.zeros(len(p), dtype=torch.int64)
        columns, thresholds = [], []
        for level in range(DEPTH):
            place, code = _questions(own, node, g, h, 2**level)
            node = _next(node, own, place, code)
            column = chosen[place]
            every = _next(every, self.codes, column, code)
            columns.append(column)
            thresholds.append(self._thresholds(column, code))
        total, curvature = (torch.bincount(node, w, 2**DEPTH) for w in (g, h))
        value = (-RATE * total / (curvature + RIDGE)).float()
        self.odds += value[every]
        return Tree(torch.cat(columns), torch.cat(thresholds), value)

    def _thresholds(self, column: Tensor, code: Tensor) -> Tensor:
        """Return the numbers from which on a column's codes are at least these; inf for `BINS`."""
        pairs = zip(column.tolist(), code.tolist(), strict=True)
        found = [float(self.edges[j][k - 1]) if k < BINS else torch.inf for j, k in pairs]
        return torch.tensor(found, dtype=torch.float64)


def _edges(numbers: Tensor) -> Tensor:
    """Return at most `BINS` - 1 numbers that cut a column, ascending."""
    known = numbers[~numbers.isnan()].sort().values
    if not len(known):
        return known
    place = torch.linspace(0, len(known) - 1, BINS, dtype=torch.float64).round().long()
    values: Tensor = torch.unique_consecutive(known)
    quantiles: Tensor = torch.unique_consecutive(known[place[:-1]])  # missing ones are below
    return values if len(values) < BINS else quantiles


def _next(node: Tensor, codes: Tensor, column: Tensor, code: Tensor) -> Tensor:
    """Return where the questions of one level lead rows (n,) at its nodes."""
    asked = codes.gather(0, column[node][None])[0]
    found: Tensor = 2 * node + (asked >= code[node]).long()
    return found


def _questions(
    own: Tensor, node: Tensor, g: Tensor, h: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    """Return the best question of each node: its column, and the code that is to be reached.

    Where none is worth asking the code is `BINS`, which no row reaches.
    """
    start, size = node * BINS, nodes * BINS
    at = [start + codes for codes in own]
    sums = torch.stack([torch.bincount(k, w, size) for w in (g, h) for k in at]).float()
    below = sums.view(2, len(own), nodes, BINS).cumsum(3)
    whole = below[..., -1:]
    above = whole - below
    worth = below[0].square() / (below[1] + RIDGE) + above[0].square() / (above[1] + RIDGE)
    worth -= whole[0].square() / (whole[1] + RIDGE)
    worth[torch.minimum(below[1], above[1]) < LEAST] = 0.0
    by_node, code = worth.transpose(0, 1).flatten(1).max(1)
    column, place = code // BINS, code % BINS
    return column, torch.where(by_node > 0, place + 1, BINS)
