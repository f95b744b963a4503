"""The loop: budgets, seeds, averages, interruptions, and numbers that are not finite."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

import forked
import pushforward as pf
from comparisons import RING
from pushforward.comparison.equal_steps import EqualSteps
from pushforward.comparison.folder import ComparisonFolder
from pushforward.errors import DivergedError
from pushforward.families.model import Model, Terms, Turn, turn
from pushforward.families.priors import WithPrior
from pushforward.files import read_tensors
from pushforward.models import find
from pushforward.models.gan import GAN
from pushforward.random import isolated
from pushforward.runs.fitted import Fitted, build
from pushforward.runs.folder import Folder, new_config, new_stage, repeating
from pushforward.space import Space
from pushforward.training.loop import Loop
from pushforward.training.moving_average import MovingAverage
from pushforward.training.pace import Costs, Pace, Watch
from pushforward.training.plan import Plan, due, record_due, saves
from pushforward.training.settings import Budget, Settings
from pushforward.training.turn_optimizer import TurnOptimizer


def ring_loop(model: Model, settings: Settings, folder: Folder | None = None) -> Loop:
    data = pf.read("ring")
    config = new_config(type(model), {}, asdict(settings), data)
    if folder is not None:
        config = folder.open_or_create(config, data.schema)
    return Loop(model, data, settings, folder, config)


def weights(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.states["final"]


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


# --- budgets and schedules


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("60s", 60, "seconds"),
        ("2m", 120, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("500 steps", 500, "steps"),
        (500, 500, "steps"),
        ("1e6 samples", 1_000_000, "samples"),
    ],
)
def test_budgets_are_read(text: str | int, amount: float, unit: str) -> None:
    assert Budget.parse(text) == Budget(amount, unit)  # type: ignore[arg-type]  # a literal


@pytest.mark.parametrize("text", ["", "fast", "-5s", "0 steps", "5 parsecs", "1e999 steps"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(pf.ModelError, match="budget"):
        Budget.parse(text)


def test_a_budget_in_samples_counts_the_rows_that_are_drawn() -> None:
    small: dict[str, Any] = {"batch_size": 100, "width": 8, "depth": 0}
    fitted = pf.fit("ring", "r3gan", budget="5000 samples", **small)
    # both turns of the R3GAN draw 100 rows a round: they are charged once, as for a GAN and a VAE
    assert fitted.steps == 50
    assert fitted.history[-2]["samples"] == 5000
    assert pf.fit("ring", "gan", budget="500 samples", **small).steps == 5  # for its critic
    many = pf.fit("ring", "wgan-gp", budget="1000 samples", **small, n_critic=5)
    assert many.steps == 2  # its critic draws five batches a round
    assert many.history[-2]["samples"] == 1000


ALWAYS, LATER = Turn("always", ()), Turn("later", (), start=0.25, end=0.75)


def rates(plan: Plan, turn: Turn, positions: Iterable[int]) -> list[float]:
    return [plan.rate(turn, position) for position in positions]


def planned(steps: int | None, *changes: tuple[int, int]) -> Plan:
    plan = Plan(new_stage("60s"))
    if steps is not None:
        plan.fix(steps)
    for change in changes:
        plan.shorten(*change)
    return plan


def test_the_schedule_does_not_need_the_total_before_half_way() -> None:
    early = range(501)
    assert rates(planned(1000), ALWAYS, early) == rates(planned(None), ALWAYS, early)
    assert planned(1000).rate(ALWAYS, 999) == pytest.approx(0.002)
    # a phase has its own: it rises from 250, and falls from 500 to 0 at 750
    assert rates(planned(1000), LATER, [250, 400, 625]) == pytest.approx([0.02, 1, 0.5])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # before the new half-way: as if the stage had been so long from the start
        ([(300, 800)], {299: 1, 400: 1, 600: 0.5, 799: 1 / 400}),
        # past it: from the rate that it had, in a line to 0
        ([(450, 550)], {449: 1, 450: 1, 500: 0.5, 549: 0.01}),
        # while it falls, twice
        ([(600, 800), (700, 720)], {599: 0.802, 600: 0.8, 650: 0.6, 700: 0.4, 710: 0.2}),
    ],
)
def test_a_stage_that_is_shortened_still_ends_at_rate_0(
    changes: list[tuple[int, int]], expected: dict[int, float]
) -> None:
    plan = planned(1000, *changes)
    assert rates(plan, ALWAYS, expected) == pytest.approx(list(expected.values()))
    assert plan.length(changes[0][0] - 1) == 1000
    assert plan.length(changes[-1][0]) == plan.stage["steps"] == changes[-1][1]
    assert rates(Plan(plan.stage), ALWAYS, range(700)) == rates(plan, ALWAYS, range(700))


def test_a_budget_repeats_a_schedule_that_was_shortened() -> None:
    text = repeating(planned(1000, (600, 800), (700, 720)).stage)
    assert text == "1000 steps, 800 from 600, 720 from 700"
    again = Plan(new_stage(text))
    again.fix(int(again.budget.amount))
    assert again.lengths == [(0, 1000), (600, 800), (700, 720)]


@pytest.mark.parametrize(
    "text",
    ["60s, 5 from 2", "9 steps, 9 from 3", "9 steps, 3 from 4", "9 steps, 8 from 4, 7 from 4"],
)
def test_changes_that_shorten_nothing_are_refused(text: str) -> None:
    with pytest.raises(pf.ModelError, match="budget"):
        Budget.parse(text)


# --- the clock


def test_a_step_takes_what_the_faster_ones_take_however_many_there_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Laps of 1 and, every third, 10 seconds; each lap costs two looks at the clock, no more."""
    looks = 0
    now = 0.0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now

    monkeypatch.setattr("pushforward.training.pace.time.perf_counter", clock)
    pace = Pace(torch.device("cpu"), 100.0)
    laps = 0
    while not pace.enough:
        laps += 1
        now += 10.0 if laps % 3 == 0 else 1.0
        pace.tick()
    assert (pace.spent, laps) == (26.0, 8)  # no less than a tenth of the budget and 8 laps
    assert pace.step == 1.0
    assert looks == 1 + 2 * laps


def test_long_budgets_are_planned_early_and_recorded_ever_more_seldom() -> None:
    assert Pace(torch.device("cpu"), 8 * 3600.0).least == 20
    recorded = [n for n in range(1, 20_000) if record_due(n, None)]
    assert recorded == [10 * 2**k for k in range(11)]


@pytest.mark.parametrize(("budget", "times"), [("20s", 2), ("60s", 4), ("1h", 20), ("9 steps", 20)])
def test_a_short_budget_is_not_spent_on_the_disk(budget: str, times: int) -> None:
    assert saves(Budget.parse(budget)) == times


def test_what_follows_the_steps_is_part_of_the_budget() -> None:
    # 100 s, less 10 checks of 1 s, 20 saves of 0.5 s and 20 s at the end: 60 s of steps
    assert Costs(step=0.1, check=1.0, saves=10.0, after=20.0).steps(100.0) == 600
    assert Costs(step=0.1, check=1.0, saves=10.0, after=20.0).steps(30.0) == 0
    refined = Costs(step=0.1, check=0.0, saves=0.0, after=0.0, refining=0.1)  # from 500 steps on
    assert [refined.steps(s) for s in (40.0, 60.0, 99.0, 200.0)] == [400, 499, 499, 1000]


def test_a_stage_is_shortened_only_when_it_would_end_far_too_late() -> None:
    """100 steps are foreseen for 100 s; the pace is measured over each 25 s anew."""
    watch = Watch(100.0, 0, 0.0)
    assert watch.shorter(10, 24.0, 100) is None  # too early to tell
    assert watch.shorter(20, 25.0, 100) is None  # 25 + 80 x 1.25 = 125 s
    # 25 s for 10 steps: 50 + 70 x 2.5 = 225 s is too late, so 20 of them fit into the other 50 s
    assert watch.shorter(30, 50.0, 100) == 50
    # the budget is spent: a tenth of the steps is left for the rate to fall
    assert watch.shorter(40, 120.0, 50) == 45


def test_things_are_due_so_often_and_at_the_end() -> None:
    assert [s for s in range(1, 24) if due(s, 23, 4)] == [6, 12, 18, 23]


def test_a_budget_in_seconds_becomes_steps_that_repeat_the_run(tmp_path: Path) -> None:
    timed = pf.fit("ring", "vae", budget="1s", width=16, out=tmp_path / "run")
    steps = json.loads((tmp_path / "run" / "config.json").read_text())["schedule"][0]["steps"]
    assert steps == timed.steps == timed.history[-1]["step"] >= 8
    again = repeating(timed.config["schedule"][0])
    assert_same(weights(timed), weights(pf.fit("ring", "vae", budget=again, width=16)))


# --- seeds


def test_a_run_depends_on_its_seed_alone_and_leaves_the_global_state() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = pf.fit("ring", "gan", budget=30, seed=3, width=16)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert_same(weights(first), weights(pf.fit("ring", "gan", budget=30, seed=3, width=16)))
    other = pf.fit("ring", "gan", budget=30, seed=4, width=16)
    assert not torch.equal(
        *(f.states["final"]["generator.trunk.first.weight"] for f in (first, other))
    )


# --- optimizer and average, against torch written out


def test_a_seat_moves_as_adam_does() -> None:
    torch.manual_seed(0)
    ours, theirs = (
        build("vae", pf.read("ring").schema, {"latent": 2}, 0, torch.device("cpu")) for _ in "ab"
    )
    turn = TurnOptimizer(ours, ours.turns()[0], None)
    optimizer = torch.optim.Adam(theirs.parameters(), 1e-3, fused=False)
    x = pf.read("ring").subset("train")[0][:64]
    for step in range(5):
        torch.manual_seed(step)
        turn.step(x, None, 1.0, None)
        torch.manual_seed(step)
        loss = torch.stack([t.mean() for t in theirs.elbo(x, None).values()]).sum()  # type: ignore[operator]  # a turn
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_gradient_that_is_applied() -> None:
    torch.manual_seed(0)
    model = build("vae", pf.read("ring").schema, {"latent": 2}, 0, torch.device("cpu"))
    turn = TurnOptimizer(model, model.turns()[0], None)
    seen: list[float] = []
    step = turn.optimizer.step

    def watched(*args: Any) -> Any:
        seen.append(
            float(
                torch.cat([p.grad.flatten() for p in turn.parameters if p.grad is not None]).norm()
            )
        )
        return step(*args)

    turn.optimizer.step = watched  # type: ignore[method-assign,assignment]  # a spy
    turn.step(3 * pf.read("ring").subset("train")[0][:64], None, 1.0, 0.5)
    assert seen[0] == pytest.approx(0.5, rel=1e-4)


def test_the_average_is_the_exponential_one() -> None:
    model = build("gan", pf.read("ring").schema, {"latent": 2}, 0, torch.device("cpu"))
    average, decay = MovingAverage(model, 0.9), 0.9
    own = dict(model.named_parameters())["generator.trunk.first.weight"]
    expected = own.detach().clone().double()
    for step in range(1, 30):
        with torch.no_grad():
            own.add_(torch.randn_like(own))
        average.follow(step)
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * own.detach().double()
    found = average.weights()["generator.trunk.first.weight"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    live = dict(model.named_parameters())["critic.head.weight"]
    assert torch.equal(average.weights()["critic.head.weight"], live)


# --- turns: repeat and every


class Counted(WithPrior):
    """Counts how its turns are played, and may go astray."""

    name: ClassVar[str] = "counted"
    place: ClassVar[tuple[str, str]] = ("", "")
    averaged: ClassVar[tuple[str, ...]] = ("body",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        astray: Annotated[int, "step"] = 10**9,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.body, self.astray = nn.Linear(2, 2), astray
        self.log: list[str] = []

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.body(z[:, :2]))

    @turn("body", repeat=3)
    def often(self, x: Tensor, c: Tensor | None) -> Terms:
        self.log.append("often")
        return {"square": self.body(x).square().sum(1)}

    @turn("body", every=2)
    def seldom(self, x: Tensor, c: Tensor | None) -> Terms:
        self.log.append("seldom")
        scale = float("nan") if self.log.count("seldom") >= self.astray else 1.0
        return {"fine": self.body(x).square().sum(1), "bad": scale * self.body(x).sum(1)}


def test_turns_are_repeated_and_skipped_as_they_say() -> None:
    model = Counted(pf.read("ring").schema.space, latent=2)
    ring_loop(model, Settings(4, batch_size=8)).run()
    assert model.log == [*["often"] * 3, "seldom", *["often"] * 3] * 2


def test_a_number_that_is_not_finite_names_turn_step_and_term(tmp_path: Path) -> None:
    model = Counted(pf.read("ring").schema.space, latent=2, astray=26)  # played in step 51
    folder = Folder(tmp_path / "run")
    with pytest.raises(DivergedError, match=r"turn 'seldom', step 51: bad is not finite"):
        ring_loop(model, Settings(100, batch_size=8), folder).run()
    assert folder.finished
    best, _ = read_tensors(folder.weights("best"))
    assert all(bool(t.isfinite().all()) for t in best.values())


# --- the measure on validation


def test_the_check_gives_both_samples_classes_one_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generated rows that are half the real ones: only the rows may differ, never the classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(400, 3)) + labels[:, None], y=labels)
    data = pf.read(tmp_path / "d.npz", condition="label")
    settings = Settings(5)
    model = build("vae", data.schema, {"latent": 2, "width": 8}, 0, torch.device("cpu"))
    loop = Loop(model, data, settings, None, new_config(type(model), {}, asdict(settings), data))
    rows, codes = data.subset("validation")
    assert codes is not None
    monkeypatch.setattr("pushforward.training.selection.imagine", lambda *_arguments: rows / 2)
    real, n = rows.double().numpy(), len(rows)
    hot = np.sqrt(real.var(0, ddof=1).sum()) * np.eye(2)[codes.numpy()]
    x, y = np.hstack([real, hot]), np.hstack([real / 2, hot])
    within = (cdist(x, x).sum() + cdist(y, y).sum()) / (n * (n - 1))
    assert loop.check().value == pytest.approx(2 * cdist(x, y).mean() - within, rel=1e-4)


# --- interruptions

RUN = ["-m", "pushforward", "fit", "ring", "--model", "gan", "--budget", "400 steps"]
RUN += ["--width", "16", "--batch-size", "32"]


def test_a_run_that_is_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    same: dict[str, Any] = {"budget": "400 steps", "width": 16, "batch_size": 32}
    whole = pf.fit("ring", "gan", **same, out=tmp_path / "whole")
    killed = tmp_path / "killed"
    kills = 0
    for at in (30, 180):
        with forked.running(*RUN, "--out", killed) as command:
            while command.status is None and _position(killed) < at:
                time.sleep(0.01)
            command.send(signal.SIGKILL)
            kills += command.wait() == -signal.SIGKILL
    assert kills == 2
    assert not Folder(killed).finished
    again = pf.fit("ring", "gan", **same, out=killed)
    assert_same(weights(whole), weights(again))
    assert_same(whole.states["best"], again.states["best"])
    steps = [record["step"] for record in again.history]
    assert steps == [record["step"] for record in whole.history]
    for a, b in zip(whole.history, again.history, strict=True):
        assert a["terms"] == b["terms"]


def _position(folder: Path) -> int:
    """The step that the saved state stands at."""
    try:
        return int(json.loads((folder / "state.json").read_text())["step"])
    except (OSError, ValueError):
        return -1


def test_a_finished_run_is_taken_as_it_is(tmp_path: Path) -> None:
    first = pf.fit("ring", "vae", budget=20, width=16, out=tmp_path / "run")
    stamp = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    again = pf.fit("ring", "vae", budget=20, width=16, out=tmp_path / "run")
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == stamp
    assert_same(weights(first), weights(again))


def test_a_disk_that_fills_up_leaves_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    run: dict[str, Any] = {"budget": 100, "width": 16, "batch_size": 32}  # saved every 5 steps
    written = 0
    real = os.fsync

    def full(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 12:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(pf.RunError, match="No space left on device"):
        pf.fit("ring", "vae", **run, out=tmp_path / "run")
    monkeypatch.undo()
    assert not list((tmp_path / "run").glob("*.partial"))
    resumed = pf.fit("ring", "vae", **run, out=tmp_path / "run")
    assert_same(weights(resumed), weights(pf.fit("ring", "vae", **run)))


# --- a run that is shortened, and one that diverges

SMALL: dict[str, Any] = {"width": 8, "depth": 0, "batch_size": 32}
SHORTENED = """
import os, signal, sys
import pushforward as pf
from pushforward.training.pace import Watch

Watch.shorter = lambda self, position, elapsed, length: 90 if position == 65 else None

def record(found):
    if found["step"] == 70:
        os.kill(os.getpid(), signal.SIGKILL)

small = {"width": 8, "depth": 0, "batch_size": 32}
pf.fit("ring", "gan", budget="1000s", out=sys.argv[1], progress=record, **small)
"""


def test_a_shortened_run_that_is_killed_goes_on_as_one_that_repeats_it(tmp_path: Path) -> None:
    """Killed at 70, saved at 60, shortened at 65: the steps 60 to 65 are played by the old plan."""
    data, run = pf.read("ring"), tmp_path / "run"
    equal = EqualSteps(data, ComparisonFolder(tmp_path), "cpu")
    equal.fix(
        Folder(run), (find("gan"), {"width": 8, "depth": 0}), Settings("1000s", batch_size=32), 200
    )
    command = forked.ended("-c", SHORTENED, run)
    assert command.status == -signal.SIGKILL
    assert _position(run) == 60
    assert not Folder(run).finished
    resumed = pf.fit("ring", "gan", budget="1000s", **SMALL, out=run)
    repeat = pf.fit("ring", "gan", budget="200 steps, 90 from 65", **SMALL)
    assert (resumed.steps, resumed.foreseen_steps) == (90, 200)
    assert repeating(resumed.config["schedule"][0]) == "200 steps, 90 from 65"
    assert_same(weights(resumed), weights(repeat))
    assert_same(resumed.states["best"], repeat.states["best"])
    assert [r["step"] for r in resumed.history] == [r["step"] for r in repeat.history]
    assert not torch.equal(
        *(
            f.states["final"]["generator.trunk.first.weight"]
            for f in (repeat, pf.fit("ring", "gan", budget="90 steps", **SMALL))
        )
    )
    assert "only 90 of 200 foreseen steps" in resumed.notes[0]
    assert pf.fit("ring", "gan", budget="200 steps, 110 from 65", **SMALL).notes == []


def diverging(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let a GAN's generator leave the finite numbers at a step; return who was trained."""
    close_in, played = GAN.close_in, []

    def astray(self: GAN, n: Any, c: Tensor | None) -> Terms:
        played.append("gan")
        terms = close_in(self, n, c)
        return terms if len(played) < step else {k: v * float("nan") for k, v in terms.items()}

    astray.turn = vars(close_in)["turn"]  # type: ignore[attr-defined]  # the mark of a turn
    monkeypatch.setattr(GAN, "close_in", astray)
    return played


@pytest.mark.parametrize(("step", "kept"), [(73, None), (13, 10), (3, 0)])
def test_a_run_that_diverges_keeps_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, kept: int | None
) -> None:
    """Records come every 5 steps, checks every 10; before the first, only the start is good."""
    own = {"width": 16, "accept": 1.0}  # nothing is fitted after training
    small: dict[str, Any] = {**own, "out": tmp_path / "run"}
    with monkeypatch.context() as patch:
        played = diverging(patch, step)
        for _ in range(2):  # the second time, nothing is trained
            with pytest.raises(DivergedError, match=r"close_in', step .* is not finite"):
                pf.fit("ring", "gan", budget="100 steps", **small)
            trained = len(played)
        assert trained == len(played) == step + 2
    found = pf.load(tmp_path / "run")
    assert found.diverged is not None
    if kept is None:  # past the first quarter, the one that validation chose
        kept = next(r["step"] for r in reversed(found.history) if r.get("kept"))
        assert 30 <= kept <= 70
    assert (f"of step {kept}," if kept else "those of the start") in found.diverged
    assert (found.steps, found.foreseen_steps) == (trained, 100)
    # the same run up to its last good step, by the schedule of 100: nothing falls before 50
    model = build("gan", pf.read("ring").schema, own, 0, torch.device("cpu"))
    loop = ring_loop(model, Settings("100 steps"))
    with isolated(loop.device, 0):
        for _ in range(kept):
            loop.round()
    assert_same(found.states["best"], loop.average.weights())
    assert_same(found.states["best"], found.states["final"])


def test_a_comparison_goes_on_beside_a_run_that_diverges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = diverging(monkeypatch, 73)
    arguments: dict[str, Any] = {"seeds": 1, "budget": "100 steps", "width": 16}
    for _ in range(2):
        result = pf.compare(RING, ["gan", "vae"], out=tmp_path, measures=["energy"], **arguments)
        assert len(played) == 75  # once
        assert {m: len(c["best"]) for m, c in result.cards.items()} == {"gan": 1, "vae": 1}


# --- equal steps


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timed")
    before = torch.get_rng_state()
    pf.compare(RING, ["vae", "gan"], seeds=2, out=folder, **TIMED)
    assert torch.equal(torch.get_rng_state(), before)
    return folder


TIMED: dict[str, Any] = {"budget": "1s", "width": 8, "depth": 0, "measures": ["energy"]}


def steps_by_run(folder: Path) -> dict[str, int]:
    configs = {p.parent.name: p for p in folder.glob("runs/*/config.json")}
    stages = {name: json.loads(p.read_text())["schedule"][0] for name, p in configs.items()}
    assert {stage["budget"] for stage in stages.values()} == {"1s"}
    return {name: stage["foreseen"] for name, stage in stages.items()}


def test_every_seed_of_a_model_gets_the_steps_that_were_recorded(
    timed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = {
        r["model"]: r["steps"] for r in json.loads((timed / "steps.json").read_text()).values()
    }
    steps = steps_by_run(timed)
    assert steps == {f"{m}-{seed}": recorded[m] for m in ("vae", "gan") for seed in (0, 1)}
    assert min(steps.values()) >= 10
    assert not list(timed.glob("tmp*"))
    # nothing of the timing is left in the weights
    run = pf.load(timed / "runs" / "gan-1")
    budget = repeating(run.config["schedule"][0])
    again = pf.fit(RING, "gan", seed=1, budget=budget, width=8, depth=0)
    assert_same(weights(run), weights(again))

    def never(*_: object) -> None:
        raise AssertionError("the steps are known")

    monkeypatch.setattr("pushforward.comparison.equal_steps.costs_together", never)
    pf.compare(RING, ["vae", "gan"], seeds=3, out=timed, **TIMED)
    assert steps_by_run(timed)["vae-2"] == recorded["vae"]


def test_other_options_are_timed_anew(timed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def found(loops: list[Loop]) -> list[Costs]:
        asked.append(len(loops))
        return [Costs(0.01, 0.0, 0.0, 0.0) for _ in loops]

    monkeypatch.setattr("pushforward.comparison.equal_steps.costs_together", found)
    data, settings = pf.read(RING), Settings("1s", seed=7)
    equal = EqualSteps(data, ComparisonFolder(timed), "cpu")
    small = {"width": 8, "depth": 0}
    same = (find("vae"), find("vae").check(small))
    other = (find("vae"), find("vae").check(small | {"beta": 2.0}))
    assert equal.find({"vae": same}, settings)["vae"] == steps_by_run(timed)["vae-0"]
    assert asked == []
    assert equal.find({"vae": other}, settings) == {"vae": 100}
    assert asked == [1]
