"""One fit over several processes: it does what one process does, and ends as one."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import forked
import pushforward as pf
from pushforward.data.arrays import ArraySchema
from pushforward.data.tables.schema import TableSchema
from pushforward.families import raking
from pushforward.families.model import Model, Terms, turn
from pushforward.models import all_models
from pushforward.models.vae import VAE
from pushforward.nn.trunks import Trunks, VectorReader
from pushforward.random import isolated
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.space import Space
from pushforward.testing import example_data
from pushforward.training.batches import Batches
from pushforward.training.joint_draws import JointDraws
from pushforward.training.loop import Loop
from pushforward.training.parallel import ALONE, Processes
from pushforward.training.settings import Settings
from pushforward.training.shareable import require_shareable

CPU = torch.device("cpu")
ROWS, SIZE = 6, 3  # of each process


class Share(Processes):
    """A process among others that never speaks with them."""

    def __init__(self, rank: int, size: int = SIZE) -> None:
        self.rank, self.size = rank, size

    def draws(self, rows: int) -> JointDraws:
        return JointDraws(rows, self.rank, self.size)


# --- random numbers

DRAWS: dict[str, Callable[[int], Tensor]] = {
    "randn": lambda n: torch.randn(n, 3),
    "rand": torch.rand,
    "randint": lambda n: torch.randint(2, 9, (n, 2)),
    "a multiple of the rows": lambda n: torch.rand(5 * n, 2),
    "like maps of channels": lambda n: torch.randn_like(
        torch.empty(n, 3, 5, 4, memory_format=torch.channels_last)
    ),
    "bernoulli of values": lambda n: torch.full((n, 40), 0.3).bernoulli(),
    "dropout": lambda n: torch.nn.functional.dropout(torch.ones(n, 40), 0.3),
    "normal around values": lambda n: torch.normal(torch.zeros(n, 4), 2.0),
    "in place": lambda n: torch.empty(n, 7).exponential_(),
    "a component for each row": lambda n: torch.multinomial(torch.ones(4), n, replacement=True),
    "one of each row's components": lambda n: torch.ones(n, 4).multinomial(2),
    "a distribution": lambda n: torch.distributions.Laplace(torch.zeros(n), 1.0).sample((1,))[0],
    "several times": lambda n: torch.randn(4, n, 2).movedim(1, 0),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_process_draws_its_part_of_what_one_process_would(name: str) -> None:
    with isolated(CPU, 1):
        joint, after = DRAWS[name](ROWS * SIZE), torch.get_rng_state()
    assert len(joint.unique()) > 1
    parts = []
    for rank in range(SIZE):
        with isolated(CPU, 1), JointDraws(ROWS, rank, SIZE):
            parts.append(DRAWS[name](ROWS))
            assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(torch.cat(parts), joint)
    assert memory_order(parts[0]) == memory_order(joint)


def memory_order(x: Tensor) -> list[int]:
    return sorted(range(x.dim()), key=x.stride, reverse=True)


@pytest.mark.parametrize("shape", [(4, 2 * ROWS), (5,), ()])
def test_what_is_drawn_for_no_row_is_the_same_in_all_processes(shape: tuple[int, ...]) -> None:
    with isolated(CPU, 1):
        alone = torch.rand(shape)
    for rank in range(SIZE):
        with isolated(CPU, 1), JointDraws(ROWS, rank, SIZE):
            assert torch.equal(torch.rand(shape), alone)
            assert len(torch.randperm(ROWS)) == ROWS


# --- every model can be shared

ROW_BY_ROW = {"vae", "direct-vae", "vq-vae", "gan", "r3gan", "wgan-gp", "vae-gan"}
KINDS: list[Literal["table", "image", "array"]] = ["table", "image", "array"]


def every_option(name: str, kind: str) -> dict[str, Any]:
    """Options that make a model draw more, or see several rows at once."""
    options: dict[str, Any] = {"pack": 2, "width": 8, "penalty_every": 2}
    if kind == "image":
        options["augment"] = "color,translation,cutout,flip"
    return {n: v for n, v in options.items() if n in all_models()[name].options()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", all_models())
def test_a_turn_on_a_shard_is_the_shard_of_the_turn_or_is_refused(
    name: str, kind: Literal["table", "image", "array"]
) -> None:
    data, options = example_data(kind, "label"), every_option(name, kind)
    model = build(name, data.schema, options, 0, CPU)
    shares = [Share(rank, 2) for rank in range(2)]
    joint = Batches(data, 32, 0, CPU, model.classes)
    shards = [Batches(data, 32, 0, CPU, model.classes, share) for share in shares]
    same = True
    for made in [made for made in model.turns() for _ in range(2)]:
        for play in filter(None, (made.name, made.between)):
            with isolated(CPU, 3):
                whole = played(model, joint, made.data, play, ALONE)
            parts: list[Terms] = []
            for share, own in zip(shares, shards, strict=True):
                with isolated(CPU, 3):
                    parts.append(played(model, own, made.data, play, share))
            for term, value in whole.items():
                together = torch.cat([part[term] for part in parts])
                scale = float(value.abs().max())
                same &= torch.allclose(together, value, rtol=1e-5, atol=1e-5 * scale)
    assert same or name not in ROW_BY_ROW
    loop = loop_of(name, options, data)
    with nullcontext() if same else pytest.raises(pf.ModelError, match="cannot be shared"):
        require_shareable(loop)
        assert loop.batches.drawn == 0


def played(model: Model, batches: Batches, data: bool, play: str, share: Processes) -> Terms:
    x, c = batches() if data else (batches.own, batches.conditions())
    with share.draws(batches.own):
        terms: Terms = getattr(model, play)(x, c)
    return {name: term.detach() for name, term in terms.items()}


def loop_of(model: str | type, options: dict[str, Any], data: Any = "ring") -> Loop:
    data, settings = pf.read(data), Settings(batch_size=32)
    network = build(model, data.schema, options, 0, CPU)
    config = new_config(type(network), options, asdict(settings), data)
    return Loop(network, data, settings, None, config, team=Share(0, 2))


class Normed(Trunks):
    """Networks with batch normalisation."""

    def reader(self, space: Space, classes: int) -> nn.Module:
        return BatchNormed(space, classes, self.width, self.depth)  # type: ignore[arg-type]


class BatchNormed(VectorReader):
    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return nn.functional.batch_norm(super().forward(x, c), None, None, training=True)


class Shuffled(VAE):
    """Mixes the rows of a batch."""

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        return super().elbo(x[torch.randperm(len(x))], c)


class Counting(VAE):
    """Keeps a statistic of the rows."""

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.register_buffer("largest", torch.zeros(()))

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        self.get_buffer("largest").copy_(x.max())
        return super().elbo(x, c)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("vae", {"networks": Normed}, "other rows"),
        (Shuffled, {}, "other rows"),
        (Counting, {}, "buffer 'largest'"),
        ("gan", {"pack": 3}, "pack"),
    ],
)
def test_a_turn_that_mixes_rows_is_refused(
    model: str | type, options: dict[str, Any], reason: str
) -> None:
    loop = loop_of(model, {"width": 8, **options})
    with pytest.raises(pf.ModelError, match=reason):
        require_shareable(loop)


def test_a_batch_is_shared_evenly() -> None:
    assert [Share(rank).shard(9) for rank in range(3)] == [slice(0, 3), slice(3, 6), slice(6, 9)]
    with pytest.raises(pf.ModelError, match="batch_size=9"):
        Share(0).shard(10)


# --- torchrun itself

# In double precision what is left of a difference is no rounding that training has amplified.
SCRIPT = """
import os, signal, time, torch
from pathlib import Path
import pushforward as pf
from pushforward.data.arrays import ArraySchema
from pushforward.data.tables.schema import TableSchema
from pushforward.families import raking

raking.CODES = 64  # all draw them alike, few as many
torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
for schema in (ArraySchema, TableSchema):
    schema.expand = lambda self, rows, single=schema.expand: single(self, rows).double()

fast = {"width": 8, "depth": 0, "batch_size": 32, "seed": 1}

def vae(out, progress=None):
    return pf.fit("wine", "vae", budget="40 steps", clip_grad_norm=1.0, out=f"{out}/vae",
                  condition="target", progress=progress, **fast)

def gan(out):
    return pf.fit("ring", "gan", budget="30 steps", pack=2, out=f"{out}/gan", **fast)

def note(name, fitted):
    weight = sum(w.double().sum().item() for w in fitted.states["final"].values())
    Path(f"two/{name}-{rank}.txt").write_text(f"{fitted.steps} {weight!r} {len(fitted.history)}")

rank = int(os.environ.get("RANK", 0))
if rank == 1:  # a clock that is three times as fast decides nothing
    clock, time.perf_counter = time.perf_counter, lambda: 3 * clock()

if "RANK" not in os.environ:
    vae("one")
    gan("one")
elif os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    vae("again", lambda record: record["step"] == 30 and os.kill(os.getpid(), signal.SIGKILL))
else:
    os.makedirs("two", exist_ok=True)
    left = sorted(path.name for path in Path("again/vae").iterdir())
    Path(f"two/left-{rank}.txt").write_text(" ".join(left))
    vae("again")
    note("vae", vae("two"))
    note("gan", gan("two"))
    note("timed", pf.fit("ring", "vae", budget="1s", out="two/timed", **fast))
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


FORKED = ("--run-path", "--start-method=fork")  # processes that need not import torch anew


def torchrun(
    *arguments: str | Path, folder: Path, processes: int = 2, restarts: int = 0
) -> forked.Command:
    command = ["-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    return forked.ended(*command, *arguments, folder=folder, environment=ENVIRONMENT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fits by this process, by two, and by two that are killed and started again."""
    folder = tmp_path_factory.mktemp("parallel")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    alone(script)
    done = torchrun(*FORKED, script, folder=folder, restarts=1)
    assert done.status == 0, done.stderr
    assert "exitcode: -9" in done.stderr  # by the signal that the first ones send themselves
    for rank in range(2):
        left = (folder / f"two/left-{rank}.txt").read_text().split()
        assert "state.safetensors" in left
        assert "weights.safetensors" not in left
    return folder


def alone(script: Path) -> None:
    """Run the script in this process, and put back what it changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(script.parent)
        for changed, name in (
            (torch.Tensor, "float"),
            (ArraySchema, "expand"),
            (TableSchema, "expand"),
            (raking, "CODES"),
        ):
            patch.setattr(changed, name, getattr(changed, name))
        try:
            runpy.run_path(str(script))
        finally:
            torch.set_default_dtype(torch.float32)


def curve(run: Path) -> list[dict[str, Any]]:
    records = map(json.loads, (run / "history.jsonl").read_text().splitlines())
    clock = {"seconds", "cost"}
    return [{k: v for k, v in record.items() if k not in clock} for record in records]


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_two_processes_train_as_one_does(name: str, runs: Path) -> None:
    one, two = curve(runs / "one" / name), curve(runs / "two" / name)
    assert len(one) > 10
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        # rounding in double precision, over so few steps: seen are 1e-15
        assert b["terms"] == pytest.approx(a["terms"], rel=1e-11)
        assert b.get("validation", 0) == pytest.approx(a.get("validation", 0), rel=1e-7)
        assert (b["step"], b.get("samples")) == (a["step"], a.get("samples"))
    fitted = [pf.load(runs / way / name, device="cpu").states for way in ("one", "two")]
    for checkpoint, weights in fitted[0].items():
        for key, weight in weights.items():
            torch.testing.assert_close(fitted[1][checkpoint][key], weight, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["vae", "gan", "timed"])
def test_all_processes_end_with_the_same(name: str, runs: Path) -> None:
    notes = [(runs / "two" / f"{name}-{rank}.txt").read_text().split() for rank in range(2)]
    assert notes[0][:2] == notes[1][:2]  # steps and weights, bit for bit
    config = json.loads((runs / "two" / name / "config.json").read_text())
    assert config["processes"] == 2


def test_a_fit_that_is_killed_goes_on(runs: Path) -> None:
    assert curve(runs / "again/vae") == curve(runs / "two/vae")
    a, b = (pf.load(runs / way / "vae", device="cpu").states["final"] for way in ("two", "again"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(tmp_path: Path) -> None:
    for out, processes in ("one", 1), ("two", 2):
        fit = ["-m", "pushforward", "fit", "ring", "--model", "gan", "--budget", "40"]
        done = torchrun(*fit, "--out", out, folder=tmp_path, processes=processes)
        assert done.status == 0, done.stderr
    for a, b in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        # rounding in single precision, amplified by 40 steps
        assert b["terms"] == pytest.approx(a["terms"], rel=1e-3)


# --- errors

MAIN = str(Path(pf.__file__).with_name("__main__.py"))
FAILING = """
import os
import pushforward as pf
from pushforward.models.vae import VAE

class Failing(VAE):
    def decode(self, z, c=None):
        if os.environ.get("RANK") == "1" and z.requires_grad:
            raise pf.ModelError("the second process has had enough")
        return super().decode(z, c)
"""


@pytest.mark.parametrize(
    ("launched", "model", "error"),
    [
        (("-m", "pushforward"), "vea", "did you mean 'vae'?"),
        ((*FORKED, MAIN), "failing.py:Failing", "the second process has had enough"),
    ],
)
def test_an_error_ends_all_with_one_line(
    launched: tuple[str, ...], model: str, error: str, tmp_path: Path
) -> None:
    """Whether all processes meet it, or one, for which another waits."""
    (tmp_path / "failing.py").write_text(FAILING)
    command = ["fit", "ring", "--model", model, "--budget", "20", "--out", "x"]
    done = torchrun(*launched, *command, folder=tmp_path)
    assert done.status != 0
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    assert error in lines[0]
    ours = done.stderr.split("Sending process")[0].split(" failed (exitcode")[0]
    assert "Traceback" not in ours  # torchrun's own report comes after


def test_a_comparison_is_no_fit_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(pf.RunError, match="torchrun"):
        pf.compare("ring")
