"""What tests of runs side by side share: a small comparison, and what it means to be the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pushforward.comparison.result import Comparison
from pushforward.files import read_tensors

QUICK: dict[str, Any] = {"budget": 60, "latent": 4, "width": 32, "measures": ["energy"]}
MODELS = ["vae", "gan"]


def assert_same(first: Comparison, second: Comparison) -> None:
    """The same weights to the last bit, the same scorecards, facts and samples for the report."""
    plain = [result.to_json() | {"folder": ""} for result in (first, second)]
    assert plain[0] == plain[1]
    kept = [
        {p.relative_to(result.folder) for p in result.folder.rglob("[!.]*") if p.is_file()}
        for result in (first, second)
    ]
    assert kept[0] == kept[1]
    assert not list(second.folder.rglob(".*.partial"))
    for name in kept[0]:
        if name.suffix == ".safetensors":
            x, y = (read_tensors(result.folder / name)[0] for result in (first, second))
            assert x.keys() == y.keys()
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)
        if name.name == "config.json":
            assert config_of(first.folder / name) == config_of(second.folder / name)


def config_of(config: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(config.read_text())
    return plain


def worker_of(out: Path, run: str) -> int:
    """The process that works in a run's folder."""
    return int(json.loads((out / "runs" / run / ".lock").read_text())["pid"])


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something, at most two minutes."""
    for _ in range(1200):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError
