"""What is shown of many runs: all in flight on a terminal, each finished one in a pipe."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pushforward.cli.console import Display
from pushforward.cli.main import run_command
from pushforward.comparison.jobs.watch import latest_record
from pushforward.comparison.size import Size, duration
from pushforward.runs.folder import Folder


def record(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "total": 1200,
        "samples": 64 * step,
        "seconds": 2.0,
        "terms": {"a.b": 1.0},
    }


def finished(count: int) -> dict[str, Any]:
    cost = {"seconds": 61.4}
    return record(1200) | {"finished": count, "of": 8, "cost": cost, "terms": {}}


def play(display: Display) -> list[set[str]]:
    """Two runs side by side, of which one ends; return the bars after each step."""
    shown = []
    steps: list[tuple[str, dict[str, Any]]] = [
        ("timing the models' steps", {}),
        ("vae, seed 0", record(10)),
        ("gan, seed 0", record(20)),
        ("gan, seed 0: measuring", {}),
        ("gan, seed 0", finished(1)),
        ("writing the report", {}),
    ]
    with display:
        for stage, told in steps:
            display.update(stage, told)
            shown.append({task.description for task in display.progress.tasks})
    return shown


def test_a_terminal_shows_all_runs_in_flight() -> None:
    display = Display(Console(file=io.StringIO(), force_terminal=True, width=120))
    assert play(display) == [
        {"timing the models' steps"},
        {"vae, seed 0"},
        {"vae, seed 0", "gan, seed 0"},
        {"vae, seed 0", "gan, seed 0: measuring"},
        {"vae, seed 0", "all runs"},
        {"vae, seed 0", "all runs", "writing the report"},
    ]
    bars = {task.description: task for task in display.progress.tasks}
    assert (bars["vae, seed 0"].completed, bars["vae, seed 0"].total) == (10, 1200)
    assert "320 rows/s" in bars["vae, seed 0"].fields["terms"]
    assert (bars["all runs"].completed, bars["all runs"].total) == (1, 8)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_pipe_gets_a_line_for_each_finished_run(quiet: bool) -> None:
    file = io.StringIO()
    play(Display(Console(file=file, width=80), quiet=quiet))
    line = "gan, seed 0: 1,200 steps in 61 s, measured (1 of 8)\n"
    assert file.getvalue() == ("" if quiet else line)


def test_the_latest_record_is_the_last_whole_line(tmp_path: Path) -> None:
    run = Folder(tmp_path)
    assert latest_record(run) is None
    run.config.write_text(json.dumps({"identity": {}, "schedule": [{"budget": 40, "steps": 40}]}))
    run.write_history([{"step": 10, "terms": {"a": 1.0}}, {"step": 20, "terms": {"a": 2.0}}])
    with run.history.open("a") as file:
        file.write('{"step": 30, "ter')
    assert latest_record(run) == {"step": 20, "terms": {"a": 2.0}, "total": 40}


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        (
            Size(8, 8, "60s", 2, 1, 60.0),
            "8 runs of 60s, 2 at a time with 1 thread each: about 4 min of training, and measuring",
        ),
        (
            Size(8, 3, "60s", 2, 4, 60.0),
            "3 runs of 60s (5 of 8 are finished), 2 at a time with up to 4 threads each: about "
            "2 min of training, and measuring",
        ),
        (
            Size(1, 1, 500, 1, 2, None),
            "1 run of 500 steps, 1 at a time with up to 2 threads each, and measuring",
        ),
    ],
)
def test_the_size_of_a_comparison_is_one_sentence(size: Size, sentence: str) -> None:
    assert str(size) == sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "about 1 s"), (119, "about 119 s"), (150, "about 2.5 min"), (9000, "about 2.5 h")],
)
def test_durations_are_in_the_unit_that_people_would_name(seconds: float, text: str) -> None:
    assert duration(seconds) == text


DRY = ["compare", "ring", "--seeds", "3", "--width", "16", "--jobs", "2", "--dry-run"]


def test_a_dry_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert run_command([*DRY, *out, "--budget", "90s"]) == 0
    assert capsys.readouterr().out.startswith("6 runs of 90s, 2 at a time with 1 thread each: ")
    assert run_command([*DRY, *out, "--budget", "1e5 samples", "--json"]) == 0
    size = json.loads(capsys.readouterr().out)
    assert (size["runs"], size["missing"], size["jobs"]) == (6, 6, 2)
    assert size["seconds"] == pytest.approx(3 * size["each"])
    assert size["each"] > 0
    assert not (tmp_path / "out").exists()
