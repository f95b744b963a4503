"""Groups of parameters that several commands have: what the data are, and how to train.

A group is a function that makes one mapping of its parameters. A command that is decorated with it
has a parameter of its name, which is that mapping; on the command line the group's own parameters
stand in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from pushforward.cli.parameters import (
    BatchSize,
    ClipGradNorm,
    Condition,
    Constraint,
    Crop,
    Ema,
    Key,
    Kind,
    LearningRate,
    Metadata,
    NoHeader,
    NoRelations,
    Override,
    Patience,
    PixelRange,
    Precision,
    Rare,
    Refine,
    Resize,
    read_overrides,
)

Group = Callable[..., dict[str, Any]]
Command = Callable[..., None]


def reading(
    condition: Condition = None,
    key: Key = None,
    constraint: Constraint = None,
    no_relations: NoRelations = False,
    rare: Rare = "draw",
    override: Override = None,
    metadata: Metadata = None,
    no_header: NoHeader = False,
    kind: Kind = None,
    pixel_range: PixelRange = None,
    resize: Resize = None,
    crop: Crop = False,
) -> dict[str, Any]:
    """Return the keyword arguments of `read`."""
    of_tables: dict[str, Any] = {
        "constraints": constraint,
        "relations": not no_relations,
        "rare": rare,
    }
    of_tables |= {"overrides": read_overrides(override) or None, "metadata": metadata}
    of_images = {"range": pixel_range, "resize": resize, "crop": crop}
    shared = {"condition": condition, "key": key, "kind": kind, "header": not no_header}
    return shared | of_tables | of_images


def training(
    batch_size: BatchSize = None,
    ema: Ema = 0.999,
    clip_grad_norm: ClipGradNorm = None,
    learning_rate: LearningRate = None,
    precision: Precision = "auto",
    patience: Patience = None,
    refine: Refine = True,
) -> dict[str, Any]:
    """Return the settings of training, but for the budget and the seed."""
    found: dict[str, Any] = {"batch_size": batch_size, "ema": ema, "clip_grad_norm": clip_grad_norm}
    found |= {"learning_rate": learning_rate, "precision": precision, "patience": patience}
    return found | {"refine": refine}


def taking(*groups: Group) -> Callable[[Command], Command]:
    """Let a command take groups of parameters, each as one mapping of the group's name."""

    def decorate(command: Command) -> Command:
        members = {group.__name__: _parameters(group) for group in groups}
        own = _parameters(command)
        flat = [each for p in own for each in members.get(p.name, [p])]

        @wraps(command)
        def run(**given: Any) -> None:
            for group in groups:
                taken = {p.name: given.pop(p.name) for p in members[group.__name__]}
                given[group.__name__] = group(**taken)
            command(**given)

        # what typer reads
        vars(run)["__signature__"] = Signature(flat)
        run.__annotations__ = {p.name: p.annotation for p in flat}
        return run

    return decorate


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return a function's parameters by keyword, their annotations evaluated."""
    found = signature(function, eval_str=True).parameters.values()
    return [p.replace(kind=Parameter.KEYWORD_ONLY) for p in found]
