"""Fine digits of a table's cells: what the cell before them says of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.nn.segments import Segments
from pushforward.space import Cells

NEVER = -1e4  # the logit of a digit that a cell does not have


class WithinCells(nn.Module):
    """Numbers for the fine digits of a table's columns that depend on the cell before each digit.

    Args:
        space: whose fine digits they are.
        tables: for each of `space.fine`, (cells, digits).

    Attributes:
        columns: the positions of the columns of digits.
    """

    def __init__(self, space: Cells, tables: Sequence[Tensor]) -> None:
        super().__init__()
        segments = Segments(space.sizes)
        self.sizes = list(space.sizes)
        self.bounds = list(map(slice, segments.first.tolist(), segments.end.tolist()))
        self.columns = [fine.at for fine in space.fine]
        for column, table in zip(self.columns, tables, strict=True):
            self.register_buffer(f"table_{column}", table.float(), persistent=False)

    def table(self, column: int) -> Tensor | None:
        """Return the numbers of a column, (cells, digits); None if it holds no digits."""
        return self.get_buffer(f"table_{column}") if column in self.columns else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers of the digits of rows x, one column after another, (n, digits)."""
        with torch.autocast(x.device.type, enabled=False):
            parts = [
                x[:, self.bounds[at - 1]] @ self.get_buffer(f"table_{at}") for at in self.columns
            ]
            return torch.cat(parts, 1) if parts else x[:, :0]

    def added(self, logits: Tensor, digits: Tensor) -> Tensor:
        """Return logits (n, cells) to which those of digits (n, digits) are added."""
        if not self.columns:
            return logits
        own = digits.split([self.sizes[at] for at in self.columns], 1)
        at = dict(zip(self.columns, own, strict=True))
        parts = enumerate(logits.split(self.sizes, 1))
        return torch.cat([part + at[j] if j in at else part for j, part in parts], 1)


def fine_logits(space: Cells) -> WithinCells:
    """Return log p(digit | cell), as the values of the training rows are spread within cells."""
    shares = [torch.tensor(fine.shares, dtype=torch.float64) for fine in space.fine]
    return WithinCells(space, [share.log().clamp_min(NEVER) for share in shares])
