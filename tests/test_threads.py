"""How threads wait: set before torch is loaded, and never against the user's wish."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import pushforward as pf
from comparisons import RING
from pushforward import threads
from pushforward.threads import POLICIES

FIRST = """
import os, sys, types
if len(sys.argv) > 1:  # torch is loaded already
    sys.modules["torch"] = torch = types.ModuleType("torch")
    torch.get_num_threads = lambda: int(sys.argv[1])
import pushforward
from pushforward import threads
assert len(sys.argv) > 1 or "torch" not in sys.modules
threads._cores = lambda: 8
number = threads.training_threads() if len(sys.argv) > 1 else None
print(os.environ.get("OMP_WAIT_POLICY"), threads.SPINNING, number)
"""


@pytest.mark.parametrize(
    ("environment", "loaded", "expected"),
    [
        ({}, [], "PASSIVE False None"),
        ({"GOMP_SPINCOUNT": "1000"}, [], "None False None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, [], "ACTIVE False None"),
        ({}, ["8"], "None True 7"),  # one core is left free
        ({}, ["3"], "None True 3"),  # the user has left some already
        ({"OMP_WAIT_POLICY": "PASSIVE"}, ["8"], "PASSIVE False 8"),
    ],
)
def test_threads_wait_passively_unless_the_user_says_otherwise(
    environment: dict[str, str], loaded: list[str], expected: str
) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in POLICIES}
    command = [sys.executable, "-c", FIRST, *loaded]
    done = subprocess.run(
        command, env=bare | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == expected.split()


@pytest.mark.parametrize(("width", "taken"), [(8, 1), (1024, 4)])
def test_a_run_keeps_to_the_threads_that_it_keeps_busy_and_leaves_the_users(
    width: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 2 and 2 layers of 1024 x 1024 weights on 192 rows: 4.03 times 2e8 multiplications
    before = torch.get_num_threads()
    monkeypatch.setattr("pushforward.training.loop.training_threads", lambda: 6)
    seen: list[int] = []
    fitted = pf.fit(
        RING[:400],
        "vae",
        budget=3,
        width=width,
        batch_size=192,
        progress=lambda _: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {taken}
    assert fitted.config["threads"] == taken
    assert torch.get_num_threads() == before


def test_the_users_threads_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads.threads(before + 1):
        _ = 1 / 0
    assert torch.get_num_threads() == before
