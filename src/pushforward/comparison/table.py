"""A comparison as one table: measures x models, beside the references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from statistics import fmean

from rich.markup import escape as escape_markup
from rich.table import Table

from pushforward.comparison.decide import MeanLoss
from pushforward.comparison.folder import CEILING
from pushforward.comparison.words import measure_label
from pushforward.measures import Scorecard
from pushforward.measures.aspects import in_order

ARROWS = {"lower": "↓", "higher": "↑", "null": "→ null"}  # where better values lie
NO_VOTE = "without a vote"


@dataclass(frozen=True)
class ComparisonTable:
    """Best checkpoints on test rows: means over the seeds with their losses, aspect by aspect.

    Args:
        cards: the scorecards of each model, one a seed.
        references: the scorecards of what they are compared with, by name.
        losses: of the models by every measure.
    """

    cards: Mapping[str, Sequence[Scorecard]]
    references: Mapping[str, Scorecard]
    losses: Sequence[MeanLoss]

    @property
    def title(self) -> str:
        """What the numbers are."""
        seeds = max(map(len, self.cards.values()))
        over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
        return (
            f"Best checkpoints on test rows, {over}; in brackets the loss: 0 is real rows, 1 the "
            "floor"
        )

    @property
    def head(self) -> list[str]:
        """The names of the columns."""
        return ["measure", *self.cards, *self.references]

    def rows(self) -> list[list[str]]:
        """Return one row for each measure, the names of the aspects between them."""
        order = in_order(map(self._aspect, self.references[CEILING]))
        names = sorted(self.references[CEILING], key=lambda name: order.index(self._aspect(name)))
        return [row for own in groupby(names, self._aspect) for row in self._group(*own)]

    def _group(self, aspect: str, names: Iterator[str]) -> Iterator[list[str]]:
        yield [aspect or NO_VOTE, *[""] * (len(self.head) - 1)]
        for name in names:
            yield self._row(name)

    def _aspect(self, name: str) -> str:
        return self.references[CEILING][name].aspect

    def _row(self, name: str) -> list[str]:
        direction = ARROWS[self.references[CEILING][name].better]
        return [
            f"  {measure_label(name)} {direction}",
            *(_mean(own, name) + self._loss(model, name) for model, own in self.cards.items()),
            *(_mean([card], name) for card in self.references.values()),
        ]

    def _loss(self, model: str, name: str) -> str:
        own = [d.mean for d in self.losses if (d.model, d.measure) == (model, name)]
        return f" ({own[0]:.2f})" if own else ""

    def __rich__(self) -> Table:
        table = Table(title=self.title)
        for i, name in enumerate(self.head):
            table.add_column(escape_markup(name), justify="right" if i else "left")
        for row in self.rows():
            table.add_row(*map(escape_markup, row), style=None if any(row[1:]) else "bold")
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        rows = "".join(f"<tr>{''.join(map(_html, row))}</tr>" for row in self.rows())
        return (
            f"<table><caption>{escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _html(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _mean(cards: Sequence[Scorecard], name: str) -> str:
    """Return the mean with three significant digits; a dash where nothing was measured."""
    values = [card[name].value for card in cards if name in card]
    return f"{fmean(values):.3g}" if values else "–"
