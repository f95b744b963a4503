"""The gradient of each row of a batch by itself, clipped: what a row can change is bounded.

A turn is a pure function, so `vmap` plays it on each row as if it were alone: whatever the model,
what is taken from a row is that row's.

A network of a million weights has a million numbers of gradient for each row; but a linear layer's
are the outer product of what goes in and of the slope at what comes out. So the layers' matrices
are replaced by `slots`: what each product of a row with a matrix W adds to the gradient is kept as
its two factors, their norms and clipped sums follow (Goodfellow 2015), and no row's gradient is
ever written down. W may be any function of the weights (masked, say): noise is added to the
gradient by W, which is then carried on to the weights without a further look at the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

from pushforward.errors import ModelError
from pushforward.families.model import Model, Turn
from pushforward.random import isolated

CHUNK = 32  # rows whose gradients are written down at a time
UNBOUND = 1e30  # a norm that no gradient has
AGREE = 1e-3  # of the largest number of a gradient: both ways of taking it agree to this
PRODUCTS = {torch.Tensor.matmul, torch.Tensor.__matmul__, torch.matmul, torch.mm}


class RowGradients(ABC):
    """Clipped sums of rows' gradients, of one method that a turn plays.

    Args:
        model: whose.
        turn: whose players move.
        play: the method.
    """

    def __init__(self, model: Model, turn: Turn, play: str) -> None:
        self.model, self.turn = model, turn
        self.game = _Game(model, play)
        self.movers = {
            f"model.{player}.{name}": weight
            for player in turn.players
            for name, weight in model.player(player).named_parameters()
        }

    @abstractmethod
    def sums(self, x: Tensor, c: Tensor | None, bound: float) -> list[Tensor]:
        """Return the sum of the rows' gradients by each slot, each row's of norm <= `bound`."""

    @abstractmethod
    def carried(self, sums: Sequence[Tensor]) -> list[Tensor]:
        """Return gradients by the players' parameters for those by the slots."""


class WrittenDown(RowGradients):
    """The slots are the parameters; a few rows' gradients at a time are there in full."""

    def sums(self, x: Tensor, c: Tensor | None, bound: float) -> list[Tensor]:
        """Return the clipped sums."""
        totals = [torch.zeros_like(weight) for weight in self.movers.values()]
        each = vmap(
            grad(lambda weights, row, of: functional_call(self.game, weights, (row, of))),
            (None, 0, None if c is None else 0),
            randomness="different",
        )
        weights = {name: weight.detach() for name, weight in self.movers.items()}
        for rows in torch.arange(len(x), device=x.device).split(CHUNK):
            with torch.no_grad():
                found = each(weights, x[rows], None if c is None else c[rows])
            own = [found[name] for name in self.movers]
            factor = _factors(sum_of_squares(own), bound)
            for total, gradient in zip(totals, own, strict=True):
                total.add_(torch.tensordot(factor, gradient.nan_to_num(0.0, 0.0, 0.0), 1))
        return totals

    def carried(self, sums: Sequence[Tensor]) -> list[Tensor]:
        """Return them as they are."""
        return list(sums)


@dataclass(frozen=True)
class _Matrix:
    """One matrix that rows are multiplied with, and where.

    Args:
        calls: the numbers of the products, in the order of the play.
        weight: W, with its graph; `transposed` where the product is x @ W, not x @ W^T.
        bias: what is added, or None.
    """

    calls: list[int]
    weight: Tensor
    transposed: bool
    bias: Tensor | None


class Factored(RowGradients):
    """The slots are the matrices that rows are multiplied with, and what is used otherwise."""

    def __init__(self, model: Model, turn: Turn, play: str) -> None:
        super().__init__(model, turn, play)
        self.matrices: list[_Matrix] = []
        self.direct: list[str] = []
        self.shapes: dict[int, torch.Size] = {}

    def sums(self, x: Tensor, c: Tensor | None, bound: float) -> list[Tensor]:
        """Return the clipped sums: of each matrix, of its bias, of what is used otherwise."""
        self._look(x[:1], None if c is None else c[:1])
        calls = [call for matrix in self.matrices for call in matrix.calls]

        def loss(
            taps: Sequence[Tensor], direct: Mapping[str, Tensor], row: Tensor, of: Tensor | None
        ) -> tuple[Tensor, list[Tensor]]:
            with _Tapped(dict(zip(calls, taps, strict=True))) as tapped:
                value = functional_call(self.game, dict(direct), (row, of))
            return cast(Tensor, value), [tapped.inputs[call] for call in calls]

        each = vmap(
            grad(loss, (0, 1), has_aux=True),
            (None, None, 0, None if c is None else 0),
            randomness="different",
        )
        taps = [torch.zeros(self.shapes[call], device=x.device) for call in calls]
        direct = {name: self.movers[name].detach() for name in self.direct}
        with torch.no_grad():
            (slopes, others), inputs = each(taps, direct, x, c)
        at = {call: i for i, call in enumerate(calls)}
        pairs = [
            tuple(_joined([found[at[call]] for call in matrix.calls]) for found in (inputs, slopes))
            for matrix in self.matrices
        ]
        squares = [others[name].flatten(1).square().sum(1) for name in self.direct]
        for matrix, (a, b) in zip(self.matrices, pairs, strict=True):
            squares.append(_outer_norms(a, b))
            if matrix.bias is not None:
                squares.append(b.sum(1).square().sum(1))
        factor = _factors(torch.stack(squares).sum(0), bound)
        return [*self._clipped(pairs, factor), *_weighted(others, self.direct, factor)]

    def _clipped(self, pairs: Sequence[tuple[Tensor, ...]], factor: Tensor) -> list[Tensor]:
        """Return the clipped sums of the matrices and of their biases."""
        found: list[Tensor] = []
        for matrix, (a, b) in zip(self.matrices, pairs, strict=True):
            inward, outward = (t.nan_to_num(0.0, 0.0, 0.0) for t in (a, b))
            outward = outward * factor[:, None, None]
            product = outward.flatten(0, 1).mT @ inward.flatten(0, 1)
            found.append(product.mT if matrix.transposed else product)
            if matrix.bias is not None:
                found.append(outward.sum((0, 1)))
        return found

    def carried(self, sums: Sequence[Tensor]) -> list[Tensor]:
        """Return gradients by the parameters: the matrices are functions of them."""
        slots = [
            tensor for m in self.matrices for tensor in (m.weight, m.bias) if tensor is not None
        ]
        own = list(sums[: len(slots)])
        weights = list(self.movers.values())
        found = torch.autograd.grad(slots, weights, own, allow_unused=True, retain_graph=True)
        total = {
            name: torch.zeros_like(weight) if g is None else g
            for (name, weight), g in zip(self.movers.items(), found, strict=True)
        }
        for name, gradient in zip(self.direct, sums[len(slots) :], strict=True):
            total[name] = total[name] + gradient
        return list(total.values())

    def _look(self, row: Tensor, c: Tensor | None) -> None:
        """Find the matrices and what is used otherwise, by playing one row; the weights as now."""
        with _Watched(list(self.movers.values())) as watched, isolated(row.device, 0):
            value = vmap(self.game, (0, None if c is None else 0), randomness="different")(row, c)
        self.matrices, self.shapes = watched.matrices, watched.shapes
        if value.requires_grad:
            found = torch.autograd.grad(
                value.sum(), list(self.movers.values()), allow_unused=True, retain_graph=True
            )
            used = zip(self.movers, found, strict=True)
            self.direct = [name for name, gradient in used if gradient is not None]


class _Game(nn.Module):
    """A play of a model on one row, as a module: the sum of its terms."""

    def __init__(self, model: Model, play: str) -> None:
        super().__init__()
        self.model, self.play = model, play

    def forward(self, row: Tensor, c: Tensor | None) -> Tensor:
        """Return the loss of one row."""
        terms = getattr(self.model, self.play)(row[None], None if c is None else c[None])
        return torch.stack([term.sum() for term in terms.values()]).sum()


class _Products(TorchFunctionMode):
    """Counts the products of rows with matrices in a play."""

    def __init__(self) -> None:
        super().__init__()
        self.call = -1

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        linear = func is torch.nn.functional.linear
        if not (linear or func in PRODUCTS) or kwargs:
            return func(*args, **(kwargs or {}))
        self.call += 1
        return self.product(func, linear, args[0], args[1], args[2] if len(args) > 2 else None)

    def product(
        self, func: Callable[..., Any], linear: bool, x: Tensor, w: Tensor, bias: Tensor | None
    ) -> Any:
        raise NotImplementedError


class _Watched(_Products):
    """Finds the matrices that depend on the players' weights, and that rows are multiplied with."""

    def __init__(self, movers: Sequence[Tensor]) -> None:
        super().__init__()
        self.movers = movers
        self.matrices: list[_Matrix] = []
        self.shapes: dict[int, torch.Size] = {}

    def product(
        self, func: Callable[..., Any], linear: bool, x: Tensor, w: Tensor, bias: Tensor | None
    ) -> Any:
        """Keep a matrix; what comes out depends on it no more."""
        given = [t for t in (w, bias) if t is not None]
        if not (_of_rows(x) and w.dim() == 2 and w.requires_grad and not any(map(_of_rows, given))):
            return func(*args_of(x, w, bias))
        if not self._moves(w):
            return func(*args_of(x, w, bias))
        known = next((m for m in self.matrices if m.weight is w and m.bias is bias), None)
        if known is None:
            self.matrices.append(_Matrix([self.call], w, not linear, bias))
        else:
            known.calls.append(self.call)
        y = func(*args_of(x, w.detach(), None if bias is None else bias.detach()))
        self.shapes[self.call] = y.shape
        return y

    def _moves(self, w: Tensor) -> bool:
        if w.is_leaf:
            return any(w is mover for mover in self.movers)
        found = torch.autograd.grad(w.sum(), self.movers, allow_unused=True, retain_graph=True)
        return any(gradient is not None for gradient in found)


class _Tapped(_Products):
    """Adds a tap, a zero whose slope is wanted, to what comes out of each known product."""

    def __init__(self, taps: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.taps = taps
        self.inputs: dict[int, Tensor] = {}

    def product(
        self, func: Callable[..., Any], linear: bool, x: Tensor, w: Tensor, bias: Tensor | None
    ) -> Any:
        """Keep what goes in."""
        del linear
        if self.call not in self.taps:
            return func(*args_of(x, w, bias))
        self.inputs[self.call] = x
        y = func(*args_of(x, w.detach(), None if bias is None else bias.detach()))
        return y + self.taps[self.call]


def args_of(x: Tensor, w: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
    """Return the arguments of a product."""
    return (x, w) if bias is None else (x, w, bias)


def _of_rows(x: Tensor) -> bool:
    """Whether a tensor is one of many that `vmap` plays side by side."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(x))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return (n, k, size) of tensors (n, ..., size): all vectors that a matrix is shown."""
    return torch.cat([t.flatten(1, -2) if t.dim() > 2 else t[:, None] for t in tensors], 1)


def _outer_norms(a: Tensor, b: Tensor) -> Tensor:
    """Return |sum_k b_k a_k^T|^2 (n,) of vectors (n, k, ...), which may nearly cancel."""
    if a.shape[1] > 1:
        a, b = a.double(), b.double()
    return ((a @ a.mT) * (b @ b.mT)).sum((1, 2)).to(torch.float32)


def _weighted(
    gradients: Mapping[str, Tensor], names: Sequence[str], factor: Tensor
) -> list[Tensor]:
    return [torch.tensordot(factor, gradients[n].nan_to_num(0.0, 0.0, 0.0), 1) for n in names]


def sum_of_squares(gradients: Sequence[Tensor]) -> Tensor:
    """Return the squared norm (n,) of each row's gradient, over all tensors (n, ...)."""
    return torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)


def _factors(squares: Tensor, bound: float) -> Tensor:
    """Return min(1, bound / norm) of each row; 0 where a norm is no finite number."""
    norms = squares.sqrt()
    return torch.where(norms.isfinite(), bound / norms.clamp_min(bound), 0.0)


def row_gradients(model: Model, turn: Turn, play: str, x: Tensor, c: Tensor | None) -> RowGradients:
    """Return the faster way that is right for a play, tried on public rows x and conditions c.

    Factored, unless that misses a part of the gradient (slopes of slopes, convolutions). ModelError
    for a play that vmap cannot follow.
    """
    written, factored = WrittenDown(model, turn, play), Factored(model, turn, play)
    x, c = x[:CHUNK], None if c is None else c[:CHUNK]
    try:
        with isolated(model.device, 0):
            expected = written.sums(x, c, UNBOUND)
    except RuntimeError as error:
        msg = f"epsilon= cannot play turn {play!r} of {model.name!r} row by row under vmap"
        raise ModelError(f"{msg}: {str(error).splitlines()[0]}") from error
    try:
        with isolated(model.device, 0):
            found = factored.carried(factored.sums(x, c, UNBOUND))
    except (RuntimeError, IndexError, KeyError, ValueError):
        return written
    scale = max(float(e.abs().max()) for e in expected)
    near = all(
        bool((e - f).abs().max() <= AGREE * scale) for e, f in zip(expected, found, strict=True)
    )
    return factored if near else written
