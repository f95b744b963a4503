"""A model is a game of turns.

In a turn some players (networks) move to lower the sum of the named terms that the turn returns;
all others stand still. A VAE is one turn in which encoder and decoder move together, a GAN is two.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError, nearest
from pushforward.nn import latent_size, trunk_size
from pushforward.nn.priors import prior as make_prior
from pushforward.space import Cells, Space

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor | None]  # rows x, and their conditions c
PlayFunction = TypeVar("PlayFunction", bound=Callable[..., Terms])


@dataclass(frozen=True)
class Turn:
    """Who moves, how often, and with which optimizer (Adam).

    Args:
        name: the method's name.
        players: attributes of the model that move.
        repeat: how many times in a row, each with a fresh batch.
        every: play only every so many rounds.
        rate: Adam's learning rate at its highest.
        betas: Adam's averaging of gradient and squared gradient.
    """

    name: str
    players: tuple[str, ...]
    repeat: int = 1
    every: int = 1
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


def turn(
    *players: str,
    repeat: int = 1,
    every: int = 1,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Callable[[PlayFunction], PlayFunction]:
    """Mark a method `(self, x, c) -> dict of terms (n,)` as a turn in which `players` move."""

    def mark(play: PlayFunction) -> PlayFunction:
        name = getattr(play, "__name__", "turn")
        vars(play)["turn"] = Turn(name, players, repeat, every, rate, betas)
        return play

    return mark


@dataclass(frozen=True)
class Panel:
    """One thing that a model can tell about its own measure, ready to be drawn.

    Args:
        title: what is shown.
        kind: `"bars"` and `"lines"` draw `series` over `x`; `"histogram"` bins each series; a
            `"table"` has the series as columns.
        series: named lists of numbers (in a table also text).
        x: positions or names, shared by all series; not used by a histogram.
        x_title: the axis below, with its unit.
        y_title: the axis at the left, with its unit.
        note: one or two sentences that say how to read it.
    """

    title: str
    kind: Literal["bars", "lines", "histogram", "table"]
    series: Mapping[str, list[Any]]
    x: list[Any] = field(default_factory=list)
    x_title: str = ""
    y_title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Option:
    """One keyword argument of a model's constructor: its configuration."""

    name: str
    type: type
    default: Any
    optional: bool
    help: str


class Model(nn.Module, ABC):
    """A map X = g(Z) that carries a prior onto the data, and the turns that train it.

    Its annotated keyword arguments are its configuration. A final class sets `name` and `place`.

    Args:
        space: the sample space of the (expanded) data.
        classes: how many classes the condition c has; 0 without a condition.
    """

    name: ClassVar[str] = ""
    place: ClassVar[tuple[str, str]]  # where its measure sits, and the kind of measure
    reference: ClassVar[str] = ""
    averaged: ClassVar[tuple[str, ...]] = ()  # players whose moving average generates

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        latent: Annotated[int | None, "dimension of z; by kind of data"] = None,
        prior: Annotated[str, "p(z): normal, uniform or mixture"] = "normal",
        width: Annotated[int | None, "width of the trunks; by kind of data"] = None,
        depth: Annotated[int | None, "residual blocks of the trunks; by kind of data"] = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.classes = classes
        self.prior = make_prior(prior, latent_size(space) if latent is None else latent)
        self.size = trunk_size(space, width, depth)  # of every trunk: width and residual blocks

    @abstractmethod
    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return rows X = g(z) in expanded form (n, *space.shape), for codes z (n, latent)."""

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z): what `generate` gives, where that is no draw."""
        return self.generate(z, c)

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells (n, columns) of a table's rows g(z), of each cell so much as is allowed.

        `share` (sum of cells,) in [0, 1] is the part of each cell that is allowed; None allows all.
        With the cells comes w (n,): accepted with probability w, the rows follow the model's
        distribution under the condition. Here the rows are generated as usual, and w is the part of
        them that is allowed; a model that knows its distribution over cells does better. ModelError
        for a model whose rows are no cells.
        """
        if not isinstance(self.space, Cells):
            msg = f"model {self.name!r} draws no cells here: only those of tables do"
            raise ModelError(msg)
        sizes = list(self.space.sizes)
        cells = torch.stack([x.argmax(1) for x in self.generate(z, c).split(sizes, 1)], 1)
        allowed = torch.ones(sum(sizes), device=cells.device) if share is None else share
        parts = zip(allowed.double().split(sizes), cells.T, strict=True)
        return cells, torch.stack([part[cell] for part, cell in parts]).prod(0)

    def imagine(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n generated rows: g(Z) with Z drawn from the prior."""
        return self.generate(self.prior.sample(n), c)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fit what is fitted once after training, from batches (x, c); by default nothing."""

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the model can tell about its own measure, on held-out rows."""
        del x, c
        return []

    @classmethod
    def turns(cls) -> list[Turn]:
        """Return the turns in the order in which they are defined, base classes first."""
        found: dict[str, Turn] = {}
        for base in reversed(cls.__mro__):
            marked = {n: vars(f)["turn"] for n, f in vars(base).items() if _is_turn(f)}
            found.update(marked)
        return list(found.values())

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the keyword arguments of the constructors, own first, by name."""
        found: dict[str, Option] = {}
        for base in cls.__mro__:
            if issubclass(base, Model) and "__init__" in vars(base):
                for option in _keywords(base):
                    found.setdefault(option.name, option)
        return found

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise ModelError for an option that the model does not have, and name the nearest."""
        known = cls.options()
        for name in options:
            if name not in known:
                msg = f"model {cls.name!r} has no option {name!r}: {nearest(name, known)}"
                raise ModelError(msg)

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.prior.device

    def player(self, name: str) -> nn.Module:
        """Return the player of that name."""
        found = getattr(self, name, None)
        if not isinstance(found, nn.Module):
            msg = f"model {self.name!r} names a player {name!r} that it does not have"
            raise ModelError(msg)
        return found


def _is_turn(attribute: object) -> bool:
    return inspect.isfunction(attribute) and isinstance(vars(attribute).get("turn"), Turn)


def _keywords(cls: type[Model]) -> list[Option]:
    """Read the annotated keyword-only parameters of one class's own constructor."""
    constructor = vars(cls)["__init__"]
    hints = get_type_hints(constructor, include_extras=True)
    return [
        _option(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def _option(name: str, hint: Any, default: Any) -> Option:
    """Return an option for `name: Annotated[T | None, help] = default`."""
    base, text = get_args(hint) if get_origin(hint) is Annotated else (hint, "")
    choices = get_args(base)
    plain = next((t for t in choices if t is not type(None)), base)
    return Option(name, plain, default, type(None) in choices, text)
