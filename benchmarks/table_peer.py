"""One fit of another library's model of tables, in a process of its own.

    python benchmarks/table_peer.py CTGAN|TVAE|TabularARGN EPOCHS SEED TRAIN.csv FAKE.csv

Runs under any Python in which `ctgan` or `mostlyai-engine` is installed (it need not be ours), with
the defaults of the library but for the epochs; EPOCHS of 0 leaves these to it, too. Prints as JSON
the seconds of the fit, the rows a second and the peak memory of the process.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fit = tuple[Callable[[], Any], Callable[[int], Any]]


def main() -> None:
    import pandas as pd
    import torch

    name, epochs, seed, train, fake = sys.argv[1:]
    torch.manual_seed(int(seed))
    table = pd.read_csv(train)
    fit, sample = (argn if name == "TabularARGN" else ctgan)(name, table, int(epochs), int(seed))
    start = time.perf_counter()
    fit()
    seconds, start = time.perf_counter() - start, time.perf_counter()
    rows = sample(len(table))
    rate = len(table) / (time.perf_counter() - start)
    rows[table.columns].to_csv(fake, index=False)
    peak = peak_memory()
    print(json.dumps({"seconds": seconds, "rows a second": rate, "peak memory, GiB": peak}))


def peak_memory() -> float:
    """Return this process's peak, without its parent's, which only Linux tells; elsewhere NaN."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 2**20 if found else float("nan")


def ctgan(name: str, table: Any, epochs: int, seed: int) -> Fit:
    """Return what fits a model of `ctgan`, and what draws rows."""
    import ctgan
    import pandas as pd

    discrete = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    kind = getattr(ctgan, name)
    known = inspect.signature(kind).parameters
    gpu = next(flag for flag in ("enable_gpu", "cuda") if flag in known)  # older releases say cuda
    model = kind(**{gpu: False}, **({"epochs": epochs} if epochs else {}))
    model.set_random_state(seed)
    return lambda: model.fit(table, discrete), model.sample


def argn(name: str, table: Any, epochs: int, seed: int) -> Fit:
    """Return what fits the model of `mostlyai-engine`, and what draws rows."""
    from mostlyai import engine

    model = getattr(engine, name)(random_state=seed, **({"max_epochs": epochs} if epochs else {}))
    return lambda: model.fit(X=table), model.sample


if __name__ == "__main__":
    main()
