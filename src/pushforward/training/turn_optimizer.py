"""One turn in training: its players' optimizer, and the means of its terms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.model import Model, Terms, Turn
from pushforward.runs.fitted import State
from pushforward.space import Cells, Space


def resolve_precision(name: str, space: Space, device: torch.device) -> str:
    """Return float32 or bfloat16 for "auto", else the name itself.

    bfloat16 halves the time of a step where the processor has instructions for it. Its 8 digits
    (binary) do for logits, so for tables, and not for the place of a point.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        fast = any(bool(able.get(feature)) for feature in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if fast and isinstance(space, Cells) else "float32"


class TurnOptimizer:
    """The parameters that a turn moves, and the Adam that moves them."""

    def __init__(
        self,
        model: Model,
        turn: Turn,
        learning_rate: float | None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.turn = model, turn
        self.dtype, self.device = dtype, model.device.type
        self.play: Callable[..., Terms] = getattr(model, turn.name)
        self.parameters = [p for name in turn.players for p in model.player(name).parameters()]
        self.learning_rate = learning_rate or turn.learning_rate
        # fused: one pass over all parameters, 1.4 times as fast as the default on 2 cores
        self.optimizer = torch.optim.Adam(
            self.parameters, self.learning_rate, turn.betas, fused=True
        )
        self.names: list[str] = []
        self.means: list[Tensor] = []  # of each term, for each play since the last record

    def step(
        self, x: Tensor | int, c: Tensor | None, scale: float, clip_grad_norm: float | None
    ) -> None:
        """Play the turn once: one step of its players down the sum of its terms' means.

        `x` are rows, or how many there would be, for a turn without data.
        """
        names, means = self._gradients(x, c)
        if clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, clip_grad_norm, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * scale
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.after_step(self.turn.name)
        self.names = names
        self.means.append(torch.stack([mean.detach() for mean in means]))

    def rehearse(self, x: Tensor | int, c: Tensor | None) -> None:
        """Do the work of a step and move nothing, to see how long it takes."""
        self._gradients(x, c)
        self.optimizer.zero_grad()

    def _gradients(self, x: Tensor | int, c: Tensor | None) -> tuple[list[str], list[Tensor]]:
        """Differentiate the sum of the terms' means by what moves; return names and means."""
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            terms = self.play(x, c)
        self._check(terms)
        means = [term.mean() for term in terms.values()]
        torch.autograd.backward(means, inputs=self.parameters)
        return list(terms), means

    def _check(self, terms: Terms) -> None:
        """Raise ModelError unless the turn returned named terms with a value for each row."""
        where = f"turn {self.turn.name!r} of {self.model.name!r}"
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
        finite = torch.stack(self.means).isfinite() if self.means else torch.ones(1, 1)
        if bool(finite.all()):
            return None
        first = int((finite.all(1).logical_not()).nonzero()[0])
        ago = (len(finite) - 1 - first) // self.turn.repeat * self.turn.every
        bad = [name for name, ok in zip(self.names, finite[first].tolist(), strict=True) if not ok]
        return step - ago, f"turn {self.turn.name!r}, step {step - ago}: {', '.join(bad)}"

    def take_means(self) -> dict[str, float]:
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
            state.setdefault(int(index), {})[key] = _laid_out(value, self.parameters[int(index)])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a tensor in a parameter's memory format: the fused Adam reads both side by side."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
