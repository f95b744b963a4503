"""The command line: names shared with the library, one line an error, exit statuses."""

from __future__ import annotations

import errno
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer

import forked
import pushforward as pf
from comparisons import RING
from pushforward.cli.features import FITTED, NAMES, PRETRAINED, check_features, make_features
from pushforward.cli.main import app, run_command
from pushforward.cli.options import label_models, model_options, split_arguments
from pushforward.cli.parameters import builtin_names, read_seeds
from pushforward.data import builtin
from pushforward.errors import ModelError, PushforwardError
from pushforward.models import all_models
from pushforward.training.settings import Settings

README = Path(__file__).parents[1] / "README.md"


def commands() -> dict[str, Any]:
    """The commands as the parser has them, by name."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def parameters() -> Iterator[tuple[str, Any]]:
    for name, command in commands().items():
        yield from ((f"{name} {parameter.name}", parameter) for parameter in command.params)


def test_every_command_is_documented_in_the_readme() -> None:
    text = README.read_text()
    assert len(commands()) == 11
    for name in commands():
        assert f"`pushforward {name}" in text, name


def test_every_command_and_every_parameter_has_a_help_text() -> None:
    texts = {name: command.help for name, command in commands().items()}
    texts |= {name: parameter.help for name, parameter in parameters()}
    assert len(texts) > 60
    for name, text in texts.items():
        assert text, name
        assert text[0].isupper(), name
        assert text.endswith("."), name


@pytest.mark.parametrize(
    "name", ["compare", "fit", "sample", "impute", "predict", "log-prob", "measure"]
)
def test_the_command_line_has_the_names_of_the_library(name: str) -> None:
    library: dict[str, Any] = {
        "compare": pf.compare,
        "fit": pf.fit,
        "sample": pf.Fitted.sample,
        "impute": pf.Fitted.impute,
        "predict": pf.Fitted.predict_proba,
        "log-prob": pf.Fitted.log_prob,
        "measure": pf.measure,
    }
    keywords = set(inspect.signature(library[name]).parameters) - {"self", "keywords", "options"}
    keywords |= set(Settings.__dataclass_fields__) if "budget" in commands_options(name) else set()
    missing = keywords - commands_options(name) - IN_PYTHON_ONLY[name]
    assert not missing


IN_PYTHON_ONLY = {
    "compare": {"progress", "tracker", "seed"},
    "fit": {"progress", "tracker"},
    "sample": {"return_info"},
    "impute": set(),
    "predict": set(),
    "log-prob": set(),
    "measure": {"features"},
}


def commands_options(name: str) -> set[str]:
    flags = {flag for p in commands()[name].params for flag in (*p.opts, p.name)}
    return {flag.lstrip("-").replace("-", "_") for flag in flags}


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
    card = ["measure", str(tmp_path / "real.csv"), str(csv), "--measures", "energy", "--json"]
    assert run_command(card) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["measures", "notes"]
    assert found["measures"]["energy"]["value"] > 0
    assert (
        run_command(["measure", *map(str, [tmp_path / "real.csv", csv]), "--measures", "all"]) == 0
    )
    printed = capsys.readouterr().out
    assert "wasserstein critic" in printed
    assert "closest_record is left out: closest_record needs the rows" in " ".join(printed.split())


def test_json_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "ring.npy", RING)
    command = ["compare", str(tmp_path / "ring.npy"), "--models", "vae,gan"]
    command += ["--seeds", "2", "--budget", "6"]
    options = ["--latent", "2", "--vae.beta", "0.5", "--width", "16", "--measures", "energy"]
    assert run_command([*command, *options, "--out", str(tmp_path / "c"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["models"] == ["vae", "gan"]
    assert Path(result["report"]).exists()
    config = json.loads((tmp_path / "c" / "runs" / "vae-0" / "config.json").read_text())
    assert config["identity"]["options"] == {"latent": 2, "width": 16, "beta": 0.5}
    assert run_command(["models", "--json"]) == 0
    assert "beta" in json.loads(capsys.readouterr().out)["vae"]["options"]


def test_options_are_read_with_their_types() -> None:
    text = ["--latent=8", "--vae.beta=0.5", "--beta=2", "--separate-encoders=yes", "--width=none"]
    assert model_options(text, label_models(["vae", "gan"])) == {
        "vae": {"latent": 8, "beta": 0.5, "separate_encoders": True, "width": None},
        "gan": {"latent": 8, "width": None},
    }


def test_options_go_to_a_label_or_to_all_labels_of_a_model() -> None:
    models = label_models(["vae", "flow=vae", "gan"])
    assert models == {"vae": "vae", "flow": "vae", "gan": "gan"}
    text = ["--vae.beta=2", "--flow.sampler=flow", "--latent=8"]
    assert model_options(text, models) == {
        "vae": {"latent": 8, "beta": 2.0},
        "flow": {"latent": 8, "sampler": "flow"},
        "gan": {"latent": 8},
    }
    both = label_models(["a=vae", "b=vae"])  # none is called vae
    assert model_options(["--vae.beta=2"], both) == {"a": {"beta": 2.0}, "b": {"beta": 2.0}}


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("vae,vae", "under several options: vae,other=vae"),
        ("a=vae,a=gan", "once"),
        ("a=vea", "did you mean 'vae'"),
        ("a b=vae", "'a b': letters"),
        ("=vae", "'': letters"),
        ("floor=vae", "a reference"),
        ("vae,flow=vae --flow.samplr flow", "--flow.sampler"),
        ("vae,flow=vae --flw.sampler flow", "did you mean 'flow'"),
    ],
)
def test_wrong_labels_are_refused_in_a_line(
    models: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named, *options = models.rsplit(" --", 1)
    given = [f"--{word}" if i == 0 else word for o in options for i, word in enumerate(o.split())]
    command = ["compare", "ring", "--models", named, *given, "--budget", "4", "--seeds", "1"]
    assert run_command([*command, "--out", str(tmp_path / "c")]) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert printed[-1].startswith("error: ")
    assert words in printed[-1]
    assert not (tmp_path / "c").exists()


def test_options_of_models_may_stand_anywhere() -> None:
    flags = {"--out", "--seed", "--json"}
    text = ["--latent", "8", "ring", "--noise", "--out", "x", "--vae.beta=-1", "--json", "--pack"]
    own, models = split_arguments(text, flags)
    assert own == ["ring", "--out", "x", "--json"]
    assert models == ["--latent=8", "--noise=true", "--vae.beta=-1", "--pack=true"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", 3), ("0,1,5", [0, 1, 5]), ("7,", [7]), (" 2 ", 2)]
)
def test_seeds_are_a_number_or_a_list(text: str, seeds: int | list[int]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1,1", "1,-2", "a", "1.5"])
def test_seeds_that_make_no_sense(text: str) -> None:
    with pytest.raises(ModelError, match="--seeds must be"):
        read_seeds(text)


def test_the_names_of_built_in_data_are_those_of_the_data_room() -> None:
    assert builtin_names() == builtin.names()


@pytest.mark.parametrize("text", ["pcs", "pca:weights.pth", "dinov2:nowhere.pth"])
def test_features_that_make_no_sense(text: str) -> None:
    with pytest.raises(PushforwardError, match=r"pca|weights|nowhere"):
        check_features(text)


@pytest.mark.parametrize("name", ["identity", "standardised", "pca"])
def test_features_are_fitted_to_training_rows(name: str) -> None:
    data = pf.read("ring")
    rows = data.schema.expand(data.subset("train")[0]).double()
    features = make_features(name, data)(rows)
    if name == "standardised":
        np.testing.assert_allclose(features.mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(features.std(0, correction=0), 1, atol=1e-9)
    else:  # an orthonormal map keeps the total variance
        np.testing.assert_allclose(features.var(0).sum(), rows.var(0).sum(), rtol=1e-9)


def test_all_features_have_a_class() -> None:
    for name in {**FITTED, **PRETRAINED}.values():
        assert issubclass(getattr(pf.measures, name), pf.measures.Features)
    assert set(NAMES) == {"identity", *FITTED, *PRETRAINED}


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
    make, expected = BAD[case]
    status = run_command(["fit", make(tmp_path), "--out", str(tmp_path / "run"), "--budget", "2"])
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fit", "ring", "--condition", "colour", "--out", "x"], "colour"),
        (["fit", "ring", "--prior", "norml", "--out", "x"], "did you mean 'normal'"),
        (["fit", "ring", "--model", "mine.py:Mine", "--out", "x"], "no such file: mine.py"),
        (["fit", "ring", "--model", "json:Mine", "--out", "x"], "'json:Mine'"),
        (["fit", "ring", "--model", "json:JSONDecoder", "--out", "x"], "not a model"),
        (["measure", "wine", "wine", "--measures", "enrgy"], "did you mean 'energy'"),
    ],
)
def test_what_does_not_fit_gets_one_line_and_status_2(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert expected in printed.err
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
    command = ["-m", "pushforward", "fit", "ring", "--budget", "100000 steps"]
    command += ["--latent", "2", "--width", "8", "--batch-size", "16", "--out"]
    with forked.running(*command, tmp_path / "run") as process:
        while not (tmp_path / "run" / "history.jsonl").exists():
            assert process.status is None
            time.sleep(0.02)
        process.send(signal.SIGINT)
        assert process.wait() == 130
    assert "the same command continues" in process.stderr
    assert "Traceback" not in process.stderr


MINE = """
from typing import Annotated, Any
from pushforward.models.vae import VAE

class Mine(VAE):
    def __init__(
        self, space, classes=0, *, wish: Annotated[float, "A wish."] = 2.0,
        device: Annotated[int, "A name that a training option has."] = 1, **shared: Any
    ):
        super().__init__(space, classes, **shared)
"""


def test_a_model_of_ones_own_file_is_trained_compared_sampled_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run, both = tmp_path / "mine.py", tmp_path / "run", tmp_path / "both"
    mine = f"{_write(file, MINE.replace('device:', 'gadget:'))}:Mine"
    small = ["--budget", "4", "--latent", "2", "--width", "8"]
    quick = [*small, "--measures", "energy"]
    fit = ["fit", "ring", "--model", mine, "--wish", "3", *small, "--out", str(run)]
    assert run_command(fit) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["identity"]["options"] == {"wish": 3.0, "latent": 2, "width": 8}
    sample = ["sample", str(run), "-n", "5", "-o", str(tmp_path / "x.csv")]
    assert run_command([*sample, "--model", mine]) == 0
    assert pl.read_csv(tmp_path / "x.csv").height == 5
    assert run_command(["inspect", str(run), "--model", mine]) == 0
    models = ["compare", "ring", "--models", f"vae,{mine}", "--Mine.wish", "5", *quick]
    capsys.readouterr()
    assert run_command([*models, "--seeds", "4,", "--out", str(both), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["models"], result["seeds"]) == (["vae", "Mine"], [4])
    config = json.loads((both / "runs" / "Mine-4" / "config.json").read_text())
    assert config["identity"]["options"]["wish"] == 5.0


def test_options_of_training_and_of_a_model_do_not_shadow_each_other(tmp_path: Path) -> None:
    mine = f"{_write(tmp_path / 'mine.py', MINE)}:Mine"
    flags = {"--device"}
    own, others = split_arguments(["ring", "--device", "cpu", "--Mine.device", "7"], flags)
    assert own == ["ring", "--device", "cpu"]
    models = label_models([mine, "vae"])
    assert model_options(others, models) == {"Mine": {"device": 7}, "vae": {}}


def test_a_finished_run_is_trained_on(tmp_path: Path) -> None:
    fit = ["fit", "ring", "--budget", "4", "--width", "8", "--out", str(tmp_path / "run")]
    assert run_command(fit) == 0
    assert pf.load(tmp_path / "run").steps == 4
    more = ["fit", "ring", "--more", "5 steps", "--out", str(tmp_path / "run")]
    assert run_command(more) == 0  # budget and width are those of the run
    assert pf.load(tmp_path / "run").steps == 9


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (MemoryError(), 1, "out of memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("20 GiB"), 1, "20 GiB"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "No space left"),
        (KeyboardInterrupt(), 130, "the same command continues"),
    ],
)
def test_failures_take_one_line(
    error: BaseException,
    status: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pushforward.data.read_raw", fail)
    assert run_command(["measure", "wine", "wine"]) == status
    printed = capsys.readouterr().err
    assert text in printed
    assert printed.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pushforward.data.read_raw", fail)
    with pytest.raises(ZeroDivisionError):
        run_command(["measure", "wine", "wine"])


@pytest.mark.skipif(os.name == "nt", reason="pipes are POSIX")
def test_a_reader_that_has_gone_is_no_error() -> None:
    command = [sys.executable, "-m", "pushforward", "models"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipe, text=True) as process:  # type: ignore[call-overload]
        process.stdout.close()
        assert process.stderr.read() == ""


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
        printed = capsys.readouterr().err
        assert "No space left" in printed
        assert printed.count("\n") == 1
    assert target.read_text() == "what was there before"


def test_models_are_listed_by_place_and_a_named_one_with_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["models"]) == 0
    listed = capsys.readouterr().out
    place = ""
    where: dict[str, str] = {}
    for line in filter(None, map(str.rstrip, listed.splitlines()[:-1])):
        if line.startswith("  "):
            where[line.split()[0]] = place
        else:
            place = line
    assert where == {name: ": ".join(cls.place) for name, cls in all_models().items()}
    assert "--beta" not in listed
    assert run_command(["models", "vae"]) == 0
    assert "--beta" in capsys.readouterr().out
