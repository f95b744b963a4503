"""Open to users: their own classes, trackers, training on, locks, and arguments that do not fit."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import forked
import pushforward as pf
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.files import locked
from pushforward.models import find
from pushforward.runs import Folder
from pushforward.space import Space
from side_by_side import wait_until

SMALL: dict[str, Any] = {"width": 8, "latent": 2, "batch_size": 32}

OWN = """
import torch
from pushforward.families.generators import WithGenerator
from pushforward.families.model import turn

class Moments(WithGenerator):
    name = "moments"

    @turn("generator")
    def match(self, x, c):
        gap = self.imagine(len(x), c).mean(0) - x.mean(0)
        return {"gap": gap.square().sum().expand(len(x))}
"""


class Centre(WithGenerator):
    """A user's own model: the generated mean goes to the data's."""

    @turn("generator")
    def match(self, x: Tensor, c: Tensor | None) -> Terms:
        return {"gap": (self.imagine(len(x), c) - x.mean(0)).square().sum(1)}


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_models.py"
    path.write_text(OWN)
    return path


# --- own models


def test_a_class_a_file_and_a_module_name_the_same_kind_of_thing(own_file: Path) -> None:
    assert find(Centre) is Centre
    assert find(f"{own_file}:Moments").name == "moments"
    assert find("pushforward.models.gan:GAN") is find("gan")
    for bad in (f"{own_file}:Nothing", "no_such_module:X", "no_file.py:X", "pathlib:Path"):
        with pytest.raises(pf.ModelError):
            find(bad)
    with pytest.raises(pf.ModelError, match="expected"):
        find(3)  # type: ignore[arg-type]  # what a user may do


def test_a_run_of_a_users_own_class_is_loaded_where_it_can_be_imported(tmp_path: Path) -> None:
    fitted = pf.fit("ring", Centre, budget=5, out=tmp_path / "run", **SMALL)
    loaded = pf.load(tmp_path / "run")
    np.testing.assert_array_equal(fitted.sample(9, seed=1), loaded.sample(9, seed=1))


def test_a_run_names_the_class_it_needs_and_runs_nothing_of_its_folder(
    own_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = f"{own_file}:Moments"
    fitted = pf.fit("ring", spec, budget=5, out=run, **SMALL)
    config = json.loads((run / "config.json").read_text())
    assert (config["identity"]["model"], config["class"]) == ("moments", "my_models.py:Moments")
    # a file of that name in the run's folder, and one beside it, must not be run
    marker = tmp_path / "was-run"
    for folder in (run, tmp_path):
        (folder / "my_models.py").write_text(f"open({str(marker)!r}, 'w')")
    code = "import sys, pushforward as pf; pf.load(sys.argv[1])"
    done = forked.ended("-c", code, run, folder=run)
    assert "RunError" in done.stderr
    assert "my_models.py:Moments" in done.stderr
    assert not marker.exists()
    own_file.write_text(OWN)
    again = pf.load(run, model=spec).sample(5, seed=0)
    np.testing.assert_array_equal(again, fitted.sample(5, seed=0))


def test_a_module_inside_the_runs_folder_is_not_imported(tmp_path: Path) -> None:
    run, marker = tmp_path / "run", tmp_path / "was-run"
    pf.fit("ring", Centre, budget=5, out=run, **SMALL)
    config = json.loads((run / "config.json").read_text())
    config["class"] = "planted:Model"
    (run / "config.json").write_text(json.dumps(config))
    (run / "planted.py").write_text(f"open({str(marker)!r}, 'w')")
    code = "import sys, pushforward as pf; sys.path.insert(0, sys.argv[1]); pf.load(sys.argv[1])"
    done = forked.ended("-c", code, run)
    assert "RunError" in done.stderr
    assert not marker.exists()


def test_a_class_is_the_same_however_its_file_is_named(
    own_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    by_path = pf.fit("ring", f"{own_file}:Moments", budget=5, out=run, **SMALL)
    monkeypatch.syspath_prepend(str(tmp_path))
    imported = pf.fit("ring", "my_models:Moments", budget=5, out=run, **SMALL)  # loaded
    np.testing.assert_array_equal(by_path.sample(5, seed=0), imported.sample(5, seed=0))
    monkeypatch.delitem(sys.modules, "my_models")


def test_a_run_does_not_outlive_a_change_of_its_models_file(own_file: Path, tmp_path: Path) -> None:
    run, spec = tmp_path / "run", f"{own_file}:Moments"
    pf.fit("ring", spec, budget=5, out=run, **SMALL)
    own_file.write_text(OWN.replace("square()", "abs()"))
    os.utime(own_file, ns=(1, 1))  # a file system's clock may be coarse
    with pytest.raises(pf.RunError, match=r"my_models\.py:Moments has changed"):
        pf.fit("ring", spec, budget=5, out=run, **SMALL)


def test_another_model_than_the_runs_is_refused(own_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pf.fit("ring", "gan", budget=5, out=run, **SMALL)
    for other in ("r3gan", f"{own_file}:Moments"):  # r3gan's weights would fit
        with pytest.raises(pf.RunError, match="'gan'"):
            pf.load(run, model=other)
    assert pf.load(run, model="gan").model.name == "gan"


def test_options_at_their_defaults_make_the_same_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pf.fit("ring", "gan", budget=5, out=run, **SMALL)
    assert pf.fit("ring", "gan", budget=5, out=run, gamma=0.2, pack=1, **SMALL).steps == 5
    with pytest.raises(pf.RunError, match=r"gamma is at its default there and 0\.3 here"):
        pf.fit("ring", "gan", budget=5, out=run, gamma=0.3, **SMALL)
    with pytest.raises(pf.RunError, match=r"trained on 'ring'.*'moons'"):
        pf.fit("moons", "gan", budget=5, out=run, **SMALL)


@pytest.mark.parametrize("config", ["[]", "{}", '{"identity": 3}', "{"])
def test_a_broken_config_is_a_run_error_everywhere(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(pf.RunError, match="broken"):
        pf.load(tmp_path)
    with pytest.raises(pf.RunError, match="broken"):
        pf.fit("ring", "gan", budget=5, out=tmp_path, **SMALL)
    with pytest.raises(pf.RunError, match="broken"):
        pf.fit("ring", "gan", more=5, out=tmp_path, **SMALL)


MISTAKES = {  # what a first model does wrong -> what it is told
    "real=1.0": ("def __init__(self, space, classes=0, *, real=1.0, **shared):", "needs a type"),
    "no attribute": ('@turn("generator", repeat="n_critic")', "takes repeat from self.n_critic"),
    "no dict": ("return self.imagine(len(x), c).sum(1)", "a dict of named terms, got Tensor"),
    "no rows": (
        'return {"gap": self.imagine(len(x), c).mean()}',
        "'gap' must have one value a row",
    ),
    "not finished": ("undefined_name", "NameError"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit"),
    "escapes": ('name = "../../out"', "letters, digits"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_first_model_is_explained(mistake: str, tmp_path: Path) -> None:
    line, words = MISTAKES[mistake]
    body = {
        "real=1.0": f"    {line}\n        super().__init__(space, classes, **shared)\n",
        "escapes": f"    {line}\n",
    }.get(mistake, "")
    mark = line if line.startswith("@") else '@turn("generator")'
    result = line if line.startswith("return") else "return {'a': self.imagine(len(x), c).sum(1)}"
    top = line if mistake in {"not finished", "leaves"} else ""
    (tmp_path / "mine.py").write_text(
        "from pushforward.families.generators import WithGenerator\n"
        f"from pushforward.families.model import turn\n{top}\n"
        f"class Mine(WithGenerator):\n{body}    {mark}\n    def go(self, x, c):\n        {result}\n"
    )
    with pytest.raises(pf.ModelError, match=words):
        pf.fit("ring", f"{tmp_path / 'mine.py'}:Mine", budget=2, out=tmp_path / "run", **SMALL)


def test_a_name_of_a_class_that_is_not_there_suggests_the_models_of_the_file(
    own_file: Path,
) -> None:
    with pytest.raises(pf.ModelError, match="did you mean 'Moments'"):
        find(f"{own_file}:Moment")
    with pytest.raises(pf.ModelError, match=r"my_models\.py:MyModel"):
        find("my_models.py")


class Linear:
    """A user's own networks: one linear layer each way."""

    def __init__(self, width: int, depth: int) -> None:
        self.width = width

    def reader(self, space: Space, classes: int) -> nn.Module:
        return Plain(space.shape[0], self.width)

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        return Plain(latent, outputs * space.shape[0])


class Plain(nn.Module):
    def __init__(self, size: int, out: int) -> None:
        super().__init__()
        self.map = nn.Linear(size, out)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.map(x))


def test_networks_of_a_users_own_are_built_and_recorded(tmp_path: Path) -> None:
    fitted = pf.fit("ring", "vae", budget=5, networks=Linear, out=tmp_path / "run", **SMALL)
    assert sum(p.numel() for p in fitted.model.player("decoder").parameters()) == 2 * 2 + 2 + 2
    again = pf.load(tmp_path / "run").sample(4, seed=0)
    np.testing.assert_array_equal(again, fitted.sample(4, seed=0))


# --- trackers


class Recorder:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.figures: list[str] = []
        self.flushed = 0

    def log_params(self, params: Any) -> None:
        self.params |= params

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        self.metrics.append((step, {name: value}))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.metrics.append((step, dict(metrics)))

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        self.figures.append(name)

    def flush(self) -> None:
        self.flushed += 1


def test_a_tracker_gets_what_the_history_holds() -> None:
    tracker = Recorder()
    fitted = pf.fit("ring", "vae", budget=40, tracker=tracker, beta=0.5, **SMALL)
    assert tracker.params["model"] == "vae"
    assert (tracker.params["beta"], tracker.params["batch_size"]) == (0.5, 32)
    records = [r for r in fitted.history if r["terms"]]
    assert [step for step, _ in tracker.metrics] == [r["step"] for r in records]
    for (_, metrics), record in zip(tracker.metrics, records, strict=True):
        assert metrics.items() >= record["terms"].items()
    assert tracker.figures == [panel.title for panel in fitted.panels]
    assert tracker.flushed == 1


def test_the_adapters_of_the_page_drive_what_they_are_written_for(tmp_path: Path) -> None:
    """Stand-ins with the methods (and no more) of MLflow, a SummaryWriter, and a run of wandb."""
    page = (Path(__file__).parents[1] / "docs" / "trackers.md").read_text()
    adapters: dict[str, Any] = {}
    for block in re.findall(r"```python\n(class.*?)```", page, re.DOTALL):
        exec(block, adapters)
    calls: dict[str, list[Any]] = {}

    def stand_in(**methods: str) -> Any:
        """An object whose methods have these parameters, and record what they are given."""
        made = SimpleNamespace()
        for name, parameters in methods.items():
            record = f"lambda {parameters}: calls.setdefault({name!r}, []).append(locals())"
            setattr(made, name, eval(record, {"calls": calls}))
        return made

    run = stand_in(log="data, step=None")
    run.config = stand_in(update="params")
    for tracker in (
        adapters["MLflowTracker"](
            stand_in(
                log_params="params",
                log_metrics="metrics, step=None",
                log_metric="key, value, step=None",
                log_figure="figure, artifact_file",
            )
        ),
        adapters["TensorBoardTracker"](
            stand_in(
                add_text="tag, text_string, global_step=None",
                add_scalar="tag, scalar_value, global_step=None",
                flush="",
            )
        ),
        adapters["WandbTracker"](run),
    ):
        calls.clear()
        pf.fit("ring", "vae", budget=20, tracker=tracker, **SMALL)
        tracker.log_metric("mine", 1.0, 3)
        assert sum(map(len, calls.values())) > 5
        assert "elbo.rate" in repr(calls)
        assert "Rate of each latent dimension" in repr(calls)


# --- training on


def test_a_finished_run_is_trained_on_and_the_same_again(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "ab"]
    for run in runs:
        first = pf.fit("ring", "gan", budget=40, out=run, **SMALL)
        more = pf.fit("ring", "gan", more="30 steps", out=run)
    assert (first.steps, more.steps) == (40, 70)
    schedule = json.loads((runs[0] / "config.json").read_text())["schedule"]
    assert [stage["steps"] for stage in schedule] == [40, 30]
    states = [pf.load(run).states["final"] for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][n], first.states["final"][n]) for n in states[0])
    assert pf.fit("ring", "gan", budget=40, out=runs[0], **SMALL).steps == 70  # it is loaded
    with pytest.raises(pf.RunError, match="budget"):
        pf.fit("ring", "gan", budget=50, out=runs[0], **SMALL)


def test_only_a_finished_run_can_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(pf.ModelError, match="out="):
        pf.fit("ring", "gan", budget=5, more=5, **SMALL)
    pf.fit("ring", "gan", budget=5, **SMALL).save(tmp_path / "run")
    with pytest.raises(pf.RunError, match="no saved state"):
        pf.fit("ring", "gan", budget=5, more=5, out=tmp_path / "run", **SMALL)


# --- one process at a time


def test_a_lock_keeps_others_out_and_a_stale_one_does_not(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pushforward.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('in', flush=True); time.sleep(60)"
    )
    with forked.running("-c", code, tmp_path) as holder:
        wait_until(lambda: holder.stdout == "in\n")
        with pytest.raises(pf.RunError, match=str(holder.pid)), locked(tmp_path):
            pass
    with locked(tmp_path):  # its process is gone
        held = json.loads((tmp_path / ".lock").read_text())
        assert held["pid"] == os.getpid()
    (tmp_path / ".lock").write_text("torn")  # what the file says is for people
    with locked(tmp_path), pytest.raises(pf.RunError, match="works in"), locked(tmp_path):
        pass


def test_of_many_who_want_a_lock_one_has_it(tmp_path: Path) -> None:
    """Eight threads, 50 rounds: never two inside, whoever comes and goes meanwhile."""
    inside, most, entered = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, entered
        for _ in range(50):
            with suppress(pf.RunError), locked(tmp_path):
                with guard:
                    inside, entered = inside + 1, entered + 1
                    most = max(most, inside)
                time.sleep(1e-4)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered >= 1


def test_a_run_is_not_trained_by_two(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run), pytest.raises(pf.RunError, match="works in"):
        pf.fit("ring", "gan", budget=5, out=run, **SMALL)
    pf.fit("ring", "gan", budget=5, out=run, **SMALL)
    assert Folder(run).finished


def test_a_comparison_is_made_by_one_process(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(pf.RunError, match="works in"):
        pf.compare("ring", ["gan"], seeds=1, budget=5, out=tmp_path, **SMALL)


def test_what_is_refused_leaves_no_folder_behind(tmp_path: Path) -> None:
    new = tmp_path / "new"
    for more in (5, "5 bananas"):
        with pytest.raises(pf.PushforwardError):
            pf.fit("ring", "gan", out=new, more=more, **SMALL)
    for wrong in ({"target": "x"}, {"measures": "enrgy"}, {"measures": 5}, {"features": "pca"}):
        with pytest.raises(pf.MeasureError):
            pf.compare("ring", ["gan"], seeds=1, budget=5, out=new, **wrong, **SMALL)
    shown: Any = True
    with pytest.raises(pf.ModelError, match="progress"):
        pf.fit("ring", "gan", budget=5, progress=shown)
    with pytest.raises(pf.ModelError, match="progress"):
        pf.compare("ring", ["gan"], budget=5, progress=shown)
    with pytest.raises(pf.ModelError, match="a list"):
        pf.compare("ring", 5)  # type: ignore[arg-type]  # what a user may do
    with pytest.raises(pf.ModelError, match="dictionary"):
        pf.compare("ring", ["gan"], options={"gan": 5})  # type: ignore[dict-item]  # likewise
    assert not new.exists()


# --- arguments that do not fit, and state that is nobody's business


@pytest.mark.parametrize(
    "bad",
    [
        {"latent": "16"},
        {"latent": 2.5},
        {"latent": True},
        {"latent": 0},
        {"beta": float("nan")},
        {"beta": -1},
        {"beta": "1"},
        {"noise": 1},
        {"batch_size": "64"},
        {"learning_rate": 0},
        {"ema": 1.0},
        {"seed": -1},
    ],
)
def test_a_wrong_type_or_value_is_a_sentence(bad: dict[str, Any]) -> None:
    with pytest.raises(pf.ModelError, match=next(iter(bad))):
        pf.fit("ring", "vae", budget=1, **bad)


def test_a_sample_needs_a_whole_number_of_rows() -> None:
    fitted = pf.fit("ring", "vae", budget=2, **SMALL)
    for bad in ("100", 2.5, 0):
        with pytest.raises(pf.ModelError, match="n must be"):
            fitted.sample(bad)  # type: ignore[arg-type]  # what a user may do


def test_reading_arguments_beside_a_dataset_are_refused() -> None:
    with pytest.raises(pf.DataError, match="condition"):
        pf.fit(pf.read("ring"), "vae", budget=1, condition="label")


def test_no_public_call_touches_the_global_state() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fitted = pf.fit("ring", "gan", budget=3, **SMALL)
    _, info = fitted.sample(5, return_info=True)
    rows = fitted.sample(5, seed=info.seed)
    list(fitted.stream(5))
    fitted.sample(5, checkpoint="final")
    pf.measure(rows.repeat(4, 0), rows.repeat(4, 0) + 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.initial_seed() == 5


def test_a_checkpoint_is_one_network_that_sampling_does_not_change() -> None:
    fitted = pf.fit("ring", "gan", budget=30, **SMALL)
    best, final = fitted.sample(5, seed=0), fitted.sample(5, seed=0, checkpoint="final")
    assert fitted.network("final") is fitted.network("final")
    np.testing.assert_array_equal(best, fitted.sample(5, seed=0))
    np.testing.assert_array_equal(final, fitted.sample(5, seed=0, checkpoint="final"))
    with pytest.raises(pf.ModelError, match="did you mean 'final'"):
        fitted.network("finale")  # type: ignore[arg-type]  # what a user may do


def test_seeds_of_neighbours_share_no_batches() -> None:
    """With `seed * 1_000_003 + epoch`, epoch 1,000,003 of one seed was epoch 0 of the next."""
    from pushforward.random import Stream, derived_seed

    seeds = {derived_seed(s, Stream.EPOCHS, e) for s in (0, 1) for e in (0, 1, 1_000_003)}
    assert len(seeds) == 6
