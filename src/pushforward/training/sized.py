"""Options that are not given and follow from the data and the budget: above all a model's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from pushforward.data import Dataset
from pushforward.families.model import Model
from pushforward.nn.sizes import Means, size_of
from pushforward.space import Image
from pushforward.training.settings import Budget, Settings


def sized(
    model: type[Model],
    options: Mapping[str, Any],
    settings: Settings,
    data: Dataset,
    device: torch.device,
) -> dict[str, Any]:
    """Return a model's options, with those that the data and the budget set.

    Of images these are width, depth and latent dimension (see `pushforward.nn.sizes`), and what
    the model itself decides by the number of rows (`usual`); other kinds of data have one size,
    which is not recorded.
    """
    space = data.schema.space
    found = model.usual(space, data.sizes["train"], options)
    if isinstance(space, Image):
        found |= asdict(size_of(space, _means(settings, data, device)))
    free = [n for n in found if n in model.options() and options.get(n) is None]
    return {**options, **{name: found[name] for name in free}}


def _means(settings: Settings, data: Dataset, device: torch.device) -> Means:
    budget = Budget.parse(settings.budget)
    batch_size = settings.batch_size or size_of(data.schema.space).batch_size
    unit = {"samples": 1, "steps": batch_size}.get(budget.unit)
    return Means(
        distinct=data.sizes["train"],
        rows=None if unit is None else budget.amount * unit,
        seconds=budget.amount if unit is None else None,
        device=device.type,
    )
