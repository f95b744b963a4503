"""The scorer on another device gives the CPU's numbers: by a simulated device, and on CUDA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import forked
import pushforward as pf
from pushforward.data.schema import DataKind
from pushforward.measures import ImageStatistics, Scorer
from samples import digits, labelled, normal

HERE = Path(__file__).parent
ARRAYS = [normal(100 + i, 3, i).numpy() for i in range(2)]
SAMPLES: dict[DataKind, Any] = {
    "table": (labelled(120, 0), labelled(100, 1)),
    "image": (digits()[:120], digits()[120:220]),
    "array": ARRAYS,
}


def same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Numbers up to rounding."""
    for number in ("value", "low", "high", "null", "p_value", "n", "m"):
        if expected[number] is None:
            assert found[number] is None
        else:
            assert found[number] == pytest.approx(expected[number], rel=1e-4, abs=1e-5), number


@pytest.fixture(scope="module")
def simulated() -> Any:
    """What the simulated device gives beside the CPU, in a process of its own."""
    command = (
        f"import runpy; runpy.run_path({str(HERE / 'simulated_device.py')!r}, None, '__main__')"
    )
    done = forked.ended("-c", command)
    assert done.status == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["array", "table", "image"])
def test_a_scorer_keeps_its_tensors_on_their_device(simulated: Any, kind: str) -> None:
    cards = simulated[kind]
    assert cards["device"].keys() == cards["cpu"].keys()
    for name, expected in cards["cpu"].items():
        same(cards["device"][name], expected)


# Where rounding grows: by training, at the thresholds of trees, and where rows of a table are
# equally near (one row of 200, measured on an H100).
LARGER = {"jensen_shannon": 0.1, "f_divergence": 0.3, "wasserstein_critic": 0.3}
LARGER |= {"classifier_test": 0.02, "nearest_neighbour_test": 0.01}


@pytest.mark.cuda
@pytest.mark.parametrize("kind", list(SAMPLES))
def test_a_gpu_gives_the_numbers_of_the_cpu(kind: DataKind) -> None:
    real, fake = SAMPLES[kind]

    def pixels(x: Tensor) -> Tensor:
        devices.add(x.device.type)
        return x.flatten(1)

    devices: set[str] = set()
    options: dict[str, Any] = {"train": real[:50], "only": "all"}
    options |= {"features": pixels} if kind == "image" else {}
    on_cpu = pf.measure(real, fake, **options)
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    on_gpu = pf.measure(real, fake, device="cuda", **options)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(torch.cuda.get_rng_state(), states[1])
    assert devices == ({"cpu", "cuda"} if kind == "image" else set())
    assert list(on_gpu) == list(on_cpu)
    assert on_gpu.notes == on_cpu.notes
    for name, found in on_gpu.items():
        tolerance = LARGER.get(name, 1e-3)
        assert found.value == pytest.approx(on_cpu[name].value, rel=1e-3, abs=tolerance), name
        assert json.loads(json.dumps(found.to_json())) == found.to_json(), "plain numbers"


@pytest.mark.cuda
def test_a_scorer_fits_and_applies_features_of_images_on_the_gpu() -> None:
    data = pf.read(digits()[:200])
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    scorer = Scorer(data, measures=["energy", "frechet"], device="cuda")
    features = scorer.feature_map.features
    assert isinstance(features, ImageStatistics)
    assert {t.device.type for t in features.tensors()} == {"cuda"}
    card = scorer.score(data.subset("test"), data.subset("validation"))
    assert card["energy"].p_value is not None
    assert card["energy"].p_value > 0.002, "two parts of one data set"
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(torch.cuda.get_rng_state(), states[1])
