"""Random numbers of a batch that several processes share: each draws all, and keeps its own.

So a row gets the numbers that it would get in one process, and the random states of all processes
stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

MULTINOMIAL = torch.ops.aten.multinomial.default


class JointDraws(TorchDispatchMode):
    """Within it, whatever torch draws for each of `rows` rows is drawn for those of all processes.

    Of the joint draw, `size` times as long, a process of this `rank` gets its part. What is drawn
    for no row in particular is the same in all processes: its first axis is no multiple of `rows`.
    torch marks every operation that draws, so no model has to know.
    """

    def __init__(self, rows: int, rank: int, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.rows, self.rank, self.size = rows, rank, size

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation; one that draws, for the rows of all processes."""
        del types
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        names = [argument.name for argument in func._schema.arguments]
        joint = [self._joint(name, value) for name, value in zip(names, args, strict=False)]
        if func is MULTINOMIAL and args[0].dim() == 1:  # draws from one distribution for all rows
            joint = [args[0], *self._lengthened(args[1:2]), *args[2:]]
        drawn = func(*joint, **kwargs)
        if all(new is old for new, old in zip(joint, args, strict=True)):
            return drawn
        if func._schema.is_mutable:
            return args[0].copy_(self._own(drawn))
        return torch.utils._pytree.tree_map_only(Tensor, self._own, drawn)

    def _joint(self, name: str, value: Any) -> Any:
        """Return an argument for the rows of all processes; itself where it is not of rows."""
        if isinstance(value, Tensor) and value.dim() and self._of_rows(len(value)):
            return torch.cat([value] * self.size)  # keeps its memory format
        return self._lengthened(value) if name == "size" else value

    def _lengthened(self, shape: Sequence[int]) -> Sequence[int]:
        if not shape or not self._of_rows(shape[0]):
            return shape
        return [shape[0] * self.size, *shape[1:]]

    def _of_rows(self, length: int) -> bool:
        return length > 0 and length % self.rows == 0

    def _own(self, drawn: Tensor) -> Tensor:
        """Return this process's part of a joint draw, without the memory of the rest."""
        return drawn.chunk(self.size)[self.rank].clone()
