"""Batches: compact rows on the device, expanded a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Batch
from pushforward.nn.sizes import size_of
from pushforward.random import Stream, derived_seed, generator, permutation
from pushforward.training.parallel import ALONE, Processes
from pushforward.training.settings import Settings

IMAGES = 4  # dimensions of a batch of images
CHUNK = 2**14  # rows that are made compact at a time
ON_DEVICE = 2**31  # bytes of a streamed table from which on it stays in its file
SHUFFLED = 2**22  # rows from which on a batch is drawn independently of the others
ENOUGH = 2**18  # rows that an epoch has at most: a sample of them settles a prior as well


def rows_of_a_batch(settings: Settings, data: Dataset) -> int:
    """Return the rows of a batch, of all processes together: as given, or by the kind of data."""
    size = settings.batch_size or size_of(data.schema.space).batch_size
    return min(size, data.sizes["train"])


class Batches:
    """Compact rows, drawn a batch at a time; batch k depends on the seed and k alone.

    Of several processes, each gets its shard of it, `own` of the batch's `size` rows.

    They lie on the device, unless they are a streamed table's and larger than `ON_DEVICE` bytes:
    then they stay in their file, and each batch is carried over.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        seed: int,
        device: torch.device,
        classes: int,
        team: Processes = ALONE,
    ) -> None:
        rows, labels = _compact(data)
        self.home = torch.device("cpu") if rows.nbytes > ON_DEVICE and data.streamed else device
        self.rows, self.labels = rows.to(self.home), None if labels is None else labels.to(device)
        self.expand, self.device = data.schema.expand, device
        self.classes = torch.eye(classes, device=device)
        self.size, self.seed = batch_size, seed
        self.shard = team.shard(self.size)
        self.own = self.size // team.size
        self.epoch_length = len(rows) // self.size
        self.drawn, self.shuffled = 0, -1
        self.order = torch.empty(0)

    def epoch(self) -> Iterable[Batch]:
        """Return every row once, in order, a batch at a time; of more than `ENOUGH` a sample.

        Each time that it is gone through, the batches are the same.
        """
        index = torch.arange(len(self.rows))
        if len(index) > ENOUGH:
            index = self._random(Stream.SAMPLE, 0, ENOUGH).sort().values
        return Epoch(self._batch, index.split(self.size))

    def spread(self, most: int, values: int) -> Batch:
        """Return at most so many rows, of so many values together, spread over all."""
        n = max(1, min(most, values // self.expand(self.rows[:1]).numel(), len(self.rows)))
        return self._batch(torch.linspace(0, len(self.rows) - 1, n, dtype=torch.float64).long())

    def __call__(self) -> Batch:
        """Return the next batch x (expanded), and its condition c."""
        index = self._drawn() if len(self.rows) > SHUFFLED else self._shuffled()
        self.drawn += 1
        return self._batch(index[self.shard])

    def _shuffled(self) -> Tensor:
        """Return the next indices of a shuffled epoch."""
        epoch, place = divmod(self.drawn, self.epoch_length)
        if epoch != self.shuffled:
            order = permutation(len(self.rows), derived_seed(self.seed, Stream.EPOCHS, epoch))
            self.order, self.shuffled = order.to(self.home), epoch
        return self.order[place * self.size : (place + 1) * self.size]

    def _random(self, stream: Stream, number: int, size: int) -> Tensor:
        """Return independent random indices."""
        source = generator(derived_seed(self.seed, stream, number))
        return torch.randint(len(self.rows), (size,), generator=source)

    def _drawn(self) -> Tensor:
        """Return indices drawn anew: the order of so many rows would cost more than it is worth."""
        return self._random(Stream.DRAWS, self.drawn, self.size)

    def conditions(self) -> Tensor | None:
        """Return the conditions of `own` rows drawn at random, for a turn that needs no rows.

        They come from torch's global random state, as the noise of a turn does.
        """
        if self.labels is None:
            return None
        index = torch.randint(len(self.labels), (self.size,), device=self.device)
        labels = self.labels.index_select(0, index[self.shard])
        return self.classes.index_select(0, labels.int())

    def _batch(self, index: Tensor) -> Batch:
        """Return the rows at these indices, expanded, and their condition."""
        # on a CPU `index_select` is faster than indexing
        x = self.expand(self.rows.index_select(0, index.to(self.home)).to(self.device))
        if x.dim() == IMAGES:
            x = x.contiguous(memory_format=torch.channels_last)  # as the networks are
        if self.labels is None:
            return x, None
        labels = self.labels.index_select(0, index.to(self.device)).int()
        return x, self.classes.index_select(0, labels)


@dataclass(frozen=True)
class Epoch:
    """Batches that are made when they are asked for."""

    batch: Callable[[Tensor], Batch]
    parts: Sequence[Tensor]

    def __iter__(self) -> Iterator[Batch]:
        """Make each batch."""
        return map(self.batch, self.parts)


def _compact(data: Dataset) -> Batch:
    """Return the compact training rows and their labels; a chunk at a time, to hold no copy."""
    if data.streamed is not None:
        return data.streamed.codes, data.streamed.labels
    index, schema = data.splits["train"], data.schema
    first = schema.compact(data.rows[index[:1]])
    rows = first.new_empty((len(index), *first.shape[1:]))
    for part, chunk in zip(index.split(CHUNK), rows.split(CHUNK), strict=True):
        chunk.copy_(schema.compact(data.rows[part]))
    return rows, None if data.labels is None else data.labels[index]
