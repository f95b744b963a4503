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

    Of the joint draw, `size` times as long, a process of this `rank` gets its part. The rows are
    the first axis, if its length is a multiple of `rows`, else another one of just this length;
    what has neither is drawn for no row in particular, and is the same in all processes. torch
    marks every operation that draws, so no model has to know.
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
        draws = torch.Tag.nondeterministic_seeded in func.tags
        return self._draw(func, args, kwargs or {}) if draws else func(*args, **(kwargs or {}))

    def _draw(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
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
        if isinstance(value, Tensor):
            axis = _axis(value.shape, self.rows)
            # which keeps its memory format
            return value if axis is None else torch.cat([value] * self.size, axis)
        return self._lengthened(value) if name == "size" else value

    def _lengthened(self, shape: Sequence[int]) -> Sequence[int]:
        axis = _axis(shape, self.rows)
        if axis is None:
            return shape
        return [*shape[:axis], shape[axis] * self.size, *shape[axis + 1 :]]

    def _own(self, drawn: Tensor) -> Tensor:
        """Return this process's part of a joint draw, without the memory of the rest."""
        axis = _axis(drawn.shape, self.rows * self.size)
        return drawn if axis is None else drawn.chunk(self.size, axis)[self.rank].clone()


def _axis(shape: Sequence[int], rows: int) -> int | None:
    """Return the axis of the rows; None where there is none."""
    if shape and shape[0] > 0 and shape[0] % rows == 0:
        return 0
    return next((axis for axis, length in enumerate(shape) if length == rows), None)
