"""What the loop plays with: batches, a seat for each turn, the moving average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.game import Model, Turn

State = dict[str, Tensor]
Batch = tuple[Tensor, Tensor | None]


def one_hot(labels: Tensor, classes: int, device: torch.device) -> Tensor:
    """Return the condition c (n, classes) for class codes (n,)."""
    return torch.nn.functional.one_hot(labels.to(device), classes).float()


class Batches:
    """Rows on the device, drawn a batch at a time; batch k depends on the seed and k alone."""

    def __init__(
        self, data: Dataset, batch: int, seed: int, device: torch.device, classes: int
    ) -> None:
        rows, labels = data.part("train")
        self.rows, self.expand = rows.to(device), data.schema.expand
        self.conditions = None if labels is None else one_hot(labels, classes, device)
        self.size, self.seed = min(batch, len(rows)), seed
        self.an_epoch = len(rows) // self.size
        self.drawn, self.shuffled = 0, -1
        self.order = torch.empty(0)

    def epoch(self) -> Iterator[Batch]:
        """Return every row once, in order, a batch at a time."""
        for start in range(0, len(self.rows), self.size):
            part = slice(start, start + self.size)
            yield (
                self.expand(self.rows[part]),
                None if self.conditions is None else self.conditions[part],
            )

    def __call__(self) -> Batch:
        """Return the next batch x (expanded), and its condition c."""
        epoch, place = divmod(self.drawn, self.an_epoch)
        if epoch != self.shuffled:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.rows), generator=generator)
            self.order, self.shuffled = order.to(self.rows.device), epoch
        index = self.order[place * self.size : (place + 1) * self.size]
        self.drawn += 1
        c = None if self.conditions is None else self.conditions[index]
        # on a CPU `index_select` is faster than indexing
        return self.expand(self.rows.index_select(0, index)), c


class Seat:
    """One turn of a model at the table: the players that move, and their optimizer."""

    def __init__(self, model: Model, turn: Turn, rate: float | None) -> None:
        self.turn = turn
        self.play: Callable[[Tensor, Tensor | None], dict[str, Tensor]] = getattr(model, turn.name)
        self.movers = [p for name in turn.players for p in model.player(name).parameters()]
        self.rate = rate or turn.rate
        # fused: one pass over all parameters, 1.4 times as fast as the default on 2 cores
        self.optimizer = torch.optim.Adam(self.movers, self.rate, turn.betas, fused=True)
        self.names: list[str] = []
        self.means: list[Tensor] = []  # of each term, for each play since the last record

    def move(self, x: Tensor, c: Tensor | None, scale: float, clip: float | None) -> None:
        """Play the turn once: one step of its movers down the sum of its terms' means."""
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
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False), decay
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
