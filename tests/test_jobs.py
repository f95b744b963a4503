"""Runs side by side on one machine: the same results, whatever dies in between."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from joblib import parallel_config
from torch import Tensor

import forked
import pushforward as pf
from comparisons import RING
from pushforward.comparison.jobs import Job, Site, find_site, opened, require_jobs
from pushforward.comparison.jobs.engine import _missing
from pushforward.comparison.jobs.parcel import open_folder, pack_folder
from pushforward.comparison.jobs.work import Outcome, perform
from pushforward.comparison.result import Comparison
from pushforward.errors import LostError
from pushforward.measures import Measurement
from pushforward.models import all_models
from pushforward.models.gan import GAN
from pushforward.testing import example_data
from side_by_side import MODELS, QUICK, assert_same, config_of, wait_until, worker_of


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("one")
    return pf.compare(RING, MODELS, seeds=2, out=out, **QUICK)


@pytest.fixture
def forked_workers() -> Iterator[None]:
    """Workers that need not import torch anew; the other tests have those that users have."""
    with forked.workers():
        yield


def test_two_jobs_give_the_very_same_results_though_a_worker_is_killed(
    one_by_one: Comparison,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And leave nothing else: of the files, `assert_same` compares the names, and the data were in
    a temporary folder. (Where none is killed: the test of a user's own models below.)
    """
    temporary, out = tmp_path / "temporary", tmp_path / "out"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    seen: set[str] = set()
    finished: list[tuple[str, int, int]] = []
    trained: set[str] = set()
    killed: list[int] = []

    def progress(stage: str, record: Mapping[str, Any]) -> None:
        if "finished" in record:
            finished.append((stage, record["finished"], record["of"]))
            seen.update(path.suffix for path in temporary.rglob("*"))
        elif record:
            trained.add(stage)
            if not killed and stage == "gan, seed 0":
                killed.append(worker_of(out, "gan-0"))
                os.kill(killed[0], signal.SIGKILL)

    before = torch.get_num_threads()
    with caplog.at_level(logging.WARNING, "pushforward"):
        found = pf.compare(RING, MODELS, seeds=2, out=out, n_jobs=2, progress=progress, **QUICK)
    assert killed
    assert killed[0] != os.getpid()
    (line,) = (r.getMessage() for r in caplog.records if "died" in r.getMessage())
    assert "SIGKILL" in line
    assert ".npy" in seen
    assert not list(temporary.iterdir())
    assert_same(one_by_one, found)
    names = {f"{model}, seed {seed}" for model in MODELS for seed in (0, 1)}
    assert {name for name, _, _ in finished} == names
    assert [numbers for _, *numbers in finished] == [[i, 4] for i in (1, 2, 3, 4)]
    assert trained <= names
    assert torch.get_num_threads() == before
    # networks so small keep one thread busy
    assert {config_of(p)["threads"] for p in out.glob("runs/*/config.json")} == {1}


@pytest.mark.usefixtures("forked_workers")
def test_every_model_is_sent_to_the_workers(tmp_path: Path) -> None:
    """What goes there is a class and its options; for data of every kind see below."""
    result = pf.compare(
        example_data("array", "label"),
        [*all_models()],
        seeds=1,
        out=tmp_path,
        n_jobs=2,
        budget="1 step",
        measures=["energy"],
        latent=4,
        width=8,
        batch_size=32,
    )
    assert {name: len(own["best"]) for name, own in result.cards.items()} == dict.fromkeys(
        all_models(), 1
    )
    assert all(np.isfinite(own["best"][0]["energy"].value) for own in result.cards.values())


# What the user brings along.

OWN = """
from typing import Any, ClassVar
import pushforward as pf
from pushforward.models.gan import GAN

class Mine(GAN):
    name: ClassVar[str] = "mine"

    def generate(self, z: Any, c: Any = None) -> Any:
        return super().generate(z, c) + 1

@pf.measures.register(default=True)
def own_mean(x: Any, y: Any, *, seed: int = 0) -> pf.measures.Measurement:
    return pf.measures.Measurement("own_mean", float((x.mean() - y.mean()).abs()), null=0)
"""


class Shifted(GAN):
    """A class of this module, which workers import."""

    name: ClassVar[str] = "shifted"

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().generate(z, c) - 1


def spread(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    return Measurement("spread", float((x.std() - y.std()).abs()), null=0)


@pytest.mark.usefixtures("forked_workers")
def test_a_users_own_models_measures_and_features_go_along(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    found = []
    scale = 3.0
    chosen: dict[str, Any] = {
        "measures": ["own_mean", spread],
        "features": lambda x: scale * x.flatten(1),
    }
    for n_jobs in (1, 2):
        models: list[str | type] = [f"{tmp_path}/mine.py:Mine", Shifted]
        out = tmp_path / str(n_jobs)
        found.append(pf.compare(RING, models, seeds=1, out=out, n_jobs=n_jobs, **QUICK | chosen))
    assert_same(*found)
    assert list(found[1].cards["mine"]["best"][0]) == ["own_mean", "spread"]


SCRIPT = """
import sys
from typing import Any, ClassVar
import pushforward as pf
from pushforward.models.gan import GAN

class Mine(GAN):
    name: ClassVar[str] = "mine"

quick = {"budget": 20, "latent": 2, "width": 16, "measures": ["energy"]}
for n_jobs in (2, 1):  # no guard: workers do not run the script
    result = pf.compare("ring", [Mine, "gan"], seeds=1, out=sys.argv[1], n_jobs=n_jobs, **quick)
print(*result.cards)
"""


def test_a_script_needs_no_guard_and_its_classes_are_known_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "gan"]


def test_large_tensors_are_mapped_and_shared(tmp_path: Path) -> None:
    data = pf.read(np.random.default_rng(0).normal(size=(20_000, 4)))
    pack_folder(tmp_path, data, [])
    back = open_folder(tmp_path)
    assert back.digest == data.digest
    torch.testing.assert_close(back.rows, data.rows, rtol=0, atol=0)
    assert (tmp_path / "parcel").stat().st_size < data.rows.nbytes / 2
    back.rows[0] = 0  # a copy of its own, for who writes
    assert np.load(tmp_path / "0.npy")[0].any()


@pytest.mark.parametrize("kind", ["table", "image", "array"])
def test_data_of_every_kind_reach_the_workers(kind: Any, tmp_path: Path) -> None:
    data = example_data(kind, "label")
    pack_folder(tmp_path, data, all_models().values())
    back = open_folder(tmp_path)
    assert back.schema.to_json() == data.schema.to_json()
    assert back.digest == data.digest
    assert back.labels.equal(data.labels)
    torch.testing.assert_close(back.rows, data.rows, rtol=0, atol=0, equal_nan=True)


# Workers that die.


def process_of(context: Any) -> int:
    return os.getpid()


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_dies_while_it_has_nothing_to_do_is_replaced(tmp_path: Path) -> None:
    """And what a job raises in one is raised here as it is."""
    context, site = SimpleNamespace(folder=SimpleNamespace(path=tmp_path)), Site("processes", 2, 1)
    jobs = [Job("one", process_of)]
    with opened(context, site, progress=lambda *_: None) as engine:
        ((_, first),) = engine.run(jobs)
        ((_, same),) = engine.run(jobs)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: gone(first))
        ((_, other),) = engine.run(jobs)
        failing = Job("two", fail, (pf.RunError, "no such thing"))
        with pytest.raises(pf.RunError) as raised:
            list(engine.run([failing]))
        assert str(raised.value) == "no such thing"
    assert "in fail" in "".join(raised.value.__notes__)
    assert first == same != other
    assert gone(other)


DEADLY = """
import os
import signal
from pathlib import Path
from typing import Any, ClassVar
from pushforward.models.gan import GAN

class Deadly(GAN):
    name: ClassVar[str] = "deadly"

    def settle(self, batches: Any) -> None:
        if not Path(__file__).with_name("mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        super().settle(batches)
"""


@pytest.mark.usefixtures("forked_workers")
def test_a_run_whose_workers_always_die_is_missing_and_the_same_command_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of three runs and the references two are done at a time: others end, and others begin."""
    (tmp_path / "deadly.py").write_text(DEADLY)
    models = [f"{tmp_path}/deadly.py:Deadly", *MODELS]

    def again(n_jobs: int) -> Comparison:
        return pf.compare(RING, models, seeds=1, out=tmp_path / "out", n_jobs=n_jobs, **QUICK)

    with pytest.raises(LostError, match=r"missing, deadly, seed 0: .* 3 times") as lost:
        again(2)
    assert lost.value.status == 1
    finished = {p.parent.name for p in (tmp_path / "out").glob("runs/*/scorecard.json")}
    assert finished == {"vae-0", "gan-0"}
    (tmp_path / "mended").touch()
    assert again(1).models == ["deadly", *MODELS]


def test_all_runs_that_are_missing_are_counted() -> None:
    lost = [Outcome(f"gan, seed {seed}", lost="it died") for seed in (0, 1)]
    assert _missing(lost[:1]).startswith("1 run is missing, gan, seed 0: it died; all others")
    assert _missing(lost).startswith("2 runs are missing, gan, seed 0: it died (and 1 more);")


class UnsendableError(Exception):
    """An error that can be written and not be read: as many whose constructors want two values."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} of {two}")

    def __reduce__(self) -> Any:
        """Say what makes it anew; clusters' libraries would go round the constructor."""
        return unreadable, ()


def unreadable() -> None:
    raise TypeError("a value is missing")


def fail(context: str, kind: type[Exception], *arguments: Any) -> None:
    raise kind(*arguments)


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ((pf.ModelError, "no such thing"), pf.ModelError, "^no such thing$"),
        ((ZeroDivisionError, "one by none"), ZeroDivisionError, "^one by none$"),
        ((UnsendableError, 1, 2), RuntimeError, "^UnsendableError: 1 of 2$"),
    ],
)
def test_what_a_job_raises_is_in_its_outcome(
    raised: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    outcome = perform("a job", lambda: "context", 1, Job("", fail, raised).pack(), None)
    assert not outcome.lost
    assert type(outcome.error) is kind
    assert outcome.error is not None
    assert re.search(words, str(outcome.error))
    assert "in fail" in "".join(outcome.error.__notes__), "where it was raised"


def test_a_job_without_enough_memory_is_lost_as_if_its_worker_had_died() -> None:
    job = Job("", fail, (MemoryError, "too large")).pack()
    outcome = perform("a job", lambda: "context", 1, job, None)
    assert outcome.error is None
    assert outcome.lost == "out of memory (too large)"


# The whole comparison ends.

COMMAND = [
    *("-m", "pushforward", "compare", "ring", "--models", "vae,gan"),
    *("--seeds", "2", "--latent", "4", "--width", "32", "--measures", "energy", "--jobs", "2"),
]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[forked.Command, list[int]]]:
    """A command that will not end by itself soon, and the workers that train in it."""
    command = [*COMMAND, "--budget", "200000", "--out", str(tmp_path / "out")]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    with forked.running(*command, environment=environment) as process:
        wait_until(lambda: len(list(tmp_path.glob("out/runs/*/history.jsonl"))) == 2)
        names = [p.parent.name for p in tmp_path.glob("out/runs/*/history.jsonl")]
        yield process, [worker_of(tmp_path / "out", name) for name in names]


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for is a zombie."""
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_all_workers_at_once(
    running: tuple[forked.Command, list[int]], tmp_path: Path
) -> None:
    process, workers = running
    assert not any(map(gone, workers))
    process.send(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.splitlines()[-1].startswith(
        "error: interrupted; the same command continues"
    )
    assert "Traceback" not in process.stderr
    assert all(map(gone, workers))
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_driver_that_is_killed(
    running: tuple[forked.Command, list[int]], tmp_path: Path
) -> None:
    process, workers = running
    process.send(signal.SIGKILL)
    process.wait()
    wait_until(lambda: all(map(gone, workers)))
    wait_until(lambda: not list((tmp_path / "temporary").iterdir()))


# How many, and where.


@pytest.mark.parametrize("n_jobs", [0, 0.5, "2", [1]])
def test_what_is_no_number_of_jobs_is_refused(n_jobs: Any, tmp_path: Path) -> None:
    with pytest.raises(pf.ModelError, match="n_jobs"):
        require_jobs(n_jobs)
    with pytest.raises(pf.ModelError, match="n_jobs"):
        pf.compare("ring", ["vae"], n_jobs=n_jobs, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("n_jobs", "fits", "expected"),
    [
        (None, 9, ("here", 1, 6)),
        (1, 9, ("here", 1, 6)),
        (2, 9, ("processes", 2, 4)),
        (-1, 9, ("processes", 8, 1)),
        (-2, 9, ("processes", 7, 1)),
        (-1, 2, ("processes", 2, 4)),
        (-1, 1, ("here", 1, 6)),
        (20, 90, ("processes", 20, 1)),
        (-20, 9, ("here", 1, 6)),
    ],
)
def test_cores_are_shared_out(
    n_jobs: int | None, fits: int, expected: tuple[str, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 cores, of which the user lets one run have 6."""
    monkeypatch.setattr("pushforward.comparison.jobs.site.cpu_count", lambda: 8)
    monkeypatch.setattr("pushforward.comparison.jobs.site.training_threads", lambda: 6)
    site = find_site(n_jobs, fits)
    assert (site.place, site.jobs, site.threads) == expected


def test_joblibs_own_context_is_heeded() -> None:
    with parallel_config(n_jobs=3):
        assert find_site(None, 9).jobs == 3
        assert find_site(2, 9).jobs == 2
    with parallel_config(backend="threading", n_jobs=2):
        assert find_site(None, 9).place == "processes"
    with parallel_config(backend="sequential"):
        assert find_site(4, 9).place == "here"
