"""Training, resuming, sampling and the user's random state, on a GPU (`pytest -m cuda`)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.data.schema import DataKind
from pushforward.models import all_models
from pushforward.runs.folder import Folder
from pushforward.testing import example_data

pytestmark = pytest.mark.cuda
SMALL: dict[str, Any] = {"latent": 2, "width": 32, "batch_size": 64}


def states() -> tuple[Tensor, Tensor]:
    """The user's random states, of the CPU and of the GPU."""
    return torch.get_rng_state(), torch.cuda.get_rng_state()


@pytest.mark.parametrize("kind", ["table", "image", "array"])
@pytest.mark.parametrize("name", all_models())
def test_every_model_trains_and_samples(name: str, kind: DataKind) -> None:
    data = example_data(kind, "label")
    fitted = pf.fit(data, name, budget="12 steps", batch_size=32, device="cuda", seed=0)
    assert fitted.network("final").device.type == "cuda"
    one, same = (fitted.sample(70, seed=5, condition="1") for _ in range(2))
    assert len(one) == 70
    assert fingerprint(one) == fingerprint(same)


@pytest.mark.parametrize("kind", ["table", "image", "array"])
def test_a_checkpoint_samples_alike_on_both_devices(kind: DataKind, tmp_path: Path) -> None:
    """Codes are drawn on the model's device, so rows differ; their distribution does not."""
    run = tmp_path / "run"
    pf.fit(example_data(kind, None), "vae", budget=20, device="cuda", out=run, batch_size=64)
    rows = [pf.load(run, device=device).sample(600, seed=0) for device in ("cpu", "cuda")]
    card = pf.measure(*rows, measures=["energy"])
    assert card["energy"].p_value is not None
    assert card["energy"].p_value > 0.002, "one model"


def fingerprint(rows: Any) -> Any:
    return rows.hash_rows().to_list() if isinstance(rows, pl.DataFrame) else rows.tobytes()


def test_no_public_call_touches_the_global_states(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = states()
    fitted = pf.fit("ring", "gan", budget=20, device="cuda", out=tmp_path / "run", **SMALL)
    fitted.sample(5)
    fitted.sample(5, seed=1)
    list(fitted.stream(5))
    fitted.sample(5, checkpoint="final")
    pf.load(tmp_path / "run", device="cuda").sample(5)
    pf.measure(fitted.sample(60), fitted.sample(60), device="cuda")
    assert all(torch.equal(a, b) for a, b in zip(before, states(), strict=True))


def test_work_on_the_cpu_leaves_the_gpu_alone() -> None:
    torch.cuda.manual_seed(7)
    before = states()
    pf.fit("ring", "gan", budget=3, device="cpu", **SMALL).sample(5)
    assert all(torch.equal(a, b) for a, b in zip(before, states(), strict=True))


RUN = [sys.executable, "-m", "pushforward", "fit", "ring", "--model", "gan", "--device", "cuda"]
RUN += ["--budget", "800 steps"]


def test_a_run_that_is_killed_on_a_gpu_goes_on(tmp_path: Path) -> None:
    """Kernels of a GPU may add in another order, so weights agree to rounding and no further."""
    killed = tmp_path / "killed"
    with subprocess.Popen([*RUN, "--out", str(killed)]) as process:
        while process.poll() is None and not (killed / "state.json").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not Folder(killed).finished
    subprocess.run([*RUN, "--out", str(killed)], check=True, capture_output=True)
    whole, again = (
        pf.fit("ring", "gan", budget="800 steps", device="cuda", out=tmp_path / "whole"),
        pf.load(killed),
    )
    assert [r["step"] for r in whole.history] == [r["step"] for r in again.history]
    early = [r["terms"] for r in whole.history][:5], [r["terms"] for r in again.history][:5]
    for a, b in zip(*early, strict=True):
        assert a == pytest.approx(b, rel=1e-3)


def test_training_on_continues_a_run_of_a_gpu(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pf.fit("ring", "vae", budget=30, device="cuda", out=run, **SMALL)
    more = pf.fit("ring", "vae", more=20, device="cuda", out=run, **SMALL)
    assert more.steps == 50
