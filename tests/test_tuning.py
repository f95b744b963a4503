"""Tuning: as many trials for every model, judged on validation rows, which leave no trace."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

import pushforward as pf
from comparisons import RING
from pushforward.cli.main import run_command
from pushforward.comparison.bench import Bench, MeasureChoice, silent
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.jobs import find_site
from pushforward.comparison.tuned import Trial, Tuning
from pushforward.comparison.tuning import (
    Tuner,
    begin,
    distance,
    free_options,
    open_study,
    propose,
    trial_seed,
)
from pushforward.errors import DivergedError
from pushforward.families.options import Range, at_least, linear_range, log_range, read_option
from pushforward.models import all_models, find
from pushforward.models.vae import VAE
from pushforward.space import Space
from pushforward.training.settings import Settings, require_trials

SMALL: dict[str, Any] = {"budget": "12 steps", "width": 8, "depth": 0, "measures": ["energy"]}


class Idle(VAE):
    """Has an option that makes no difference."""

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        knob: Annotated[float, "Turned in vain.", at_least(0), log_range(0.1, 10)] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.knob = knob


# --- ranges


@pytest.mark.parametrize(
    ("searched", "value", "place"),
    [(log_range(0.01, 100), 1.0, 0.5), (log_range(1, 8), 2, 1 / 3), (linear_range(-1, 3), 0, 0.25)],
)
def test_a_range_knows_where_a_value_lies(searched: Range, value: float, place: float) -> None:
    assert searched.place(value) == pytest.approx(place)


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[float, at_least(0), linear_range(-1, 1)],
        Annotated[float, log_range(0, 1)],
        Annotated[float, linear_range(2, 1)],
        Annotated[str, linear_range(0, 1)],
    ],
)
def test_a_range_must_be_of_allowed_numbers(hint: Any) -> None:
    with pytest.raises(pf.ModelError, match="option 'x' has the range"):
        read_option("x", hint, 1.0)


@pytest.mark.parametrize("name", all_models())
def test_every_model_can_be_tuned_around_its_defaults(name: str) -> None:
    free = free_options(all_models()[name].options(), {})
    for option in free.values():
        assert option.range is not None
        assert 0.2 < option.range.place(option.default) < 0.8, option.name
    assert free_options(all_models()[name].options(), dict.fromkeys(free, 1.0)) == {}


def test_the_first_trial_has_defaults_that_follow_from_the_data(tmp_path: Path) -> None:
    free = free_options(all_models()["vae"].options(), {})
    for usual in (dict[str, float](), {"beta": 0.25, "width": 32.0}):
        study = open_study(tmp_path / "vae.journal", f"{len(usual)}")
        begin(study, free, usual)
        assert propose(study, free, 0).params["beta"] == usual.get("beta", 1.0)


# --- a comparison with trials

HERE = find_site(1, 1)


def bench_in(folder: Path, data: Any = "ring") -> Bench:
    return Bench(pf.read(data), ComparisonFolder(folder), MeasureChoice(), "cpu", silent)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> pf.Comparison:
    folder = tmp_path_factory.mktemp("tuned") / "c"
    return pf.compare(RING, [Idle, "gan"], seeds=2, trials=3, out=folder, **SMALL)


def test_every_model_gets_as_many_trials_and_the_first_has_the_defaults(
    tuned: pf.Comparison,
) -> None:
    assert tuned.tuning.keys() == {"Idle", "gan"}
    for name, tuning in tuned.tuning.items():
        first, *others = tuning.trials
        assert len(others) == 2
        assert first.options == {n: {"gamma": 0.2}.get(n, 1.0) for n in tuning.ranges}, name
        assert [t.seed for t in tuning.trials] == [trial_seed(k) for k in range(3)]
        assert not {t.seed for t in tuning.trials} & set(tuned.seeds)
        for trial in others:
            assert all(0 < tuning.ranges[n].place(v) < 1 for n, v in trial.options.items())
        assert tuning.best.distance == min(t.distance for t in tuning.trials)


def test_a_trial_is_a_fit_judged_on_validation_rows(tuned: pf.Comparison) -> None:
    trial = tuned.tuning["gan"].trials[2]
    options = {"width": 8, "depth": 0, **trial.options}
    fitted = pf.fit(RING, "gan", budget="12 steps", seed=trial.seed, **options)
    assert distance(fitted) == trial.distance
    kept = [record["validation"] for record in fitted.history if record.get("kept")]
    assert trial.distance == kept[-1]


def test_nothing_of_a_trial_is_left_but_its_options(tuned: pf.Comparison, tmp_path: Path) -> None:
    """Options that make no difference gain nothing: test scores are those without tuning."""
    chosen = {name: dict(tuning.best.options) for name, tuning in tuned.tuning.items()}
    options = {"gan": chosen["gan"], "Idle": {"beta": chosen["Idle"]["beta"]}}
    plain = pf.compare(RING, [Idle, "gan"], seeds=2, out=tmp_path, options=options, **SMALL)
    for name in ("Idle", "gan"):
        for checkpoint, cards in plain.cards[name].items():
            values = [card["energy"].value for card in cards]
            assert [c["energy"].value for c in tuned.cards[name][checkpoint]] == values
    config = ComparisonFolder(tuned.folder).run("gan", 1).read_config()
    assert (
        config["identity"]["options"].items()
        >= {n: v for n, v in chosen["gan"].items() if v != find("gan").options()[n].default}.items()
    )
    assert {path.suffix for path in (tuned.folder / "tuning").iterdir()} == {".journal"}


def test_a_study_that_is_interrupted_goes_on_with_the_very_trials(
    tuned: pf.Comparison, tmp_path: Path
) -> None:
    def interrupt(stage: str, record: Mapping[str, Any]) -> None:
        if stage == "gan, trial 3 of 3" and record["step"] >= 6:
            raise KeyboardInterrupt

    again: dict[str, Any] = {"seeds": 2, "trials": 3, "out": tmp_path, **SMALL}
    with pytest.raises(KeyboardInterrupt):
        pf.compare(RING, [Idle, "gan"], progress=interrupt, **again)
    stages: set[str] = set()
    found = pf.compare(RING, [Idle, "gan"], progress=lambda s, _: stages.add(s), **again)
    assert found.tuning == tuned.tuning
    assert {stage for stage in stages if "trial" in stage} == {"gan, trial 3 of 3"}


def test_trials_of_models_side_by_side_are_those_of_one_after_the_other(
    tuned: pf.Comparison, tmp_path: Path
) -> None:
    """What follows in a comparison, in other workers, no trial sees."""
    models = {name: find(name) for name in ("vae", "gan")}
    tuner = Tuner(bench_in(tmp_path, RING), Settings("12 steps"), 3, find_site(2, len(models)))
    found = tuner.tune(models, {name: {"width": 8, "depth": 0} for name in models})
    assert tuner.site.place == "processes"
    assert found["gan"] == tuned.tuning["gan"]
    assert len(found["vae"].trials) == 3


def test_trials_are_kept_and_shown(tuned: pf.Comparison) -> None:
    assert pf.Comparison.load(tuned.folder).tuning == tuned.tuning
    page = tuned.report().read_text()
    assert "Distance to validation rows" in page
    for trial in tuned.tuning["gan"].trials:
        assert f"<td>{trial.options['gamma']:g}</td>" in page


def test_a_study_grows(tmp_path: Path) -> None:
    bench, gan = bench_in(tmp_path), {"gan": find("gan")}
    made = {}
    for trials in (2, 4):
        tuner = Tuner(bench, Settings(12), trials, HERE)
        made[trials] = tuner.tune(gan, {"gan": {"width": 8}})["gan"].trials
    assert made[4][:2] == made[2]
    assert len(made[4]) == 4
    assert tuner.tune(gan, {"gan": {"width": 8, "gamma": 0.3}}) == {}  # which is given
    other = Tuner(bench, Settings(10), 2, HERE)
    assert other.tune(gan, {"gan": {"width": 8}})["gan"].trials[0] != made[2][0]


def test_seconds_become_the_same_steps_for_every_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = []

    def pretend(data: Any, model: Any, **keywords: Any) -> None:
        budgets.append(keywords["budget"])
        raise DivergedError("lost")

    monkeypatch.setattr("pushforward.comparison.tuning.fit", pretend)
    bench = bench_in(tmp_path)
    tuner = Tuner(bench, Settings("2s"), 3, HERE)
    (tuning,) = tuner.tune({"vae": find("vae")}, {"vae": {"width": 8}}).values()
    (steps,) = json.loads(bench.folder.steps.read_text()).values()
    assert budgets == [f"{steps['steps']} steps"] * 3
    # all diverged: the defaults are as good as the others
    assert [t.distance for t in tuning.trials] == [math.inf] * 3
    assert tuning.best == tuning.trials[0]
    assert Tuning.from_json(json.loads(json.dumps(tuning.to_json()))) == tuning


# --- bad input


@pytest.mark.parametrize("trials", [0, 1, -3, 2.5, "many"])
def test_other_numbers_of_trials_are_refused(trials: Any) -> None:
    with pytest.raises(pf.ModelError, match="trials must be a whole number"):
        pf.compare("ring", trials=trials)


def test_without_optuna_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    require_trials(None)
    with pytest.raises(pf.ModelError, match=r"pip install 'pushforward\[tune\]'"):
        require_trials(3)


def test_the_command_line_tunes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "compare ring --models vae --seeds 1 --trials 2 --budget 10 --measures energy"
    assert run_command([*command.split(), "--width", "8", "--out", str(tmp_path)]) == 0
    assert "Tuned vae: beta=" in capsys.readouterr().out
    assert run_command([*command.replace("--trials 2", "--trials 1").split()]) == 2
    assert "trials must be" in capsys.readouterr().err


def test_the_distance_of_a_short_run_is_that_of_its_last_check() -> None:
    fitted = pf.fit("ring", "vae", budget=1, width=8)
    assert np.isfinite(distance(fitted))


def test_the_best_trial_is_said_with_its_options() -> None:
    trials = (Trial({"beta": 1.0}, 1, 0.5), Trial({"beta": 0.25}, 2, 0.4))
    assert str(Tuning({"beta": log_range(0.1, 10)}, trials)).startswith("beta=0.25 (best of 2")
