"""A comparison as one table: measures x models, beside the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from rich.markup import escape as escape_markup
from rich.table import Table

from pushforward.comparison.decide import Difference, interval, measure_label
from pushforward.comparison.folder import CEILING
from pushforward.measures import Measurement, Scorecard

ARROWS = {"lower": "↓", "higher": "↑", "null": "→ null"}  # where better values lie


@dataclass(frozen=True)
class TableCell:
    """A text; bold where a model is significantly better than another."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class ComparisonTable:
    """Best checkpoints on test rows: means over the seeds, with half of their 95 % intervals.

    Args:
        cards: the scorecards of each model, one a seed.
        references: the scorecards of what they are compared with, by name.
        differences: between the models.
    """

    cards: Mapping[str, Sequence[Scorecard]]
    references: Mapping[str, Scorecard]
    differences: Sequence[Difference]

    @property
    def title(self) -> str:
        """What the numbers are."""
        seeds = max(map(len, self.cards.values()))
        over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
        return f"Best checkpoints on test rows, {over}"

    @property
    def head(self) -> list[str]:
        """The names of the columns."""
        return ["measure", *self.cards, *self.references]

    def rows(self) -> list[list[TableCell]]:
        """Return one row for each measure."""
        return [self._row(name, measured) for name, measured in self.references[CEILING].items()]

    def _row(self, name: str, ceiling: Measurement) -> list[TableCell]:
        better = {d.better for d in self.differences if d.measure == name}
        measured = {model: _values(own, name) for model, own in self.cards.items()}
        return [
            TableCell(f"{measure_label(name)} {ARROWS[ceiling.better]}"),
            *(TableCell(_mean(values), model in better) for model, values in measured.items()),
            *(TableCell(_mean(_values([card], name))) for card in self.references.values()),
        ]

    def __rich__(self) -> Table:
        table = Table(title=self.title)
        for i, name in enumerate(self.head):
            table.add_column(escape_markup(name), justify="right" if i else "left")
        for row in self.rows():
            texts = [escape_markup(cell.text) for cell in row]
            pairs = zip(row, texts, strict=True)
            table.add_row(*(f"[bold]{text}[/bold]" if cell.bold else text for cell, text in pairs))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        rows = "".join(f"<tr>{''.join(map(_html, row))}</tr>" for row in self.rows())
        return (
            f"<table><caption>{escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _html(cell: TableCell) -> str:
    text = escape(cell.text)
    return f"<td><b>{text}</b></td>" if cell.bold else f"<td>{text}</td>"


def _values(cards: Sequence[Scorecard], name: str) -> list[float]:
    return [card[name].value for card in cards if name in card]


def _mean(values: Sequence[float]) -> str:
    """Return the mean with the half width of its interval; a dash where nothing was measured."""
    if not values:
        return "–"
    bounds = interval(values)
    half = "" if bounds is None else f" ± {(bounds[1] - bounds[0]) / 2:.1g}"
    return number(fmean(values)) + half


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.3g}"
