"""Runs on clusters, real ones of two workers on this machine: the same results, whatever dies."""

from __future__ import annotations

import _thread
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config

import forked
import pushforward as pf
from comparisons import RING
from pushforward.cli.jobs import valid_cluster
from pushforward.cli.main import run_command
from pushforward.comparison.jobs import Site, find_site
from pushforward.comparison.jobs.cluster import connected
from pushforward.comparison.jobs.watch import watched
from pushforward.comparison.jobs.work import Outcome, perform
from pushforward.comparison.jobs.workers import Answer, Probe, share_folder, versions
from pushforward.comparison.result import Comparison
from pushforward.files import locked
from side_by_side import MODELS, QUICK, assert_same, wait_until, worker_of

# Both engines leave sockets and loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("one")
    return pf.compare(RING, MODELS, seeds=2, out=out, **QUICK)


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="needs pushforward[dask]")
    arguments: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(dashboard_address=None, silence_logs=50, **arguments) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Two nodes with one core each; the driver is on the first."""
    ray = pytest.importorskip("ray", reason="needs pushforward[ray]")
    from ray.cluster_utils import Cluster
    from ray.util.joblib import register_ray

    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # else its client server may die at fork
    # Its workers give way to all else, 15 levels down, and would wait for the tests beside them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    small = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    # Its client server is told the agent's port before there is one, unless the port is given.
    ports = {"ray_client_server_port": free_port(), "runtime_env_agent_port": free_port()}
    head = small | ports | {"include_dashboard": False, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**small)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    register_ray()
    cluster.client_server = f"ray://127.0.0.1:{ports['ray_client_server_port']}"
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_dask_goes_on_when_a_worker_is_killed(
    dask: Any, one_by_one: Comparison, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_once(stage: str, record: Mapping[str, Any]) -> None:
        if record and not killed and stage == "gan, seed 0":
            killed.append(worker_of(tmp_path, "gan-0"))
            os.kill(killed[0], signal.SIGKILL)

    with parallel_config(backend="dask"):
        found = pf.compare(RING, MODELS, seeds=2, out=tmp_path, progress=kill_once, **QUICK)
    assert killed
    assert_same(one_by_one, found)


def test_a_dask_cluster_without_workers_is_said_to_be_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A scheduler waits for workers to come; who waits for it should know."""
    distributed = pytest.importorskip("distributed", reason="needs pushforward[dask]")
    monkeypatch.setattr("pushforward.comparison.jobs.watch.ASK_AFTER", 0.05)
    with (
        distributed.LocalCluster(1, dashboard_address=":0", processes=False) as cluster,
        distributed.Client(cluster) as client,
    ):
        tasks = dask_backend(client)
        assert tasks.trouble() == ""
        cluster.scale(0)
        wait_until(lambda: tasks.trouble() != "")
        asked: list[str] = []

        def trouble() -> str:
            asked.append(tasks.trouble())
            return asked[-1]

        with watched({}, tmp_path, lambda *_: None, trouble):
            wait_until(lambda: len(asked) >= 3)
            cluster.scale(1)
            client.wait_for_workers(1)
            wait_until(lambda: not asked[-1])
    said = [record.message for record in caplog.records if record.name == "pushforward"]
    assert len(said) == 1
    assert re.fullmatch(r"the Dask cluster at inproc://\S+ has no worker left: .*", said[0])


def dask_backend(client: Any) -> Any:
    from pushforward.comparison.jobs.dask_tasks import Tasks

    tasks = Tasks.__new__(Tasks)
    tasks.client = client
    return tasks


def test_ray_goes_on_when_a_node_is_killed(
    ray: Any, one_by_one: Comparison, tmp_path: Path
) -> None:
    trained: set[str] = set()

    def kill_once(stage: str, record: Mapping[str, Any]) -> None:
        trained.update([stage] if record and "finished" not in record else [])
        if len(trained) > 1 and len(ray.list_all_nodes()) > 1:  # both nodes are at work
            ray.remove_node(ray.list_all_nodes()[1], allow_graceful=False)

    with parallel_config(backend="ray"):
        assert find_site(None, 9).jobs == 2
        found = pf.compare(RING, MODELS, seeds=2, out=tmp_path, progress=kill_once, **QUICK)
    assert len(ray.list_all_nodes()) == 1
    assert_same(one_by_one, found)


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_without_a_shared_folder_runs_come_back_to_the_driver(
    engine: str,
    request: pytest.FixtureRequest,
    one_by_one: Comparison,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request.getfixturevalue(engine)
    monkeypatch.setattr("pushforward.comparison.jobs.engine.share_folder", lambda *_: False)
    # A run that was begun here goes on there.
    begun = pf.fit(RING, "gan", seed=1, out=tmp_path / "runs" / "gan-1", **NETWORK)
    with parallel_config(backend=engine):
        found = pf.compare(RING, MODELS, seeds=2, out=tmp_path, **QUICK)
    assert_same(one_by_one, found)
    assert begun.steps == 60


NETWORK = {name: QUICK[name] for name in ("budget", "latent", "width")}


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_an_interrupt_ends_the_runs_on_a_cluster(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Nobody works in the runs' folders any more: their locks are free."""
    request.getfixturevalue(engine)
    interrupted: list[str] = []

    def interrupt_once(stage: str, record: Mapping[str, Any]) -> None:
        if record and not interrupted:
            interrupted.append(stage)
            _thread.interrupt_main()

    with parallel_config(backend=engine), pytest.raises(KeyboardInterrupt):
        pf.compare(
            RING,
            MODELS,
            seeds=1,
            out=tmp_path,
            progress=interrupt_once,
            **QUICK | {"budget": 20_000},
        )
    runs = [path.parent for path in tmp_path.glob("runs/*/history.jsonl")]
    assert runs
    wait_until(lambda: all(map(is_free, runs)))


def is_free(run: Path) -> bool:
    try:
        with locked(run):
            return True
    except pf.RunError:
        return False


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        ("dask", lambda errors: errors.KilledWorker("task", None, 4)),
        ("ray", lambda errors: errors.exceptions.WorkerCrashedError()),
    ],
)
def test_a_task_whose_workers_die_again_and_again_is_lost(
    engine: str, error: Callable[[Any], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = {"dask": "distributed", "ray": "ray"}[engine]
    errors = pytest.importorskip(package, reason=f"needs pushforward[{engine}]")
    tasks = import_module(f"pushforward.comparison.jobs.{engine}_tasks")
    backend = SimpleNamespace(client=None, ray_remote_args=None)
    own = tasks.Tasks(Site(engine, 2, 1, backend))  # type: ignore[arg-type]  # a Place
    future, done = Future[list[Outcome]](), Future[list[Outcome]]()
    done.set_exception(error(errors))
    task = SimpleNamespace(items=[(perform, ("gan, seed 1",), {})])
    own._end(task, future, *([None] if engine == "ray" else []), done)
    (outcome,) = future.result()
    assert outcome.name == "gan, seed 1"
    assert "died" in outcome.lost


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    np.save(tmp_path / "ring.npy", RING)
    small = ["--seeds", "1", "--budget", "20", "--measures", "energy", "--width", "16"]
    out = ["--latent", "2", "--out", str(tmp_path / "out")]
    return ["compare", str(tmp_path / "ring.npy"), *small, *out, "--cluster"]


def test_the_command_line_runs_on_dask(
    dask: Any, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*command, dask.scheduler.address]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum("20 steps in" in line for line in lines) == 2
    assert any("2 at a time with 1 thread each" in line for line in lines)


def test_the_command_line_runs_on_ray(ray: Any, command: list[str]) -> None:
    done = forked.ended("-m", "pushforward", *command, ray.client_server)
    assert done.status == 0, done.stderr
    assert sum("20 steps in" in line for line in done.stderr.splitlines()) == 2
    assert done.stdout.splitlines()[-1].startswith("Report: ")


# What is refused, before anything is trained.


def test_other_versions_are_refused(
    dask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = versions() | {"torch": "9.9"}
    monkeypatch.setattr("pushforward.comparison.jobs.workers.versions", lambda: here)
    with (
        parallel_config(backend="dask"),
        pytest.raises(pf.RunError, match=r"worker tcp://.* has torch .*, and 9\.9 is here"),
    ):
        pf.compare("ring", ["vae"], seeds=2, out=tmp_path, **QUICK)
    assert not list(tmp_path.glob("runs/*"))


def test_workers_are_asked_what_they_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(probe: Probe) -> Mapping[str, Answer]:
        return {"first": probe.answer(), "second": Probe(Path("/nowhere/else")).answer()}

    assert share_folder(lambda probe: {"first": probe.answer()}, tmp_path)
    assert not share_folder(elsewhere, tmp_path)
    assert not list(tmp_path.iterdir())

    def refused(probe: Probe) -> Mapping[str, Answer]:
        monkeypatch.setattr(Path, "touch", read_only)
        try:
            return {"first": probe.answer()}
        finally:
            monkeypatch.undo()

    def read_only(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    with pytest.raises(pf.RunError, match=r"first cannot write to .*: Read-only file system"):
        share_folder(refused, tmp_path)

    def foreign(probe: Probe) -> Mapping[str, Answer]:
        raise ModuleNotFoundError("No module named 'pushforward'")

    with pytest.raises(pf.RunError, match=r"cannot answer: .*No module named 'pushforward'"):
        share_folder(foreign, tmp_path)


@pytest.mark.parametrize("kind", ["ray", "tcp"])
def test_an_address_where_something_else_answers_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushforward.cli.jobs.PATIENCE", 0.2)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it is silent
        address = f"{kind}://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(pf.RunError, match=r"no cluster answers at .*: timed out"):
            valid_cluster(address)


def test_a_cluster_that_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="needs pushforward[dask]")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("Timed out trying to connect\nto nowhere")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(pf.RunError, match=r"does not let us in: Timed out trying to connect$"):
        connected("tcp://nowhere:1").__enter__()


def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert run_command(["compare", "ring", "--cluster", "ray"]) == 2
    assert "pip install 'pushforward[ray]'" in capsys.readouterr().err
