"""The scorer on another device gives the CPU's numbers: by a simulated device, and on CUDA."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.measures import Scorer

HERE = Path(__file__).parent
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def same(found: Mapping[str, Any], expected: Mapping[str, Any], rel: float) -> None:
    """Numbers up to rounding; the names of the features too, and not their hash (of weights)."""
    assert found["value"] == pytest.approx(expected["value"], rel=rel, abs=rel)
    assert (found["n"], found["m"]) == (expected["n"], expected["m"])
    for end in ("low", "high", "null", "p_value"):
        assert found[end] == pytest.approx(expected[end], rel=100 * rel, abs=100 * rel)


@pytest.fixture(scope="module")
def simulated() -> Any:
    """What the simulated device gives beside the CPU, in a process of its own."""
    command = [sys.executable, str(HERE / "simulated_device.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["array", "table", "image"])
def test_a_scorer_keeps_its_tensors_on_their_device(simulated: Any, kind: str) -> None:
    cards = simulated[kind]
    assert cards["device"].keys() == cards["cpu"].keys()
    for name, expected in cards["cpu"].items():
        same(cards["device"][name], expected, rel=1e-6)


@pytest.mark.cuda
@cuda
def test_a_scorer_on_cuda_agrees_with_the_cpu() -> None:
    rng = np.random.default_rng(0)
    data = pf.read(rng.normal(size=(400, 3)))
    rows, _ = data.subset("train")
    names = ["energy", "mmd", "sliced_wasserstein", "precision", "coverage", "frechet", "sinkhorn"]
    cards = {
        device: Scorer(data, only=names, device=device).score(
            (rows[:150], None), (rows[150:], None)
        )
        for device in ("cpu", "cuda")
    }
    for name, expected in cards["cpu"].items():
        same(cards["cuda"][name].to_json(), expected.to_json(), rel=1e-4)


@pytest.mark.cuda
@cuda
def test_an_encoder_of_images_is_trained_on_cuda() -> None:
    data = pf.read(np.random.default_rng(0).integers(256, size=(200, 8, 8), dtype=np.uint8))
    scorer = Scorer(data, only=["energy"], device="cuda")
    rows = data.subset("test")
    assert scorer.feature_map(rows[0]).device.type == "cuda"
    assert type(scorer.score(rows, rows)["energy"].value) is float
