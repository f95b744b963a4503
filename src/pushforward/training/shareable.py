"""Whether several processes can share a model's turns: what a turn says of a row is that row's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.model import Model, Terms
from pushforward.random import isolated
from pushforward.training.joint_draws import JointDraws

if TYPE_CHECKING:
    from pushforward.training.loop import Loop
    from pushforward.training.turn_optimizer import TurnOptimizer

TOLERANCE = 1e-5  # of a term's largest value: rounding stays below
FLIPPED = 0.02  # share of the rows whose draw of a category may flip by rounding
Played = tuple[Terms, dict[str, Tensor]]  # the terms, and the model's buffers afterwards


def require_shareable(loop: Loop) -> None:
    """Raise ModelError where a turn, played on a part of a batch, is not that part of the turn.

    So it is with statistics of a batch (batch normalisation), distances between its rows, packs
    that a shard cuts. Each turn is played once on a shard and once on a part of it; the loop, its
    model and all random states are afterwards as they were.
    """
    drawn = loop.batches.drawn
    for optimizer in loop.optimizers:
        with isolated(loop.device, loop.settings.seed):
            x, c = loop.batch(optimizer.turn)
        for play in (optimizer.turn.name, optimizer.turn.between):
            if play is not None and loop.batches.own > 1:
                _require(optimizer, x, c, play)
    loop.batches.drawn = drawn


def _require(optimizer: TurnOptimizer, x: Tensor | int, c: Tensor | None, play: str) -> None:
    rows = x if isinstance(x, int) else len(x)
    parts = next(k for k in range(2, rows + 1) if rows % k == 0)
    whole = _play(optimizer, x, c, play, parts=1)
    own = rows // parts
    shard = own if isinstance(x, int) else x[:own]
    part = _play(optimizer, shard, None if c is None else c[:own], play, parts)
    reason = next(_differences(rows, whole, part), "")
    if reason:
        msg = f"turn {play!r} of {optimizer.model.name!r} cannot be shared by several processes"
        raise ModelError(f"{msg}: {reason}; train it in one (without torchrun)")


def _differences(rows: int, whole: Played, part: Played) -> Iterator[str]:
    """Yield what a part of the rows says otherwise than all of them, in single precision."""
    for name, term in part[0].items():
        joint = whole[0][name]
        if rows % len(joint):
            yield f"{rows} rows a process are no multiple of the rows of a pack"
        far = (joint[: len(term)] - term).abs() > TOLERANCE * joint.abs().max()
        if float(far.float().mean()) > FLIPPED:
            yield (
                f"what {name!r} is for a row depends on other rows of the batch (batch "
                "normalisation, a distance between samples)"
            )
    for name, buffer in part[1].items():
        if not torch.allclose(buffer, whole[1][name], rtol=TOLERANCE, atol=TOLERANCE):
            yield f"the rows of a batch change the buffer {name!r}"


@torch.no_grad()
def _play(
    optimizer: TurnOptimizer, x: Tensor | int, c: Tensor | None, play: str, parts: int
) -> Played:
    """Play a turn on the first of so many parts of a batch; the model is afterwards as it was."""
    model = optimizer.model
    rows = x if isinstance(x, int) else len(x)
    before = _buffers(model)
    with isolated(model.device, 0), JointDraws(rows, 0, parts):
        terms = optimizer.terms(x, c, play)
    after = _buffers(model)
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    return terms, after


def _buffers(model: Model) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}
