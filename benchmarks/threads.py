"""How many threads a step should have, and how they should wait: alone, and beside a busy process.

    python benchmarks/threads.py [--data digits ../shared/data/mnist.npz ...] [--widths 32 128]
                                 [--rounds 2] [--steps 100]

Each case is a process of its own, since torch reads the environment when it is loaded: as many
threads as there are cores that spin while they wait (OpenMP's default), as many that sleep
(`pushforward` sets OMP_WAIT_POLICY=PASSIVE), and one. The cases alternate; shown are medians over
the rounds of the median milliseconds of a step, and the threads that the library takes by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
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
from pushforward.training import loop

chosen, found, last = [], [], []
choose = loop.busy_threads
loop.busy_threads = lambda *network: chosen.append(choose(*network)) or 2**20

def progress(record):
    here = time.perf_counter(), record["step"]
    if last:
        found.append((here[0] - last[0]) / (here[1] - last[1]))
    last[:] = here

source, model, steps, width = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
options = {"width": width} if width else {}
pf.fit(source, model, budget=f"{steps} steps", seed=0, device="cpu", progress=progress, **options)
print(1000 * median(found), chosen[0])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--widths", nargs="+", type=int, default=[0], help="0: by default")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/threads.json"))
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for source, model, width, busy in product(
        arguments.data, MODELS, arguments.widths, (False, True)
    ):
        wide = f", width {width}" if width else ""
        name = f"{Path(source).stem}, {model}{wide}, {'busy' if busy else 'quiet'}"
        found[name] = measured([source, model, str(arguments.steps), str(width)], arguments, busy)
        print(name, found[name], flush=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def measured(run: list[str], arguments: argparse.Namespace, busy: bool) -> dict[str, float]:
    """Return the milliseconds of a step by case, and the threads that the library takes."""
    laps: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(arguments.rounds):
        for case, environment in CASES.items():
            with neighbour(busy=busy):
                milliseconds, chosen = timed(run, environment)
            laps[case].append(milliseconds)
    return {case: round(median(own), 1) for case, own in laps.items()} | {"chosen": chosen}


def timed(run: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Return the median milliseconds of a step in a new process, and the threads it would take."""
    printed = subprocess.run(
        [sys.executable, "-c", TIMED, *run],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    milliseconds, chosen = printed.stdout.split()[-2:]
    return float(milliseconds), int(chosen)


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
