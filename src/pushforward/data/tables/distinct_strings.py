"""All strings of a pattern in a random order, each once: string number i without the others.

Each chunk of a table needs identifiers that differ from those of all other chunks, without storing
them. So an index is mapped to a string by bijections: a permutation of the indices (a Feistel
network, whose rounds need not be invertible; Luby and Rackoff 1988), applied repeatedly until the
result is in the range (cycle walking; Black and Rogaway 2002), then the digits in the mixed radix
of the alphabets.
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

from pushforward.data.numeric import Floats, Ints
from pushforward.errors import DataError

Words = NDArray[np.uint64]

MAX_COUNTED = 2**56  # strings of one length are enumerated up to here; the others are hashed
FEISTEL_ROUNDS = 4


def splitmix64(words: Words, key: int) -> Words:
    """Return a hash of 64-bit words (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = words + np.uint64((key * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def index_range(first: int, n: int) -> Words:
    """Return first .. first + n - 1."""
    return np.arange(first, first + n, dtype=np.uint64)


def hashed_uniform(first: int, n: int, key: int) -> Floats:
    """Return numbers in [0, 1) for n indices, which depend only on the index and the key."""
    words = splitmix64(index_range(first, n), key ^ 0x5DEECE66D) >> np.uint64(11)
    return words.astype(np.float64) * 2.0**-53


def permute(index: Words, size: int, key: int) -> Words:
    """Return a pseudorandom permutation of 0 .. size - 1, evaluated at these indices."""
    half_bits = max(1, -(-(size - 1).bit_length() // 2))
    permuted = _feistel(index, half_bits, key)
    while (outside := permuted >= size).any():
        permuted[outside] = _feistel(permuted[outside], half_bits, key)
    return permuted


def _feistel(index: Words, half_bits: int, key: int) -> Words:
    """Return a permutation of the numbers of 2 * half_bits bits."""
    bits, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
    left, right = index >> bits, index & mask
    for k in range(FEISTEL_ROUNDS):
        left, right = right, left ^ (splitmix64(right, key + k) & mask)
    return (left << bits) | right


@dataclass(frozen=True)
class LengthMix:
    """A section of the list in which strings of certain lengths are mixed.

    Args:
        size: the number of strings.
        lengths: their lengths ...
        counts: ... how many there are of each ...
        offsets: ... and how many of each are in earlier sections.
    """

    size: int
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class DistinctStrings:
    """An endless list of distinct strings.

    Args:
        alphabets: the characters that each position may have, in ascending order.
        shares: the shares of the lengths 1, 2, ..., until all strings of a length are used.
        dtype: text, or the integer type that must hold the numbers that the strings spell.
        key: determines the order.
    """

    alphabets: tuple[str, ...]
    shares: tuple[float, ...]
    dtype: pl.DataType
    key: int

    def strings(self, first: int, n: int) -> list[str]:
        """Return the strings number first .. first + n - 1."""
        index, start = index_range(first, n), 0
        lengths, ranks = np.zeros(n, np.int64), np.zeros(n, np.uint64)
        for k, section in enumerate(self._sections()):
            inside = (index >= start) & (index < start + section.size)
            if inside.any():
                local = index[inside] - np.uint64(start)
                positions = permute(local, section.size, self.key + 7 * k)
                lengths[inside], ranks[inside] = _locate(section, positions)
            start += section.size
            if start >= first + n:
                break
        return self._strings_of_rank(index, lengths, ranks)

    def _sections(self) -> Iterator[LengthMix]:
        """Yield sections: a length ends when all its strings are used; longer ones follow at last.

        DataError when an integer type has no more numbers.
        """
        capacity = {n: self._capacity(n) for n, share in enumerate(self.shares, 1) if share > 0}
        used = dict.fromkeys(capacity, 0)
        while lengths := [n for n in capacity if used[n] < capacity[n]]:
            free = [capacity[n] - used[n] for n in lengths]
            share = [self.shares[n - 1] for n in lengths]
            scale = min(f / s for f, s in zip(free, share, strict=True))
            counts = [min(f, max(1, round(s * scale))) for f, s in zip(free, share, strict=True)]
            offsets = tuple(used[n] for n in lengths)
            yield LengthMix(sum(counts), tuple(lengths), tuple(counts), offsets)
            for n, count in zip(lengths, counts, strict=True):
                used[n] += count
        longer = len(self.alphabets) + 1
        while size := self._capacity(longer):
            yield LengthMix(size, (longer,), (size,), (0,))
            used[longer] = size
            longer += 1
        msg = f"identifiers must be distinct, and only {sum(used.values())} fit {self.dtype}"
        raise DataError(f"{msg} by their pattern; sample fewer rows, or use a wider type")

    def _alphabets(self, length: int) -> list[str]:
        """Return the alphabet of each position; in longer strings the widest one is repeated."""
        alphabets = list(self.alphabets)
        widest = max(range(len(alphabets)), key=lambda i: len(alphabets[i]))
        repeated = alphabets[widest] if len(alphabets[widest]) > 1 else string.digits
        alphabets[widest + 1 : widest + 1] = [repeated] * (length - len(alphabets))
        return alphabets[:length]

    def _capacity(self, length: int) -> int:
        """Return how many strings of a length are enumerated."""
        alphabets = self._alphabets(length)
        total = math.prod(map(len, alphabets))
        if not self.dtype.is_integer():
            return min(total, MAX_COUNTED)
        largest = int(np.iinfo(str(self.dtype).lower()).max)
        return bisect.bisect_right(range(total), largest, key=lambda rank: _number(alphabets, rank))

    def _strings_of_rank(self, index: Words, lengths: Ints, ranks: Words) -> list[str]:
        """Return the strings of these lengths and ranks; `index` is hashed beyond `MAX_COUNTED`."""
        strings = np.empty(len(index), f"<U{int(lengths.max(initial=1))}")
        for length in np.unique(lengths).tolist():
            rows = lengths == length
            rank = permute(ranks[rows], self._capacity(length), self.key + 1000 + length)
            characters = self._characters(self._alphabets(length), rank, index[rows])
            strings[rows] = np.ascontiguousarray(characters).view(f"<U{length}")[:, 0]
        listed: list[str] = strings.tolist()
        return listed

    def _characters(self, alphabets: Sequence[str], rank: Words, index: Words) -> NDArray[np.str_]:
        """Return the characters (n, length): digits in mixed radix, the last the lowest."""
        characters, counted = [], 1
        for position, alphabet in reversed(list(enumerate(alphabets))):
            size = np.uint64(len(alphabet))
            if counted < MAX_COUNTED or self.dtype.is_integer():
                digit, rank = rank % size, rank // size
            else:
                digit = splitmix64(index, self.key + 2000 + position) % size
            characters.append(np.array(list(alphabet))[digit.astype(np.int64)])
            counted *= len(alphabet)
        return np.stack(characters[::-1], axis=1)


def _number(alphabets: Sequence[str], rank: int) -> int:
    """Return the number that the string of this rank spells."""
    digits = []
    for alphabet in reversed(alphabets):
        rank, digit = divmod(rank, len(alphabet))
        digits.append(alphabet[digit])
    return int("".join(reversed(digits)))


def _locate(section: LengthMix, positions: Words) -> tuple[Ints, Words]:
    """Return the length of the strings at these positions, and their rank among that length."""
    ends = np.array(section.counts, np.uint64).cumsum(dtype=np.uint64)
    which = np.searchsorted(ends, positions, side="right")
    starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
    ranks: Words = positions - starts[which] + np.array(section.offsets, np.uint64)[which]
    return np.array(section.lengths)[which], ranks
