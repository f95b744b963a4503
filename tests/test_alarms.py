"""Alarms of a game: each is provoked by a real run, and a run that is well stays silent."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score
from torch import Tensor

import pushforward as pf
from pushforward.cli.console import Display, anatomy_tables, print_alarms
from pushforward.comparison.decide import decide
from pushforward.comparison.facts import facts_of
from pushforward.families.model import Terms, turn
from pushforward.measures import Scorer
from pushforward.models.gan import GAN
from pushforward.random import isolated
from pushforward.runs import Fitted
from pushforward.runs.course import ALARMS, Course, panels
from pushforward.runs.fitted import build
from pushforward.runs.folder import Folder, repeating
from pushforward.training.learned import ROWS, Learned
from pushforward.training.turn_optimizer import TurnOptimizer
from pushforward.training.variety import recognised, support

SMALL: dict[str, Any] = {"width": 16, "batch_size": 32}


class Deaf(GAN):
    """The minimax game of a quick critic with a generator that hardly moves."""

    @turn("critic", learning_rate=1e-2, betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        return super().measure(x, c)

    @turn("generator", data=False, learning_rate=1e-5, betas=(0.0, 0.99))
    def close_in(self, x: Tensor | int, c: Tensor | None) -> Terms:
        return super().close_in(x, c)


class Ideal(GAN):
    """A generator that is right from the start: all that the critic can learn are single rows."""

    @turn("critic", learning_rate=2e-3, betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        return super().measure(x, c)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        moved: Tensor = z + 0 * self.generator(z, c)
        return moved


def alarmed(fitted: Fitted) -> set[str]:
    course = Course.of(fitted.history, fitted.model)
    return {code for code, alarm in ALARMS.items() if alarm(course) is not None}


@cache
def healthy() -> Fitted:
    return pf.fit("ring", "gan", budget=300, **SMALL)


@cache
def saturated() -> Fitted:
    return pf.fit("ring", Deaf, minimax=True, gamma=0.0, budget=200, **SMALL)


@cache
def ideal(rows: int) -> Fitted:
    x = np.random.default_rng(0).normal(size=(rows, 16)).astype(np.float32)
    data = pf.read(x, split=(0.5, 0.4, 0.1))
    return pf.fit(data, Ideal, gamma=0.0, latent=16, width=32, batch_size=64, budget=150)


@cache
def restless(seed: int) -> Fitted:
    """No penalty, no average of the weights, and steps that are much too long."""
    game: dict[str, Any] = {"gamma": 0.0, "ema": 0.0, "learning_rate": 0.05}
    return pf.fit("ring", "gan", budget=100, seed=seed, **game, **SMALL)


@cache
def lost() -> Fitted:
    game: dict[str, Any] = {"gamma": 0.0, "ema": 0.0, "learning_rate": 0.01}
    return pf.fit("ring", "gan", budget=300, **game, **SMALL)


# --- provoked, and silent


def test_a_run_that_is_well_stays_silent() -> None:
    assert alarmed(healthy()) == set()
    assert not any("alarms" in record for record in healthy().history)
    assert alarmed(pf.fit("ring", "vae", budget=20, **SMALL)) == set()


def test_a_critic_that_tells_all_and_says_nothing_is_saturated() -> None:
    fitted = saturated()
    assert alarmed(fitted) == {"PF210"}
    course = Course.of(fitted.history, fitted.model)
    assert course.held_out[-1] > 0.99
    assert course.gradients[-1] < 0.01


@pytest.mark.parametrize(("rows", "found"), [(400, {"PF211"}), (8000, set())])
def test_a_critic_of_few_rows_learns_them_by_heart(rows: int, found: set[str]) -> None:
    """Held-out rows and generated ones are of one distribution: 1/2, within 3 standard errors.

    The area of two equal samples of n and m has the variance (n + m + 1) / (12 n m).
    """
    fitted = ideal(rows)
    assert alarmed(fitted) == found
    n = min(ROWS, 2 * rows // 5)
    error = math.sqrt((2 * n + 1) / (12 * n * n))
    assert fitted.history[-2]["critic"]["held_out"] == pytest.approx(0.5, abs=3 * error)


def test_a_game_of_steps_that_are_too_long_swings() -> None:
    """Which seed swings depends on rounding, so one of three has to: on two machines, two did."""
    assert any("PF213" in alarmed(restless(seed)) for seed in (0, 1, 3))


def test_a_game_that_is_lost_in_the_end_names_the_weights_that_are_used() -> None:
    fitted = lost()
    assert "PF214" in alarmed(fitted)
    kept = max(r["step"] for r in fitted.history if r.get("kept"))
    assert f"at step {kept}, whose weights are kept" in str(
        ALARMS["PF214"](Course.of(fitted.history, fitted.model))
    )


def findings(*fitted: Fitted) -> dict[str, str]:
    """What a comparison finds of the games, given these runs."""
    data = pf.read("ring")
    scorer, test = Scorer(data, measures=["energy"]), data.subset("test")
    card = scorer.score(test, data.subset("validation"))
    own = {"game": [card] * len(fitted)}
    found = decide(
        own, {"ceiling": card, "floor": card}, facts={"game": list(map(facts_of, fitted))}
    ).findings
    return {f.code: f.evidence for f in found if f.code in ALARMS}


def test_an_alarm_of_a_run_becomes_a_finding_of_its_model() -> None:
    assert findings(healthy()) == {}
    found = findings(healthy(), saturated(), lost())
    assert "in 1 of 3 runs of game" in found["PF210"]
    assert "100.0% of pairs" in found["PF210"]
    assert found.keys() >= {"PF210", "PF214"}


# Ten checks of a run that is well, at which the generator hears the critic.
WELL = Course(
    checks=tuple(range(10, 101, 10)),
    distances=(1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.12, 0.1),
    errors=(0.01,) * 10,
    training=(0.7,) * 10,
    held_out=(0.7,) * 10,
    area_errors=(0.02,) * 10,
    gradients=(1.0, *(0.5,) * 9),
    kept=100,
)


def last(values: tuple[float, ...], value: float) -> tuple[float, ...]:
    return (*values[:-1], value)


@pytest.mark.parametrize(
    ("area", "gradient", "found"),
    [(0.995, 0.009, True), (0.98, 0.009, False), (0.995, 0.02, False)],
)
def test_either_sign_of_saturation_alone_is_none(area: float, gradient: float, found: bool) -> None:
    course = replace(
        WELL, held_out=last(WELL.held_out, area), gradients=last(WELL.gradients, gradient)
    )
    assert (ALARMS["PF210"](course) is not None) is found


@pytest.mark.parametrize(
    ("area", "error", "found"), [(0.85, 0.02, True), (0.79, 0.02, False), (0.85, 0.06, False)]
)
def test_what_is_known_by_heart_exceeds_its_error(area: float, error: float, found: bool) -> None:
    course = replace(
        WELL, training=last(WELL.training, area), area_errors=last(WELL.area_errors, error)
    )
    assert (ALARMS["PF211"](course) is not None) is found


@pytest.mark.parametrize(
    ("later", "found"),
    [
        ((0.1, 0.3, 0.1, 0.1, 0.1), True),
        ((0.1, 0.2, 0.35, 0.2, 0.15), True),
        ((0.3, 0.1, 0.1, 0.1, 0.3), False),  # fell, and rose in the end
        ((0.1, 0.19, 0.1, 0.1, 0.1), False),  # by a factor below 2
        ((0.01, 0.04, 0.01, 0.01, 0.01), False),  # by less than three errors of a difference
    ],
)
def test_a_swing_rises_and_falls(later: tuple[float, ...], found: bool) -> None:
    course = replace(WELL, distances=(*WELL.distances[:5], *later))
    assert (ALARMS["PF213"](course) is not None) is found


@pytest.mark.parametrize(("end", "found"), [(0.25, True), (0.19, False), (math.inf, True)])
def test_what_is_worse_in_the_end(end: float, found: bool) -> None:
    course = replace(WELL, distances=(*WELL.distances[:8], 0.1, end), kept=90)
    assert (ALARMS["PF214"](course) is not None) is found
    assert ALARMS["PF214"](replace(course, kept=0)) is None  # nothing is chosen yet


def first_modes(rows: Any, share: float) -> Any:
    """Rows of the ring that lie on the first modes, a share of the eight."""
    angle = np.arctan2(rows[:, 1], rows[:, 0]) + math.pi / 8
    return rows[angle % (2 * math.pi) < share * 2 * math.pi]


@pytest.mark.parametrize(("share", "lost_modes"), [(0.25, True), (1.0, False)])
def test_missing_modes_are_found_where_rows_look_real(share: float, lost_modes: bool) -> None:
    """Samples of two of the eight modes of the ring, and of all."""
    data = pf.read("ring")
    names = ["energy", "precision", "recall", "coverage"]
    scorer, (test, _) = Scorer(data, measures=names), data.subset("test")
    real = data.raw("train")

    def card(rows: np.ndarray) -> Any:
        return scorer.score((test, None), (data.schema.encode(rows[: len(test)]), None))

    noise = np.random.default_rng(0).normal(size=(len(test), 2)).astype(np.float32)
    references = {"ceiling": card(real), "floor": card(noise * real.std())}
    found = decide({"game": [card(first_modes(real, share))] * 3}, references).findings
    assert ("PF212" in {f.code for f in found}) is lost_modes


# --- what is read


def test_the_verdict_is_the_area_under_the_curve_and_the_models_estimate() -> None:
    fitted = healthy()
    data, seed = pf.read("ring"), 0
    told = Learned(data, seed).verdict(fitted.model)["critic"]
    model = fitted.model
    for split, name in (("train", "training"), ("validation", "held_out")):
        rows = data.schema.expand(data.subset(split)[0][:ROWS])  # type: ignore[arg-type]
        with isolated(torch.device("cpu"), seed), torch.no_grad():
            y = model.generate(model.prior.sample(len(rows)))  # before the critic's choice
            real, fake = model.critic(rows), model.critic(y)  # type: ignore[operator]
        labels = [1] * len(real) + [0] * len(fake)
        area = roc_auc_score(labels, torch.cat([real, fake]).numpy())
        assert told[name] == pytest.approx(area, abs=1e-9)
        p, q = torch.sigmoid(real.double()), torch.sigmoid(fake.double())
        assert told[f"{name}_estimate"] == pytest.approx(
            float(p.log().mean() + (1 - q).log().mean()), rel=1e-4
        )


def test_what_is_read_of_a_critic_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pf.fit("ring", "gan", budget=30, **SMALL)
    monkeypatch.setattr(Learned, "verdict", lambda *_: {})
    second = pf.fit("ring", "gan", budget=30, **SMALL)
    assert any("critic" in r for r in first.history)
    for name, weight in first.states["final"].items():
        assert torch.equal(weight, second.states["final"][name])


@pytest.mark.parametrize(
    ("model", "read"), [("bigan", True), ("wgan-gp", True), ("vae", False), ("aae", False)]
)
def test_a_model_with_a_critic_of_rows_is_read(model: str, read: bool) -> None:
    fitted = pf.fit("ring", model, budget=2, **SMALL)
    assert all(("critic" in r) is read for r in fitted.history if "validation" in r)


def flat(tensors: Iterable[Tensor | None]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors if t is not None]).clone()


def test_gradients_and_updates_are_those_of_the_first_step_since_the_last_record() -> None:
    """Beside Adam as torch writes it; the gradient is that before it is clipped to 0.01."""
    schema = pf.read("ring").schema
    ours, theirs = (build("vae", schema, {"latent": 2}, 0, torch.device("cpu")) for _ in "ab")
    player = TurnOptimizer(ours, ours.turns()[0], None)
    optimizer = torch.optim.Adam(theirs.parameters(), 1e-3)
    x = pf.read("ring").subset("train")[0][:64]
    read: list[tuple[float, float]] = []
    for step in range(4):
        torch.manual_seed(step)
        player.step(x, None, 1.0, 0.01)
        torch.manual_seed(step)
        optimizer.zero_grad()
        theirs.loss(x).mean().backward()
        gradient, before = flat(p.grad for p in theirs.parameters()), flat(theirs.parameters())
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
        optimizer.step()
        change = flat(theirs.parameters()) - before
        read.append((float(gradient.norm()), float(change.norm() / before.norm())))
        if step == 2:  # a record: what was read is that of step 0
            assert player.take_move() == pytest.approx(read[0], rel=1e-3)
            assert player.take_move() is None
            player.take_means()
    assert player.take_move() == pytest.approx(read[3], rel=1e-3)


# --- what is shown


def test_a_game_is_drawn_over_its_checks_and_inspected() -> None:
    drawn = {panel.title: panel for panel in panels(healthy().history)}
    ranking = drawn["The critic's ranking"]
    assert ranking.x == [r["step"] for r in healthy().history if "validation" in r]
    assert ranking.series.keys() == {"training rows", "held-out rows"}
    assert drawn["Gradients"].series.keys() == {"measure", "close_in"}
    shown = Console(file=io.StringIO(), width=120, record=True)
    for table in anatomy_tables(healthy()):
        shown.print(table)
    print_alarms(healthy(), shown)
    text = shown.export_text()
    assert "The critic's ranking" in text
    assert "note:" not in text
    print_alarms(saturated(), shown)
    assert shown.export_text().startswith("note: PF210: the critic ranks")
    of_a_vae = [panel.title for panel in panels(pf.fit("ring", "vae", budget=2, **SMALL).history)]
    assert of_a_vae == ["What layers give", "Silent units", "Updates by layer"]


def test_an_alarm_is_said_once_while_it_trains() -> None:
    told = Console(file=io.StringIO(), width=200)
    with Display(told) as display:
        for record in saturated().history:
            if "cost" not in record:
                display.update("deaf", {**record, "total": 200})
    assert isinstance(told.file, io.StringIO)
    lines = told.file.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("note: PF210, deaf, step ")


# --- patience


def test_a_run_that_is_in_vain_ends_and_can_be_repeated(tmp_path: Path) -> None:
    game: dict[str, Any] = {"gamma": 0.0, "ema": 0.0, "learning_rate": 0.01, **SMALL}
    whole = lost()
    waits = [r["step"] for r in whole.history if r.get("kept") is False]
    assert len(waits) >= 2, "the game is lost"
    stopped = pf.fit("ring", "gan", budget=300, patience=2, out=tmp_path / "run", **game)
    verdicts = {r["step"]: r["kept"] for r in whole.history if "kept" in r}
    end = next(s for s in verdicts if verdicts[s] is verdicts.get(s - 30) is False)
    assert (stopped.steps, stopped.foreseen_steps, stopped.stopped) == (end, 300, True)
    assert "ended at step" in stopped.notes[0]
    assert facts_of(stopped).foreseen_steps == end  # the machine is not to blame
    assert Folder(tmp_path / "run").finished
    again = repeating(stopped.config["schedule"][0])
    assert again == f"300 steps, {end} from {end}"
    repeat = pf.fit("ring", "gan", budget=again, **game)
    for checkpoint in ("best", "final"):
        for name, weight in stopped.states[checkpoint].items():
            assert torch.equal(weight, repeat.states[checkpoint][name])
    # trained on, it is as patient: a check comes every 2 of 20 steps, and 4 mend nothing
    assert pf.fit("ring", out=tmp_path / "run", more="20 steps").steps == end + 4


def test_a_run_in_vain_that_is_interrupted_ends_at_the_same_step(tmp_path: Path) -> None:
    """Interrupted in the very check at which it ends, and before the end is saved."""
    game: dict[str, Any] = {"gamma": 0.0, "ema": 0.0, "learning_rate": 0.01, "patience": 2, **SMALL}
    whole = pf.fit("ring", "gan", budget=300, **game)

    def cut(record: Any) -> None:
        if record["step"] == whole.steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.fit("ring", "gan", budget=300, out=tmp_path / "run", progress=cut, **game)
    assert not Folder(tmp_path / "run").finished
    again = pf.fit("ring", "gan", budget=300, out=tmp_path / "run", **game)
    assert again.steps == whole.steps < 300
    for name, weight in whole.states["final"].items():
        assert torch.equal(weight, again.states["final"][name])


def test_a_run_with_patience_that_need_not_wait_plays_on() -> None:
    patient = pf.fit("ring", "gan", budget=30, patience=10, **SMALL)
    assert (patient.steps, patient.stopped, patient.notes) == (30, False, [])


# --- variety


def test_the_birthday_estimate_is_that_of_rows_drawn_from_a_few() -> None:
    """Held-out rows are distinct; generated ones are drawn from 50: estimated within 3 errors.

    Of n = 500 draws, n (n - 1) / 2 N = 2,495 pairs are equal on average. Their number has the
    variance of that of pairs of equal draws, n (n - 1) / 2 p (1 - p) with p = 1 / N.
    """
    rng = np.random.default_rng(0)
    real, few = (torch.from_numpy(rng.normal(size=(n, 3))) for n in (500, 50))
    (panel,) = support(real, few[torch.from_numpy(rng.integers(50, size=500))])
    _, pairs = panel.series["pairs that are alike"]
    expected, error = 500 * 499 / 100, math.sqrt(500 * 499 / 2 * 0.02 * 0.98)
    assert pairs == pytest.approx(expected, abs=3 * error + 5)  # 5: of neighbours that are close
    assert panel.series["pairs that are alike"][0] == 20
    sizes = panel.series["distinct rows, estimated"]
    assert sizes == [f"{500 * 499 / 40:,.0f}", f"{500 * 499 / 2 / pairs:,.0f}"]


def test_classes_are_those_of_the_nearest_training_rows() -> None:
    """Three classes far apart; of the rows that were asked for the third, none is of it."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    x = rng.normal(size=(180, 2)) + 20 * labels[:, None]
    data = pf.read(x.astype(np.float32), labels=labels)
    schema = data.schema
    (known, of_known), (real, asked) = data.subset("train"), data.subset("validation")
    assert of_known is not None
    assert asked is not None
    fake = real.clone()
    fake[asked == 2] = known[of_known == 0][0]
    features = schema.features(known), of_known
    (panel,) = recognised(features, schema.features(real), schema.features(fake), asked, schema)
    shares = np.bincount(asked.numpy(), minlength=3) / len(asked)
    assert panel.series["held-out, recognised"] == pytest.approx(shares)
    moved = [shares[0] + shares[2], shares[1], 0.0]
    assert panel.series["generated, recognised"] == pytest.approx(moved)
    assert f"{1 - shares[2]:.0%} are recognised" in panel.note
