"""How to train, whatever the model: the budget, the seed, the batch."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, Literal

from pushforward.errors import ModelError, nearest
from pushforward.families.options import Option, above, at_least, between, check_value

if TYPE_CHECKING:
    from pushforward.families.model import Model

Unit = Literal["seconds", "steps", "samples"]
Change = tuple[int, int]  # a position, and the steps that a stage has from there on
UNITS: dict[str, tuple[float, Unit]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, "seconds")),
    **dict.fromkeys(("m", "min", "minute", "minutes"), (60.0, "seconds")),
    **dict.fromkeys(("h", "hour", "hours"), (3600.0, "seconds")),
    **dict.fromkeys(("", "step", "steps"), (1.0, "steps")),
    **dict.fromkeys(("sample", "samples"), (1.0, "samples")),
}
PRECISIONS = ("auto", "float32", "bfloat16")
FEWEST_TRIALS = 2  # the first has the defaults


@dataclass(frozen=True)
class Budget:
    """How long to train.

    Args:
        amount: how many units.
        unit: seconds, of the whole run: checks, saves and what follows the last step counted in;
            steps, that is rounds of turns; or samples, rows of the data as the model as a whole
            sees them. In a round these are what the turn that draws most draws: rows that several
            turns look at are charged once, as in "thousands of images" of the literature.
        changes: of a budget in steps, from which position on it has fewer, as a run recorded that
            was shortened.
    """

    amount: float
    unit: Unit
    changes: tuple[Change, ...] = ()

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """Read "60s", "2m", "1h", "500 steps", "1e6 samples"; a bare number counts steps.

        "500 steps, 300 from 120" repeats a run whose 500 steps became 300 after step 120.
        """
        first, *rest = str(text).lower().split(",")
        match = re.fullmatch(r"\s*(\d*\.?\d+(?:e\+?\d+)?)\s*([a-z]*)\s*", first)
        changes = [re.fullmatch(r"\s*(\d+)\s+from\s+(\d+)\s*", part) for part in rest]
        if match is not None and match[2] in UNITS and None not in changes:
            factor, unit = UNITS[match[2]]
            budget = cls(
                float(match[1]) * factor,
                unit,
                tuple((int(change[2]), int(change[1])) for change in changes if change),
            )
            if budget.possible:
                return budget
        msg = f"budget {text!r}: expected for example '60s', '2m', '500 steps' or '1e6 samples'"
        raise ModelError(msg)

    @property
    def possible(self) -> bool:
        """Whether it is positive and finite, and each change shortens what is left, or ends it."""
        if not 0 < self.amount < math.inf or (self.changes and self.unit != "steps"):
            return False
        lengths = [math.ceil(self.amount), *(steps for _, steps in self.changes)]
        at = [position for position, _ in self.changes]
        return at == sorted(set(at)) and all(
            position <= steps < before
            for before, (position, steps) in zip(lengths, self.changes, strict=False)
        )


@dataclass(frozen=True)
class Settings:
    """How to train, whatever the model.

    Args:
        budget: see `Budget.parse`.
        seed: of initial weights, batches and noise.
        batch_size: rows in a batch; by kind of data when None.
        ema: decay of the moving average of the players that generate; 0 for none.
        clip_grad_norm: largest norm of a turn's gradient, or None.
        learning_rate: of every turn; when None each turn's own, for images times 96 / width, or
            320 / width where all turns lower one loss, and on tables then times
            sqrt(rows / 5,000), at least 1 and at most 3.
        precision: what networks compute in while they are trained: float32, bfloat16, or auto,
            which takes bfloat16 for tables (whose networks give logits), and for images where
            the library's own networks have at least 64 channels, on machines that are faster at it.
        patience: the run ends after so many checks in a row whose weights were worse than those
            that are kept (see `Reading.as_good_as`); None for never.
        refine: on tables, let a classifier of training and generated rows choose among the latter
            (see `nn.refinement`), where it finds enough to choose by.
    """

    budget: str | int = "60s"
    seed: int = 0
    batch_size: int | None = None
    ema: float = 0.999
    clip_grad_norm: float | None = None
    learning_rate: float | None = None
    precision: str = "auto"
    patience: int | None = None
    refine: bool = True

    def __post_init__(self) -> None:
        Budget.parse(self.budget)
        for option in OPTIONS:
            object.__setattr__(self, option.name, check_value(option, getattr(self, option.name)))
        if self.precision not in PRECISIONS:
            msg = f"unknown precision {self.precision!r}: {nearest(self.precision, PRECISIONS)}"
            raise ModelError(msg)


OPTIONS = (
    Option("seed", int, 0, False, "", between(0, 2**63 - 1)),
    Option("batch_size", int, None, True, "", at_least(2)),
    Option("ema", float, 0.999, False, "", between(0, 1, high_open=True)),
    Option("clip_grad_norm", float, None, True, "", above(0)),
    Option("learning_rate", float, None, True, "", above(0)),
    Option("precision", str, "auto", False, ""),
    Option("patience", int, None, True, "", at_least(1)),
    Option("refine", bool, True, False, ""),
)


def require_function(name: str, value: Any) -> None:
    """Raise ModelError for a value that is neither None nor can be called."""
    if value is not None and not callable(value):
        raise ModelError(
            f"{name} must be a function that is called with each record, got {value!r}"
        )


def require_trials(trials: int | None) -> None:
    """Raise ModelError for a number of trials that is too small, or without Optuna."""
    try:
        enough = trials is None or index(trials) >= FEWEST_TRIALS
    except TypeError:
        enough = False
    if not enough:
        msg = f"trials must be a whole number at least {FEWEST_TRIALS} (the first has the defaults)"
        raise ModelError(f"{msg}, got {trials!r}")
    if trials is not None and importlib.util.find_spec("optuna") is None:
        raise ModelError("trials need Optuna: pip install 'pushforward[tune]'")


def split_keywords(
    keywords: Mapping[str, Any], models: Iterable[type[Model]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and the models' options among keywords.

    ModelError for a model one of whose options has the name of a setting: neither may hide the
    other.
    """
    settings = Settings.__dataclass_fields__
    for model in models:
        both = sorted(settings.keys() & model.options())
        if both:
            msg = (
                f"model {model.name!r} has an option {both[0]!r}, which training has too: rename it"
            )
            raise ModelError(msg)
    own = {name: value for name, value in keywords.items() if name in settings}
    return own, {name: value for name, value in keywords.items() if name not in settings}
