"""The fifteen sanity checks: what is drawn, along which axis, and the shapes to be expected.

Names, axes, criteria and desiderata are those of Räisä et al. 2025 and of their code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pushforward.measures.selftest.sanity import _draws as draws
from pushforward.measures.selftest.sanity._draws import Draw
from pushforward.measures.selftest.sanity._shapes import Shape, bell, falls, flat, near, rises

PURPOSE = "D1b purpose"
SETTINGS = "D2 hyperparameters"
DATA = "D3 data"
BOUNDS = "D4 bounds"
INVARIANCE = "D5 invariance"
REACH = {1: 6.0, 8: 3.0, 64: 1.0}  # of the generated mean, by dimension
DEVIATION = {1: 1 / 6, 8: 1 / 3, 64: 1.0}  # of each of ten modes, by dimension
MAX_ROWS = 5000  # the authors have 10,000, which would take most of the time
MEAN = "mean of the generated sample"


@dataclass(frozen=True)
class Either:
    """Two legitimate readings of diversity where the generated distribution is too wide.

    The low one falls because few generated rows lie where the data are; the high one does not,
    because all the data are covered. A measure must be consistent with one of them.
    """

    low: Shape
    high: Shape


@dataclass(frozen=True)
class Criterion:
    """The shapes that one desideratum demands in one case.

    Args:
        desideratum: as the paper counts them.
        fidelity: for a measure of fidelity; None where it is not clear.
        diversity: for a measure of diversity; None where it is not clear.
    """

    desideratum: str
    fidelity: Shape | None
    diversity: Shape | Either | None


@dataclass(frozen=True)
class Case:
    """One version of a check, e.g. in 64 dimensions.

    Args:
        name: of the version.
        places: on the check's axis, ascending.
        draw: (place, generator) -> (real, generated).
        criteria: what must hold.
    """

    name: str
    places: Sequence[float]
    draw: Draw
    criteria: Sequence[Criterion]


@dataclass(frozen=True)
class SanityCheck:
    """One sanity check; a desideratum is met if it is met in all cases.

    Args:
        name: as in the paper.
        axis: what changes.
        cases: the versions.
    """

    name: str
    axis: str
    cases: Sequence[Case]


def _both(desideratum: str, shape: Shape) -> Criterion:
    return Criterion(desideratum, shape, shape)


def _peak(middle: float, first: float, last: float) -> list[Criterion]:
    """1 in the middle of the axis and 0 at its ends, for both kinds."""
    return [
        _both(BOUNDS, near(1, middle)),
        _both(BOUNDS, near(0, first)),
        _both(BOUNDS, near(0, last)),
        _both(PURPOSE, bell(middle)),
    ]


def _means(name: str, reach: float, draw: Draw) -> Case:
    places = (-reach, -reach / 2, 0.0, reach / 2, reach)
    return Case(name, places, draw, _peak(0, -reach, reach))


def _widths(dim: int, powers: float) -> Case:
    places = [10.0 ** (powers * step) for step in (-1, -0.5, 0, 0.5, 1)]
    first, last = places[0], places[-1]
    wide = Either(near(0, last), near(1, last))
    return Case(
        f"d = {dim}",
        places,
        draws.scaled(dim),
        [
            _both(BOUNDS, near(1, 1)),
            Criterion(BOUNDS, near(1, first), near(0, first)),
            Criterion(BOUNDS, near(0, last), wide),
            Criterion(PURPOSE, falls(), Either(bell(1), rises())),
        ],
    )


def _dropping(dim: int, places: Sequence[float], already: float, draw: Draw) -> Case:
    return Case(
        f"d = {dim}",
        places,
        draw,
        [
            _both(BOUNDS, near(1, places[0])),
            Criterion(BOUNDS, near(1, places[-1]), None),
            Criterion(PURPOSE, flat(), falls(already)),
        ],
    )


def _spheres(dim: int) -> Case:
    places = (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 1.9)
    return Case(f"d = {dim}", places, draws.spheres(dim), _peak(1, 0.1, 1.9))


def _cubes(dim: int, stays: str, draw: Draw) -> Case:
    shared = [_both(stays, flat(1000)), _both(PURPOSE, near(draws.OVERLAP, MAX_ROWS))]
    return Case(f"d = {dim}", (100, 1000, MAX_ROWS), draw, shared)


def _ball_and_torus(name: str, *, real_ball: bool) -> Case:
    shared = [_both(PURPOSE, flat(1000)), _both(BOUNDS, near(0, MAX_ROWS))]
    return Case(name, (100, 1000, MAX_ROWS), draws.ball_in_torus(real_ball=real_ball), shared)


def _collapse(dim: int) -> Case:
    shape = Criterion(PURPOSE, falls(), Either(falls(), flat()))
    places = (0.0, 1.25, 2.5, 3.75, 5.0)
    return Case(
        f"d = {dim}", places, draws.one_over_two_modes(dim), [shape, _both(BOUNDS, near(1, 0))]
    )


def _apart(name: str, places: Sequence[float], stays: str, draw: Draw) -> Case:
    """Disjoint all along the axis."""
    ends = [_both(BOUNDS, near(0, place)) for place in (places[0], places[-1])]
    return Case(name, places, draw, [_both(stays, flat()), *ends])


def _roundings(name: str, *, real: bool) -> Case:
    places = (1.0, 10.0, 100.0, 1000.0)

    def ends(place: float) -> Criterion:
        if real:
            return Criterion(BOUNDS, near(0, place), Either(near(0, place), near(1, place)))
        return Criterion(BOUNDS, near(1, place), near(0, place))

    shared = [_both(PURPOSE, flat()), ends(places[0]), ends(places[-1])]
    return Case(name, places, draws.rounded(real=real), shared)


CHECKS: tuple[SanityCheck, ...] = (
    SanityCheck(
        "Gaussian mean difference",
        MEAN,
        [_means(f"d = {d}", reach, draws.shifted(d)) for d, reach in REACH.items()],
    ),
    SanityCheck(
        "Gaussian mean difference + outlier",
        MEAN,
        [
            _means(
                f"{'real' if real else 'generated'} outlier, d = {d}",
                reach,
                draws.shifted_with_outlier(d, reach, real=real),
            )
            for real in (True, False)
            for d, reach in REACH.items()
        ],
    ),
    SanityCheck(
        "Gaussian mean difference + Pareto",
        MEAN,
        [_means("d = 2", REACH[1], draws.shifted_with_pareto)],
    ),
    SanityCheck(
        "Gaussian std. deviation difference",
        "standard deviation of the generated sample",
        [_widths(1, 3), _widths(8, 1), _widths(64, 0.5)],
    ),
    SanityCheck(
        "Hypercube, varying sample size",
        "rows of both samples",
        [_cubes(d, DATA, draws.cubes(d)) for d in REACH],
    ),
    SanityCheck(
        "Hypercube, varying syn. size",
        "rows of the generated sample",
        [_cubes(d, SETTINGS, draws.cubes(d, real=draws.SIZE)) for d in REACH],
    ),
    SanityCheck(
        "Hypersphere surface",
        "radius of the generated sphere",
        [_spheres(d) for d in (2, 16, 128)],
    ),
    SanityCheck("Mode collapse", "distance of the real modes", [_collapse(d) for d in REACH]),
    SanityCheck(
        "Mode dropping + invention",
        "generated modes; 5 are real",
        [
            Case(
                "d = 2",
                (1, 2, 3, 4, 5, 6, 8, 10),
                draws.modes_drop_or_appear,
                [
                    _both(BOUNDS, near(1, 5)),
                    Criterion(BOUNDS, near(1, 1), near(1, 10)),
                    Criterion(PURPOSE, falls(), rises()),
                ],
            )
        ],
    ),
    SanityCheck(
        "Sequential mode dropping",
        "dropped modes, of 10",
        [
            _dropping(d, (0, 2, 4, 6, 9), 4, draws.modes_drop_one_by_one(d, deviation))
            for d, deviation in DEVIATION.items()
        ],
    ),
    SanityCheck(
        "Simultaneous mode dropping",
        "dropped share of all modes but one",
        [
            _dropping(d, (0, 0.5, 0.8, 0.95, 1), 0.95, draws.all_modes_but_one_fade(d, deviation))
            for d, deviation in DEVIATION.items()
        ],
    ),
    SanityCheck(
        "One disjoint dim. + many identical dim.",
        "equal columns beside the disjoint one",
        [_apart("one column apart", (1, 10, 100, 1000), PURPOSE, draws.disjoint_beside_equal)],
    ),
    SanityCheck(
        "Scaling one dimension",
        "unit of the other column",
        [_apart("d = 2", (1e-3, 0.1, 10, 1e3), INVARIANCE, draws.disjoint_beside_scaled)],
    ),
    SanityCheck(
        "Sphere vs. torus",
        "rows of the generated sample",
        [
            _ball_and_torus("real ball", real_ball=True),
            _ball_and_torus("real torus", real_ball=False),
        ],
    ),
    SanityCheck(
        "Discrete num. vs. continuous num.",
        "standard deviation in units of the rounding",
        [_roundings("real rounded", real=True), _roundings("generated rounded", real=False)],
    ),
)
