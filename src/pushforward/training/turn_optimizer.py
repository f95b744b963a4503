"""One turn in training: its players' optimizer, and the means of its terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.model import Model, Terms, Turn
from pushforward.nn.device import has_bfloat16
from pushforward.nn.sizes import adam_betas
from pushforward.nn.trunks import Trunks
from pushforward.runs.fitted import State
from pushforward.space import Cells, Image
from pushforward.training.parallel import ALONE, Processes

WIDE = 64  # channels from which on convolutions gain by half precision


def resolve_precision(name: str, model: Model) -> str:
    """Return float32 or bfloat16 for "auto", else the name itself.

    bfloat16 halves the time of a step where the processor has instructions for it. Its 8 digits
    (binary) do for logits, so for tables, and for images where the library's own convolutions are
    wide; they do not for the place of a point. A user's networks may have any layers: a dense
    VAE of binarised MNIST was 2.4 nats behind after as many steps.
    """
    if name != "auto":
        return name
    wide = type(model.networks) is Trunks and model.networks.width >= WIDE
    gains = isinstance(model.space, Cells) or (isinstance(model.space, Image) and wide)
    return "bfloat16" if gains and has_bfloat16(model.device) else "float32"


class TurnOptimizer:
    """The parameters that a turn moves, and the Adam that moves them."""

    def __init__(
        self,
        model: Model,
        turn: Turn,
        learning_rate: float | None,
        dtype: torch.dtype = torch.float32,
        team: Processes = ALONE,
    ) -> None:
        self.model, self.turn, self.team = model, turn, team
        self.dtype, self.device = dtype, model.device.type
        self.parameters = [p for name in turn.players for p in model.player(name).parameters()]
        self.layers = [
            layer_of(f"{name}.{path}".rpartition(".")[0])
            for name in turn.players
            for path, _ in model.player(name).named_parameters()
        ]
        self.learning_rate = (learning_rate or turn.learning_rate) * turn.pace
        # fused: one pass over all parameters, 1.4 times as fast as the default on 2 cores
        betas = turn.betas or adam_betas(model.space)
        self.optimizer = torch.optim.Adam(self.parameters, self.learning_rate, betas, fused=True)
        self.means: list[dict[str, Tensor]] = []  # by term, of each play since the last record
        self.move: Move | None = None  # the first since then

    def step(
        self,
        x: Tensor | int,
        c: Tensor | None,
        scale: float,
        clip_grad_norm: float | None,
        play: str | None = None,
    ) -> None:
        """Play the turn once: one step of its players down the sum of its terms' means.

        `x` are rows, or how many there would be, for a turn without data; `play` is the method that
        gives the terms, by default the turn's own.
        """
        means = self._gradients(x, c, play or self.turn.name)
        found = (p.grad for p in self.parameters if p.grad is not None)
        self.team.average([*found, *means.values()])
        move = None if self.means else Move.begin(self.parameters)
        if clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, clip_grad_norm, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * scale
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.remember(
                self.turn.name, {n: m for n, m in means.items() if n in self.model.noted}
            )
            self.model.after_step(self.turn.name)
            self.move = self.move if move is None else move.end(self.parameters)
        self.means.append(means)

    def rehearse(self, x: Tensor | int, c: Tensor | None, play: str) -> None:
        """Do the work of a step and move nothing, to see how long it takes."""
        self._gradients(x, c, play)
        self.optimizer.zero_grad()

    def _gradients(self, x: Tensor | int, c: Tensor | None, play: str) -> Terms:
        """Differentiate the sum of the terms' means by what moves; return the means."""
        rows = x if isinstance(x, int) else len(x)
        with self.team.draws(rows):
            terms = self.terms(x, c, play, self.dtype)
        means = {name: term.mean() for name, term in terms.items()}
        lowered = [mean for name, mean in means.items() if name not in self.model.noted]
        torch.autograd.backward(lowered, inputs=self.parameters)
        return {name: mean.detach() for name, mean in means.items()}

    def terms(
        self, x: Tensor | int, c: Tensor | None, play: str, dtype: torch.dtype = torch.float32
    ) -> Terms:
        """Return the terms of the turn, played on these rows in this precision."""
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            terms: Terms = getattr(self.model, play)(x, c)
        self._check(terms, play)
        return terms

    def _check(self, terms: Terms, play: str) -> None:
        """Raise ModelError unless the turn returned named terms with a value for each row."""
        where = f"turn {play!r} of {self.model.name!r}"
        if not isinstance(terms, dict) or not terms:
            got = "an empty dict" if isinstance(terms, dict) else type(terms).__name__
            raise ModelError(f"{where} must return a dict of named terms, got {got}")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.dim() != 1:
                got = f"{tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                raise ModelError(f"{where}: term {name!r} must have one value a row, got {got}")
            if len(term) == 0:
                raise ModelError(f"{where}: a batch must hold at least one pack (batch_size, pack)")

    def first_nonfinite(self, step: int) -> tuple[int, str] | None:
        """Return the first step since the last record whose terms are not finite, and say which."""
        values = [mean for means in self.means for mean in means.values()]
        if not values or bool(torch.stack(values).isfinite().all()):
            return None
        found = (
            [n for n, mean in means.items() if not bool(mean.isfinite())] for means in self.means
        )
        first, bad = next((i, names) for i, names in enumerate(found) if names)
        ago = round((len(self.means) - 1 - first) // self.turn.repeat / self.turn.share)
        return step - ago, f"turn {self.turn.name!r}, step {step - ago}: {', '.join(bad)}"

    def take_means(self) -> dict[str, float]:
        """Return each term's mean since the last record, and begin anew.

        A term is 0 in a play that lacks it: what comes every k-th time k times as heavy is shown
        with the weight that it has on average.
        """
        played, self.means = self.means, []
        terms = dict.fromkeys(name for means in played for name in means)
        sums = {n: torch.stack([m[n] for m in played if n in m]).double().sum() for n in terms}
        return {f"{self.turn.name}.{n}": float(total) / len(played) for n, total in sums.items()}

    def take_move(self) -> tuple[float, float] | None:
        """Return the gradient's norm in the first step since the last record, and its update.

        The norm is that before clipping, the update |change of weights| / |weights|. None where no
        step was made.
        """
        taken, self.move = self.move, None
        return None if taken is None else (float(taken.gradient), float(taken.update))

    def layer_updates(self) -> dict[str, float]:
        """Return the update of each layer alone, in the step that `take_move` will tell of.

        Not of layers whose weights are 0, nor where no step was made.
        """
        if self.move is None:
            return {}
        changes, sizes = (norms.double().square().tolist() for norms in self.move.norms)
        sums = {name: [0.0, 0.0] for name in self.layers}
        for name, *squares in zip(self.layers, changes, sizes, strict=True):
            sums[name] = [a + b for a, b in zip(sums[name], squares, strict=True)]
        return {name: math.sqrt(change / size) for name, (change, size) in sums.items() if size}

    def state(self) -> State:
        """Return the optimizer's tensors by name."""
        state = self.optimizer.state_dict()["state"]
        return {f"{i}.{key}": value for i, own in state.items() for key, value in own.items()}

    def restore(self, tensors: State) -> None:
        """Put the optimizer's tensors back."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = _laid_out(value, self.parameters[int(index)])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


@dataclass(frozen=True)
class Move:
    """How far one step moved a turn's players: on the device, so that nobody waits for it."""

    gradient: Tensor  # its norm
    before: Sequence[Tensor]  # the weights; none once the step is made
    norms: tuple[Tensor, Tensor]  # of each weight's change and of the weight, (weights,)

    @property
    def update(self) -> Tensor:
        """How far all weights moved together, of their length."""
        change, size = (norms.square().sum().sqrt() for norms in self.norms)
        return change / size

    @classmethod
    def begin(cls, parameters: Sequence[Tensor]) -> Move:
        """Look at the gradients, before they are clipped, and remember the weights."""
        gradient = _norms([p.grad for p in parameters if p.grad is not None])
        before = [p.detach().clone() for p in parameters]
        return cls(gradient.square().sum().sqrt(), before, (gradient, gradient))

    def end(self, parameters: Sequence[Tensor]) -> Move:
        """Compare the weights with those before the step."""
        changes = _norms(torch._foreach_sub([p.detach() for p in parameters], list(self.before)))
        return Move(self.gradient, (), (changes, _norms(self.before)))


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of each tensor, (tensors,)."""
    return torch.stack(list(torch._foreach_norm(list(tensors))))


def layer_of(name: str) -> str:
    """Return the layer that a module of that name is part of: what makes its weight is no layer."""
    return name.partition(".parametrizations")[0]


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a tensor in a parameter's memory format: the fused Adam reads both side by side."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
