r"""Rows completed from what is known of them: draws from the model's own p(unknown | known).

With z the code of a row, c its class and x_K what is known of its cells,

    p(x_U, z, c | x_K)  is proportional to  p(c) p(z | c) prod_j p(x_j | z, c, x_<j),

j over all columns in their order. A particle draws c and z, then column after column: one that is
not known from p(x_j | ...), and one that is known multiplies its weight by the probability of the
known cell (see `nn.particles`), and by that of a known number given its cells, where these tell of
it (see `hot_decks`). The mean weight estimates p(x_K) without bias; a particle chosen in
proportion to its weight is a draw of the row, exact in the limit of many particles.

Where a known number may be that of another column, p(x_K) is a sum over the cases of the row (see
`repeat_cases`). Each case has particles of its own, and a draw is one of a case, chosen in
proportion to what is estimated of it.

Codes are drawn from the prior at first. Where that is not enough, half of them come from the
encoder's q(z | x) at the row as it was completed before (`Guide`). Rounds of particles go on for
the rows whose particles are worth few independent ones. Each of a row's draws is
held, and gives way to one of a round with probability (weight of the round) / (weight so far).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

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
    """What is known of b rows, in m cases.

    Args:
        share: (m, cells) how much of each cell they may have.
        values: (m, columns) their encoded values, NaN where not known.
        repeated: (m, columns) which of these repeat others, and may have any cells.
        labels: (m,) the codes of their classes, `UNKNOWN` for some; None without a condition.
        owner: (m,) of which of the b rows they are cases, ascending.
        log_chance: (m,) the log-chance of their numbers within their cells, by which cases differ.
    """

    share: Tensor
    values: Tensor
    repeated: Tensor
    labels: Tensor | None
    owner: Tensor
    log_chance: Tensor

    @classmethod
    def of(
        cls, rows: PartialRows, index: Tensor, device: torch.device, asked: int | None = None
    ) -> Known:
        """Return what is known of some of a user's rows, where a column is `asked` for, or none."""
        cases = rows.cases(index, asked)
        return cls(
            rows.share(index, cases).to(device),
            cases.rows.to(device),
            cases.repeated.to(device),
            None if rows.labels is None else rows.labels[index[cases.owner]].to(device),
            cases.owner.to(device),
            cases.log_chance(rows.schema).to(device),
        )

    def take(self, index: Tensor) -> Known:
        """Return what is known in some of the cases."""
        return Known(
            self.share[index],
            self.values[index],
            self.repeated[index],
            None if self.labels is None else self.labels[index],
            self.owner[index],
            self.log_chance[index],
        )

    def __len__(self) -> int:
        return len(self.share)

    @cached_property
    def first(self) -> Tensor:
        """The first case of each row, (b,)."""
        counts = self.owner.bincount()
        return counts.cumsum(0) - counts

    def by_row(self, log_x: Tensor) -> Tensor:
        """Return logarithms (m,) of cases as a row for each row (b, most cases), -inf for none."""
        place = torch.arange(len(self), device=log_x.device) - self.first[self.owner]
        table = log_x.new_full((len(self.first), int(place.max()) + 1), -torch.inf)
        table[self.owner, place] = log_x
        return table


@dataclass(frozen=True)
class Draws:
    """Completed rows: so many draws of each of b rows.

    Args:
        cells: (b, draws, columns of the space).
        labels: (b, draws) the codes of their classes, or None.
        log_chance: (b,) the logarithm of the estimate of p(known) in nats, -inf where it is 0.
        effective: (b,) how many independent particles they were chosen from.
        particles: (b,) of how many, in all cases.
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


@dataclass(frozen=True)
class _Held:
    """What the rounds so far came to, of each of m cases.

    Args:
        cells: (m, draws, columns of the space) the draws that are held.
        labels: (m, draws), or None.
        total: (m,) the log of the sum of all weights.
        squares: (m,) the log of the sum of squares, see `_Round.log_squares`.
        spent: (m,) how many particles there were.
    """

    cells: Tensor
    labels: Tensor | None
    total: Tensor
    squares: Tensor
    spent: Tensor

    @classmethod
    def none(cls, known: Known, draws: int, columns: int) -> _Held:
        """Return what no round came to."""
        m, device = len(known), known.share.device
        total = torch.full((m,), -torch.inf, dtype=torch.float64, device=device)
        cells = torch.zeros(m, draws, columns, dtype=torch.long, device=device)
        labels = None if known.labels is None else cells.new_zeros(m, draws)
        return cls(cells, labels, total, total.clone(), torch.zeros_like(total))

    def add(self, cases: Tensor, found: _Round) -> None:
        """Count a round of some cases: each draw gives way to one of it by the share of weight."""
        own, draws = found.log_w.logsumexp(1), self.cells.shape[1]
        self.total[cases] = torch.logaddexp(self.total[cases], own)
        self.squares[cases] = torch.logaddexp(self.squares[cases], found.log_squares())
        self.spent[cases] += found.log_w.shape[1]
        share = (own - self.total[cases]).exp()[:, None]
        swap = torch.rand(len(cases), draws, device=share.device) < share
        chosen = found.choose(draws)
        fresh = found.cells.gather(1, chosen[:, :, None].expand(-1, -1, self.cells.shape[2]))
        self.cells[cases] = torch.where(swap[:, :, None], fresh, self.cells[cases])
        if self.labels is not None and found.labels is not None:
            fresh = found.labels.gather(1, chosen)
            self.labels[cases] = torch.where(swap, fresh, self.labels[cases])

    def effective(self, known: Known) -> Tensor:
        """Return how many independent particles the rows (b,) have in all their cases."""
        total, squares = (known.by_row(x).logsumexp(1) for x in (self.total, self.squares))
        return (2 * total - squares).exp().nan_to_num(0.0)

    def draws(self, known: Known) -> Draws:
        """Return the draws of each row, each of one of its cases."""
        log_p = known.by_row(self.total - self.spent.log())
        case = self._cases(known, log_p)
        place = torch.arange(case.shape[1], device=case.device)
        labels = None if self.labels is None else self.labels[case, place]
        spent = torch.zeros_like(log_p[:, 0]).index_add_(0, known.owner, self.spent)
        effective = self.effective(known)
        return Draws(self.cells[case, place], labels, log_p.logsumexp(1), effective, spent)

    def _cases(self, known: Known, log_p: Tensor) -> Tensor:
        """Return of which case each draw (b, draws) is, by the logarithms of their chances."""
        draws, most = self.cells.shape[1], known.owner.bincount()[:, None] - 1
        if log_p.shape[1] == 1:
            return known.first[:, None].expand(-1, draws)
        share = log_p.softmax(1).nan_to_num(1.0)
        chosen = torch.multinomial(share, draws, replacement=True)
        return known.first[:, None] + chosen.minimum(most)


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
        yield from enumerate(torch.arange(n).split(self._at_once(draws)) if n else ())

    def _at_once(self, draws: int) -> int:
        """Return how many rows, and later how many cases of them, are looked at at once."""
        return max(1, block_size(self.schema) // max(self.particles, draws))

    def drawn(self, rows: PartialRows, draws: int) -> Iterator[tuple[Tensor, Draws]]:
        """Yield the numbers (b,) of some rows and so many draws of each, until all are drawn."""
        for number, index in self.blocks(len(rows), draws):
            with isolated(self.model.device, derived_seed(self.seed, Stream.BLOCKS, number)):
                known = Known.of(rows, index, self.model.device)
                yield index, self.complete(known, draws)

    @torch.no_grad()
    def complete(self, known: Known, draws: int = 1) -> Draws:
        """Return so many draws of each row."""
        held = _Held.none(known, draws, len(self.schema.space.sizes))
        for number in range(self.rounds):
            poor = (held.effective(known) < self.enough)[known.owner].nonzero()[:, 0]
            if not len(poor):
                break
            for cases in poor.split(self._at_once(draws)):
                near = held.cells[cases, 0] if number else None
                held.add(cases, self._round(known.take(cases), near))
        return held.draws(known)

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
        log_w = log_w + log_class + known.log_chance.repeat_interleave(k)
        cells, log_w, origin = model.particles(z, c, share, log_w, k)
        counting = known.values.masked_fill(known.repeated, torch.nan).repeat_interleave(k, 0)
        log_w = log_w + self.schema.log_odds_in_cells(counting, cells)
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
