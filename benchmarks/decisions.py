"""How often a comparison claims too much, and how often it finds what is there.

    python benchmarks/decisions.py [--data ../shared/data] [--repeats 500] [--pools POOLS.json]

1. Pools: on each data set, 24 runs of one model, 8 of the same with four times the steps, and 8
   generators that give training rows away; where the distribution is known, 24 samples of it, 8 of
   it shrunk by 0.9, and 8 of it with weaker correlations. Measured once, and kept
   (`decision-pools.json`).
2. Equal models: a pool is split at random into two or three "models" of 3 and of 5 seeds. What is
   recommended is a false claim. Vetoes are lifted, since they would hide it.
3. Better models: runs of the longer training, or of the truth, against the others.
4. Copies: the generator that gives training rows away must not be recommended.
   2 and 3 with 5 seeds are repeated for `matters=0`, where any difference counts.
5. Equal by symmetry: two generators with errors of opposite sign are equally good, but not on one
   set of test rows. With many seeds, intervals that do not cover the rows claim a difference.

Beside each rate stands what the rule of before gave: paired t intervals of every measure, and a
recommendation from a lead of two measures.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import eq
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

import pushforward as pf
from pushforward.comparison.decide import decide
from pushforward.comparison.findings import CHECKS, COPIES
from pushforward.comparison.folder import CEILING, FLOOR
from pushforward.comparison.references import LabelledRows, ceiling_rows, first_rows, floor_rows
from pushforward.data import Dataset
from pushforward.data.toys import TOYS
from pushforward.measures import Measurement, Scorecard, Scorer
from pushforward.measures.samples import energy_statistic
from pushforward.sampling.request import SampleRequest

ROWS = 20_000  # of the known Gaussian
RUNS, OTHERS = 24, 8  # of a pool's first group, and of the others
TEST_ROWS = 3000
DIGITS = 5  # significant ones that are kept of each number
FIELDS = ("value", "vote", "low", "high", "null", "p_value")
SIZES = (3, 5)  # seeds of a model
CURVE = (2, 3, 4, 5, 8)
VETOES = [code for code, check in CHECKS.items() if check.vetoes != "nothing"]
REPEATS_BY_SYMMETRY = 300
CURVE_REPEATS = 200

Cards = Sequence[Scorecard]
Rule = Callable[[Mapping[str, Cards], Mapping[str, Scorecard]], str | None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Scorecards of many runs on one data set, by group, and those of ceiling and floor."""

    groups: dict[str, list[Scorecard]]
    references: dict[str, Scorecard]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--only", nargs="*", help="make these pools anew, and no others")
    results = Path("benchmarks/results")
    parser.add_argument("--pools", type=Path, default=results / "decision-pools.json")
    parser.add_argument("--out", type=Path, default=results / "decisions.json")
    arguments = parser.parse_args()
    pools = read_pools(arguments.pools)
    for name, make in MAKERS.items():
        wanted = arguments.only is None or name in arguments.only
        if wanted and (name not in pools or arguments.only):
            print(f"measuring the pool {name}", flush=True)
            pools[name] = make(arguments.data)
            write_pools(arguments.pools, pools)
    found: dict[str, Any] = {name: rates(pool, arguments.repeats) for name, pool in pools.items()}
    found["equal by symmetry"] = by_symmetry(min(arguments.repeats, REPEATS_BY_SYMMETRY))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    show(found)


# The pools.


def trained(data: Dataset, model: str, steps: int, longer: int, **options: Any) -> Pool:
    """Return runs of a model, of the same with more steps, and of a generator of training rows."""
    score, n = measuring(data)

    def run(seed: int, steps: int) -> Scorecard:
        fitted = pf.fit(data, model, budget=f"{steps} steps", seed=seed, **options)
        return score(SampleRequest(fitted.network("best"), data.schema, n, seed).draw(), seed)

    groups = {
        "base": [run(seed, steps) for seed in range(RUNS)],
        "longer": [run(1000 + seed, longer) for seed in range(OTHERS)],
        "copies": [score(copied(data, n, seed), seed) for seed in range(OTHERS)],
    }
    return Pool(groups, references(data, n, score))


def known(_: Path) -> Pool:
    """Return samples of a known Gaussian, of two others, and of training rows.

    As a table, since its floor, independent columns, is then not the truth.
    """
    factor = correlated(0.7)
    data = pf.read(gaussian(0, ROWS, factor))
    score, n = measuring(data)

    def sample(seed: int, factor: Floats) -> Scorecard:
        return score((data.schema.encode(gaussian(10_000 + seed, n, factor)), None), seed)

    groups = {
        "truth": [sample(seed, factor) for seed in range(RUNS)],
        "shrunk": [sample(1000 + seed, 0.9 * factor) for seed in range(OTHERS)],
        "less correlated": [sample(2000 + seed, correlated(0.5)) for seed in range(OTHERS)],
        "copies": [score(copied(data, n, seed), seed) for seed in range(OTHERS)],
    }
    return Pool(groups, references(data, n, score))


def known_ring(_: Path) -> Pool:
    """Return samples of a known ring of modes, of one that is too small, and of training rows."""
    data = pf.read("ring")
    score, n = measuring(data)

    def sample(seed: int, factor: float) -> Scorecard:
        points = TOYS["ring"]().draw(n, np.random.default_rng(10_000 + seed))
        return score((data.schema.encode((factor * points).astype(np.float32)), None), seed)

    groups = {
        "truth": [sample(seed, 1.0) for seed in range(RUNS)],
        "shrunk": [sample(1000 + seed, 0.9) for seed in range(OTHERS)],
        "copies": [score(copied(data, n, seed), seed) for seed in range(OTHERS)],
    }
    return Pool(groups, references(data, n, score))


def correlated(correlation: float) -> Floats:
    """Return L such that L L' has this correlation between each two of four columns."""
    matrix = np.full((4, 4), correlation) + (1 - correlation) * np.eye(4)
    return np.asarray(np.linalg.cholesky(matrix))


def gaussian(seed: int, n: int, factor: Floats) -> pl.DataFrame:
    """Return n rows of N(0, L L')."""
    rows = np.random.default_rng(seed).normal(size=(n, len(factor))) @ factor.T
    return pl.DataFrame(rows, schema=["a", "b", "c", "d"])


Score = Callable[[LabelledRows, int], Scorecard]


def measuring(data: Dataset) -> tuple[Score, int]:
    """Return what measures generated rows as a comparison does, and how many it takes."""
    scorer = Scorer(data, copies=True)
    n = min(data.sizes["test"], data.sizes["validation"], TEST_ROWS)
    test = first_rows(data.subset("test"), n)

    def score(rows: LabelledRows, seed: int) -> Scorecard:
        card = scorer.score(test, rows, seed=seed)
        return Scorecard(card, card.notes, scorer.row_noise(test, rows, seed=seed))

    return score, n


def references(data: Dataset, n: int, score: Score) -> dict[str, Scorecard]:
    generator = torch.Generator().manual_seed(0)
    return {
        CEILING: score(ceiling_rows(data, n), 0),
        FLOOR: score(floor_rows(data, n, generator), 0),
    }


def copied(data: Dataset, n: int, seed: int) -> LabelledRows:
    """Return training rows, drawn at random."""
    rows, labels = data.subset("train")
    drawn = torch.randint(len(rows), (n,), generator=torch.Generator().manual_seed(seed))
    return rows[drawn], None if labels is None else labels[drawn]


def adult(folder: Path) -> Pool:
    rows = pl.read_csv(folder / "adult-train.csv").sample(5000, seed=0)
    return trained(pf.read(rows), "vae", 150, 600)


MAKERS: dict[str, Callable[[Path], Pool]] = {
    "known Gaussian": known,
    "known ring": known_ring,
    "ring": lambda _: trained(pf.read("ring"), "gan", 200, 800),
    "wine": lambda _: trained(pf.read("wine"), "vae", 100, 400),
    "digits": lambda _: trained(pf.read("digits"), "gan", 200, 800, width=32),
    "Adult, 5,000 rows": adult,
}


# The rates.


def rates(pool: Pool, repeats: int) -> dict[str, Any]:
    """Return the rates of one data set, by ours and by the rule of before."""
    first, *others = (group for group in pool.groups if group != "copies")
    found: dict[str, Any] = {}
    for models in (2, 3):
        for seeds in SIZES:
            name = f"{models} equal models, {seeds} seeds: one recommended"
            drawn = list(splits(pool.groups[first], models, seeds, repeats))
            found[name] = both(drawn, pool, lambda model: model is not None)
    for other in others:
        better, worse = (other, first) if other == "longer" else (first, other)
        for seeds in CURVE:
            drawn = list(pairs(pool, better, worse, seeds, min(repeats, CURVE_REPEATS)))
            case = f"{better} against {worse}, {seeds} seeds"
            found |= right_and_wrong(case, drawn, pool, better, worse)
    found |= if_any_matters(pool, repeats)
    drawn = list(pairs(pool, "copies", first, 5, repeats))
    found["copies, 5 seeds: recommended"] = both(drawn, pool, partial(eq, "copies"), ours)
    vetoed = [copies_found(cards, pool.references) for cards in drawn]
    found["copies, 5 seeds: found"] = {"ours": share(vetoed)}
    return found


def if_any_matters(pool: Pool, repeats: int) -> dict[str, Any]:
    """Return false and right recommendations with 5 seeds, `matters=0`."""
    first, *others = (group for group in pool.groups if group != "copies")
    equal = list(splits(pool.groups[first], 2, 5, repeats))
    case = "2 equal models, 5 seeds, matters=0: one recommended"
    found = {case: {"ours": share([any_difference(c, pool.references) is not None for c in equal])}}
    for other in others:
        better, worse = (other, first) if other == "longer" else (first, other)
        drawn = list(pairs(pool, better, worse, 5, min(repeats, CURVE_REPEATS)))
        named = [any_difference(cards, pool.references) for cards in drawn]
        case = f"{better} over {worse}, 5 seeds, matters=0: right"
        found[case] = {"ours": share([model == better for model in named])}
    return found


def splits(
    cards: Cards, models: int, seeds: int, repeats: int
) -> Iterator[dict[str, list[Scorecard]]]:
    """Yield random disjoint sets of runs of one model, as if they were models."""
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        order = rng.permutation(len(cards))[: models * seeds].reshape(models, seeds)
        yield {f"model {i}": [cards[j] for j in own] for i, own in enumerate(order.tolist())}


def pairs(
    pool: Pool, first: str, second: str, seeds: int, repeats: int
) -> Iterator[dict[str, list[Scorecard]]]:
    """Yield random runs of one group beside random runs of another."""
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        yield {
            name: [pool.groups[name][j] for j in rng.permutation(len(pool.groups[name]))[:seeds]]
            for name in (first, second)
        }


def ours(cards: Mapping[str, Cards], references: Mapping[str, Scorecard]) -> str | None:
    """Return the model that is recommended."""
    return decide(cards, references).recommendation.model


def unvetoed(cards: Mapping[str, Cards], references: Mapping[str, Scorecard]) -> str | None:
    """Return the model that would be recommended if nothing were vetoed."""
    return decide(cards, references, ignore=VETOES).recommendation.model


def any_difference(cards: Mapping[str, Cards], references: Mapping[str, Scorecard]) -> str | None:
    """Return the model that would be recommended if any difference mattered, however small."""
    return decide(cards, references, matters=0, ignore=VETOES).recommendation.model


def copies_found(cards: Mapping[str, Cards], references: Mapping[str, Scorecard]) -> bool:
    found = decide(cards, references).findings
    return any((finding.code, finding.model) == (COPIES, "copies") for finding in found)


def before(cards: Mapping[str, Cards], _: Mapping[str, Scorecard]) -> str | None:
    """Return the model that leads every other by two measures, each by paired t intervals."""
    names = [n for n, m in next(iter(cards.values()))[0].items() if m.aspect]

    def lead(a: str, b: str) -> int:
        by_measure = [
            significant([loss(x[n]) - loss(y[n]) for x, y in zip(cards[a], cards[b], strict=True)])
            for n in names
        ]
        return by_measure.count(-1) - by_measure.count(1)

    leads = {a: {b: lead(a, b) for b in cards if b != a} for a in cards}
    leader = max(leads, key=lambda a: sum(leads[a].values()))
    return leader if min(leads[leader].values()) >= 2 else None


def loss(measurement: Measurement) -> float:
    if measurement.better == "null":
        return abs(measurement.value - (measurement.null or 0.0))
    return measurement.value if measurement.better == "lower" else -measurement.value


def significant(differences: Sequence[float]) -> int:
    """Return the sign of a mean whose 95 % t interval excludes 0, else 0."""
    n, mean = len(differences), fmean(differences)
    half = float(stats.t.ppf(0.975, n - 1)) * stdev(differences) / math.sqrt(n)
    return 0 if abs(mean) <= half else int(math.copysign(1, mean))


def right_and_wrong(
    case: str, drawn: Sequence[Mapping[str, Cards]], pool: Pool, better: str, worse: str
) -> dict[str, dict[str, list[float]]]:
    """Return how often the better model is recommended, and how often the other, by either rule."""
    named = {
        rule: [decides(cards, pool.references) for cards in drawn]
        for rule, decides in (("ours", unvetoed), ("before", before))
    }
    return {
        f"{case}: {said}": {rule: share([m == model for m in own]) for rule, own in named.items()}
        for said, model in (("right", better), ("wrong", worse))
    }


def both(
    drawn: Sequence[Mapping[str, Cards]],
    pool: Pool,
    happened: Callable[[str | None], bool],
    rule: Rule = unvetoed,
) -> dict[str, Any]:
    """Return the share of cases, by our rule and by that of before."""
    return {
        name: share([happened(decides(cards, pool.references)) for cards in drawn])
        for name, decides in (("ours", rule), ("before", before))
    }


def share(cases: Sequence[bool]) -> list[float]:
    """Return a share with its Clopper-Pearson interval (95 %)."""
    found = stats.binomtest(sum(cases), len(cases)).proportion_ci(0.95)
    return [round(x, 4) for x in (sum(cases) / len(cases), found.low, found.high)]


# Equal by symmetry.


def shifted_energy(
    x: Tensor,
    y: Tensor,
    *,
    seed: int = 0,  # noqa: ARG001  # which every measure takes
) -> Measurement:
    """The energy distance alone, without what takes time."""
    value = float(energy_statistic(x, y))
    return Measurement("shifted_energy", value, null=0.0, n=len(x), m=len(y))


def by_symmetry(repeats: int, n: int = 200, seeds: int = 10, shift: float = 0.3) -> dict[str, Any]:
    """Return how often one of two equally good generators is recommended, new rows each time."""
    kept = {"ours": list[bool](), "seeds only": list[bool]()}
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        data = pf.read(rng.normal(size=(10 * n, 2)))
        scorer = Scorer(data, measures=[shifted_energy])
        test = first_rows(data.subset("test"), n)

        def card(
            rows: LabelledRows, scorer: Scorer = scorer, test: LabelledRows = test
        ) -> Scorecard:
            return Scorecard(scorer.score(test, rows), (), scorer.row_noise(test, rows))

        def generated(by: float, rng: Any = rng, data: Dataset = data) -> LabelledRows:
            return data.schema.encode(rng.normal(size=(n, 2)) + np.array([by, 0.0])), None

        references = {CEILING: card(ceiling_rows(data, n)), FLOOR: card(generated(2 * shift))}
        cards = {
            name: [card(generated(by)) for _ in range(seeds)]
            for name, by in (("left", -shift), ("right", shift))
        }
        kept["ours"].append(unvetoed(cards, references) is not None)
        blind = {name: [without_row_noise(c) for c in own] for name, own in cards.items()}
        kept["seeds only"].append(unvetoed(blind, references) is not None)
    name = f"two equal generators, {seeds} seeds, {n} test rows: one recommended"
    return {name: {rule: share(cases) for rule, cases in kept.items()}}


def without_row_noise(card: Scorecard) -> Scorecard:
    """Return a scorecard as if its test rows were all rows that there are."""
    return Scorecard(
        {name: replace(m, low=m.value, high=m.value) for name, m in card.items()}, card.notes
    )


# Keeping and showing.


def write_pools(path: Path, pools: Mapping[str, Pool]) -> None:
    stored = {
        name: {
            "measures": _descriptions(pool.references[CEILING]),
            "references": {n: _numbers(card) for n, card in pool.references.items()},
            "groups": {n: [_numbers(c) for c in cards] for n, cards in pool.groups.items()},
        }
        for name, pool in pools.items()
    }
    path.write_text(json.dumps(stored, separators=(",", ":")).replace('{"', '\n{"') + "\n")


def read_pools(path: Path) -> dict[str, Pool]:
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {
        name: Pool(
            {n: [_card(pool["measures"], c) for c in own] for n, own in pool["groups"].items()},
            {n: _card(pool["measures"], c) for n, c in pool["references"].items()},
        )
        for name, pool in stored.items()
    }


def _descriptions(card: Scorecard) -> dict[str, Any]:
    return {
        n: {"better": m.better, "aspect": m.aspect, "n": m.n, "m": m.m} for n, m in card.items()
    }


def _numbers(card: Scorecard) -> dict[str, list[Any]]:
    """Return, by measure, its numbers, the lower bound of its excess, and its row noise."""
    return {
        name: [
            *(_rounded(getattr(m, field)) for field in FIELDS),
            _rounded(m.extra.get("excess_low")),
            *map(_rounded, card.row_noise.get(name, ())),
        ]
        for name, m in card.items()
    }


def _card(measures: Mapping[str, Mapping[str, Any]], numbers: Mapping[str, list[Any]]) -> Scorecard:
    measured, noise = {}, {}
    for name, (*values, excess) in ((n, own[: len(FIELDS) + 1]) for n, own in numbers.items()):
        extra = {} if excess is None else {"excess_low": excess}
        fields = dict(zip(FIELDS, values, strict=True))
        measured[name] = Measurement(name, **fields, **measures[name], extra=extra)
        if draws := numbers[name][len(FIELDS) + 1 :]:
            noise[name] = draws
    return Scorecard(measured, (), noise)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def show(found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> None:
    for name, cases in found.items():
        print(f"\n{name}")
        for case, by_rule in cases.items():
            texts = [f"{rule} {r[0]:.3f} [{r[1]:.3f}, {r[2]:.3f}]" for rule, r in by_rule.items()]
            print(f"  {case:<52} {'   '.join(texts)}")


if __name__ == "__main__":
    main()
