"""All texts of a pattern in a random order, each of them once: text number i without the others.

A chunk of a table needs identifiers that are distinct from those of all other chunks, and no
memory of them. So an index is carried to a text by bijections: a permutation of the indices (a
Feistel network, whose rounds need not be invertible; Luby and Rackoff 1988), walked until it falls
into the range (Black and Rogaway 2002), then digits in the mixed radix of the alphabets.
"""

from __future__ import annotations

import bisect
import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.errors import DataError

Words = NDArray[np.uint64]

MOST = 2**56  # texts of one length are counted up to here; beyond, the others are chance
ROUNDS = 4


def mixed(words: Words, key: int) -> Words:
    """Return a hash of 64-bit words (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = words + np.uint64((key * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def indices(first: int, n: int) -> Words:
    """Return first .. first + n - 1."""
    return np.arange(first, first + n, dtype=np.uint64)


def chances(first: int, n: int, key: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that depend on their index and the key alone."""
    words = mixed(indices(first, n), key ^ 0x5DEECE66D) >> np.uint64(11)
    return words.astype(np.float64) * 2.0**-53


def permuted(index: Words, size: int, key: int) -> Words:
    """Return a permutation of 0 .. size - 1 at these indices."""
    half = max(1, -(-(size - 1).bit_length() // 2))
    found = _feistel(index, half, key)
    while (out := found >= size).any():
        found[out] = _feistel(found[out], half, key)
    return found


def _feistel(index: Words, half: int, key: int) -> Words:
    """Return a permutation of the numbers of 2 * half bits."""
    bits, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = index >> bits, index & mask
    for k in range(ROUNDS):
        left, right = right, left ^ (mixed(right, key + k) & mask)
    return (left << bits) | right


@dataclass(frozen=True)
class Phase:
    """A stretch of the list in which texts of some lengths take turns.

    Args:
        size: how many texts it holds.
        lengths: their lengths ...
        counts: ... how many there are of each ...
        offsets: ... and how many of each came in earlier phases.
    """

    size: int
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Series:
    """An endless list of distinct texts.

    Args:
        alphabets: for each position the characters that may stand there, in ascending order.
        shares: how frequent the lengths 1, 2, ... are, as long as there are texts of them.
        dtype: text, or the integers that the texts must be numbers of.
        key: what the order depends on.
    """

    alphabets: tuple[str, ...]
    shares: tuple[float, ...]
    dtype: pl.DataType
    key: int

    def texts(self, first: int, n: int) -> list[str]:
        """Return the texts number first .. first + n - 1."""
        index, start = indices(first, n), 0
        lengths, ranks = np.zeros(n, np.int64), np.zeros(n, np.uint64)
        for k, phase in enumerate(self._phases()):
            inside = (index >= start) & (index < start + phase.size)
            if inside.any():
                place = permuted(index[inside] - np.uint64(start), phase.size, self.key + 7 * k)
                lengths[inside], ranks[inside] = _within(phase, place)
            start += phase.size
            if start >= first + n:
                break
        return self._spelled(index, lengths, ranks)

    def _phases(self) -> Iterator[Phase]:
        """Yield phases: a length drops out when all its texts are used; at last come longer ones.

        DataError when an integer type has no more numbers.
        """
        room = {n: self._room(n) for n, share in enumerate(self.shares, 1) if share > 0}
        used = dict.fromkeys(room, 0)
        while left := [n for n in room if used[n] < room[n]]:
            rest = [room[n] - used[n] for n in left]
            share = [self.shares[n - 1] for n in left]
            scale = min(r / s for r, s in zip(rest, share, strict=True))
            counts = [min(r, max(1, round(s * scale))) for r, s in zip(rest, share, strict=True)]
            yield Phase(sum(counts), tuple(left), tuple(counts), tuple(used[n] for n in left))
            for n, count in zip(left, counts, strict=True):
                used[n] += count
        longer = len(self.alphabets) + 1
        while size := self._room(longer):
            yield Phase(size, (longer,), (size,), (0,))
            used[longer] = size
            longer += 1
        msg = f"identifiers must be distinct, and of type {self.dtype} only {sum(used.values())}"
        raise DataError(f"{msg} fit their pattern; sample fewer rows, or widen the column")

    def _places(self, length: int) -> list[str]:
        """Return what may stand at each position of a text; in long ones the widest repeats."""
        found = list(self.alphabets)
        at = max(range(len(found)), key=lambda i: len(found[i]))
        widest = found[at] if len(found[at]) > 1 else string.digits
        found[at + 1 : at + 1] = [widest] * (length - len(found))
        return found[:length]

    def _room(self, length: int) -> int:
        """Return how many texts of a length are counted."""
        places = self._places(length)
        every = math.prod(map(len, places))
        if not self.dtype.is_integer():
            return min(every, MOST)
        top = int(np.iinfo(str(self.dtype).lower()).max)
        return bisect.bisect_right(range(every), top, key=lambda rank: _nth(places, rank))

    def _spelled(self, index: Words, lengths: NDArray[np.int64], ranks: Words) -> list[str]:
        """Return the texts of these lengths and ranks; `index` fills what ranks do not reach."""
        texts = np.empty(len(index), f"<U{int(lengths.max(initial=1))}")
        for length in np.unique(lengths).tolist():
            own = lengths == length
            rank = permuted(ranks[own], self._room(length), self.key + 1000 + length)
            letters = self._letters(self._places(length), rank, index[own])
            texts[own] = np.ascontiguousarray(letters).view(f"<U{length}")[:, 0]
        found: list[str] = texts.tolist()
        return found

    def _letters(self, places: Sequence[str], rank: Words, index: Words) -> NDArray[np.str_]:
        """Return the letters (n, length) of texts: digits in mixed radix, the last the lowest."""
        letters, reach = [], 1
        for at, alphabet in reversed(list(enumerate(places))):
            size = np.uint64(len(alphabet))
            if reach < MOST or self.dtype.is_integer():
                digit, rank = rank % size, rank // size
            else:
                digit = mixed(index, self.key + 2000 + at) % size
            letters.append(np.array(list(alphabet))[digit.astype(np.int64)])
            reach *= len(alphabet)
        return np.stack(letters[::-1], axis=1)


def _nth(places: Sequence[str], rank: int) -> int:
    """Return the number whose text has this rank."""
    digits = []
    for alphabet in reversed(places):
        rank, digit = divmod(rank, len(alphabet))
        digits.append(alphabet[digit])
    return int("".join(reversed(digits)))


def _within(phase: Phase, place: Words) -> tuple[NDArray[np.int64], Words]:
    """Return the length of the texts at these places of a phase, and their rank among such."""
    ends = np.array(phase.counts, np.uint64).cumsum(dtype=np.uint64)
    which = np.searchsorted(ends, place, side="right")
    below = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
    ranks: Words = place - below[which] + np.array(phase.offsets, np.uint64)[which]
    return np.array(phase.lengths)[which], ranks
