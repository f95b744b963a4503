"""What a fitted model answers about a user's rows: fill in, continue, predict, score."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.data.numeric import Floats
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.partial import PartialRows, refuse_changed
from pushforward.errors import DataError, ModelError, nearest
from pushforward.families.model import Model
from pushforward.random import Stream, derived_seed, fresh_seed, generator
from pushforward.sampling.completion import Completer, Draws
from pushforward.sampling.likelihood import CODES, log_likelihood, refuse_out_of_range
from pushforward.sampling.prediction import Predictor, Target, as_frame

How = Literal["draw", "most likely"]
PREDICTING = (16, 12.0)  # particles of a row and a value in each round, and how many are enough
VOTES = 64  # draws of a row, of which the most likely values are taken
SPARE = 16  # draws of a row, if a formula may lack a value in some: one that has it is taken
FEW = 4.0  # independent particles, below which a row's draws are doubtful


@dataclass(frozen=True)
class Answers:
    """Answers about rows of one table, by one model.

    Args:
        model: the network, with the weights that answer.
        schema: how its rows become the user's data.
        seed: what is drawn depends on it alone.
    """

    model: Model
    schema: TableSchema
    seed: int

    @classmethod
    def of(cls, model: Model, schema: Schema, seed: int | None, what: str) -> Answers:
        """Return the answers of a model of tables; ModelError for other data."""
        if not isinstance(schema, TableSchema):
            raise ModelError(f"{what} takes a model of tables, and this is one of {schema.kind}s")
        return cls(model, schema, fresh_seed() if seed is None else seed)

    def imputed(self, raw: Any, how: How) -> Any:
        """Return a user's rows with their missing cells filled in."""
        if how not in get_args(How):
            raise ModelError(f"unknown how={how!r}: {nearest(str(how), get_args(How))}")
        rows = PartialRows.of(self.schema, raw, fill=True)
        lacking = [n for n in rows.schema.column_names if n not in to_polars(raw)[0].columns]
        if lacking:
            raise DataError(
                f"the rows lack the column(s) {', '.join(map(repr, lacking))}; add them, with "
                "missing values, or continue rows by sample(given=)"
            )
        return self._completed(rows, 1 if how == "draw" else VOTES)

    def continued(self, raw: Any) -> Any:
        """Return a user's rows, each continued from its known cells by a draw."""
        return self._completed(PartialRows.of(self.schema, raw), 1)

    def probabilities(self, raw: Any, name: str, others: list[str]) -> Any:
        """Return the probabilities of a column's values, without looking at the others."""
        target = Target.of(self.schema, name)
        frame = to_polars(raw)[0].drop([name, *others], strict=False)
        rows = PartialRows.of(self.schema, frame, missing_known=True)
        completer = Completer(self.model, self.schema, self.seed, *PREDICTING)
        chances = Predictor(completer, target).probabilities(rows)
        return as_frame(self.schema, target.values, chances)

    def log_prob(self, raw: Any, codes: int = CODES, *, clip: bool = False) -> Floats:
        """Return log2 p of a user's rows (n,)."""
        rows, labels = self.schema.encode(raw), self.schema.labels(raw)
        refuse_changed(self.schema, to_polars(raw)[0])
        if not clip:
            refuse_out_of_range(self.schema, rows)
        found = log_likelihood(self.model, self.schema, rows, labels, codes=codes, seed=self.seed)
        array: Floats = found.numpy()
        return array

    def _completed(self, rows: PartialRows, draws: int) -> Any:
        """Return a user's rows, completed by a draw, or by the most likely of several."""
        source = generator(derived_seed(self.seed, Stream.SAMPLE))
        parts = list(self._drawn(rows, draws, source))
        encoded = torch.cat([own for own, _ in parts]) if parts else rows.rows
        known = [labels for _, labels in parts if labels is not None]
        labels = torch.cat(known) if known else rows.labels
        return rows.restore(encoded, labels, source)

    def _drawn(
        self, rows: PartialRows, draws: int, source: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield encoded rows (b, columns) and the codes of their classes, in parts."""
        doubtful, many = 0, max(draws, SPARE if rows.computed else 1)
        for index, found in Completer(self.model, rows.schema, self.seed).drawn(rows, many):
            _refuse_impossible(found, index)
            doubtful += int((found.effective < FEW).sum())
            cells = found.cells.flatten(0, 1).cpu()
            drawn = rows.schema.draw_in_cells(cells, source)
            drawn = rows.settled(drawn, index.repeat_interleave(many), source)
            drawn = drawn.unflatten(0, (-1, many))
            labels = None if found.labels is None else found.labels.cpu()
            if rows.computed:
                chosen = _complete_draws(rows, drawn, labels, draws)
                drawn = drawn.gather(1, chosen[:, :, None].expand(-1, -1, drawn.shape[2]))
                labels = None if labels is None else labels.gather(1, chosen)
            yield self._voted(drawn), None if labels is None else labels.mode(1).values
        if doubtful:
            warnings.warn(
                f"{doubtful} of {len(rows)} rows were chosen from fewer than {FEW:.0f} independent "
                "draws: what is known of them is rare under the model",
                stacklevel=5,
            )

    def _voted(self, drawn: Tensor) -> Tensor:
        """Return of each column the most frequent category, or the median number, (b, columns)."""
        if drawn.shape[1] == 1:
            return drawn[:, 0]
        numeric = torch.tensor([column.kind == "numeric" for column in self.schema.columns])
        return torch.where(numeric, drawn.nanmedian(1).values, drawn.mode(1).values)


def _refuse_impossible(found: Draws, index: Tensor) -> None:
    """Raise ModelError for a row of which the model never generated what is known."""
    never = (~found.log_chance.isfinite()).nonzero()
    if len(never):
        row = int(never[0])
        raise ModelError(
            f"row {int(index[row]) + 1}: in {int(found.particles[row]):,} draws the model "
            "never generated what is known of it; leave out some of its cells"
        )


def _complete_draws(rows: PartialRows, drawn: Tensor, labels: Tensor | None, draws: int) -> Tensor:
    """Return which of the draws (b, many, columns) of rows to take, (b, draws).

    Those in which no formula lacks a value, as often as it takes; of a row without any the first.
    """
    flat = None if labels is None else labels.flatten()
    is_complete = rows.are_complete(drawn.flatten(0, 1), flat).view(drawn.shape[:2])
    order = (~is_complete).int().argsort(dim=1, stable=True)
    return order.gather(1, torch.arange(draws) % is_complete.sum(1, keepdim=True).clamp_min(1))
