"""A model is a game of turns.

In a turn some players (networks) move to lower the sum of the named terms that the turn returns;
all others stand still. A VAE is one turn in which encoder and decoder move together, a GAN is two.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError
from pushforward.families.lookup import resolve
from pushforward.families.options import Option, above, at_least, check_options, options_of
from pushforward.families.panels import Panel
from pushforward.nn.priors import Prior
from pushforward.nn.refinement import Refinement
from pushforward.nn.sizes import size_of
from pushforward.nn.trunks import Networks, Trunks
from pushforward.space import Cells, Space

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor | None]  # rows x, and their conditions c
Play = TypeVar("Play", bound=Callable[..., Terms])


@dataclass(frozen=True)
class Turn:
    """Who moves, how often, with which optimizer (Adam), and in which phase of the training.

    Args:
        name: the method's name.
        players: attributes of the model that move.
        data: whether the method takes rows x; else it takes how many rows n, and draws none.
        repeat: how many times in a row, each with a fresh batch.
        every: play only every so many rounds.
        between: the method that is played in the rounds between, by the same players and with the
            same optimizer; None where the turn is then left out.
        learning_rate: Adam's learning rate at its highest.
        pace: a factor of the learning rate, also of one that the user gives.
        betas: Adam's averaging of gradient and squared gradient; None: `nn.sizes.adam_betas`.
        start: the share of the steps after which the turn is played, in [0, 1).
        end: the share of the steps until which it is played, in (start, 1].
    """

    name: str
    players: tuple[str, ...]
    data: bool = True
    repeat: int = 1
    every: int = 1
    between: str | None = None
    learning_rate: float = 1e-3
    pace: float = 1.0
    betas: tuple[float, float] | None = None
    start: float = 0.0
    end: float = 1.0

    def due(self, position: int) -> str | None:
        """Return the method that is played in a round; None where none is."""
        return self.name if position % self.every == 0 else self.between

    @property
    def share(self) -> float:
        """The share of its phase's rounds in which something is played."""
        return 1.0 if self.between else 1 / self.every


@dataclass(frozen=True)
class _Mark:
    """What `turn` writes on a method; a setting that is text names the model's attribute."""

    players: tuple[str, ...]
    between: str | None
    settings: Mapping[str, Any]


def turn(
    *players: str,
    data: bool | str = True,
    repeat: int | str = 1,
    every: int | str = 1,
    between: str | None = None,
    learning_rate: float | str = 1e-3,
    pace: float | str = 1.0,
    betas: tuple[float, float] | str | None = None,
    start: float | str = 0.0,
    end: float | str = 1.0,
) -> Callable[[Play], Play]:
    """Mark a method as a turn in which `players` move: see `Turn`.

    The method takes `(x, c)` and returns a dict of terms, each one value a row (n,). With
    `data=False` it takes `(n, c)` instead, so that no rows are drawn for it. A setting may be the
    name of the attribute that holds it: `@turn("critic", repeat="n_critic")`. `between` is the name
    of a method that takes and returns the like, unmarked.
    """
    settings: dict[str, Any] = {
        "data": data,
        "repeat": repeat,
        "every": every,
        "learning_rate": learning_rate,
        "pace": pace,
    }
    settings |= {"betas": betas, "start": start, "end": end}

    def mark(play: Play) -> Play:
        vars(play)["turn"] = _Mark(players, between, settings)
        return play

    return mark


class Model(nn.Module, ABC):
    """A map X = g(Z) that carries a prior onto the data, and the turns that train it.

    A variant inherits from the components that its paper has (`WithEncoder`, `WithDecoder`,
    `WithGenerator`, `WithCritic`, ...), and adds its turns. The annotated keyword arguments of its
    constructor are its configuration. A final class sets `name` and `place`.

    Args:
        space: the sample space of the (expanded) data.
        classes: how many classes the condition c has; 0 without a condition.
    """

    name: ClassVar[str] = ""  # the class's own name by default
    place: ClassVar[tuple[str, str]] = ("", "")  # where its measure sits, and the kind of measure
    reference: ClassVar[str] = ""
    # Players whose moving average generates: those that the class names, and all its bases'.
    averaged: ClassVar[tuple[str, ...]] = ()
    # What `settle` fits, so that no turn has to move it: named by the class and all its bases.
    settled: ClassVar[tuple[str, ...]] = ()
    # What turns return that is no term of a loss: it is recorded beside the terms, nobody lowers
    # it, and `remember` receives its means. Named by the class and all its bases.
    noted: ClassVar[tuple[str, ...]] = ()
    # What chooses its checkpoint: its loss on validation rows, where all turns lower one objective;
    # or, of a game whose measure moves, the energy distance between those rows and generated ones.
    selection: ClassVar[Literal["loss", "distance"]] = "distance"
    # Players that are its learned measure, if it has one.
    critics: ClassVar[tuple[str, ...]] = ("critic",)

    prior: Prior
    given: Mapping[str, Any] = {}  # the options that were given

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Remember the options, for people."""
        model = super().__new__(cls)
        model.__dict__["given"] = options
        return model

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not vars(cls).get("name"):
            cls.name = cls.__name__
        for names in ("averaged", "settled", "noted"):
            lineage = reversed(cls.__mro__)
            named = (player for base in lineage for player in vars(base).get(names, ()))
            setattr(cls, names, tuple(dict.fromkeys(named)))

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        size: Annotated[float, "Factor of the networks' width.", above(0)] = 1.0,
        width: Annotated[
            int | None, "Width of the networks. [by the data and the budget]", at_least(1)
        ] = None,
        depth: Annotated[
            int | None, "Residual blocks of each network. [by kind of data]", at_least(0)
        ] = None,
        networks: Annotated[
            Callable[..., Any] | str | None,
            "Your own networks: a class, or my_networks.py:MyNetworks.",
        ] = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.classes = classes
        self.refinement = Refinement() if isinstance(space, Cells) else None
        build: Any = Trunks if networks is None else resolve(networks)
        self.networks: Networks = build(
            max(1, round(size * (width or size_of(space).width))),
            size_of(space).depth if depth is None else depth,
        )

    @abstractmethod
    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return rows X = g(z) in expanded form (n, *space.shape), for codes z of the prior."""

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z): what `generate` gives, where that is no draw."""
        return self.generate(z, c)

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells (n, columns) of a table's rows g(z), of each cell so much as is allowed.

        `share` (sum of cells,), or for each row (n, sum of cells), in [0, 1] is the part of each
        cell that is allowed; None allows all.
        With the cells comes w (n,): accepted with probability w, the rows follow the model's
        distribution under the condition. Here the rows are generated as usual, and w is the part of
        them that is allowed; a model that knows its distribution over cells does better. ModelError
        for a model whose rows are no cells.
        """
        if not isinstance(self.space, Cells):
            msg = f"model {self.name!r} draws cells of tables only"
            raise ModelError(msg)
        sizes = list(self.space.sizes)
        cells = torch.stack([x.argmax(1) for x in self.generate(z, c).split(sizes, 1)], 1)
        allowed = torch.ones(sum(sizes), device=cells.device) if share is None else share
        parts = zip(allowed.double().expand(len(cells), -1).split(sizes, 1), cells.T, strict=True)
        kept = [part.gather(1, cell[:, None])[:, 0] for part, cell in parts]
        return cells, torch.stack(kept).prod(0)

    def particles(
        self, z: Tensor, c: Tensor | None, share: Tensor, log_w: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the cells of rows g(z), k for each condition on a row, one after another.

        Args:
            z: n codes.
            c: their conditions, or None.
            share: (n, sum of cells), of each row so much as is allowed: see `cells`.
            log_w: (n,) the log weights of the codes.
            k: how many codes have the same condition.

        Returns:
            Cells (n, columns), log weights (n,) and which code each row is of, (n,). The mean
            weight of k rows is an unbiased estimate of the probability of what is allowed of them.
        """
        del k  # all that is needed by a model whose columns do not hear each other
        cells, chance = self.cells(z, c, share)
        return cells, log_w + chance.log(), torch.arange(len(cells), device=cells.device)

    @property
    def rate_weight(self) -> float:
        """How often the term `rate`, if the model has one, counts the nats in a code."""
        return 1.0

    @property
    def source(self) -> Prior:
        """Where the codes of generated rows are drawn: the prior, or what `settle` fitted to codes.

        Turns draw from the prior itself.
        """
        return self.prior

    def imagine(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n generated rows: g(Z) with Z drawn from the source of codes."""
        return self.generate(self.source.sample(n, c), c)

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the loss of rows (n,): the sum of the terms of all turns that take data."""
        plays = [getattr(self, turn.name)(x, c) for turn in self.turns() if turn.data]
        terms = [terms[name] for terms in plays for name in terms if name not in self.noted]
        return torch.stack(terms).sum(0)

    def begin(self, x: Tensor, c: Tensor | None) -> None:
        """Choose where training starts, by some of the training rows; by default nothing."""

    def before_round(self, share: float) -> None:
        """Do what depends on the share of the steps that have been played; by default nothing.

        A run of so many seconds knows its steps after at most a quarter of them: until then it is
        0. Of a run that is trained on it is 1.
        """

    def after_step(self, turn: str) -> None:
        """Do what follows a step of that turn, without gradient: clip weights, say."""

    def remember(self, turn: str, noted: Mapping[str, Tensor]) -> None:
        """Take the means of what that turn has noted into buffers, without gradient.

        A turn itself changes nothing but its players: what outlives it goes this way, before
        `after_step`. Of several processes the means are over the joint batch.
        """

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fit what is fitted once after training, from batches (x, c); by default nothing.

        The batches may be gone through more than once.
        """

    def scores(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Return the values that a learned measure gives rows x, and as many that it tells apart.

        None for a model that learns no measure. The first are to be the higher ones.
        """
        del x, c
        return None

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the learned measure's estimate of its divergence, from its `scores`."""
        return real.mean() - fake.mean()

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor | None:
        """Return what the codes of rows x give back, in expanded form; None without an encoder."""
        del x, c
        return None

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the model can tell about its own measure, on held-out rows."""
        del x, c
        return []

    def turns(self) -> list[Turn]:
        """Return the turns in the order in which they are defined, base classes first."""
        return [self._turn(name, mark) for name, mark in _marks(type(self)).items()]

    def _turn(self, name: str, mark: _Mark) -> Turn:
        settings = {key: self._setting(name, key, value) for key, value in mark.settings.items()}
        made = Turn(name, mark.players, between=mark.between, **settings)
        if not 0 <= made.start < made.end <= 1:
            msg = f"turn {name!r} of {self.name!r} needs 0 <= start < end <= 1, got {made}"
            raise ModelError(msg)
        if made.between is not None and not hasattr(self, made.between):
            msg = f"turn {name!r} of {self.name!r} has no method {made.between!r}"
            raise ModelError(msg)
        return made

    def _setting(self, turn: str, key: str, value: Any) -> Any:
        """Return a turn's setting: as it is given, or what the attribute of that name holds."""
        if not isinstance(value, str):
            return value
        if not hasattr(self, value):
            msg = (
                f"turn {turn!r} of {self.name!r} takes {key} from self.{value}: set it in __init__"
            )
            raise ModelError(msg)
        return getattr(self, value)

    def movers(self, turn: str) -> tuple[str, ...]:
        """Return the players that move in the turn of that name."""
        return _marks(type(self))[turn].players

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the keyword arguments of the constructors, own first, by name."""
        known: dict[str, Option] = {}
        for base in cls.__mro__:
            if issubclass(base, Model) and "__init__" in vars(base):
                for option in options_of(vars(base)["__init__"]).values():
                    known.setdefault(option.name, option)
        return known

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options as their types; ModelError when one is unknown or does not fit."""
        return check_options(f"model {cls.name!r}", cls.options(), options)

    @classmethod
    def usual(cls, space: Space, rows: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return defaults that depend on how many rows are learned from; what is `given` wins."""
        del space, rows, given
        return {}

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.prior.device

    def player(self, name: str) -> nn.Module:
        """Return the player of that name."""
        module = getattr(self, name, None)
        if not isinstance(module, nn.Module):
            msg = f"model {self.name!r} names a player {name!r} that it does not have"
            raise ModelError(msg)
        return module

    def check_players(self) -> None:
        """Raise ModelError for a parameter that no turn moves: it would keep its random start."""
        moved = {
            id(p) for t in self.turns() for n in t.players for p in self.player(n).parameters()
        }
        named = ((n.split(".")[0], p) for n, p in self.named_parameters())
        still = {n for n, p in named if id(p) not in moved and n not in self.settled}
        if still:
            msg = (
                f"no turn of model {self.name!r} moves its {' and '.join(sorted(still))} "
                f"(built with {dict(self.given)}): name it in a turn, or choose options that "
                "leave nothing to be learned there"
            )
            raise ModelError(msg)

    def __repr__(self) -> str:
        """Say the name and the options that were given, not every weight."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.given.items())
        return f"{self.name}({options}) of {vars(self).get('space')}"


def _marks(cls: type[Model]) -> dict[str, _Mark]:
    """Return the marked methods by name, base classes first."""
    marks: dict[str, _Mark] = {}
    for base in reversed(cls.__mro__):
        for name, attribute in vars(base).items():
            if inspect.isfunction(attribute) and "turn" in vars(attribute):
                marks[name] = vars(attribute)["turn"]
    return marks
