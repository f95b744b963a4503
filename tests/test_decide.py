"""A recommendation follows from losses and votes, or says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pushforward as pf
from pushforward.comparison.decide import Decision, decide
from pushforward.comparison.differences import beats
from pushforward.comparison.facts import RunFacts, facts_of
from pushforward.comparison.findings import CHECKS
from pushforward.comparison.losses import Scale, losses_by, scales, voting_aspects
from pushforward.comparison.references import first_rows
from pushforward.comparison.tuned import Trial, Tuning
from pushforward.families.options import log_range
from pushforward.measures import Measurement, Scorecard, Scorer
from pushforward.measures.aspects import ASPECTS

BETTER = {"density": "null", **dict.fromkeys(("precision", "recall", "coverage"), "higher")}
CEILING = {"energy": 0.0, "precision": 0.9, "recall": 0.9, "utility": 0.0}
FLOOR = {"energy": 1.0, "precision": 0.1, "recall": 0.4, "utility": 1.0}
NOISE = (0.001, -0.002, 0.001, 0.002)
TRAINED = RunFacts(1000, 1000, checks=(250, 500, 750, 1000), distances=(0.3, 0.2, 0.1, 0.1))


def measurement(name: str, value: float, **fields: Any) -> Measurement:
    plain = {"better": BETTER.get(name, "lower"), "aspect": ASPECTS.get(name, ""), "n": 200}
    return Measurement(name, value, value - 0.01, value + 0.01, **{**plain, **fields})


def card(values: Mapping[str, float], noise: Sequence[float] = NOISE) -> Scorecard:
    measured = {name: measurement(name, value) for name, value in values.items()}
    return Scorecard(measured, (), dict.fromkeys(values, noise))


def at(losses: Mapping[str, float]) -> dict[str, float]:
    """The values that have these losses."""
    return {n: CEILING[n] + loss * (FLOOR[n] - CEILING[n]) for n, loss in losses.items()}


def runs(seeds: int = 5, spread: float = 0.01, seed: int = 0, **losses: float) -> list[Scorecard]:
    """Scorecards whose losses lie around these; 0.5 for those that are not named."""
    centre = dict.fromkeys(CEILING, 0.5) | losses
    rng = np.random.default_rng(seed)
    return [
        card(at({n: x + spread * rng.standard_normal() for n, x in centre.items()}))
        for _ in range(seeds)
    ]


def level(loss: float, seeds: int = 5, seed: int = 1) -> list[Scorecard]:
    """Scorecards whose losses lie around one number in every aspect."""
    return runs(seeds, seed=seed, energy=loss, precision=loss, recall=loss, utility=loss)


REFERENCES = {"ceiling": card(CEILING), "floor": card(FLOOR)}


def concluded(*models: list[Scorecard], **keywords: Any) -> Decision:
    cards = dict(zip("abcd", models, strict=False))
    return decide(cards, keywords.pop("references", REFERENCES), **keywords)


def test_a_loss_is_the_share_of_the_way_from_ceiling_to_floor() -> None:
    measures = scales(REFERENCES["ceiling"], REFERENCES["floor"])
    assert measures["energy"].loss(measurement("energy", 0.25)) == pytest.approx(0.25)
    assert measures["precision"].loss(measurement("precision", 0.7)) == pytest.approx(0.25)
    for name in CEILING:
        assert measures[name].loss(REFERENCES["ceiling"][name]) == 0
        assert measures[name].loss(REFERENCES["floor"][name]) == pytest.approx(1)


def test_better_than_real_rows_is_not_better() -> None:
    """The precision of a shrunk Gaussian, an accuracy below 1/2, a negative energy."""
    measures = scales(REFERENCES["ceiling"], REFERENCES["floor"])
    assert measures["precision"].loss(measurement("precision", 0.999)) == 0
    assert measures["energy"].loss(measurement("energy", -0.2)) == 0
    accuracy = Scale(measurement("classifier_test", 0.5), measurement("classifier_test", 0.9), 0.0)
    assert accuracy.loss(measurement("classifier_test", 0.42)) == 0


def test_a_value_that_is_best_at_its_null_is_worse_on_either_side() -> None:
    ceiling = measurement("density", 1.02, null=1.0)
    scale = Scale(ceiling, measurement("density", 0.5, null=0.7), 0.0)
    above, below = (scale.loss(measurement("density", 1 + x, null=3.0)) for x in (0.26, -0.26))
    assert above == below == pytest.approx(0.5)  # the null is the ceiling's, whatever the model's


def test_what_votes_is_the_value_without_bias_or_saturation() -> None:
    ceiling, floor = (measurement("classifier_test", v, vote=w) for v, w in ((0.5, 0.5), (1, 0.9)))
    scale = Scale(ceiling, floor, 0.0)
    assert scale.loss(measurement("classifier_test", 1.0, vote=0.7)) == pytest.approx(0.5)


def test_beyond_the_floor_the_logarithm_counts() -> None:
    scale = scales(REFERENCES["ceiling"], REFERENCES["floor"])["energy"]
    assert scale.loss(measurement("energy", 5.0)) == pytest.approx(1 + np.log(5))
    assert scale.loss(measurement("energy", 50.0)) == 4
    assert scale.loss(measurement("energy", float("inf"))) == 4


@pytest.mark.parametrize("value", [0.3, 3.0])
def test_the_noise_of_the_rows_is_in_units_of_the_loss(value: float) -> None:
    """What the loss changes by where the value changes by a draw, to first order."""
    scale = scales(REFERENCES["ceiling"], REFERENCES["floor"])["energy"]
    noisy = card({"energy": value}, noise=(1e-6, -2e-6, 0.0, 3e-6))
    found = losses_by("energy", scale, [noisy])
    moved = scale.loss(measurement("energy", value + 1e-6)) - scale.loss(noisy["energy"])
    assert found.row_noise == pytest.approx((moved, -2 * moved, 0, 3 * moved), rel=1e-4)


def test_a_missing_measure_counts_as_the_worst() -> None:
    whole = runs(2, spread=0.0)
    without = Scorecard({n: m for n, m in whole[0].items() if n != "energy"})
    scale = scales(REFERENCES["ceiling"], REFERENCES["floor"])["energy"]
    assert losses_by("energy", scale, [whole[0], without, None]).by_seed == (0.5, 4.0, 4.0)


def test_a_measure_that_cannot_tell_the_floor_has_no_vote() -> None:
    """The floor is 0.05 worse, and halves of the test rows differ by more than that."""
    near = REFERENCES | {"floor": card(FLOOR | {"energy": 0.05}, noise=(0.1, -0.1, 0.1, -0.1))}
    measures = scales(near["ceiling"], near["floor"])
    assert measures["energy"].error == pytest.approx(
        np.sqrt(2 * np.mean((np.array((0.1, -0.1, 0.1, -0.1)) - NOISE) ** 2))
    )
    assert not measures["energy"].resolved
    assert "joint structure" not in voting_aspects(measures)
    found = concluded(runs(), runs(), references=near).findings
    assert [f.code for f in found] == ["PF102"]


def scorer_of(raw: Any) -> Callable[[Any], Scorecard]:
    """Return what measures rows as they come in against test rows, as a comparison does."""
    data = pf.read(raw)
    scorer = Scorer(data, measures=["energy", "sliced_wasserstein", "coverage"])
    test = first_rows(data.subset("test"), data.sizes["validation"])

    def score(fake: Any) -> Scorecard:
        rows = data.schema.encode(fake), None
        return Scorecard(scorer.score(test, rows), (), scorer.row_noise(test, rows))

    return score


def test_of_three_gaussians_the_truth_is_found() -> None:
    """Where the data are Gaussian, a Gaussian fit is as good as real rows, and no unit of losses.

    The truth, one of 0.7 times its spread, and one of half: each beats those after it, 4 seeds.
    """
    rng = np.random.default_rng(0)
    data = rng.normal(size=(3000, 3))
    score = scorer_of(data)
    references = {name: score(rng.normal(size=(300, 3))) for name in ("ceiling", "floor")}
    cards = {
        name: [score(factor * rng.normal(size=(300, 3))) for _ in range(4)]
        for name, factor in (("half", 0.5), ("truth", 1.0), ("shrunk", 0.7))
    }
    found = decide(cards, references)
    assert found.recommendation.model == "truth"
    assert beats("shrunk", "half", found.differences)
    assert [f.code for f in found.findings if f.model is None] == ["PF102"]


def test_column_shapes_are_no_aspect_by_themselves() -> None:
    names = ("column_shapes", "sliced_wasserstein")
    measures = {n: Scale(measurement(n, 0.0), measurement(n, 1.0), 0.0) for n in names}
    assert voting_aspects(measures) == {"marginals": list(names)}
    del measures["sliced_wasserstein"]
    assert voting_aspects(measures) == {}


def test_the_better_model_is_recommended_with_its_aspects() -> None:
    found = concluded(runs(seed=1), runs(seed=2, energy=0.2, recall=0.3))
    assert found.recommendation.model == "b"
    won = {d.aspect for d in found.differences if d.better == "b"}
    assert won == {"joint structure", "coverage"}
    assert "joint structure and coverage" in found.recommendation.sentence


def test_two_models_that_trade_one_aspect_for_another_are_both_named() -> None:
    found = concluded(runs(seed=1, energy=0.2), runs(seed=2, recall=0.2))
    assert found.recommendation.model is None
    assert "a leads in joint structure; b leads in coverage" in found.recommendation.sentence


def test_the_model_that_beats_each_other_is_found() -> None:
    """The one with the largest sum of votes is another: it beats c in every aspect."""
    a = runs(seed=1, energy=0.2)
    b = runs(seed=2, precision=0.45)
    c = runs(seed=3, energy=0.9, precision=0.9, recall=0.9, utility=0.9)
    found = concluded(a, b, c, matters=0.1)
    assert found.recommendation.model == "a"


def test_a_difference_that_does_not_matter_is_none() -> None:
    better = runs(seed=1, spread=0.001, energy=0.45)
    assert concluded(better, runs(seed=2, spread=0.001)).recommendation.model == "a"
    found = concluded(better, runs(seed=2, spread=0.001), matters=0.1)
    assert found.recommendation.model is None
    assert "hardly matters" in found.recommendation.sentence


def test_many_seeds_do_not_outweigh_the_test_rows() -> None:
    """One test row of 18 more for every seed of one model: no spread over seeds, and no winner."""
    noise = (0.06, -0.06, 0.06, -0.06)
    a, b = (
        [Scorecard(c, (), dict.fromkeys(CEILING, signs)) for c in runs(50, spread=0.0, recall=x)]
        for x, signs in ((0.5, noise), (0.5 + 1 / 18, tuple(-x for x in noise)))
    )
    found = concluded(a, b)
    assert found.recommendation.model is None
    assert "no number of seeds" in found.recommendation.sentence


def test_power_is_stated_where_nothing_shows() -> None:
    found = concluded(runs(3, spread=0.1, seed=1, recall=0.7), runs(3, spread=0.1, seed=2))
    assert found.recommendation.model is None
    largest = max(found.differences, key=lambda d: abs(d.mean))
    seeds = largest.contrast.seeds_needed(0.02, len(found.differences))
    assert f"which {seeds} seeds would show" in found.recommendation.sentence


def test_equal_models_are_rarely_told_apart() -> None:
    """500 comparisons of three equal models, 5 seeds, 4 aspects: at most 5 %, plus 3 errors."""
    rng = np.random.default_rng(0)
    named = [
        concluded(*(runs(spread=0.1, seed=int(s)) for s in rng.integers(2**31, size=3)))
        for _ in range(500)
    ]
    share = np.mean([found.recommendation.model is not None for found in named])
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_one_model_is_not_compared() -> None:
    found = concluded(runs())
    assert found.recommendation.model is None
    assert found.differences == ()


def test_the_worst_of_equals_does_not_depend_on_the_order_of_models() -> None:
    a, b, c = runs(seed=1, energy=0.2), runs(seed=2), runs(seed=3, energy=0.9)
    names = {"a": a, "b": b, "c": c}
    for order in ("abc", "cab", "bca"):
        found = decide({m: names[m] for m in order}, REFERENCES)
        assert found.recommendation.model == "a"


# Findings: each is provoked once, and once stays silent.


def codes(found: Decision, model: str | None = None) -> set[str]:
    return {f.code for f in found.findings if f.model == model}


def with_facts(*facts: RunFacts, **keywords: Any) -> Decision:
    """A good model with these facts, one for its five seeds, beside a worse one."""
    own = [facts[i % len(facts)] for i in range(5)]
    return concluded(level(0.1), runs(seed=2), facts={"a": own, "b": [TRAINED] * 5}, **keywords)


def test_nothing_is_found_where_nothing_is() -> None:
    found = with_facts(TRAINED)
    assert found.findings == ()
    assert found.recommendation.model == "a"


@pytest.mark.parametrize(("seeds", "few"), [(1, True), (2, True), (3, False)])
def test_few_seeds(seeds: int, few: bool) -> None:
    found = concluded(level(0.1, seeds), runs(seeds, seed=2))
    assert ("PF101" in codes(found)) is few
    assert (found.recommendation.model is None) is few


def test_a_failed_measure_counts_against_its_model_alone() -> None:
    broken = [
        Scorecard({n: m for n, m in c.items() if n != "energy"}, ["energy is left out: NaN"])
        for c in level(0.1)
    ]
    found = concluded(broken, runs(seed=2))
    assert codes(found, "a") == {"PF103"}
    assert [d.better for d in found.differences if d.aspect == "joint structure"] == ["b"]


@pytest.mark.parametrize(("steps", "few"), [(32, True), (99, True), (100, False)])
def test_few_steps(steps: int, few: bool) -> None:
    found = with_facts(RunFacts(steps, steps))
    assert ("PF201" in codes(found, "a")) is few
    assert (found.recommendation.model is None) is few


def improving(share: float) -> list[RunFacts]:
    """Five runs that come nearer by this share in the last fifth, with noise of 2 %."""
    rng = np.random.default_rng(0)
    checks = tuple(range(100, 1001, 100))
    return [
        RunFacts(
            1000,
            1000,
            checks=checks,
            distances=tuple(
                (1.0 if step <= 800 else 1 - share) * (1 + 0.02 * rng.standard_normal())
                for step in checks
            ),
        )
        for _ in range(5)
    ]


def test_what_still_improves_may_overtake() -> None:
    facts = {"a": [TRAINED] * 5, "b": improving(0.3)}
    found = concluded(level(0.1), runs(seed=2), facts=facts)
    assert codes(found, "b") == {"PF202"}
    assert found.recommendation.model is None
    steady = concluded(level(0.1), runs(seed=2), facts=facts | {"b": improving(0.0)})
    assert steady.findings == ()


def test_a_leader_that_still_improves_leads() -> None:
    found = with_facts(*improving(0.3))
    assert found.findings == ()
    assert found.recommendation.model == "a"


def test_a_diverged_run_counts_as_the_worst() -> None:
    diverged = replace(TRAINED, diverged="turn elbo: distortion is not finite at step 12")
    found = with_facts(diverged, TRAINED, TRAINED, TRAINED, TRAINED)
    assert codes(found, "a") == {"PF203"}
    assert found.recommendation.model is None
    energy = next(x for x in found.losses if (x.model, x.measure) == ("a", "energy"))
    assert energy.mean == pytest.approx((4 * 0.1 + 4) / 5, abs=0.02)


def test_the_other_model_is_named_where_every_run_of_one_diverged() -> None:
    found = with_facts(replace(TRAINED, diverged="not finite"))
    assert found.recommendation.model == "b"


@pytest.mark.parametrize(("planned", "slow"), [(2001, True), (2000, False)])
def test_a_budget_that_bought_too_little(planned: int, slow: bool) -> None:
    found = with_facts(replace(TRAINED, foreseen_steps=planned))
    assert ("PF204" in codes(found, "a")) is slow
    assert (found.recommendation.model is None) is slow


@pytest.mark.parametrize(("rate", "collapsed"), [(0.05, True), (0.2, False), (None, False)])
def test_a_code_that_is_not_used(rate: float | None, collapsed: bool) -> None:
    found = with_facts(replace(TRAINED, rate=rate))
    assert codes(found, "a") == ({"PF205"} if collapsed else set())
    assert found.recommendation.model == "a"


@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_the_rate_is_counted_in_nats_whatever_its_weight(beta: float) -> None:
    fitted = pf.fit("ring", "vae", budget="20 steps", beta=beta, width=16)
    last = [r["terms"] for r in fitted.history if r["step"] >= 18 and r["terms"]]
    nats = np.mean([terms["elbo.rate"] for terms in last]) / beta
    assert facts_of(fitted).rate == pytest.approx(nats)


def test_the_rate_of_a_model_whose_beta_weighs_something_else_is_counted_as_it_is() -> None:
    fitted = pf.fit("ring", "vq-vae", budget="20 steps", beta=0.25, width=16)
    last = [r["terms"] for r in fitted.history if r["step"] >= 18 and r["terms"]]
    nats = np.mean([terms["learn_prior.rate"] for terms in last])
    assert facts_of(fitted).rate == pytest.approx(nats)


def test_a_rate_that_is_not_weighed_says_nothing() -> None:
    assert facts_of(pf.fit("ring", "vae", budget="5 steps", beta=0.0, width=16)).rate is None


@pytest.mark.parametrize(("rate", "small"), [(0.9, True), (1.5, False)])
def test_a_likelihood_that_does_the_work_is_said(rate: float, small: bool) -> None:
    found = with_facts(replace(TRAINED, rate=rate, independent=False))
    assert codes(found, "a") == ({"PF206"} if small else set())
    assert ("likelihood does the work" in found.recommendation.sentence) is small


def test_no_winner_below_the_floor() -> None:
    found = concluded(runs(seed=1, energy=1.1, precision=1.1), level(1.6, seed=2))
    assert codes(found, "a") == codes(found, "b") == {"PF301"}
    assert found.recommendation.model is None
    once = concluded(runs(seed=1, energy=1.1), level(1.6, seed=2))
    assert codes(once, "a") == set()
    assert once.recommendation.model == "a"


def test_trees_that_are_nearer_to_real_rows_are_said() -> None:
    trees = REFERENCES | {"cart": card(at(dict.fromkeys(CEILING, 0.05)))}
    found = concluded(level(0.1), runs(seed=2), references=trees)
    assert codes(found, "a") == {"PF302"}
    assert found.recommendation.model == "a"
    far = REFERENCES | {"cart": card(at(dict.fromkeys(CEILING, 0.4)))}
    assert concluded(level(0.1), runs(seed=2), references=far).findings == ()


def test_findings_can_be_ignored() -> None:
    found = with_facts(RunFacts(10, 10), ignore=["PF201"])
    assert found.findings == ()
    assert found.recommendation.model == "a"


def test_every_code_has_a_page() -> None:
    pages = {p.stem for p in (Path(__file__).parents[1] / "docs" / "findings").glob("PF*.md")}
    assert pages == set(CHECKS)


@pytest.mark.parametrize(("beta", "at_edge"), [(0.11, True), (9.5, True), (0.2, False), (5, False)])
def test_a_best_trial_at_the_edge_of_its_range_is_said(beta: float, at_edge: bool) -> None:
    trials = (Trial({"beta": 1.0}, 1, 0.5), Trial({"beta": beta}, 2, 0.4))
    tuning = {"a": Tuning({"beta": log_range(0.1, 10)}, trials)}
    found = concluded(level(0.1), runs(seed=2), tuning=tuning)
    assert codes(found, "a") == ({"PF207"} if at_edge else set())
    assert found.recommendation.model == "a"  # it forbids nothing
    if at_edge:
        assert ("below" if beta < 1 else "above") in found.findings[0].advice
