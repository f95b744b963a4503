"""A table too large to hold: 20 mixed columns, read, trained on and generated in flat memory.

    python benchmarks/scale.py [--rows 10000000] [--steps 200] [--model vae]

The file is generated a chunk at a time, in a process of its own. Each part then runs in a fresh
process, so that its peak of resident memory is its own; pages of the memory-mapped codes count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

CHUNK = 500_000  # rows that are generated at a time
Found = dict[str, float]


def main() -> None:
    """Generate the table, run every part, print and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--model", default="vae")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    parser.add_argument("--part", choices=PARTS, help="run this part alone, on --folder")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.part is not None:
        print(json.dumps(PARTS[arguments.part](arguments)))
        return
    found = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        for part in PARTS:
            found[part] = run(part, folder, arguments)
            values = "   ".join(f"{name} {value:,.1f}" for name, value in found[part].items())
            print(f"{part:12}{values}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"rows": arguments.rows, "steps": arguments.steps, "model": arguments.model}
    arguments.out.write_text(json.dumps(about | found, indent=1) + "\n")


def run(part: str, folder: str, arguments: argparse.Namespace) -> Found:
    """Run one part in a process of its own."""
    given = ["--part", part, "--folder", folder, "--rows", str(arguments.rows)]
    given += ["--steps", str(arguments.steps), "--model", arguments.model]
    done = subprocess.run(
        [sys.executable, __file__, *given], check=True, stdout=subprocess.PIPE, text=True
    )
    result: Found = json.loads(done.stdout.splitlines()[-1])
    return result


def generate(arguments: argparse.Namespace) -> Found:
    """Write the table: a query over files of one chunk each, sunk into one file."""
    start, folder = time.perf_counter(), arguments.folder / "chunks"
    folder.mkdir()
    for i, first in enumerate(range(0, arguments.rows, CHUNK)):
        rows = min(CHUNK, arguments.rows - first)
        table(rows, seed=i).write_parquet(folder / f"{i:05d}.parquet")
    pl.scan_parquet(folder / "*.parquet").sink_parquet(arguments.folder / "table.parquet")
    for chunk in folder.iterdir():
        chunk.unlink()
    size = (arguments.folder / "table.parquet").stat().st_size / 1e6
    return {"seconds": time.perf_counter() - start, "file, MB": size}


def table(n: int, seed: int) -> pl.DataFrame:
    """Return n rows of 20 columns: numbers, integers, categories, dates; in six some are missing.

    They hang together by a hidden factor.
    """
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=n)
    columns: dict[str, object] = {}
    for i in range(6):
        columns[f"number {i}"] = factor * i / 6 + rng.normal(size=n)
    columns["amount"] = np.where(rng.random(n) < 0.3, 0, np.round(np.exp(factor + 3), 2))
    columns["share"] = rng.beta(2, 5, n).astype(np.float32)
    for i in range(4):
        columns[f"count {i}"] = rng.poisson(np.exp(factor / 2 + i))
    for i, size in enumerate((2, 10, 40, 200, 5000)):
        skewed = (size * rng.random(n) ** 3).astype(int)
        columns[f"category {i}"] = pl.Series(skewed).cast(pl.String)
    columns["flag"] = rng.random(n) < 1 / (1 + np.exp(-factor))
    columns["day"] = np.datetime64("2000-01-01") + rng.integers(0, 9000, n)
    columns["time"] = np.datetime64("2020-01-01T00:00:00", "ms") + rng.integers(0, 10**8, n) * 1000
    frame = pl.DataFrame(columns)
    holes = pl.Series(rng.random(n) < 0.1)
    some = ("number 0", "amount", "count 0", "category 1", "category 4", "day")
    return frame.with_columns(pl.when(~holes).then(pl.col(some)).name.keep())


def fit(arguments: argparse.Namespace) -> Found:
    """Read the table and train on it."""
    import pushforward as pf

    idle, start = memory(), time.perf_counter()
    data = pf.read(arguments.folder / "table.parquet")
    seconds, reading = time.perf_counter() - start, memory()
    start = time.perf_counter()
    budget, folder = f"{arguments.steps} steps", arguments.folder / "run"
    pf.fit(data, arguments.model, budget=budget, device="cpu", out=folder)
    return {
        "training rows": data.sizes["train"],
        "read, s": seconds,
        "fit, s": time.perf_counter() - start,
        "idle, MB": idle,
        "peak of reading, MB": reading,
        "peak, MB": memory(),
    }


def sample(arguments: argparse.Namespace) -> Found:
    """Generate as many rows into a Parquet file."""
    import pushforward as pf
    from pushforward.sampling.request import SampleRequest

    fitted = pf.load(arguments.folder / "run", device="cpu")
    idle, start = memory(), time.perf_counter()
    request = SampleRequest(fitted.network(), fitted.schema, arguments.rows, seed=0)
    path = request.write(arguments.folder / "generated.parquet")
    seconds = time.perf_counter() - start
    return {
        "rows": pl.scan_parquet(path).select(pl.len()).collect().item(),
        "sample, s": seconds,
        "rows a second": arguments.rows / seconds,
        "file, MB": path.stat().st_size / 1e6,
        "idle, MB": idle,
        "peak, MB": memory(),
    }


def memory() -> float:
    """Return the peak of this process's resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


PARTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "generate": generate,
    "fit": fit,
    "sample": sample,
}


if __name__ == "__main__":
    main()
