"""The command line: names shared with the library, one line an error, exit statuses."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import pushforward as pf
from pushforward.cli.main import app, run_command
from pushforward.cli.options import model_options

README = Path(__file__).parents[1] / "README.md"


def test_every_command_is_documented_in_the_readme() -> None:
    text = README.read_text()
    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert len(names) >= 7
    for name in names:
        assert f"`pushforward {name}" in text, name


def test_the_readme_shows_the_two_commands_first() -> None:
    first = README.read_text().split("```")[1].split()
    assert first == ["make", "demo", "make", "test"]


def test_fit_sample_inspect_and_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, csv = tmp_path / "run", tmp_path / "fake.csv"
    fit = ["fit", "wine", "--model", "gan", "--budget", "8", "--latent", "2", "--width=16"]
    assert run_command([*fit, "--out", str(run)]) == 0
    assert run_command(["sample", str(run), "-n", "40", "-o", str(csv), "--seed", "1"]) == 0
    back = pl.read_csv(csv)
    real = pf.read("wine").raw("train")
    assert back.columns == real.columns
    assert back.height == 40
    assert set(back["target"]) <= set(real["target"])
    assert run_command(["inspect", str(run)]) == 0
    assert "What the critic sees" in capsys.readouterr().out
    real.write_csv(tmp_path / "real.csv")
    card = ["measure", str(tmp_path / "real.csv"), str(csv), "--only", "energy", "--json"]
    assert run_command(card) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["measures", "notes"]
    assert found["measures"]["energy"]["value"] > 0
    assert run_command(["measure", *map(str, [tmp_path / "real.csv", csv]), "--all"]) == 0
    told = capsys.readouterr().out
    assert "wasserstein critic" in told
    assert "closest_record is left out: closest_record needs the rows" in " ".join(told.split())


def test_json_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", "ring", "--models", "vae,gan", "--seeds", "2", "--budget", "6"]
    options = ["--latent", "2", "--vae.beta", "0.5", "--width", "16"]
    assert run_command([*command, *options, "--out", str(tmp_path / "c"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["models"] == ["vae", "gan"]
    assert Path(result["report"]).exists()
    config = json.loads((tmp_path / "c" / "runs" / "vae-0" / "config.json").read_text())
    assert config["identity"]["options"] == {"latent": 2, "width": 16, "beta": 0.5}
    assert run_command(["models", "--json"]) == 0
    assert "beta" in json.loads(capsys.readouterr().out)["vae"]


def test_all_measures_or_some_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["measure", "wine", "wine", "--all", "--only", "mmd"]) == 2
    assert capsys.readouterr().err == "error: --all and --only: give one of them\n"


def test_options_are_read_with_their_types() -> None:
    text = ["--latent", "8", "--vae.beta=0.5", "--separate-encoders", "--width", "none"]
    shared, own = model_options(text, ["vae", "gan"])
    assert shared == {"latent": 8, "separate_encoders": True, "width": None}
    assert own == {"vae": {"beta": 0.5}}


def _write(path: Path, data: bytes | str) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def _images(folder: Path, broken: bool) -> str:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (20, 8, 8), dtype=np.uint8)
    pf.write(images, folder / "pictures")
    if broken:
        (folder / "pictures" / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    else:
        pf.write(np.zeros((3, 9, 9), np.uint8), folder / "pictures" / "other")
    return str(folder / "pictures")


ROWS = "\n".join(f"{i},{i % 3}" for i in range(30))
BAD: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing file": (lambda d: str(d / "none.csv"), "no such file"),
    "empty file": (lambda d: _write(d / "a.csv", ""), "empty"),
    "header only": (lambda d: _write(d / "a.csv", "a,b\n"), "a.csv"),
    "ragged rows": (lambda d: _write(d / "a.csv", f"a,b\n{ROWS}\n1,2,3\n"), "line 32"),
    "duplicate names": (lambda d: _write(d / "a.csv", f"a,a\n{ROWS}\n"), "'a'"),
    "binary": (lambda d: _write(d / "a.csv", b"\x00\x01\xff" * 99), "binary"),
    "wrong encoding": (lambda d: _write(d / "a.csv", "a,b\nß,1\n".encode("latin1")), "UTF-8"),
    "infinite": (lambda d: _write(d / "a.csv", f"a,b\n{ROWS}\ninf,1\n"), "finite numbers"),
    "two rows": (lambda d: _write(d / "a.csv", "a,b\n1,2\n3,4\n"), "at least"),
    "broken image": (lambda d: _images(d, broken=True), "07.png"),
    "sizes differ": (lambda d: _images(d, broken=False), "8x8"),
    "unknown built-in": (lambda _: "digts", "did you mean 'digits'"),
    "truncated npz": (lambda d: _write(d / "a.npz", b"PK\x03\x04 short"), "a.npz"),
    "unknown ending": (lambda d: _write(d / "a.xlsx", b"PK"), ".xlsx"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_status_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, wanted = BAD[case]
    status = run_command(["fit", make(tmp_path), "--out", str(tmp_path / "run"), "--budget", "2"])
    told = capsys.readouterr()
    assert status == 2
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert wanted in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["fit", "ring", "--model", "vea", "--out", "x"], "did you mean 'vae'"),
        (["fit", "ring", "--latnet", "3", "--out", "x"], "did you mean '--latent'"),
        (["fit", "ring", "--latent", "abc", "--out", "x"], "type int"),
        (["fit", "ring", "--latent", "0", "--out", "x"], "latent must be at least 1"),
        (["fit", "ring", "--budget", "soon", "--out", "x"], "'60s'"),
        (["fit", "ring", "--device", "tpu9", "--out", "x"], "tpu9"),
        (["fit", "ring"], "--out"),
        (["fit", "ring", "--condition", "colour", "--out", "x"], "colour"),
        (["fit", "ring", "--prior", "norml", "--out", "x"], "did you mean 'normal'"),
        (["sample", "nowhere", "-o", "x.csv"], "config.json"),
        (["report", "nowhere"], "comparison.json"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_usage_gets_one_line_and_status_2(
    arguments: list[str],
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert wanted in told.err
    assert not list(tmp_path.iterdir())


def test_columns_that_hold_little_are_kept_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "a,nothing,same\n" + "\n".join(f"{i % 7},,x" for i in range(40))
    data = _write(tmp_path / "a.csv", text)
    assert run_command(["fit", data, "--budget", "3", "--out", str(tmp_path / "r")]) == 0
    assert "nothing" in capsys.readouterr().err
    fake = pf.load(tmp_path / "r").sample(9, seed=0)
    assert fake.columns == ["a", "nothing", "same"]
    assert fake["nothing"].null_count() == 9
    assert fake["same"].to_list() == ["x"] * 9


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pushforward", "fit", "ring", "--budget", "100000 steps"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "run" / "history.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in told
    assert "Traceback" not in told


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, target = tmp_path / "run", tmp_path / "fake.csv"
    assert run_command(["fit", "ring", "--budget", "3", "--out", str(run)]) == 0
    target.write_text("what was there before")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    for command in (
        ["sample", str(run), "-n", "9", "-o", str(target)],
        ["fit", "ring", "--budget", "3", "--out", str(tmp_path / "other")],
    ):
        assert run_command(command) == 2
        told = capsys.readouterr().err
        assert "No space left" in told
        assert told.count("\n") == 1
    assert target.read_text() == "what was there before"
