"""Formulas that may be those of a column, by a few rows: products, sums, times a duration apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np

from pushforward.data.numeric import Floats, Ints, Mask
from pushforward.data.tables.constraints.factors import simplest
from pushforward.data.tables.constraints.language import quote_name

REFUTING_ROWS, FIRST_ROWS = 200, 32  # these many of them refute most candidates
TELLING_ROWS = 10  # with values other than 0: fewer refute nothing, and confirm nothing
WITHOUT_VALUE = 0.05  # of these rows: a few may have a value of their own where a formula has none
MAX_OPERANDS = 12  # columns of which all products of three are tried
MAX_PARTS = 8  # of a sum
COEFFICIENT_ERROR = 0.01  # of a fitted coefficient, relative to the round number that it is
ROUNDING = 1e-9  # of least squares, relative to the range of the values
COST_OF_FACTORS = 10  # a constant for each category is tried after all that have one constant
UNITS = (1, 60, 3600, 86_400)  # of a duration, in seconds

Values = Mapping[str, Floats]  # (n,) of each column


@dataclass(frozen=True, eq=False)
class Candidate:
    """A right-hand side, times a constant if it is `scaled`.

    Args:
        text: of the formula, without constant and factors.
        columns: that it has.
        values: (n,) in a few rows.
        cost: what is simpler costs less.
        scaled: whether a constant is to be found.
        by: the column for each category of which a constant is to be found, or None.
    """

    text: str
    columns: tuple[str, ...]
    values: Floats
    cost: int
    scaled: bool = True
    by: str | None = None


def copies(values: Values) -> Iterator[Candidate]:
    """Yield each column itself: what is added to it must change it beyond its last digit."""
    for name, x in values.items():
        yield Candidate(quote_name(name), (name,), x, 0, False)


def products(values: Values) -> Iterator[Candidate]:
    """Yield products and quotients of two columns, and products of three or with percentages."""
    numbers, factors = [*map(_column, values, values.values())], [*_shares(values)]
    pairs = [_times(a, b, 4) for a, b in combinations(numbers, 2)]
    yield from numbers
    yield from pairs
    yield from (_over(a, b) for a, b in permutations(numbers, 2))
    yield from (_times(a, share, 5) for a in numbers for share in factors)
    if len(numbers) <= MAX_OPERANDS:
        yield from (_times(pair, share, 7) for pair in pairs for share in factors)
        yield from (_times(_times(a, b, 4), c, 7) for a, b, c in combinations(numbers, 3))


def _column(name: str, values: Floats) -> Candidate:
    return Candidate(quote_name(name), (name,), values, 3)


def _times(a: Candidate, b: Candidate, cost: int) -> Candidate:
    text, columns = f"{a.text} * {b.text}", a.columns + b.columns
    return Candidate(text, columns, a.values * b.values, cost)


def _over(a: Candidate, b: Candidate) -> Candidate:
    with np.errstate(all="ignore"):
        return Candidate(f"{a.text} / {b.text}", a.columns + b.columns, a.values / b.values, 6)


def _shares(values: Values) -> Iterator[Candidate]:
    """Yield what shares and percentages leave, or add: 1 - x, 1 + x / 100."""
    for name, x in values.items():
        largest = np.abs(x).max(initial=0, where=~np.isnan(x))
        for unit, divided in ((1, ""), (100, " / 100")):
            if unit / 100 < largest <= unit:
                text = f"{quote_name(name)}{divided}"
                yield Candidate(f"(1 - {text})", (name,), 1 - x / unit, 2)
                yield Candidate(f"(1 + {text})", (name,), 1 + x / unit, 2)


def sums(values: Values) -> Iterator[Candidate]:
    """Yield the sums and differences of two columns."""
    for a, b in combinations(values, 2):
        yield Candidate(
            f"{quote_name(a)} + {quote_name(b)}", (a, b), values[a] + values[b], 1, False
        )
    for a, b in permutations(values, 2):
        yield Candidate(
            f"{quote_name(a)} - {quote_name(b)}", (a, b), values[a] - values[b], 2, False
        )


def ends(times: Values, numbers: Values) -> Iterator[Candidate]:
    """Yield a time and a duration after it, in seconds, minutes, hours or days."""
    for start in times:
        for name in numbers:
            for unit in UNITS:
                text = f"{quote_name(start)} + {unit} * {quote_name(name)}"
                end = times[start] + unit * numbers[name]
                yield Candidate(text.replace(" 1 *", ""), (start, name), end, 1, False)


def durations(times: Values) -> Iterator[Candidate]:
    """Yield the time between two, in seconds, minutes, hours or days."""
    for start, end in permutations(times, 2):
        for unit in UNITS:
            text = f"({quote_name(end)} - {quote_name(start)}) / {unit}"
            passed = (times[end] - times[start]) / unit
            yield Candidate(text, (end, start), passed, 8, False)


def not_refuted(
    name: str,
    y: Floats,
    tolerance: Floats,
    candidates: Sequence[Candidate],
    codes: Mapping[str, Ints],
) -> Iterator[Candidate]:
    """Yield the candidates that may be column `name` with values y (n,), by a few rows.

    Args:
        name: of the column.
        y: (n,) its values, NaN where missing.
        tolerance: (n,) by how much a value may differ from its formula.
        candidates: with values in the same rows.
        codes: (n,) of the columns whose categories may have factors.
    """
    candidates = [c for c in candidates if name not in c.columns]
    if not candidates:
        return
    values = np.stack([candidate.values for candidate in candidates])
    first = np.flatnonzero(np.isfinite(y) & (y != 0))[:FIRST_ROWS]
    ratios, width = _ratios(y[first], tolerance[first], values[:, first])
    refuted = ~_clustered(ratios, width)
    values = values[~refuted]
    candidates = [c for c, is_refuted in zip(candidates, refuted, strict=True) if not is_refuted]
    ratios, width = _ratios(y, tolerance, values)
    without_value = np.isfinite(y) & ~np.isfinite(values)  # a division by 0, an operand missing
    impossible = (values == 0) & (np.abs(y) > tolerance)
    possible = ~impossible.any(axis=1) & (without_value.mean(axis=1) <= WITHOUT_VALUE)
    everywhere = np.zeros(len(y), np.int64)
    has_one = possible & _is_constant(ratios, width, everywhere)
    is_one = possible & (np.abs(ratios - 1) <= width + 1e-12).any(axis=1)
    for i in np.flatnonzero(has_one):
        if candidates[i].scaled or is_one[i]:
            yield candidates[i]
    several = np.flatnonzero(possible & ~has_one & _clustered(ratios, width))
    for by, of_rows in codes.items():
        for i in several[_is_constant(ratios[several], width[several], of_rows)]:
            if candidates[i].scaled:
                yield replace(candidates[i], by=by, cost=candidates[i].cost + COST_OF_FACTORS)


def _is_constant(ratios: Floats, width: Floats, codes: Ints) -> Mask:
    """Return which ratios (k, n) may be one constant for each code (n,), up to their width."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=codes.min() - 1))
    ratios, width = ratios[:, order], width[:, order]
    present = np.isfinite(ratios)
    low = np.maximum.reduceat(np.where(present, ratios - width, -np.inf), starts, axis=1)
    high = np.minimum.reduceat(np.where(present, ratios + width, np.inf), starts, axis=1)
    telling = present.sum(axis=1) >= TELLING_ROWS + (low > -np.inf).sum(axis=1)
    return np.asarray((low <= high).all(axis=1) & telling)


def _ratios(y: Floats, tolerance: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return y / values (k, n), NaN where it says nothing, and by how much it may differ."""
    with np.errstate(all="ignore"):
        ratios, width = y / values, np.abs(tolerance / values)
    return np.where(np.isfinite(ratios) & (y != 0), ratios, np.nan), width


def _clustered(ratios: Floats, width: Floats) -> Mask:
    """Return in which rows (k,) most of the ratios (k, n) have an equal one, up to their width."""
    order = np.argsort(ratios, axis=1)  # NaN comes last
    ratios, width = (np.take_along_axis(x, order, axis=1) for x in (ratios, width))
    close = np.diff(ratios, axis=1) <= width[:, 1:] + width[:, :-1]
    return np.asarray(close.sum(axis=1) > np.isfinite(ratios).sum(axis=1) / 2)


def long_sum(y: Floats, tolerance: float, values: Values) -> Candidate | None:
    """Return the sum of columns, each times a round number, that y may be: by least squares.

    Args:
        y: (n,) the values.
        tolerance: by how much they may differ from a formula.
        values: (n,) of the other columns.
    """
    rows = np.isfinite(y) & np.isfinite([*values.values()]).all(axis=0)
    if len(values) < 2 or rows.sum() < 2 * len(values):
        return None
    x, y = np.stack([x[rows] for x in values.values()], axis=1), y[rows]
    room = 2 * max(tolerance, ROUNDING * float(np.ptp(y)))
    everything = np.arange(len(values))
    if not _fits(y, x, everything, room):
        return None
    for used in (_fewest(y, x, room), everything):
        coefficients = np.zeros(len(values))
        coefficients[used] = _round_numbers(
            _fitted(y, x[:, used]), np.ptp(x[:, used], axis=0), room
        )
        fewest = 3 if np.abs(coefficients).max() == 1 else 2  # sums of two are candidates already
        is_short = fewest <= np.count_nonzero(coefficients) <= MAX_PARTS
        if is_short and (np.abs(y - x @ coefficients) <= room).all():
            return _sum(dict(zip(values, coefficients, strict=True)), values)
    return None


def _sum(coefficients: Mapping[str, float], values: Values) -> Candidate:
    """Return a sum; one with a negative part costs more: the part could exceed what it is of."""
    used = {name: c for name, c in coefficients.items() if c}
    parts = sorted(used.items(), key=lambda part: part[1] < 0)
    text = " ".join(_signed_term(c, name) for name, c in parts).removeprefix("+ ")
    total = sum((c * values[name] for name, c in used.items()), np.zeros(1))
    return Candidate(text, tuple(used), total, int(min(used.values()) < 0), False)


def _fitted(y: Floats, x: Floats) -> Floats:
    """Return the coefficients of columns x (n, k) by least squares."""
    scale = np.abs(x).max(axis=0, initial=0) + 1e-300
    fitted: Floats = np.linalg.lstsq(x / scale, y, rcond=None)[0] / scale
    return fitted


def _fits(y: Floats, x: Floats, used: Ints, room: float) -> bool:
    """Whether y is a sum of some of the columns x."""
    return bool((np.abs(y - x[:, used] @ _fitted(y, x[:, used])) <= room).all())


def _fewest(y: Floats, x: Floats, room: float) -> Ints:
    """Return a few columns that y is a sum of: where some are sums of others, all would share.

    In turn the column is taken that goes best with what is left (orthogonal matching pursuit), and
    then each is left out that is not needed.
    """
    used: list[int] = []
    centred = x - x.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0)) + 1e-300
    rest = y
    while len(used) < min(MAX_PARTS, x.shape[1]) and not _fits(y, x, np.array(used, int), room):
        used.append(int(np.abs(centred.T @ (rest - rest.mean()) / norm).argmax()))
        rest = y - x[:, used] @ _fitted(y, x[:, used])
    for one in [*used]:
        others = np.array([i for i in used if i != one], int)
        used = [*others] if _fits(y, x, others, room) else used
    return np.array(used, int)


def _round_numbers(fitted: Floats, reach: Floats, room: float) -> Floats:
    """Return the round numbers that fitted coefficients may be: of 1 and -1, else each by itself.

    A column of `reach` 0 has the coefficient 0.
    """
    signs = np.round(fitted)
    if (np.abs(fitted - signs)[reach > 0] < COEFFICIENT_ERROR).all() and np.abs(signs).max() == 1:
        return signs
    pairs = zip(fitted, reach, strict=True)
    return np.array([_round_number(c, room / r) if r else 0.0 for c, r in pairs])


def _round_number(fitted: float, room: float) -> float:
    """Return the roundest number near a coefficient that was fitted: 0 within the room for it."""
    if abs(fitted) <= room:
        return 0.0
    near = abs(fitted) * COEFFICIENT_ERROR
    return float(Fraction(simplest(fitted - near, fitted + near)))


def _signed_term(coefficient: float, name: str) -> str:
    sign, size = "-" if coefficient < 0 else "+", abs(coefficient)
    return f"{sign} {'' if size == 1 else f'{size:.12g} * '}{quote_name(name)}"
