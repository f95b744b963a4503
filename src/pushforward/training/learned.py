"""What a game's learned measure says while it is trained: of training rows, and of held-out ones.

A critic's loss has no value that could be compared between models. Its ranking has: the area under
the ROC curve, the chance that it puts a real row above a generated one, is 1/2 where it sees no
difference and 1 where it sees all. That it is larger for rows that the critic has learned from than
for others is what it has learned by heart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Model
from pushforward.measures._roc import roc_area
from pushforward.random import isolated
from pushforward.runs.folder import Json
from pushforward.training.selection import Sample

ROWS = 200  # training rows, and as many validation rows, at most
FEWEST = 2  # scores that have a spread


class Learned:
    """Asks for the verdict on the same rows with the same noise each time."""

    def __init__(self, data: Dataset, seed: int) -> None:
        self.seed = seed
        self.training = Sample(data, "train", ROWS)
        self.held_out = Sample(data, "validation", ROWS)

    def verdict(self, model: Model) -> Json:
        """Return `critic`: the areas, the standard error of their difference, both estimates.

        Empty where the model learns no measure, or its scores are not finite.
        """
        judged = [self._scores(model, rows) for rows in (self.training, self.held_out)]
        pairs = [pair for pair in judged if pair is not None and _usable(pair)]
        if len(pairs) < len(judged):
            return {}
        areas = [roc_area(fake.double().numpy(), real.double().numpy()) for real, fake in pairs]
        (seen, of_seen), (unseen, of_unseen) = areas
        found = {"training": seen, "held_out": unseen, "error": math.sqrt(of_seen + of_unseen)}
        for name, pair in zip(("training", "held_out"), pairs, strict=True):
            found[f"{name}_estimate"] = float(model.estimate(*pair))
        return {"critic": found}

    @torch.no_grad()
    def _scores(self, model: Model, rows: Sample) -> tuple[Tensor, Tensor] | None:
        """Return what the model's measure says of rows and of generated ones, on the CPU."""
        playing = model.training
        model.eval()
        with isolated(model.device, self.seed):
            scores = model.scores(*rows.batch(model))
        model.train(playing)
        return None if scores is None else (scores[0].cpu(), scores[1].cpu())


def _usable(scores: tuple[Tensor, Tensor]) -> bool:
    return all(len(own) >= FEWEST and bool(own.isfinite().all()) for own in scores)
