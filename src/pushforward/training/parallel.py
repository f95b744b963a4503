"""One fit over several processes, on a GPU each: `torchrun --nproc-per-node=2 -m pushforward fit`.

All of them play the same game from the same start. Each looks at its shard of every batch, and
between backward and step the gradients are averaged: the mean over equal shards of their means is
the mean over the batch, so a fit does what one process does with the same batch, but for rounding.
The batch's rows follow from (seed, step), a process's part of them and of all random numbers from
its rank (`JointDraws`); so the random states stay the same, and nothing of a saved state depends on
how many processes there are. What a clock decides, or a look at validation rows, the first process
decides for all; it alone writes and reports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from pushforward.errors import ModelError, PushforwardError, RunError
from pushforward.training.joint_draws import JointDraws
from pushforward.training.launched import launched

T = TypeVar("T")
ENDED = (
    "another process of this fit has ended without saying why (killed, or out of memory?); the "
    "same command continues from the last saved state"
)


class Processes:
    """The processes that share a fit: here, this one alone."""

    rank, size = 0, 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Part from the others when all have come here.

        Not after an error: who waits for others that are gone must end all the same.
        """
        if error is None:
            self._leave()

    def _leave(self) -> None:
        """Part from nobody."""

    @property
    def leads(self) -> bool:
        """Whether this is the first process, which decides, writes and reports."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Return the device of this process, for the name that the user gave."""
        return name

    def shard(self, batch_size: int) -> slice:
        """Return which rows of a batch are this process's; ModelError if they are not as many."""
        if batch_size % self.size:
            fits = max(1, round(batch_size / self.size)) * self.size
            msg = f"{self.size} processes cannot share a batch of {batch_size} rows evenly"
            raise ModelError(f"{msg}: use batch_size={fits} (--batch-size)")
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def draws(self, rows: int) -> AbstractContextManager[Any]:
        """Within it, random numbers are this process's part of those for the joint batch."""
        del rows
        return nullcontext()

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes."""

    def first(self, work: Callable[[], T]) -> T:
        """Let the first process do some work, and return its result, or raise its error, in all."""
        return work()

    def speaks(self) -> bool:
        """Whether this process reports its error: the first one that has any does."""
        return True


class Workers(Processes):
    """The processes that torchrun has started."""

    def __init__(self) -> None:
        store, self.rank, self.size = next(rendezvous("env://"))
        # torchrun may keep the store when it starts all anew: the addresses of the dead are in it
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self.store = PrefixStore(f"start {start}", store)
        self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self.joined, self.meetings = False, 0

    def device(self, name: str) -> str:
        """Return the GPU of this process where there are GPUs, else the CPU."""
        kind = "cuda" if name == "auto" and torch.cuda.is_available() else name
        if kind.startswith("cuda:"):
            msg = f"device {name!r}: each of {self.size} processes has a GPU of its own; name cuda"
            raise ModelError(msg)
        return f"cuda:{self.local_rank}" if kind == "cuda" else kind

    def draws(self, rows: int) -> AbstractContextManager[Any]:
        """Within it, random numbers are this process's part of those for the joint batch."""
        return JointDraws(rows, self.rank, self.size)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes, in one message."""
        own = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in own])
        self._together(lambda: dist.all_reduce(flat))
        parts = flat.div_(self.size).split([tensor.numel() for tensor in own])
        torch._foreach_copy_(own, [p.view(t.shape) for p, t in zip(parts, own, strict=True)])

    def first(self, work: Callable[[], T]) -> T:
        """Let the first process do some work, and return its result, or raise its error, in all."""
        if not self.leads:
            heard: T = self._heard()
            return heard
        try:
            result = work()
        except Exception as error:
            self._tell(None, error)
            raise
        self._tell(result, None)
        return result

    def _heard(self) -> Any:
        message: list[Any] = [None]
        self._together(lambda: dist.broadcast_object_list(message, device=torch.device("cpu")))
        result, error = message[0]
        if error is not None:
            raise error
        return result

    def _tell(self, result: Any, error: Exception | None) -> None:
        if not isinstance(error, PushforwardError | OSError | None):
            error = RunError(f"the first process failed: {type(error).__name__}: {error}")
        message = [(result, error)]
        self._together(lambda: dist.broadcast_object_list(message, device=torch.device("cpu")))

    def _together(self, exchange: Callable[[], object]) -> None:
        """Exchange something with the others; RunError where one of them is gone."""
        self._join()
        try:
            exchange()
        except RuntimeError as error:
            raise RunError(ENDED) from error

    def _join(self) -> None:
        """Meet the others, when there is something to exchange for the first time."""
        if self.joined:
            return
        if self.local_rank < torch.cuda.device_count():  # more of them can share the CPU alone
            torch.cuda.set_device(self.local_rank)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store = PrefixStore(f"pushforward {self.meetings}", self.store)
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)
        self.joined, self.meetings = True, self.meetings + 1

    def _leave(self) -> None:
        self._together(lambda: dist.all_reduce(torch.zeros(1)))  # which waits for all
        dist.destroy_process_group()
        self.joined = False

    def speaks(self) -> bool:
        """Whether this process reports its error: the first one that has any does."""
        return bool(self.store.add("pushforward errors", 1) == 1)


ALONE = Processes()


@cache
def processes() -> Processes:
    """Return the processes that torchrun has started, or this one alone."""
    return Workers() if launched() else ALONE
