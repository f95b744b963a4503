"""A measure, and what it is given of the samples: a view of both, training rows, the target."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pushforward.errors import MeasureError
from pushforward.measures._views import OwnView, Samples, View
from pushforward.measures.aspects import ASPECTS, OWN, Aspect
from pushforward.measures.measurement import Measurement

MeasureFunction = Callable[..., Measurement]
Apply = Callable[[Samples], Mapping[str, Measurement]]
SIGNATURE = "f(x, y, *, seed=0) -> Measurement"
RESAMPLING = ("permutations", "resamples", "splits")  # keywords; with 0 there is none
NUMBERS = ("value", "low", "high", "null", "p_value")  # of a measurement


@dataclass(frozen=True)
class Applied:
    """A measure's function, applied to one view of the samples.

    A function with the keyword `train` is given the training rows, and one with the keyword
    `target` the name of the column to predict.

    Args:
        function: (x, y, *, seed) -> Measurement.
        view: what it takes of both samples.
        suffix: of the name.
        options: further keywords.
        halved: whether the noise of the rows is told from halves of them (see `Scorer.row_noise`).
            Not where the measure's own interval covers just the real rows that it was made on.
    """

    function: MeasureFunction
    view: OwnView = "features"
    suffix: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    halved: bool = True

    def __call__(self, samples: Samples) -> dict[str, Measurement]:
        """Return the measurement by its name."""
        result = self.measure(samples)
        name = result.name + self.suffix
        extra = result.extra | samples.origin(self.view)
        return {name: replace(result, name=name, aspect=ASPECTS.get(name, ""), extra=extra)}

    def measure(self, samples: Samples) -> Measurement:
        """Call the function; MeasureError where it needs training rows and there are none."""
        real, fake = samples.real.view(self.view), samples.fake.view(self.view)
        given = {"seed": samples.seed, **self.options, **self._training_rows(samples)}
        given |= resampling_off(self.function) if samples.value_only else {}
        if "target" in self._parameters:
            given["target"] = samples.target
        return self.function(real, fake, **given)

    def _training_rows(self, samples: Samples) -> dict[str, Any]:
        parameter, train = self._parameters.get("train"), samples.train
        if parameter is None:
            return {}
        if train is not None:
            vectors = self.view in {"features", "values"}
            return {"train": (train.subset if vectors else train).view(self.view)}
        if parameter.default is inspect.Parameter.empty:
            raise MeasureError(
                f"{self.function.__name__} needs the rows that the generator was "
                "trained on (train=, or --train)"
            )
        return {}

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters


def resampling_off(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keywords that leave out what only nulls, p-values and intervals need."""
    ours = function.__module__.startswith("pushforward.")
    parameters = inspect.signature(function).parameters
    return {name: 0 for name in RESAMPLING if ours and name in parameters}


@dataclass(frozen=True)
class UserMeasure(Applied):
    """A measure of the user's own: whatever goes wrong in it becomes a MeasureError.

    Args:
        function: as for `Applied`.
        view: as for `Applied`.
        suffix: as for `Applied`.
        options: as for `Applied`.
        halved: as for `Applied`.
        name: of the measure.
        aspect: what it looks at.
    """

    name: str = ""
    aspect: Aspect = OWN

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Where the function is defined: its module and its qualified name."""
        function = self.function
        return getattr(function, "__module__", None), getattr(function, "__qualname__", None)

    def __call__(self, samples: Samples) -> dict[str, Measurement]:
        """Return the measurement by the measure's name."""
        try:
            result = self.measure(samples)
        except MeasureError:
            raise
        except Exception as error:
            raise MeasureError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        plain = replace(self._plain(result), aspect=self.aspect)
        return {self.name: replace(plain, extra=plain.extra | samples.origin(self.view))}

    def _plain(self, result: Any) -> Measurement:
        """Return a measurement of plain, finite numbers under the measure's name."""
        if not isinstance(result, Measurement):
            raise MeasureError(
                f"{self.name} must return a pushforward.measures.Measurement, and returned "
                f"{type(result).__name__}"
            )
        try:
            plain: dict[str, Any] = result.to_json() | {"name": self.name}
            plain |= {key: float(plain[key]) for key in NUMBERS if plain[key] is not None}
            json.dumps(plain | {"value": float(result.value)}, allow_nan=False)
        except (TypeError, ValueError, RuntimeError) as error:
            raise MeasureError(
                f"{self.name} must return finite numbers, and an `extra` that can be written as "
                f"JSON: {error}"
            ) from error
        return Measurement.from_json(plain)


def user_measure(
    function: Any, view: View = "features", name: str | None = None, aspect: Aspect = OWN
) -> UserMeasure:
    """Return a user's function as a measure.

    Raises:
        MeasureError: for something that cannot be called as (x, y, seed=0), and for a name that is
            not a Python identifier in lower case.
    """
    if not callable(function):
        raise MeasureError(f"a measure is a function {SIGNATURE}; given {function!r}")
    name = str(name or getattr(function, "__name__", ""))
    if not name.isidentifier() or name != name.lower():
        raise MeasureError(
            "a measure's name must be lower case, with underscores between words: define it with "
            f"def, or give name=; its name is {name!r}"
        )
    applied = UserMeasure(function, view, name=name, aspect=aspect)
    _require_signature(applied)
    return applied


def _require_signature(applied: UserMeasure) -> None:
    try:
        signature = inspect.signature(applied.function)
        known = {key: None for key in ("train", "target") if key in signature.parameters}
        signature.bind(None, None, seed=0, **known)
    except (TypeError, ValueError) as error:
        raise MeasureError(
            f"a measure is a function {SIGNATURE}; {applied.name} cannot be called so: {error}"
        ) from None
