r"""Hot decks: numbers that are names, drawn within their cell among those of the same categories.

Within a cell a number is drawn from a histogram, whatever the rest of the row says. But some
numbers are names: the number of a flight belongs to a place. Where columns of categories tell
which, a number is drawn as those of the training rows of the same cell and categories are (the hot
deck of imputation within adjustment cells: Andridge & Little 2010):

    p(v | cell f, categories c) = (n_v + n_rest h(v | f)) / n,

n_v the rows of f and c with the value v, where these are at least `MIN_LEVEL_ROWS` (see
`deck_search`) and else 0; n_rest all others, and a few more, so that nothing is impossible; n their
sum; h the histogram of the cell. A column may have several decks, each of one more column of
categories: the last one counts that has values of f and c. Where none has, p is h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pushforward.data.tables.interval_set import IntervalSet

KEPT_AS_INTEGERS = ("parents", "sizes", "key", "group")


@dataclass(frozen=True, eq=False)
class HotDeck:
    """The named values of one column of numbers, in G groups: a cell, and a category or several.

    Args:
        column: the position of the numbers among the modelled columns.
        parents: (P,) those of the categories.
        sizes: (P,) how many cells each of these columns has.
        key: (G,) the number of each group's cell and its parents' cells, ascending.
        rows: (G,) n, in float64.
        rest: (G,) n_rest; under a condition so much of it as is allowed.
        group: (V,) the group of each value, ascending; within a group values ascend.
        value: (V,) v.
        count: (V,) n_v; 0 where a condition does not allow it.
        histogram: (V,) h(v | f).
    """

    column: int
    parents: Tensor
    sizes: Tensor
    key: Tensor
    rows: Tensor
    rest: Tensor
    group: Tensor
    value: Tensor
    count: Tensor
    histogram: Tensor

    def to(self, device: torch.device) -> HotDeck:
        """Return the same deck on a device."""
        return HotDeck(self.column, **{n: x.to(device) for n, x in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        return {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}

    def draw(
        self,
        rows: Tensor,
        spread: Tensor,
        cells: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return encoded rows (n, C), some of whose numbers are drawn from the deck.

        Args:
            rows: as drawn so far.
            spread: (n, C) the same, as drawn from the histograms.
            cells: (n, C) their fine cells.
            generator: of random numbers.
        """
        index, has = self._groups(cells)
        device = cells.device if generator is None else generator.device
        place = torch.rand(len(rows), generator=generator, device=device, dtype=torch.float64)
        stored, before = self._stored(), self.count.cumsum(0)
        point = place.to(cells.device) * (stored + self.rest)[index]
        first = stored.cumsum(0) - stored
        at = torch.searchsorted(before, first[index] + point, right=True)
        named = self.value[at.clamp_max(len(before) - 1)]
        own = torch.where(point < stored[index], named, spread[:, self.column])
        drawn = rows.clone()
        drawn[:, self.column] = torch.where(has, own, rows[:, self.column])
        return drawn

    def allowing(self, allowed: IntervalSet, share: Tensor) -> HotDeck:
        """Return the deck of the allowed values, which are so much of each fine cell by h."""
        cell = self.key // self.sizes.prod()
        count = self.count * allowed.allows(self.value)
        return replace(self, count=count, rest=self.rest * share[cell])

    def chance(self, cells: Tensor, chance: Tensor) -> Tensor:
        """Return how much is allowed given fine cells (n, C), (n,): `chance` without a group."""
        index, has = self._groups(cells)
        return torch.where(has, ((self._stored() + self.rest) / self.rows)[index], chance)

    def odds(self, values: Tensor, cells: Tensor, odds: Tensor) -> Tensor:
        """Return p(v | f, c) / h(v | f) of rows' values (n, C), (n,): `odds` without a group."""
        index, has = self._groups(cells)
        own = values[:, self.column].contiguous()
        names = self.value.unique()
        name = torch.searchsorted(names, own).clamp_max(len(names) - 1)
        stored = self.group * len(names) + torch.searchsorted(names, self.value)
        asked = index * len(names) + name
        at = torch.searchsorted(stored, asked).clamp_max(len(stored) - 1)
        is_stored = (stored[at] == asked) & (names[name] == own)
        more = torch.where(is_stored, self.count[at] / self.histogram[at], 0.0)
        found = (more + self.rest[index]) / self.rows[index]
        return torch.where(has & ~own.isnan(), found, odds)

    def _groups(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the group of rows (n,), and whether they have one."""
        key = cells[:, self.column]
        for parent, size in zip(self.parents, self.sizes, strict=True):
            key = key * size + cells[:, parent]
        index = torch.searchsorted(self.key, key).clamp_max(len(self.key) - 1)
        return index, self.key[index] == key

    def _stored(self) -> Tensor:
        """Return the rows of each group whose values are in the deck, (G,)."""
        return torch.zeros_like(self.rows).index_add_(0, self.group, self.count)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists."""
        return {"column": self.column} | {n: x.tolist() for n, x in self._tensors().items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HotDeck:
        """Rebuild from `to_json`."""
        tensors = {
            name: torch.tensor(x, dtype=torch.int64 if name in KEPT_AS_INTEGERS else torch.float64)
            for name, x in data.items()
            if name != "column"
        }
        return cls(data["column"], **tensors)
