"""Measures of the user's own: registered, or given as functions."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.data.schema import DataKind
from pushforward.errors import MeasureError
from pushforward.measures import Measurement, Scorer, measure, register
from pushforward.measures._registry import DEFAULT, MEASURES
from pushforward.measures._selection import selected


def mean_shift(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    shift = float((x.mean(0) - y.mean(0)).norm())
    return Measurement("shift", shift, null=0.0, n=len(x), m=len(y), extra={"seed": seed})


def matrix(seed: int, shift: float = 0.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(shift, size=(60, 2))


def table(seed: int) -> pl.DataFrame:
    a = np.random.default_rng(seed).normal(size=60)
    return pl.DataFrame({"a": a, "b": np.where(a > 0, "high", "low")})


def images(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(256, size=(60, 8, 8), dtype=np.uint8)


SAMPLES: dict[DataKind, tuple[Any, Any]] = {
    "table": (table(0), table(1)),
    "image": (images(0), images(1)),
    "array": (matrix(0), matrix(1)),
}


def test_a_registered_measure_is_applied_to_the_features() -> None:
    assert register(mean_shift) is mean_shift
    x, y = matrix(0), matrix(1, shift=2.0)
    card = measure(x, y, measures=["mean_shift"], seed=7)
    found = card["mean_shift"]
    assert found.value == pytest.approx(
        float(np.linalg.norm((x.mean(0) - y.mean(0)) / x.std(0))), rel=1e-5
    )
    assert found.name == "mean_shift"
    assert (found.n, found.m, found.extra["seed"]) == (60, 60, 7)
    assert found.extra["features"]["name"] == "z-scores"


@pytest.mark.parametrize("kind", list(SAMPLES))
def test_a_registered_measure_is_one_of_all_and_not_of_the_default(kind: DataKind) -> None:
    register(mean_shift)
    assert "mean_shift" in selected("all", kind, copies=False)[0]
    assert "mean_shift" not in selected(None, kind, copies=True)[0]
    assert list(measure(*SAMPLES[kind], measures="mean_shift")) == ["mean_shift"]


def test_a_default_measure_is_applied_unasked_to_its_kinds_alone() -> None:
    register(kinds=["array"], default=True)(mean_shift)
    card = measure(*SAMPLES["array"])
    assert list(card) == [*DEFAULT["array"]]
    assert list(card)[-1] == "mean_shift"
    assert "mean_shift" in card.notes[0]
    assert "mean_shift" not in MEASURES["table"]
    with pytest.raises(MeasureError, match="no measure 'mean_shift' for data of kind table"):
        measure(*SAMPLES["table"], measures=["mean_shift"])


def test_a_measure_of_data_frames_gets_data_frames_and_the_target() -> None:
    seen: list[Any] = []

    @register(view="frame", name="share_high")
    def anything(x: Any, y: Any, *, target: str | None, seed: int = 0) -> Measurement:
        seen.append((x, y, target))
        return Measurement("", float((x["b"] == "high").mean() - (y["b"] == "high").mean()))

    real, fake = SAMPLES["table"]
    card = measure(real, fake, measures=["share-high"], target="b")
    expected = (real["a"] > 0).sum() / 60 - (fake["a"] > 0).sum() / 60
    assert card["share_high"].value == pytest.approx(expected)
    assert seen[0][0].equals(real)
    assert seen[0][1].equals(fake)
    assert seen[0][2] == "b"
    assert "share_high" not in MEASURES["array"]


def test_a_measure_with_training_rows_gets_them_or_is_refused() -> None:
    @register
    def nearest_training(x: Tensor, y: Tensor, *, train: Tensor, seed: int = 0) -> Measurement:
        return Measurement("", float(torch.cdist(y, train).amin(1).mean()))

    x, y = matrix(0), matrix(1)
    found = measure(x, y, train=y, measures="nearest_training")["nearest_training"]
    assert found.value == pytest.approx(0.0, abs=1e-4)  # float32 distances
    with pytest.raises(MeasureError, match="needs the rows that the generator was trained on"):
        measure(x, y, measures=["nearest_training"])


def test_values_are_the_pixels() -> None:
    @register(kinds=["image"], view="values")
    def brightness(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
        return Measurement("", float(x.mean() - y.mean()))

    real, fake = SAMPLES["image"]
    found = measure(real, fake, measures=["brightness"])["brightness"]
    assert found.value == pytest.approx((real.mean() - fake.mean()) / 127.5, abs=1e-6)
    assert "features" not in found.extra


def test_a_function_is_chosen_as_it_is() -> None:
    x, y = SAMPLES["array"]
    card = measure(x, y, measures=["energy", mean_shift])
    assert list(card) == ["energy", "mean_shift"]
    assert list(measure(x, y, measures=mean_shift)) == ["mean_shift"]
    assert "mean_shift" not in MEASURES["array"]
    ours = measure(x, y, measures=[pf.measures.mmd, pf.measures.precision])
    assert ours == measure(x, y, measures=["mmd", "precision"])
    register(mean_shift, name="shift", view="values")
    assert list(measure(x, y, measures=[mean_shift])) == ["shift"]


def test_a_scorer_takes_functions_and_can_be_sent_to_another_process() -> None:
    data = pf.read(matrix(0))
    scorer = pickle.loads(pickle.dumps(Scorer(data, measures=["mmd", mean_shift])))
    rows = data.rows
    card = scorer.score((rows[:30], None), (rows[30:], None))
    expected = float((rows[:30].mean(0) - rows[30:].mean(0)).norm())
    assert card["mean_shift"].value == pytest.approx(expected, rel=1e-5)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(MeasureError, match="there already is a measure 'mmd'"):
        register(mean_shift, name="mmd", kinds=["array"])
    register(mean_shift)
    with pytest.raises(MeasureError, match="there already is a measure 'mean_shift'"):
        register(other_shift, name="mean_shift")
    register(mean_shift, kinds=["image"])  # the same function again: replaced
    assert "mean_shift" not in MEASURES["array"]
    with pytest.raises(MeasureError, match="there already is a measure 'energy'"):
        measure(*SAMPLES["array"], measures=[named("energy")])


def other_shift(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    return Measurement("", 1.0)


def named(name: str) -> Any:
    def function(x: Any, y: Any, *, seed: int = 0) -> Measurement:
        return Measurement("", 1.0)

    function.__name__ = name
    return function


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda *_, **__: None, {}, "must be lower case"),
        (mean_shift, {"name": "Mean shift"}, "must be lower case"),
        ("mmd", {}, "a measure is a function"),
        (np.array, {}, "cannot be called so"),
        (mean_shift, {"kinds": ["tables"]}, "unknown kind of data 'tables'; did you mean 'table'"),
        (mean_shift, {"kinds": []}, "at least one kind"),
        (mean_shift, {"view": "frames"}, "unknown view 'frames'; did you mean 'frame'"),
        (mean_shift, {"view": "frame", "kinds": ["array"]}, "only tables have data frames"),
    ],
)
def test_what_is_no_measure_is_refused(
    function: Any, options: dict[str, Any], message: str
) -> None:
    before = {kind: list(known) for kind, known in MEASURES.items()}
    with pytest.raises(MeasureError, match=message):
        register(function, **options)
    assert {kind: list(known) for kind, known in MEASURES.items()} == before


def without_seed(x: Any, y: Any) -> Measurement:
    return Measurement("", 1.0)


def with_more(x: Any, y: Any, z: Any, *, seed: int = 0) -> Measurement:
    return Measurement("", 1.0)


@pytest.mark.parametrize("function", [without_seed, with_more])
def test_a_function_with_another_signature_is_refused(function: Any) -> None:
    with pytest.raises(MeasureError, match="cannot be called so"):
        register(function)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (1.0, "must return a pushforward.measures.Measurement, and returned float"),
        (None, "and returned NoneType"),
        (Measurement("", float("nan")), "must return finite numbers"),
        (Measurement("", 1.0, null=float("inf")), "must return finite numbers"),
        (Measurement("", "high"), "must return finite numbers"),  # type: ignore[arg-type]  # a user's
        (Measurement("", 1.0, extra={"x": torch.zeros(2)}), "written as JSON"),
    ],
)
def test_what_a_measure_returns_is_checked(result: Any, message: str) -> None:
    def mine(x: Any, y: Any, *, seed: int = 0) -> Any:
        return result

    with pytest.raises(MeasureError, match=message):
        measure(*SAMPLES["array"], measures=[mine])


def test_a_tensor_becomes_a_number() -> None:
    def mine(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
        value = x.new_tensor(2.5)
        return Measurement("", value, null=value)  # type: ignore[arg-type]  # what a user may do

    found = measure(*SAMPLES["array"], measures=[mine])["mine"]
    assert (found.value, found.null, found.low) == (2.5, 2.5, None)
    assert {type(found.value), type(found.null)} == {float}


def test_what_fails_in_a_default_measure_is_left_out_with_its_reason() -> None:
    @register(default=True)
    def broken(x: Any, y: Any, *, seed: int = 0) -> Measurement:
        raise ZeroDivisionError("no rows")

    card = measure(*SAMPLES["array"])
    assert "broken" not in card
    assert card.notes[0] == "broken is left out: broken failed: ZeroDivisionError: no rows"
    with pytest.raises(MeasureError, match="broken failed") as raised:
        measure(*SAMPLES["array"], measures=["broken"])
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_all_cannot_be_a_name() -> None:
    with pytest.raises(MeasureError, match="already is a measure 'all'"):
        register(mean_shift, name="all")


# What a comparison needs of a measure: its aspect, and the noise of the rows.


def first_column(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    return Measurement("first_column", float(x[:, 0].mean()), null=0.0, n=len(x), m=len(y))


@pytest.mark.parametrize("n", [60, 2500])
def test_the_noise_of_the_rows_is_that_of_other_rows(n: int) -> None:
    """For the mean of n rows of variance s^2, a draw has the variance s^2 / n, also of few halves.

    Four draws on each of 60 samples: the mean of 240 squares has a relative error of
    sqrt(2 / 240) = 0.09.
    """
    rng = np.random.default_rng(0)
    scorer = Scorer(pf.read(rng.normal(size=(500, 1))), measures=[first_column])
    fake = torch.zeros(n, 1), None
    squares = []
    for _ in range(60):
        real = torch.from_numpy(rng.normal(scale=3.0, size=(n, 1)))
        draws = scorer.row_noise((real, None), fake)["first_column"]
        assert len(draws) == 4
        squares += [draw**2 for draw in draws]
    spread = float(scorer.feature_map(torch.tensor([[0.0], [1.0]])).diff(dim=0))
    expected = (3.0 * spread) ** 2 / n
    assert np.mean(squares) == pytest.approx(expected, rel=3 * 0.09)


def test_the_same_halves_are_taken_whatever_is_generated() -> None:
    data = pf.read(np.random.default_rng(0).normal(size=(300, 2)))
    scorer = Scorer(data, measures=[first_column, "energy", "closest_record"])
    real = data.subset("test")
    one, other = (scorer.row_noise(real, (torch.full((30, 2), x), None)) for x in (0.0, 5.0))
    assert one["first_column"] == other["first_column"]
    assert one["energy"] != other["energy"]
    assert "closest_record" not in one  # it has no vote


def test_the_noise_is_of_the_value_that_votes() -> None:
    """Halves of the rows give differences of the AUC, not of the accuracy."""
    rng = np.random.default_rng(0)
    data = pf.read(rng.normal(size=(1000, 2)))
    scorer, real = Scorer(data, measures=["classifier_test"]), data.subset("test")
    fake = data.schema.encode(rng.normal(1, 1, size=(100, 2))), None
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    halves = [scorer.score((real[0][i], None), (fake[0][:50], None)) for i in order.split(50)]
    first, second = (card["classifier_test"] for card in halves)
    assert first.vote == first.extra["auc"]
    assert first.voting_value != first.value
    expected = (first.voting_value - second.voting_value) / 2
    assert scorer.row_noise(real, fake)["classifier_test"][0] == pytest.approx(expected)


def test_a_measure_of_ones_own_has_an_aspect() -> None:
    register(mean_shift, name="shift_of_means", aspect="coverage", default=True)
    card = measure(*SAMPLES["array"])
    assert card["shift_of_means"].aspect == "coverage"
    assert card["energy"].aspect == "joint structure"
    assert measure(*SAMPLES["array"], measures=first_column)["first_column"].aspect == "own"
    with pytest.raises(MeasureError, match=r"unknown aspect 'joint'.*joint structure"):
        register(first_column, aspect="joint")  # type: ignore[call-overload]  # what users may try


def test_a_scorecard_keeps_its_notes_and_noise_in_json() -> None:
    card = pf.measures.Scorecard({"a": Measurement("a", 1.0)}, ["left out: b"], {"a": [0.1, -0.2]})
    again = pf.measures.Scorecard.from_json(card.to_json())
    assert dict(again) == dict(card)
    assert (again.notes, again.row_noise) == (("left out: b",), {"a": (0.1, -0.2)})
