"""How threads should wait: the time of a step, alone and beside a process that takes a core.

    python benchmarks/threads.py [--rounds 2] [--steps 60] [--data digits]

Each case is a process of its own, since torch reads the environment when it is loaded: threads that
spin (OpenMP's default), threads that wait passively (what `pushforward` sets), and one thread. The
cases alternate; shown are medians over the rounds of the median milliseconds of a step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

CASES = {
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
MODELS = ("vae", "gan")
TIMED = """
import sys, time
from statistics import median
import pushforward as pf

found, last = [], []

def progress(record):
    here = time.perf_counter(), record["step"]
    if last:
        found.append((here[0] - last[0]) / (here[1] - last[1]))
    last[:] = here

pf.fit(sys.argv[1], sys.argv[2], budget=f"{sys.argv[3]} steps", seed=0, progress=progress)
print(1000 * median(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/threads.json"))
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for model in MODELS:
        for busy in (False, True):
            laps: dict[str, list[float]] = {case: [] for case in CASES}
            for _ in range(arguments.rounds):
                for case, environment in CASES.items():
                    with neighbour(busy=busy):
                        laps[case].append(timed(arguments, model, environment))
            name = f"{model}, {'beside a busy process' if busy else 'quiet'}"
            found[name] = {case: round(median(own), 1) for case, own in laps.items()}
            print(name, *(f"{case} {ms:.0f} ms" for case, ms in found[name].items()), sep="   ")
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def timed(arguments: argparse.Namespace, model: str, environment: dict[str, str]) -> float:
    """Return the median milliseconds of a step, in a new process."""
    command = [sys.executable, "-c", TIMED, arguments.data, model, str(arguments.steps)]
    printed = subprocess.run(
        command, env=os.environ | environment, check=True, capture_output=True, text=True
    )
    return float(printed.stdout.split()[-1])


@contextmanager
def neighbour(*, busy: bool) -> Iterator[None]:
    """Let another process take a core, or not."""
    if not busy:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main()
