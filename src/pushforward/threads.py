"""Threads wait passively, so that a neighbour on the same machine slows a run as little as can be.

The threads of one step meet hundreds of times, and by default OpenMP's spin while they wait for the
last. That is fastest on a machine of one's own. As soon as another process takes a core, whole time
slices are spun away, and a step takes many times as long. Threads that sleep are hardly slower
beside a neighbour, but have to be woken, which costs more than they save where a step is small
(`benchmarks/threads.py`): how many it keeps busy, `nn/sizes.py` says.

How threads wait is read from the environment when torch is loaded. So it is set when `pushforward`
is imported before torch, unless the user has set it. Where torch came first and its threads spin,
training leaves one core free instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of GNU's and LLVM's OpenMP


def wait_passively() -> bool:
    """Let the threads of a torch that is loaded later sleep while they wait; whether they spin."""
    if any(name in os.environ for name in POLICIES):
        return False
    if "torch" in sys.modules:
        return True
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return False


SPINNING = wait_passively()  # unasked


def training_threads() -> int:
    """Return how many threads training takes: torch's number, and one core less if they spin."""
    import torch

    number = torch.get_num_threads()
    return max(1, number - 1) if SPINNING and number >= _cores() else number


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with so many threads within the block, and with the user's number after it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
