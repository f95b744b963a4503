"""Which of two models is better, by each aspect; and which of all beats every other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from pushforward.comparison.contrasts import LEVEL, Contrast, contrast
from pushforward.comparison.losses import Losses
from pushforward.measures._intervals import holm


@dataclass(frozen=True)
class Difference:
    """How two models differ by one aspect.

    Args:
        aspect: its name.
        first: a model.
        second: another model.
        mean: mean loss of the first minus that of the second, in units of floor to ceiling.
        low: lower end of the 95 % interval, over other seeds and other test rows.
        high: upper end.
        p_value: of "no difference that matters", corrected for all aspects and pairs.
        better: the better model where this is at most 5 %, else None.
        contrast: the difference with its variances.
    """

    aspect: str
    first: str
    second: str
    mean: float
    low: float
    high: float
    p_value: float
    better: str | None
    contrast: Contrast

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        plain = asdict(self)
        del plain["contrast"]
        return plain


def differences_of(losses: Mapping[str, Mapping[str, Losses]], matters: float) -> list[Difference]:
    """Compare every pair of models by every aspect."""
    pairs = [(aspect, a, b) for a, b in combinations(losses, 2) for aspect in losses[a]]
    contrasts = [contrast(losses[a][aspect], losses[b][aspect]) for aspect, a, b in pairs]
    corrected = holm([found.p_value(matters) for found in contrasts])
    return [
        _difference(*pair, found, p)
        for pair, found, p in zip(pairs, contrasts, corrected, strict=True)
    ]


def _difference(aspect: str, first: str, second: str, found: Contrast, p: float) -> Difference:
    better = (first if found.mean < 0 else second) if p <= 1 - LEVEL else None
    return Difference(aspect, first, second, found.mean, *found.interval(), p, better, found)


def between(model: str, other: str, differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences of two models."""
    return [d for d in differences if {d.first, d.second} == {model, other}]


def won(model: str, other: str, differences: Sequence[Difference]) -> list[str]:
    """Return the aspects in which a model is better than another."""
    return [d.aspect for d in between(model, other, differences) if d.better == model]


def beats(model: str, other: str, differences: Sequence[Difference]) -> bool:
    """Whether more aspects vote for a model than for the other."""
    return len(won(model, other, differences)) > len(won(other, model, differences))


def find_leader(
    models: Sequence[str], differences: Sequence[Difference], out: Collection[str] = ()
) -> str | None:
    """Return the model that beats every other of those that are not out; None without one."""
    running = [model for model in models if model not in out]
    for model in running:
        others = [other for other in running if other != model]
        if others and all(beats(model, other, differences) for other in others):
            return model
    return None
