"""Options: annotated keyword arguments that are a constructor's configuration.

    beta: Annotated[float, "Weight of the rate.", at_least(0)] = 1.0

The annotation carries the type, a help text and, where there are any, the bounds of the values and
the range in which tuning looks for the best one (`log_range(0.1, 10)`, `linear_range(0, 1)`). Give
a range to an option that leaves the cost of a step as it is: all trials have the same budget.
Options feed the command line and `config.json`. This module is light: it imports no torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import index
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pushforward.errors import ModelError, nearest


@dataclass(frozen=True)
class Limits:
    """The interval of allowed values; an end that is `open` does not belong to it."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"{'below' if self.high_open else 'at most'} {self.high:g}"
        if self.high == math.inf:
            return f"above {self.low:g}" if self.low_open else f"at least {self.low:g}"
        until = f"{'below' if self.high_open else 'at most'} {self.high:g}"
        return f"{'above' if self.low_open else 'at least'} {self.low:g} and {until}"


def at_least(low: float) -> Limits:
    """Return the limits low <= value."""
    return Limits(low)


def at_most(high: float) -> Limits:
    """Return the limits value <= high."""
    return Limits(high=high)


def above(low: float) -> Limits:
    """Return the limits low < value."""
    return Limits(low, low_open=True)


def between(low: float, high: float, *, high_open: bool = False) -> Limits:
    """Return the limits low <= value <= high, or < high when that end is open."""
    return Limits(low, high, high_open=high_open)


@dataclass(frozen=True)
class Range:
    """Where tuning looks for an option's best value: evenly, or by its order of magnitude."""

    low: float
    high: float
    log: bool

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by order of magnitude' if self.log else ''}"

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at the lower end, 1 at the upper one."""
        low, high, at = (
            map(math.log, (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return (at - low) / (high - low)


def linear_range(low: float, high: float) -> Range:
    """Return a range in which each value is as likely."""
    return Range(low, high, log=False)


def log_range(low: float, high: float) -> Range:
    """Return a range, above 0, in which each order of magnitude is as likely."""
    return Range(low, high, log=True)


@dataclass(frozen=True)
class Option:
    """One keyword argument of a constructor.

    Args:
        name: its name.
        type: bool, int, float or str; another type (of a user's own) is not checked.
        default: its default.
        optional: whether None is allowed.
        help: one sentence for people.
        limits: of the allowed values of a number.
        range: where tuning looks for a number; None for an option that is not tuned.
    """

    name: str
    type: type
    default: Any
    optional: bool
    help: str
    limits: Limits = Limits()
    range: Range | None = None


KINDS: Mapping[type, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
}


@cache  # reading hints takes milliseconds, and every network asks
def options_of(function: Callable[..., Any]) -> Mapping[str, Option]:
    """Return the options among a function's keyword-only parameters, by name."""
    hints = get_type_hints(function, include_extras=True)
    named = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    untyped = next((name for name in named if name not in hints), None)
    if untyped is not None:
        msg = (
            f"option {untyped!r} of {function.__qualname__} needs a type: "
            f'{untyped}: Annotated[float, "What it is."] = {named[untyped]!r}'
        )
        raise ModelError(msg)
    return {name: read_option(name, hints[name], default) for name, default in named.items()}


def read_option(name: str, hint: Any, default: Any) -> Option:
    """Return the option that `name: Annotated[T | None, help, bounds] = default` describes."""
    base, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    choices = get_args(base)
    plain = next((t for t in choices if t is not type(None)), base)
    text = next((note for note in notes if isinstance(note, str)), "")
    limits = next((note for note in notes if isinstance(note, Limits)), Limits())
    searched = next((note for note in notes if isinstance(note, Range)), None)
    _require_inside(name, plain, limits, searched)
    return Option(name, plain, default, type(None) in choices, text, limits, searched)


def _require_inside(name: str, kind: type, limits: Limits, searched: Range | None) -> None:
    """Raise ModelError for a range that is no part of the allowed values of a number."""
    if searched is None:
        return
    fits = searched.low in limits and searched.high in limits and searched.low < searched.high
    if kind not in (int, float) or not fits or (searched.log and searched.low <= 0):
        what = (
            f"log_range{searched.low, searched.high}"
            if searched.log
            else f"evenly{searched.low, searched.high}"
        )
        msg = f"option {name!r} has the range {what}: it must be of numbers that are allowed, low"
        raise ModelError(f"{msg} before high, and above 0 for log_range")


def check_value(option: Option, value: Any) -> Any:
    """Return the value as the option's type; ModelError when it is another, or out of bounds."""
    if value is None and option.optional:
        return None
    try:
        converted = _converted(option.type, value)
    except (TypeError, ValueError, OverflowError):
        msg = f"{option.name} must be {KINDS[option.type]}, got {value!r}"
        raise ModelError(msg) from None
    number = option.type in (int, float)
    if number and not (math.isfinite(converted) and converted in option.limits):
        allowed = "" if option.limits == Limits() else f" {option.limits}"
        msg = f"{option.name} must be {KINDS[option.type]}{allowed}, got {value!r}"
        raise ModelError(msg)
    return converted


def _converted(kind: type, value: Any) -> Any:
    """Return a value as bool, int, float or str, without guessing; TypeError for another kind."""
    if kind is bool or isinstance(value, bool):
        if kind is bool and isinstance(value, bool):
            return value
        raise TypeError
    if kind is int:
        return index(value)
    if kind is float:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    if kind is str and not isinstance(value, str):
        raise TypeError
    return value


def check_options(
    owner: str, known: Mapping[str, Option], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the given values, checked; ModelError for an unknown name (the nearest is named)."""
    for name in given:
        if name not in known:
            msg = f"{owner} has no option {name!r}: {nearest(name, known)}"
            raise ModelError(msg)
    return {name: check_value(known[name], value) for name, value in given.items()}
