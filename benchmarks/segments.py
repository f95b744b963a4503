"""What softmax by column costs, beside one product with a dense membership matrix.

`Segments` sums groups of columns; the reference is one group of all columns, whose membership
matrix has cells x columns entries. Both run what training runs, forward and backward, on a batch of
512, in one thread; times are processor time:

    adult   the columns of Adult, float32 and bfloat16 autocast: the two take turns, and the ratio
            is the median over rounds of (ours / reference)
    wide    2,000 columns of 65 cells: seconds, the bytes of the buffers, and the peak memory of a
            process that does nothing else

    python benchmarks/segments.py [--data ../shared/data/adult-train.csv] [--rounds 200]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pushforward.nn.segments import Segments, gumbel_like

BATCH = 512
WIDE = (65,) * 2000


class Dense(Segments):
    """All columns in one group: a dense membership matrix, (cells, columns)."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes)
        self.membership = (self.segment_ids[:, None] == torch.arange(len(sizes))).float()
        self.group_entries, self.group_segments = [sum(sizes)], [len(sizes)]

    def _shifted(self, logits: Tensor, maxima: Tensor) -> Tensor:
        return logits - self.broadcast(maxima)


KINDS: dict[str, type[Segments]] = {"ours": Segments, "dense": Dense}

OPERATIONS: dict[str, Callable[[Segments, Tensor], Tensor]] = {
    "logsumexp": lambda segments, logits: segments.logsumexp(logits),
    "softmax": lambda segments, logits: segments.softmax(logits),
    "soft_and_hard": lambda segments, logits: segments.soft_and_hard(logits + gumbel_like(logits))[
        0
    ],
}


def main() -> None:
    """Measure both parts, print a table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data/adult-train.csv")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/segments.json"))
    parser.add_argument("--wide", choices=KINDS, help="measure this kind alone, at 2,000 columns")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.wide is not None:
        print(json.dumps(wide(KINDS[arguments.wide])))
        return
    result = {
        "adult": adult(arguments.data, arguments.rounds),
        "wide": {kind: in_process(kind) for kind in KINDS},
        "torch": torch.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def adult(path: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds and ratio of each operation on the columns of Adult."""
    import pushforward as pf
    from pushforward.space import Cells

    space = pf.read(path).schema.space
    assert isinstance(space, Cells)
    print(f"{'Adult':28}{'ours, ms':>10}{'dense, ms':>11}   ours / dense (quartiles)")
    found = {}
    for precision in (torch.float32, torch.bfloat16):
        for name in OPERATIONS:
            steps = {kind: step(make(space.sizes), name, precision) for kind, make in KINDS.items()}
            row = found[f"{name}, {precision}".replace("torch.", "")] = compare(steps, rounds)
            print(
                f"{name:16}{str(precision).split('.')[1]:12}{row['ours, ms']:10.2f}"
                f"{row['dense, ms']:11.2f}   {row['ratio']:.3f} "
                f"({row['lower quartile']:.3f} to {row['upper quartile']:.3f})",
                flush=True,
            )
    return found


def step(segments: Segments, name: str, precision: torch.dtype) -> Callable[[], Tensor]:
    """Return what computes the gradient of a weighted sum of the operation's values."""
    generator = torch.Generator().manual_seed(0)
    cells = len(segments.segment_ids)
    logits = torch.randn(BATCH, cells, generator=generator).to(precision).requires_grad_()
    weight = torch.randn(BATCH, cells, generator=generator)

    def gradient() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            values = OPERATIONS[name](segments, logits)
            loss = (values * weight[:, : values.shape[1]]).sum()
        return torch.autograd.grad(loss, logits)[0]

    return gradient


def compare(steps: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Let both take turns; return medians of milliseconds, and quartiles of ratios."""
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for i in range(rounds + 5):
        for kind in sorted(steps, reverse=i % 2 == 0):
            seconds = timed(steps[kind])
            if i >= 5:  # the first are a warm-up
                times[kind].append(seconds)
    ratios = [a / b for a, b in zip(times["ours"], times["dense"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    medians = {f"{kind}, ms": 1e3 * statistics.median(times[kind]) for kind in KINDS}
    return medians | {"ratio": middle, "lower quartile": low, "upper quartile": high}


def timed(run: Callable[[], Tensor]) -> float:
    """Return the processor seconds that it takes; a busy machine adds none."""
    start = time.process_time()
    run()
    return time.process_time() - start


def in_process(kind: str) -> dict[str, float]:
    """Measure one kind at 2,000 columns in a process of its own, and print a line."""
    done = subprocess.run(
        [sys.executable, __file__, "--wide", kind], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"2,000 x 65, {kind:9}" + "   ".join(f"{k} {v:,.1f}" for k, v in found.items()))
    return found


def wide(make: type[Segments]) -> dict[str, float]:
    """Return the seconds of each operation, and the memory, of 2,000 columns of 65 cells."""
    idle = memory()
    segments = make(WIDE)
    found = {"buffers, MB": sum(b.nbytes for b in segments.buffers()) / 1e6}
    for name in OPERATIONS:
        run = step(segments, name, torch.float32)
        found[f"{name}, s"] = statistics.median(timed(run) for _ in range(3))
    return found | {"idle, MB": idle, "peak, MB": memory()}


def memory() -> float:
    """Return the peak of this process's resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
