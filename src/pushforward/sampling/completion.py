r"""Rows completed from what is known of them: draws from the model's own p(unknown | known).

With z the code of a row, c its class and x_K what is known of its cells,

    p(x_U, z, c | x_K)  is proportional to  p(c) p(z | c) prod_j p(x_j | z, c, x_<j),

j over all columns in their order. A particle draws c and z, then column after column: one that is
not known from p(x_j | ...), and one that is known multiplies its weight by the probability of the
known cell (see `nn.particles`), and by that of a known number given its cells, where these tell of
it (see `hot_decks`). The mean weight estimates p(x_K) without bias; a particle chosen in
proportion to its weight is a draw of the row, exact in the limit of many particles.

Codes are drawn from the prior at first. Where that is not enough, half of them come from the
encoder's q(z | x) at the row as it was completed before (`Guide`). Rounds of particles go on for
the rows whose particles are worth few independent ones. Each of a row's draws is
held, and gives way to one of a round with probability (weight of the round) / (weight so far).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pushforward.data import TableSchema
from pushforward.data.tables.partial import UNKNOWN, PartialRows
from pushforward.families.model import Model
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import block_size, one_hot
from pushforward.sampling.guide import guided_codes

PARTICLES = 64  # of a row in each round
ROUNDS = 64  # at most


@dataclass(frozen=True)
class Known:
    """What is known of b rows.

    Args:
        share: (b, cells) how much of each cell they may have.
        values: (b, columns) their encoded values, NaN where not known.
        labels: (b,) the codes of their classes, `UNKNOWN` for some; None without a condition.
    """

    share: Tensor
    values: Tensor
    labels: Tensor | None

    @classmethod
    def of(cls, rows: PartialRows, index: Tensor, device: torch.device) -> Known:
        """Return what is known of some of a user's rows."""
        labels = None if rows.labels is None else rows.labels[index].to(device)
        return cls(rows.share(index).to(device), rows.rows[index].to(device), labels)

    def take(self, index: Tensor) -> Known:
        """Return what is known of some of the rows."""
        labels = None if self.labels is None else self.labels[index]
        return Known(self.share[index], self.values[index], labels)

    def __len__(self) -> int:
        return len(self.share)


@dataclass(frozen=True)
class Draws:
    """Completed rows: so many draws of each of b rows.

    Args:
        cells: (b, draws, columns of the space).
        labels: (b, draws) the codes of their classes, or None.
        log_chance: (b,) the logarithm of the estimate of p(known) in nats, -inf where it is 0.
        effective: (b,) how many independent particles they were chosen from.
        particles: (b,) of how many.
    """

    cells: Tensor
    labels: Tensor | None
    log_chance: Tensor
    effective: Tensor
    particles: Tensor


@dataclass(frozen=True)
class _Round:
    """The particles of one round: of b rows, k each.

    Args:
        cells: (b, k, columns of the space).
        labels: (b, k), or None.
        log_w: (b, k) log weights.
        origin: (b, k) which of the row's particles each of them began as.
    """

    cells: Tensor
    labels: Tensor | None
    log_w: Tensor
    origin: Tensor

    def log_squares(self) -> Tensor:
        """Return the log of the sum of squares, (b,), of the weight that each beginning bears.

        Particles that began as one are not independent of each other.
        """
        top = self.log_w.max(1, keepdim=True).values.nan_to_num(neginf=0.0)
        borne = torch.zeros_like(self.log_w).scatter_add_(1, self.origin, (self.log_w - top).exp())
        return borne.square().sum(1).log() + 2 * top[:, 0]

    def choose(self, draws: int) -> Tensor:
        """Return particles (b, draws), drawn in proportion to their weights."""
        share = self.log_w.softmax(1).nan_to_num(1.0)  # of an impossible row any
        return torch.multinomial(share, draws, replacement=True)


@dataclass
class Completer:
    """Completes rows by one model.

    Args:
        model: any model of tables.
        schema: its table's.
        seed: what is drawn depends on it alone.
        particles: of a row in each round.
        enough: how many independent ones end a row's rounds.
        rounds: at most.
    """

    model: Model
    schema: TableSchema
    seed: int
    particles: int = PARTICLES
    enough: float = PARTICLES / 4
    rounds: int = ROUNDS
    frequencies: Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.schema.condition is not None:
            self.frequencies = self.schema.condition.shares().to(self.model.device)

    def blocks(self, n: int, draws: int = 1) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of each block of n rows, and which rows are in it; none of no rows."""
        size = max(1, block_size(self.schema) // max(self.particles, draws))
        yield from enumerate(torch.arange(n).split(size) if n else ())

    def drawn(self, rows: PartialRows, draws: int) -> Iterator[tuple[Tensor, Draws]]:
        """Yield the numbers (b,) of some rows and so many draws of each, until all are drawn."""
        for number, index in self.blocks(len(rows), draws):
            with isolated(self.model.device, derived_seed(self.seed, Stream.BLOCKS, number)):
                known = Known.of(rows, index, self.model.device)
                yield index, self.complete(known, draws)

    @torch.no_grad()
    def complete(self, known: Known, draws: int = 1) -> Draws:
        """Return so many draws of each row."""
        b, device = len(known), known.share.device
        total = torch.full((b,), -torch.inf, dtype=torch.float64, device=device)
        squares, spent = total.clone(), torch.zeros_like(total)
        cells = torch.zeros(b, draws, len(self.schema.space.sizes), dtype=torch.long, device=device)
        labels = None if known.labels is None else cells.new_zeros(b, draws)
        rows = torch.arange(b, device=device)
        for number in range(self.rounds):
            found = self._round(known.take(rows), cells[rows, 0] if number else None)
            own = found.log_w.logsumexp(1)
            total[rows] = torch.logaddexp(total[rows], own)
            squares[rows] = torch.logaddexp(squares[rows], found.log_squares())
            spent[rows] += self.particles
            share = (own - total[rows]).exp()[:, None]
            swap, chosen = torch.rand(len(rows), draws, device=device) < share, found.choose(draws)
            fresh = found.cells.gather(1, chosen[:, :, None].expand(-1, -1, cells.shape[2]))
            cells[rows] = torch.where(swap[:, :, None], fresh, cells[rows])
            if labels is not None and found.labels is not None:
                labels[rows] = torch.where(swap, found.labels.gather(1, chosen), labels[rows])
            effective = (2 * total - squares).exp().nan_to_num(0.0)
            rows = (effective < self.enough).nonzero()[:, 0]
            if not len(rows):
                break
        return Draws(cells, labels, total - spent.log(), effective, spent)

    def _round(self, known: Known, held: Tensor | None) -> _Round:
        """Draw k particles of each row, half of the codes near rows (b, columns) that are held."""
        k, model = self.particles, self.model
        labels, log_class = self._classes(known)
        c = None if labels is None else one_hot(labels, model.classes, model.device)
        if held is None:
            z, log_w = model.source.sample(k * len(known), c), torch.zeros_like(log_class)
        else:
            z, log_w = guided_codes(model, self.schema.expand(held), c, k)
        share = known.share.repeat_interleave(k, 0)
        cells, log_w, origin = model.particles(z, c, share, log_w + log_class, k)
        known_values = known.values.repeat_interleave(k, 0)
        log_w = log_w + self.schema.log_odds_in_cells(known_values, cells)
        labels = None if labels is None else labels[origin].view(-1, k)
        shape = (len(known), k)
        return _Round(cells.view(*shape, -1), labels, log_w.view(shape), origin.view(shape) % k)

    def _classes(self, known: Known) -> tuple[Tensor | None, Tensor]:
        """Return the classes of the particles (n,), and the log-probability of those known (n,)."""
        k = self.particles
        none = torch.zeros(k * len(known), dtype=torch.float64, device=known.share.device)
        if known.labels is None or self.frequencies is None:
            return None, none
        labels = known.labels.repeat_interleave(k)
        drawn = torch.multinomial(self.frequencies, len(labels), replacement=True)
        unknown = labels == UNKNOWN
        labels = torch.where(unknown, drawn, labels)
        return labels, torch.where(unknown, 0.0, self.frequencies[labels].log())
