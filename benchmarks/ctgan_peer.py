"""One fit of CTGAN or TVAE of the `ctgan` library, in a process of its own.

    python benchmarks/ctgan_peer.py CTGAN|TVAE EPOCHS SEED TRAIN.csv FAKE.csv

Runs under any Python in which `ctgan` is installed (it need not be ours); prints the seconds that
the fit took.
"""

from __future__ import annotations

import inspect
import sys
import time


def main() -> None:
    import ctgan
    import pandas as pd
    import torch

    name, epochs, seed, train, fake = sys.argv[1:]
    torch.manual_seed(int(seed))
    table = pd.read_csv(train)
    discrete = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    kind = getattr(ctgan, name)
    known = inspect.signature(kind).parameters
    gpu = next(flag for flag in ("enable_gpu", "cuda") if flag in known)  # older releases say cuda
    model = kind(epochs=int(epochs), **{gpu: False})
    model.set_random_state(int(seed))
    start = time.perf_counter()
    model.fit(table, discrete)
    seconds = time.perf_counter() - start
    model.sample(len(table)).to_csv(fake, index=False)
    print(seconds)


if __name__ == "__main__":
    main()
