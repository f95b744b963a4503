"""What redrawing numbers within their cells loses: structure that is finer than a bin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.cell_table import CellTable
from pushforward.data.tables.information import MIN_Z, information
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.quantile_table import QuantileTable

MAX_CLASSES = 100  # into which a part is cut to test it
MIN_ROWS_PER_CLASS = 10
MIN_EXCESS = 0.04  # the least total variation, beyond that of chance, that matters ...
CHANCE = 1.5  # ... plus this, divided by the square root of the number of rows
PERMUTATIONS = 30  # which show what chance tells
MIN_INFORMATION = 0.01  # nats, the least that matters
SUFFICIENT = 0.95  # of what the most telling period tells

Classes = Callable[[Any], Ints]  # of numbers or of steps


@dataclass(frozen=True)
class Redrawn:
    """Numbers, and what they become when they are redrawn within their cells.

    Args:
        real: the numbers (n,), or what became of them.
        drawn: likewise of redrawn ones.
        beside: the codes of other columns in the same rows, each (n,).
    """

    real: Ints
    drawn: Ints
    beside: tuple[Ints, ...] = ()

    @classmethod
    def of(
        cls, column: NumericCodec, numbers: Floats, steps: Classes, beside: Sequence[Ints] = ()
    ) -> Redrawn:
        """Redraw the numbers of a column; `steps` returns them on its grid."""
        cells = CellTable.of([column]).cells(torch.from_numpy(numbers)[:, None])
        generator = torch.Generator().manual_seed(0)
        # in double precision: the last digits of large numbers would not be uniform
        place = torch.rand(cells.shape, generator=generator, dtype=torch.float64)
        table = QuantileTable.of([column.partition], [column.decimals])
        drawn = steps(table.quantiles(cells + place)[:, 0].numpy())
        return cls(steps(numbers), drawn, tuple(beside))

    def map(self, function: Classes) -> Redrawn:
        """Return a function of all numbers."""
        return replace(self, real=function(self.real), drawn=function(self.drawn))

    def excess(self, classes: Classes, size: int, blocks: Ints | None = None) -> float:
        """Return what redrawing loses of classes, as a total variation: of them alone or of pairs.

        By Pinsker's inequality pairs that lose I nats of information have one of at most sqrt(I/2).
        `blocks` (n,) are rows that may be alike for another reason, as those of one day are.
        """
        blocks = np.arange(len(self.real)) if blocks is None else blocks
        return max(
            self._variation(classes, size), math.sqrt(self._information(classes, blocks) / 2)
        )

    def _information(self, classes: Classes, blocks: Ints) -> float:
        """Return the most that is lost of what another column and the classes tell of each other.

        It is 0 unless it is most of what they tell beyond chance: more than where whole blocks are
        permuted, by `MIN_Z` deviations.
        """
        real, drawn = classes(self.real), classes(self.drawn)
        rng, (_, first, block) = np.random.default_rng(0), np.unique(blocks, True, True)
        permuted = [real[rng.permutation(first)][block] for _ in range(PERMUTATIONS)]
        found = 0.0
        for other in self.beside:
            told, kept = (information(x, other) for x in (real, drawn))
            if told < MIN_INFORMATION:
                continue
            null = [information(x, other) for x in permuted]
            chance = float(np.mean(null))
            least = max(MIN_INFORMATION, MIN_Z * float(np.std(null)), 2 * (kept - chance))
            if told - chance > least:
                found = max(found, told - max(kept, chance))
        return found

    def _variation(self, classes: Classes, size: int) -> float:
        r"""Return the total variation between real and redrawn classes, less that of chance.

        Two samples of shares p_c have the total variation \sum_c \sqrt{p_c (1 - p_c) / (\pi n)} by
        chance. It is subtracted in squares, as deviations add up; 0 unless there is clearly more.
        """
        n = len(self.real)
        real, drawn = (np.bincount(classes(x), minlength=size) / n for x in (self.real, self.drawn))
        variation = np.abs(real - drawn).sum() / 2
        chance = np.sqrt(drawn * (1 - drawn) / (np.pi * n)).sum()
        if variation - chance < MIN_EXCESS + CHANCE / np.sqrt(n):
            return 0.0
        return float(np.sqrt(variation**2 - chance**2))

    def excess_of_period(self, period: int) -> float:
        """Return the excess of the remainder by a period, in classes of equal width."""
        size = min(period, MAX_CLASSES, len(self.real) // MIN_ROWS_PER_CLASS)
        return self.excess(lambda x: x % period * size // period, size)


def find_periods(redrawn: Redrawn, candidates: Sequence[int]) -> tuple[int, ...]:
    """Return the periods, descending, whose remainders carry information beyond the bins.

    Of the candidates, which ascend, the shortest that tells nearly as much as any is taken; what is
    coarser is then tested in the same way.
    """
    reach = int(np.ptp(redrawn.real)) // 2
    excess = {c: redrawn.excess_of_period(c) for c in candidates if c <= reach}
    best = max(excess.values(), default=0.0)
    if not best:
        return ()
    period = next(c for c, e in excess.items() if e >= SUFFICIENT * best)
    coarser = redrawn_integers(redrawn.real // period)
    longer = [c // period for c in candidates if c > period and c % period == 0]
    return (*(period * p for p in find_periods(coarser, longer)), period)


def redrawn_integers(integers: Ints) -> Redrawn:
    """Redraw integers within the cells of a column that holds them."""
    numbers = integers.astype(np.float64)
    column = NumericCodec.of_integers("", numbers, missing=False)
    return Redrawn.of(column, numbers, nearest_integers)


def nearest_integers(numbers: Floats) -> Ints:
    """Return the nearest integers."""
    return np.round(numbers).astype(np.int64)
