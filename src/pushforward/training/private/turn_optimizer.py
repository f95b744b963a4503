"""A turn's optimizer that sees rows only through clipped sums with noise."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.model import Terms
from pushforward.random import isolated
from pushforward.training.private.row_gradients import RowGradients, row_gradients
from pushforward.training.turn_optimizer import TurnOptimizer

PROBED = 8  # public rows on which a turn is tried
SAME = 1e-5  # of a term's largest value: rounding stays below


class PrivateTurnOptimizer(TurnOptimizer):
    """DP-SGD (Abadi et al. 2016): (sum of clipped gradients + noise) / expected rows of a batch.

    A turn that draws no rows is played as ever: what it makes of the other players, which are
    private already, needs no noise. What its own terms are for rows is never told.
    """

    expected = 1.0  # rows of a batch, in the mean
    noise = 0.0  # the standard deviation of each coordinate, in units of `bound`
    bound = 1.0  # of each row's gradient

    def try_on(self, x: Tensor, c: Tensor | None, secret: torch.Generator) -> None:
        """Find out how rows' gradients are taken, on public rows; noise comes from `secret`.

        ModelError for a turn that says of a row what depends on others.
        """
        self.secret = secret
        self.rows: dict[str, RowGradients] = {}
        for play in (self.turn.name, self.turn.between):
            if self.turn.data and play is not None:
                _require_rows_alone(self, x, c, play)
                self.rows[play] = row_gradients(self.model, self.turn, play, x, c)

    def _gradients(self, x: Tensor | int, c: Tensor | None, play: str) -> Terms:
        """Set the gradients; return the means of a turn without rows only."""
        if isinstance(x, int):
            return super()._gradients(x, c, play)
        rows = self.rows[play]
        if len(x) == 0:  # what no row is in has the same form, and is 0
            public = x.new_zeros((1, *x.shape[1:]))
            given = None if c is None else c.new_zeros((1, c.shape[1]))
            sums = [torch.zeros_like(own) for own in rows.sums(public, given, self.bound)]
        else:
            sums = rows.sums(x, c, self.bound)
        deviation = self.noise * self.bound
        noisy = [
            (own + deviation * torch.randn(own.shape, generator=self.secret, device=own.device))
            / self.expected
            for own in sums
        ]
        for parameter, gradient in zip(self.parameters, rows.carried(noisy), strict=True):
            parameter.grad = gradient
        return {}


@torch.no_grad()
def _require_rows_alone(optimizer: TurnOptimizer, x: Tensor, c: Tensor | None, play: str) -> None:
    """Raise ModelError unless each term of a row depends on that row alone, and is told nobody."""
    model = optimizer.model
    others = torch.cat([x[1:2], x[1:]])  # another row in the first place
    with isolated(model.device, 0):
        terms = optimizer.terms(x, c, play)
    with isolated(model.device, 0):
        changed = optimizer.terms(others, c, play)
    where = f"epsilon= cannot train {model.name!r}: turn {play!r}"
    if told := sorted(terms.keys() & set(model.noted)):
        raise ModelError(f"{where} keeps {told[0]!r}, a mean over rows, without noise")
    for name, term in terms.items():
        if len(term) != len(x):
            raise ModelError(f"{where} judges {len(x) // max(len(term), 1)} rows at once (pack)")
        far = (term[1:] - changed[name][1:]).abs().max()
        if far > SAME * term.abs().max():
            msg = f"{where} compares the rows of a batch with each other ({name!r})"
            raise ModelError(f"{msg}, so that none can be clipped by itself; choose another model")
