r"""Where lines start: at a robust regression of each number on the columns before it.

The kernel of a line (see `relations`) is that of Student's t with `NU` degrees of freedom. The most
likely t regression (Lange, Little & Taylor 1989) is a weighted least squares again and again,

    w_r = (NU + 1) / (NU + e_r^2 / sigma^2),    sigma^2 = \sum_r w_r e_r^2 / n,

e the residuals. Training goes on from there: hundreds of steps find no better line than this, whose
features are the numbers before it, in all coordinates, and the cells of categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.nn.relations import KAPPA, LINE, OTHERS, WIDTH, Relations

NU = 2 * KAPPA - 1
ROUNDS = 6
RIDGE = 10.0  # rows that doubt each coefficient: one coordinate of a number may stand for another
MOST = 100  # features of a number: those that go best with it, and ...
ROWS_A_FEATURE = 20  # ... for each so many rows
FEWEST = 100  # rows
TELLS = 0.8  # the spread around a line, in that around none, from which on it says nothing
NARROW = 1e-3  # the widths of lines at first, at least


@dataclass(frozen=True)
class Regression:
    """y = a + features @ b + sigma e, e of Student's t with `NU` degrees of freedom.

    Args:
        a: the intercept.
        b: (f,) the coefficients.
        sigma: the scale.
    """

    a: float
    b: Tensor
    sigma: float


def t_regression(features: Tensor, y: Tensor, rounds: int = ROUNDS) -> Regression:
    """Return the regression of numbers y (n,) on features (n, f), both float64."""
    one = torch.ones_like(y)[:, None]
    x, ridge = torch.cat([one, features], 1), torch.full((features.shape[1] + 1,), RIDGE).to(y)
    ridge[0] = 0.0
    weight, beta, variance = torch.ones_like(y), x.new_zeros(x.shape[1]), 1.0
    for _ in range(rounds):
        weighted = x * weight[:, None]
        beta = torch.linalg.solve(weighted.T @ x + ridge.diag(), weighted.T @ y)
        error = (y - x @ beta).square()
        variance = max(float((weight * error).mean()), 1e-12)
        weight = (NU + 1) / (NU + error / variance)
    return Regression(float(beta[0]), beta[1:], math.sqrt(variance))


@torch.no_grad()
def start_lines(relations: Sequence[Relations], x: Tensor) -> None:
    """Let the lines of numbers start at regressions on one-hot rows x (n, cells).

    A line starts wide where a regression tells little of its number.
    """
    if not relations:
        return
    told = torch.stack([own.places(x) for own in relations])
    present = x @ relations[0].of_number.T > 0
    for j in range(told.shape[2]):
        rows = present[:, j].nonzero()[:, 0]
        if len(rows) >= FEWEST:
            _start(relations, j, told[:, rows], x[rows])


def _start(relations: Sequence[Relations], j: int, told: Tensor, x: Tensor) -> None:
    """Start the lines of a number.

    Args:
        relations: of all coordinates.
        j: which number.
        told: (coordinates, n, numbers) the numbers of rows that have it.
        x: (n, cells) these rows.
    """
    first = relations[0]
    earlier = first.before[:, j].nonzero()[:, 0]
    cells = ((first.ranked == 0) & (first.earlier[:, j] > 0)).nonzero()[:, 0]
    features = torch.cat([*told[:, :, earlier], x[:, cells]], 1)
    numbers = len(told) * len(earlier)
    for own, y in zip(relations, told[:, :, j], strict=True):
        chosen = _best(features, y, min(MOST, len(x) // ROWS_A_FEATURE))
        alone = t_regression(features[:, :0].double(), y.double())
        line = t_regression(features[:, chosen].double(), y.double())
        if line.sigma > TELLS * alone.sigma:
            continue
        b = torch.zeros_like(features[0]).index_copy(0, chosen, line.b.float())
        own.slope[:, earlier, j] = b[:numbers].view(len(told), -1) / LINE
        own.step[cells, j] = b[numbers:] / OTHERS
        own.centre[j] = line.a / OTHERS
        # the lines of all coordinates say the same: each is so much wider
        width = math.sqrt(NU * len(told)) * line.sigma
        own.width[j] = math.log(max(width, NARROW)) / WIDTH


def _best(features: Tensor, y: Tensor, most: int) -> Tensor:
    """Return which features (n, f), at most so many, are most correlated with y (n,)."""
    if features.shape[1] <= most:
        return torch.arange(features.shape[1], device=y.device)
    centred = features - features.mean(0)
    norm = centred.square().sum(0).sqrt().clamp_min(1e-9)
    best: Tensor = ((centred.T @ (y - y.mean())).abs() / norm).topk(most).indices
    return best.sort().values
