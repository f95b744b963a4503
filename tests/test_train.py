"""The loop: budgets, seeds, averages, interruptions, and numbers that are not finite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

import pushforward as pf
from pushforward.errors import DivergedError
from pushforward.families.model import Model, Terms, turn
from pushforward.families.priors import WithPrior
from pushforward.files import read_tensors
from pushforward.runs.fitted import Fitted, build
from pushforward.runs.folder import Folder, new_config
from pushforward.space import Space
from pushforward.training.loop import Loop, due, schedule
from pushforward.training.moving_average import MovingAverage
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
    small: dict[str, Any] = {"batch_size": 100, "width": 16}
    fitted = pf.fit("ring", "r3gan", budget="5000 samples", **small)
    # a round of the R3GAN draws 100 rows for each of its two turns
    assert fitted.steps == 25
    assert pf.fit("ring", "gan", budget="500 samples", **small).steps == 5  # for its critic
    assert fitted.history[-2]["samples"] == 5000


def test_the_schedule_does_not_need_the_total_before_half_way() -> None:
    for step in range(500):
        assert schedule(step, 1000) == schedule(step, None)
    assert schedule(999, 1000) == pytest.approx(0.002)


def test_things_are_due_so_often_and_at_the_end() -> None:
    assert [s for s in range(1, 24) if due(s, 23, 4)] == [6, 12, 18, 23]


def test_a_budget_in_seconds_becomes_steps_that_repeat_the_run(tmp_path: Path) -> None:
    timed = pf.fit("ring", "vae", budget="1s", width=16, out=tmp_path / "run")
    steps = json.loads((tmp_path / "run" / "config.json").read_text())["schedule"][0]["steps"]
    assert steps == timed.steps == timed.history[-1]["step"] > 10
    assert_same(weights(timed), weights(pf.fit("ring", "vae", budget=f"{steps} steps", width=16)))


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
    assert not folder.finished
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
    assert loop.check() == pytest.approx(2 * cdist(x, y).mean() - within, rel=1e-4)


# --- interruptions

RUN = [
    sys.executable,
    "-m",
    "pushforward",
    "fit",
    "ring",
    "--model",
    "gan",
    "--budget",
    "400 steps",
    "--width",
    "16",
    "--batch-size",
    "32",
]


def test_a_run_that_is_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    same: dict[str, Any] = {"budget": "400 steps", "width": 16, "batch_size": 32}
    whole = pf.fit("ring", "gan", **same, out=tmp_path / "whole")
    killed = tmp_path / "killed"
    kills = 0
    for at in (30, 180):
        with subprocess.Popen([*RUN, "--out", str(killed)]) as process:
            while process.poll() is None and _position(killed) < at:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
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

    run: dict[str, Any] = {"budget": 400, "width": 16, "batch_size": 32}
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
