"""The exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch

from pushforward.families.model import Model
from pushforward.runs.fitted import State


class MovingAverage:
    """A copy of the model in which the players that generate are moving averages.

    Buffers (statistics of a normalisation, say) are taken along as they are.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False).eval(), decay
        players = model.averaged if decay > 0 else ()
        parameters, live, copies = (
            dict(model.named_parameters()),
            _tensors(model),
            _tensors(self.model),
        )
        slow = [name for name in parameters if name.split(".")[0] in players]
        fast = [name for name in live if name not in slow]
        self.slow = [copies[n] for n in slow], [live[n] for n in slow]
        self.fast = [copies[n] for n in fast], [live[n] for n in fast]

    def follow(self, step: int) -> None:
        """Move the averages by one step; early ones are shorter, so that the start is forgotten."""
        if self.slow[0]:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(*self.slow, 1 - decay)

    def catch_up(self) -> Model:
        """Return the copy, with everything else as it is now."""
        if self.fast[0]:
            torch._foreach_copy_(*self.fast)
        return self.model

    def weights(self) -> State:
        """Return a copy of the weights."""
        return {name: t.clone() for name, t in self.catch_up().state_dict().items()}


def _tensors(model: Model) -> State:
    """Return parameters and (persistent) buffers by name, detached: a live view."""
    return {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}
