"""Random state: every stream of numbers follows from a seed and a place, and nothing else.

No public call touches the global state of torch, on any device: work that draws from it runs inside
`isolated`. A place is a path of whole numbers ("epoch 3 of the batches"); seeds of different places
are hashes, so that streams of neighbouring seeds never meet.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Stream(IntEnum):
    """What a stream of random numbers is for: the first step of its place."""

    EPOCHS = 1
    DRAWS = 2
    BLOCKS = 3
    CATEGORIES = 4
    ORDER = 5
    SAMPLE = 6
    PATHS = 7
    TRIALS = 8
    REFINEMENT = 9
    KEPT = 10


def derived_seed(seed: int, *place: int) -> int:
    """Return the seed of a place: 63 bits of a hash of the user's seed and the place."""
    sequence = np.random.SeedSequence([seed % 2**64, *place])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy, for a user who gives none."""
    return secrets.randbits(63)


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own, seeded."""
    return torch.Generator(device).manual_seed(seed)


def permutation(n: int, seed: int) -> Tensor:
    """Return a random order of 0 .. n - 1, (n,) int64."""
    return torch.randperm(n, generator=generator(seed))


@contextmanager
def isolated(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global state within the block, and put the user's back after it.

    Only the state of the CPU and, where it is another, that of `device` is touched. (torch's own
    `manual_seed` and `fork_rng` also seed every GPU that is there.)
    """
    cpu = torch.get_rng_state()
    gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        torch.default_generator.manual_seed(seed)
        if gpu is not None:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(cpu)
        if gpu is not None:
            torch.cuda.set_rng_state(gpu, device)
