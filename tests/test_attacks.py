"""Membership attacks: naive loops, closed forms, enumerated orders; copiers of all and of 4 %."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from pushforward.measures import Measurement, closest_record, exact_matches, membership_inference
from pushforward.measures.privacy import _attacks, _judging, copying
from pushforward.measures.privacy._groups import groups
from samples import normal

Floats = np.ndarray[Any, np.dtype[np.float64]]

# --- the attacks ---


def test_the_attacks_are_the_loops() -> None:
    c, fake, reference = normal(30, 2, 0), normal(20, 2, 1), normal(25, 2, 2)
    to_fake, to_real = (torch.cdist(c, rows).numpy() for rows in (fake, reference))
    near, far = np.sort(to_fake, axis=1), np.sort(to_real, axis=1)
    radius = np.sort(near[:, 0])[14]  # the lower median
    expected = [
        -near[:, 0],
        -near[:, :3].mean(1),
        (near <= radius).sum(1),
        far[:, 0] / near[:, 0],
        far[:, 2] / near[:, 2],
        [likelihood_gain(row, fake.numpy(), reference.numpy(), 3) for row in c.numpy()],
        [generated_among(a, b, 20) for a, b in zip(near, far, strict=True)],
    ]
    found = list(_attacks.attacks(c, fake, reference, 3, None).values())
    assert len(found) == len(expected) + 1, "and LOGAN"
    labels = np.arange(30) < 15
    for score, naive in zip(found, expected, strict=False):
        assert roc_auc_score(labels, score) == pytest.approx(roc_auc_score(labels, naive))
    np.testing.assert_allclose(found[5], expected[5], rtol=1e-9)
    np.testing.assert_allclose(found[6], expected[6], rtol=1e-6)
    assert len(_attacks.attacks(c, fake, None, 3, None)) == 3


def likelihood_gain(row: Floats, fake: Floats, reference: Floats, k: int) -> float:
    """Gen-LRA from two kernel densities, one of them with the candidate."""
    nearest = min(fake, key=lambda s: float(np.linalg.norm(s - row)))
    local = sorted(reference, key=lambda r: float(np.linalg.norm(r - nearest)))[:k]
    h = float(np.linalg.norm(local[-1] - nearest))
    without = sum(kernel(nearest - r, h) for r in local)
    return float(np.log(without + kernel(nearest - row, h)) - np.log(without))


def kernel(difference: Floats, h: float) -> float:
    return float(np.exp(-(difference**2).sum() / (2 * h**2)))


def generated_among(near: Floats, far: Floats, k: int) -> float:
    pooled = sorted([(d, 1) for d in near] + [(d, 0) for d in far])
    return sum(generated for _, generated in pooled[:k]) / k


def test_equal_distances_are_drawn_at_random_by_the_plagiarism_index() -> None:
    # At 0: two generated rows, one real one; at 1: one generated, two real ones; k = 4 of 6.
    near, far = torch.tensor([[0.0, 0.0, 1.0, 3.0]]), torch.tensor([[0.0, 1.0, 1.0, 4.0]])
    drawn = [2 + kind for (kind,) in combinations((1, 0, 0), 1)]  # the fourth is one of three
    found = _attacks.plagiarism_index(near, far)
    assert float(found) == pytest.approx(np.mean(drawn) / 4)


def test_a_likelihood_ratio_without_bandwidth_is_its_limit() -> None:
    """Where the k nearest real rows equal the generated one, only an equal candidate adds to it."""
    ratio = _attacks.likelihood_ratio(torch.tensor([0.0, 0.1]), torch.zeros(2, 3))
    assert ratio.tolist() == pytest.approx([np.log(4 / 3), 0.0])


def test_logan_learns_the_posterior() -> None:
    """N(1, 1) against N(0, 1): the log-odds are x - 1/2."""
    reference, fake, c = normal(4000, 1, 0), normal(4000, 1, 1, shift=1.0), normal(500, 1, 2)
    found = _attacks.discriminator(c, fake, reference, seed=0)
    assert float((found - torch.sigmoid(c[:, 0] - 0.5)).abs().mean()) < 0.03
    assert torch.equal(found, _attacks.discriminator(c, fake, reference, seed=0))


# --- judged ---


def test_area_and_finds_are_those_of_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 12, 240).astype(float), rng.integers(0, 12, 200).astype(float)
    members += rng.integers(0, 4, 240)
    selected = _judging.select_attack({"one": np.append(members, others)}, 240)
    labels = np.repeat([1, 0], [120, 100])
    false, true, _ = roc_curve(
        labels, np.concatenate([members[120:], others[100:]]), drop_intermediate=False
    )
    for name, rate in _judging.FALSE_POSITIVE_RATES.items():
        assert selected.rates[name] == pytest.approx(np.interp(rate, false, true))
    for rate in (0.013, 0.5, 1.0):
        found = _judging.true_positive_rate(members[120:], others[100:], rate)
        assert found == pytest.approx(np.interp(rate, false, true))
    expected = mannwhitneyu(members[:120], others[:100]).statistic / (120 * 100)
    assert selected.areas == {"one": pytest.approx(expected)}


def test_each_rate_has_its_own_attack() -> None:
    """One attack is better on the whole; the other finds a twentieth with certainty."""
    rng = np.random.default_rng(0)
    broad = np.append(rng.normal(size=400) + 1, rng.normal(size=400))
    narrow = rng.uniform(size=800)
    narrow[:400:20] = 2.0
    selected = _judging.select_attack({"broad": broad, "narrow": narrow}, 400)
    assert selected.attack == "broad"
    assert selected.rates["0.1 %"] == pytest.approx(0.05, abs=0.02)
    assert selected.rates["10 %"] > 0.2


@pytest.mark.parametrize("judged", [30, 100])  # of 100 held-out rows 1 % is one
def test_guessing_finds_what_is_said(judged: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [
        _judging.select_attack({"any": rng.uniform(size=100 + 2 * judged)}, 100)
        for _ in range(1500)
    ]  # 50 training rows are judged
    for name, expected in drawn[0].guessed.items():
        rates = np.array([selected.rates[name] for selected in drawn])
        assert rates.mean() == pytest.approx(expected, abs=4 * rates.std() / 1500**0.5)
    reached = {"0.1 %": 1, "1 %": 1 + judged // 100, "10 %": 1 + judged // 10}
    shares = {name: number / (judged + 1) for name, number in reached.items()}
    assert drawn[0].guessed == pytest.approx(shares)


def test_the_tops_p_value_is_that_of_all_orders() -> None:
    members, others = 5, 3
    orders = list(combinations(range(members + others), others))  # places of held-out rows
    for missed in range(others):
        ahead = np.array([places[missed] - missed for places in orders])
        for found in range(members + 1):
            p_value = _judging.top_p_value(found, missed, members, others)
            assert p_value == pytest.approx((ahead >= found).mean())


def test_the_top_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(1200, 3000))
    p_values = [
        _judging.top({"a": own, "b": np.round(own, 2)}, 2000).p_value for own in scores[:400]
    ]
    # Corrected and, with ties, conservative: at most the binomial's 99.95 % quantile of 400 at 0.1.
    assert np.sum(np.array(p_values) <= 0.1) <= 61
    few = scores[0].copy()
    few[:30] = 2.0
    top = _judging.top({"none": scores[1], "few": few}, 2000)
    assert (top.attack, top.missed) == ("few", 1)
    assert top.found >= 30
    assert top.p_value < 1e-3
    assert _judging.top({"equal": np.zeros(3000)}, 2000).p_value == 1.0


# --- outliers and rare groups ---


def test_groups_are_the_loops() -> None:
    rng = np.random.default_rng(0)
    numbers, reference = normal(300, 2, 0), normal(200, 2, 1)
    rare = rng.choice([0.0, 0.7], size=(300, 3), p=[0.99, 0.01])
    rare[:, 2] = 0.7 - rare[:, 2]  # the lower value is the rare one
    often = rng.integers(0, 2, size=(300, 1)).astype(float)
    rows = torch.cat([numbers, torch.from_numpy(np.hstack([rare, often, 0 * often]))], 1)
    padded = torch.cat([reference, torch.zeros(200, 5)], 1)
    found = groups(rows, padded, None)
    known = [rare[:, 0] > 0, rare[:, 1] > 0, rare[:, 2] < 0.7]
    expected = np.any([flags for flags in known if flags.mean() <= 0.01], axis=0)
    assert 0 < expected.sum() < 30
    assert (found["rare groups"] == expected).all()
    distance = torch.cdist(rows, padded).min(1).values.numpy()
    assert found["outliers"].sum() == 30
    assert distance[found["outliers"]].min() > distance[~found["outliers"]].max()
    assert list(groups(rows, None, None)) == ["rare groups"]


def test_what_leaks_of_outliers_alone_is_found_among_them() -> None:
    """A fifth of each generated sample are outliers of the training rows, with noise."""
    x, train, fresh = normal(1000, 4, 0), normal(3000, 4, 1), normal(800, 4, 2)
    far = train[train.norm(dim=1).argsort()[-200:]]
    fake = torch.cat([far + 0.2 * normal(200, 4, 3), fresh])
    found = membership_inference(x, fake, train=train)
    own = found.extra["apart"]["outliers"]
    assert set(found.extra["apart"]) == {"outliers"}, "numbers have no rare groups"
    assert own["auc"] > found.value + 0.2
    assert own["low"] > 0.5
    assert found.p_value is not None
    assert found.p_value < 1e-3
    tested = own["tested"]
    assert sum(tested.values()) == pytest.approx(150, abs=2)


def test_a_group_that_is_too_small_is_left_out() -> None:
    scores = {"any": np.arange(300.0)}
    flags = np.zeros(300, dtype=bool)
    flags[:100] = True
    flags[200:239] = True
    assert _judging.judged_apart(scores, 200, {"few": flags}) == {}
    flags[239] = True
    (own,) = _judging.judged_apart(scores, 200, {"enough": flags}).values()
    assert (len(own.members), len(own.others)) == (50, 20)


# --- copiers ---

Copier = Callable[[Tensor, Tensor], Tensor]


def honest(train: Tensor, fresh: Tensor) -> Tensor:
    return fresh


def few(train: Tensor, fresh: Tensor) -> Tensor:
    """4 % of the rows are copies, with noise, so that none is an exact match."""
    return torch.cat([train[:60] + 1e-3 * normal(60, 5, 7), fresh[60:]])


def attacked(make: Copier) -> dict[str, list[Measurement]]:
    x, train, fresh = (normal(n, 5, i) for i, n in enumerate((1500, 4500, 1500)))
    y = make(train, fresh)
    cards = (
        membership_inference(x, y, train=train),
        closest_record(x, y, train=train),
        exact_matches(x, y, train=train),
    )
    return {card.name: [card] for card in cards}


def test_a_copier_of_4_percent_is_found_at_the_top() -> None:
    measured = attacked(few)
    (found,), evidence = measured["membership_inference"], copying(measured)
    # About 40 of the 3,000 training rows that are candidates were copied: the area hardly moves
    # (Mann-Whitney's error, of 1,500 training and 750 held-out rows).
    assert found.value == pytest.approx(
        0.5 + 20 / 3000, abs=4 * (1 / 12 * (1 / 1500 + 1 / 750)) ** 0.5
    )
    assert found.extra["top"]["found"] >= 30
    rates, error = found.extra["true_positive_rate"], (40 / 3000 / 1500) ** 0.5
    chance = found.extra["guessing"]["0.1 %"]
    # The members before the first of n others are about geometric: their error is their mean.
    assert rates["0.1 %"] == pytest.approx(40 / 3000 + chance, abs=4 * (error + chance))
    assert evidence is not None
    assert evidence.measures == ("membership_inference",)
    assert "a few training rows are identified (p < 0.001)" in found.reading


def test_new_rows_are_not_taken_for_a_few_copies() -> None:
    measured = attacked(honest)
    assert copying(measured) is None
    assert "no attack" in measured["membership_inference"][0].reading


def test_a_full_copier_is_found_at_every_rate() -> None:
    x, train = normal(200, 5, 0), normal(200, 5, 1)
    found = membership_inference(x, train, train=train)
    assert (found.value, set(found.extra["true_positive_rate"].values())) == (1.0, {1.0})
    assert found.extra["top"]["found"] == 200
    assert found.extra["candidates"] == {"training": 200, "held_out": 200}


def test_a_leaky_generator_is_found_by_likelihoods_where_distances_see_less() -> None:
    """Training rows with noise as large as the data: Gen-LRA's area is the largest of all."""
    x, train = normal(500, 20, 0), normal(1000, 20, 1)
    fake = train[:500] + normal(500, 20, 2)
    areas = membership_inference(x, fake, train=train).extra["attacks"]
    likelihood = next(area for name, area in areas.items() if "Gen-LRA" in name)
    assert likelihood == max(areas.values())
    assert likelihood > 0.55
