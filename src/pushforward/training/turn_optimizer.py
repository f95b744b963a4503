"""What the loop plays with: batches, a seat for each turn, the moving average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Batch, Model, Turn
from pushforward.space import Cells, Space

CHUNK = 2**14  # rows that are made compact at a time
ON_DEVICE = 2**31  # bytes of a streamed table from which on it stays in its file
SHUFFLED = 2**22  # rows from which on a batch is drawn independently of the others
ENOUGH = 2**18  # rows that an epoch has at most: a sample of them settles a prior as well

State = dict[str, Tensor]


def one_hot(labels: Tensor, classes: int, device: torch.device) -> Tensor:
    """Return the condition c (n, classes) for class codes (n,)."""
    return torch.nn.functional.one_hot(labels.to(device), classes).float()


def precision(wanted: str, space: Space, device: torch.device) -> str:
    """Return float32 or bfloat16 for "auto", else what is wanted.

    bfloat16 halves the time of a step where the processor has instructions for it. Its 8 digits
    (binary) do for logits, so for tables, and not for the place of a point.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        fast = any(bool(able.get(name)) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if fast and isinstance(space, Cells) else "float32"


class Batches:
    """Compact rows, drawn a batch at a time; batch k depends on the seed and k alone.

    They lie on the device, unless they are a streamed table's and larger than `ON_DEVICE` bytes:
    then they stay in their file, and each batch is carried over.
    """

    def __init__(
        self, data: Dataset, batch: int, seed: int, device: torch.device, classes: int
    ) -> None:
        rows, labels = _compact(data)
        self.home = torch.device("cpu") if rows.nbytes > ON_DEVICE and data.streamed else device
        self.rows, self.labels = rows.to(self.home), None if labels is None else labels.to(device)
        self.expand, self.device = data.schema.expand, device
        self.classes = torch.eye(classes, device=device)
        self.size, self.seed = min(batch, len(rows)), seed
        self.an_epoch = len(rows) // self.size
        self.drawn, self.shuffled = 0, -1
        self.order = torch.empty(0)

    def epoch(self) -> Iterator[Batch]:
        """Return every row once, in order, a batch at a time; of more than `ENOUGH` a sample."""
        index = torch.arange(len(self.rows))
        if len(index) > ENOUGH:
            index = self._random(-1, ENOUGH).sort().values
        for part in index.split(self.size):
            yield self._batch(part)

    def __call__(self) -> Batch:
        """Return the next batch x (expanded), and its condition c."""
        index = self._drawn() if len(self.rows) > SHUFFLED else self._shuffled()
        self.drawn += 1
        return self._batch(index)

    def _shuffled(self) -> Tensor:
        """Return the next indices of a shuffled epoch."""
        epoch, place = divmod(self.drawn, self.an_epoch)
        if epoch != self.shuffled:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.rows), generator=generator)
            self.order, self.shuffled = order.to(self.home), epoch
        return self.order[place * self.size : (place + 1) * self.size]

    def _random(self, number: int, size: int) -> Tensor:
        """Return independent random indices."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        return torch.randint(len(self.rows), (size,), generator=generator)

    def _drawn(self) -> Tensor:
        """Return indices drawn anew: the order of so many rows would cost more than it is worth."""
        return self._random(self.drawn, self.size)

    def _batch(self, index: Tensor) -> Batch:
        """Return the rows at these indices, expanded, and their condition."""
        # on a CPU `index_select` is faster than indexing
        x = self.expand(self.rows.index_select(0, index.to(self.home)).to(self.device))
        if self.labels is None:
            return x, None
        labels = self.labels.index_select(0, index.to(self.device)).int()
        return x, self.classes.index_select(0, labels)


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


class Seat:
    """One turn of a model at the table: the players that move, and their optimizer."""

    def __init__(
        self, model: Model, turn: Turn, rate: float | None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.turn, self.dtype, self.device = turn, dtype, model.device.type
        self.play: Callable[[Tensor, Tensor | None], dict[str, Tensor]] = getattr(model, turn.name)
        self.movers = [p for name in turn.players for p in model.player(name).parameters()]
        self.rate = rate or turn.rate
        # fused: one pass over all parameters, 1.4 times as fast as the default on 2 cores
        self.optimizer = torch.optim.Adam(self.movers, self.rate, turn.betas, fused=True)
        self.names: list[str] = []
        self.means: list[Tensor] = []  # of each term, for each play since the last record

    def move(self, x: Tensor, c: Tensor | None, scale: float, clip: float | None) -> None:
        """Play the turn once: one step of its movers down the sum of its terms' means."""
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            terms = self.play(x, c)
        means = [term.mean() for term in terms.values()]
        torch.autograd.backward(means, inputs=self.movers)  # of their sum
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(self.movers, clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * scale
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.names = list(terms)
        self.means.append(torch.stack([mean.detach() for mean in means]))

    def stray(self, step: int) -> tuple[int, str] | None:
        """Return the first step since the last record whose terms are not finite, and say which."""
        finite = torch.stack(self.means).isfinite() if self.means else torch.ones(1, 1)
        if bool(finite.all()):
            return None
        first = int((finite.all(1).logical_not()).nonzero()[0])
        ago = (len(finite) - 1 - first) // self.turn.repeat * self.turn.every
        bad = [name for name, ok in zip(self.names, finite[first].tolist(), strict=True) if not ok]
        return step - ago, f"turn {self.turn.name!r}, step {step - ago}: {', '.join(bad)}"

    def account(self) -> dict[str, float]:
        """Return each term's mean since the last record, and begin anew."""
        if not self.means:
            return {}
        average = torch.stack(self.means).double().mean(0).tolist()
        self.means = []
        return {f"{self.turn.name}.{n}": v for n, v in zip(self.names, average, strict=True)}

    def state(self) -> State:
        """Return the optimizer's tensors by name."""
        state = self.optimizer.state_dict()["state"]
        return {f"{i}.{key}": value for i, own in state.items() for key, value in own.items()}

    def restore(self, tensors: State) -> None:
        """Put the optimizer's tensors back."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


class Average:
    """A copy of the model in which the players that generate are moving averages."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False).eval(), decay
        players = model.averaged if decay > 0 else ()
        live, copies = dict(model.named_parameters()), dict(self.model.named_parameters())
        slow = [name for name in live if name.split(".")[0] in players]
        fast = [name for name in live if name not in slow]
        self.slow = [copies[n].detach() for n in slow], [live[n].detach() for n in slow]
        self.fast = [copies[n].detach() for n in fast], [live[n].detach() for n in fast]

    def follow(self, step: int) -> None:
        """Move the averages by one step; early ones are shorter, so that the start is forgotten."""
        if self.slow[0]:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(*self.slow, 1 - decay)

    def catch_up(self) -> Model:
        """Return the copy, with the other players as they are now."""
        if self.fast[0]:
            torch._foreach_copy_(*self.fast)
        return self.model

    def weights(self) -> State:
        """Return a copy of the weights."""
        return {name: t.clone() for name, t in self.catch_up().state_dict().items()}
