"""What becomes of memory between the steps of training."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from pushforward.training.memory import ENVIRONMENT

# Twelve results of 3 MB that are freed together, again and again: their pages, counted.
STEPS = """
import resource, statistics, torch
from pushforward.training.memory import keep_freed
x = torch.randn(16, 50_176)
keep_freed()
def step():
    return [x * k for k in range(12)]
for _ in range(3):
    step()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
found = []
for _ in range(20):
    before = faults()
    step()
    found.append(faults() - before)
print(statistics.median(found))  # the system may take pages back now and then
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's memory")
def test_memory_that_a_step_frees_is_there_for_the_next_one() -> None:
    call = [sys.executable, "-c", STEPS]
    plain = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    found = subprocess.run(call, check=True, capture_output=True, text=True, env=plain).stdout
    pages = 12 * 16 * 50_176 * 4 // 4096  # of a step's results; left alone, a tenth of them
    assert float(found) < 0.02 * pages
