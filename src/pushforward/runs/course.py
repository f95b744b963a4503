"""How a run went, as its checks saw it, and the alarms that follow: while it is trained, and after.

A learned measure has no value that a reader could judge, so each alarm sets it beside something
that has one: how it ranks rows that the critic has never seen, the gradient that reaches the other
players, the distance to validation rows. Each asks for an effect that matters, and for more than
the sampling error of what was read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from pushforward.families.model import Model
from pushforward.families.panels import Panel
from pushforward.runs.layers import dead, layer_panels, sick, sizes

Record = Mapping[str, Any]

SURE = 0.99  # share of pairs that a critic ranks rightly, from which on it tells all
VANISHED = 0.01  # of the largest gradient
BY_HEART = 0.1  # by which a critic's area on training rows exceeds that on held-out ones
FACTOR = 2.0  # between distances that matters: they are squared, so 1.4 times as far
NOISE = 3.0  # standard errors that a difference must exceed
FEWEST = 6  # checks, of which the later half is looked at for swings

RANKING = (
    "The chance that the critic scores a real row above a generated one: at 0.5 it sees no "
    "difference, at 1 it sees all. Higher on training rows than on held-out ones: it knows them."
)
ESTIMATE = (
    "In the model's own unit, and without penalties. Higher on training rows than on held-out "
    "ones: it knows them."
)
DISTANCE = "It chooses the checkpoint."
SLICED = "Along random lines, the same at each check; of the first 300 rows."
COVERAGE = (
    "The share of validation rows with a generated row as near as their fifth nearest; of the "
    "first 300. As many other real rows would cover 97 %."
)
GRADIENTS = "What reaches the players of each turn, before it is clipped; means between checks."
UPDATES = "How far one step moves the players of each turn, of the length of their weights."


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was read at each check.

    Args:
        checks: the steps at which validation rows were looked at.
        distances: the energy distance to validation rows at these steps.
        errors: its standard errors; empty for a run of an earlier version, which had none.
        training: the chance that the critic ranks a training row above a generated one; empty for a
            model without a critic, as what follows.
        held_out: that of a validation row.
        area_errors: the standard errors of the difference of the two.
        gradients: the norm of the gradient that reaches the players that are no critic, the largest
            of their turns, in units of its largest so far.
        kept: the step whose weights are kept as the best; 0 as long as none were chosen.
        sizes: the root mean square of what each layer gave before the last check.
        dead: the layers none of whose units were active there, and which stood still.
    """

    checks: tuple[int, ...] = ()
    distances: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    training: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    area_errors: tuple[float, ...] = ()
    gradients: tuple[float, ...] = ()
    kept: int = 0
    sizes: Mapping[str, float] = field(default_factory=dict)
    dead: tuple[str, ...] = ()

    @classmethod
    def of(cls, history: Sequence[Record], model: Model) -> Course:
        """Return the course of a model's run, whose records these are."""
        others = [t.name for t in model.turns() if not {*t.players} & {*model.critics}]
        checks = [r for r in history if "validation" in r]
        critics = [r["critic"] for r in checks if "critic" in r]
        layers = checks[-1].get("layers", {}) if checks else {}
        return cls(
            checks=tuple(r["step"] for r in checks),
            distances=tuple(r["validation"] for r in checks),
            errors=tuple(r.get("error", 0.0) for r in checks),
            training=tuple(own["training"] for own in critics),
            held_out=tuple(own["held_out"] for own in critics),
            area_errors=tuple(own["error"] for own in critics),
            gradients=_relative(history, others) if critics else (),
            kept=max((r["step"] for r in checks if r.get("kept")), default=0),
            sizes=sizes(layers),
            dead=dead(layers),
        )


def saturated(course: Course) -> str | None:
    """The critic tells every row, and nothing of it reaches the generator."""
    if not course.held_out or not course.gradients:
        return None
    area, gradient = course.held_out[-1], course.gradients[-1]
    if area < SURE or gradient > VANISHED:
        return None
    return (
        f"the critic ranks a held-out row above a generated one in {area:.1%} of pairs, and the "
        f"gradient that it gives the generator is {gradient:.2g} times its largest"
    )


def overfitted(course: Course) -> str | None:
    """The critic knows the training rows."""
    if not course.training:
        return None
    seen, unseen, error = course.training[-1], course.held_out[-1], course.area_errors[-1]
    if seen - unseen < max(BY_HEART, NOISE * error):
        return None
    return (
        f"the critic ranks a training row above a generated one in {seen:.0%} of pairs, a held-out "
        f"row in {unseen:.0%} (standard error of the difference: {100 * error:.1f} points)"
    )


def oscillated(course: Course) -> str | None:
    """The distance rose and fell again, late in training."""
    n = len(course.errors)
    later = range(n // 2, n) if n >= FEWEST else range(0)
    peaks = [j for j in later if _rises(course, [i for i in later if i < j], j)]
    peaks = [j for j in peaks if _rises(course, [k for k in later if k > j], j)]
    if not peaks:
        return None
    top = max(peaks, key=course.distances.__getitem__)
    before, after = (
        min(course.distances[p] for p in side) for side in (range(n // 2, top), range(top + 1, n))
    )
    return (
        f"its distance to validation rows went from {before:.3g} to {course.distances[top]:.3g} at "
        f"step {course.checks[top]:,}, and back to {after:.3g}"
    )


def _rises(course: Course, others: Iterable[int], top: int) -> bool:
    """Whether the distance at a check is far above that at one of some others."""
    return any(_worse(course, top, than=i) for i in others)


def degraded(course: Course) -> str | None:
    """The last check is much worse than the one whose weights are kept."""
    if course.kept not in course.checks or not course.errors:
        return None
    best = course.checks.index(course.kept)
    last, then = course.distances[-1], course.distances[best]
    if not _worse(course, len(course.checks) - 1, than=best):
        return None
    return (
        f"at step {course.checks[-1]:,} its distance to validation rows is {last:.3g}, and was "
        f"{then:.3g} at step {course.kept:,}, whose weights are kept and used"
    )


def unwell(course: Course) -> str | None:
    """A layer is dead, or explodes."""
    seen = sick(course.sizes, course.dead)
    return None if seen is None else f"at step {course.checks[-1]:,} {seen}"


# By the codes of the findings that a finished run's alarms become.
ALARMS: dict[str, Callable[[Course], str | None]] = {
    "PF210": saturated,
    "PF211": overfitted,
    "PF213": oscillated,
    "PF214": degraded,
    "PF215": unwell,
}


def alarms(history: Sequence[Record], model: Model) -> dict[str, dict[str, str]]:
    """Return, as a part of the newest record, what is alarming: sentences by code, if any."""
    course = Course.of(history, model)
    found = {code: seen for code, alarm in ALARMS.items() if (seen := alarm(course)) is not None}
    return {"alarms": found} if found else {}


def panels(history: Sequence[Record]) -> list[Panel]:
    """Return the pictures of a run: of a game with a critic its course, of all its layers."""
    return [*_of_the_critic(history), *layer_panels(history)]


def _of_the_critic(history: Sequence[Record]) -> list[Panel]:
    """Return the critic's ranking and estimate, measures made by hand, the players' moves."""
    checks = [r for r in history if "validation" in r]
    judged = [r for r in checks if "critic" in r]
    if not judged:
        return []
    rows = {"training": "training rows", "held_out": "held-out rows"}
    areas = {name: [r["critic"][key] for r in judged] for key, name in rows.items()}
    estimates = {
        n: [_finite(r["critic"][f"{k}_estimate"]) for r in judged] for k, n in rows.items()
    }
    at, all_ = [r["step"] for r in judged], [r["step"] for r in checks]
    return [
        _over_steps("The critic's ranking", areas, at, "area under the ROC curve", RANKING),
        _over_steps("The critic's estimate", estimates, at, "what the critic raises", ESTIMATE),
        *_by_hand(checks, all_),
        _over_steps("Gradients", _moves(history, "gradients"), all_, "norm", GRADIENTS),
        _over_steps("Updates", _moves(history, "updates"), all_, "|change| / |weights|", UPDATES),
    ]


def _by_hand(checks: Sequence[Record], steps: list[Any]) -> list[Panel]:
    """Return the measures that stand beside the critic's; a run of an earlier version has one."""
    distances: list[Any] = [_finite(r["validation"]) for r in checks]
    beside = [r.get("beside", {}) for r in checks]
    own = {
        "energy distance": (distances, DISTANCE),
        "sliced Wasserstein distance": ([b.get("sliced_w2") for b in beside], SLICED),
        "coverage": ([b.get("coverage") for b in beside], COVERAGE),
    }
    return [
        _over_steps(f"Beside it: {unit}", {"to validation rows": values}, steps, unit, note)
        for unit, (values, note) in own.items()
        if any(value is not None for value in values)
    ]


def _over_steps(
    title: str, series: Mapping[str, list[Any]], steps: list[Any], unit: str, note: str
) -> Panel:
    return Panel(title, "lines", series, steps, "step", unit, note)


def _worse(course: Course, check: int, *, than: int) -> bool:
    """Whether a distance is larger than another by a factor that matters, and beyond its error."""
    a, b = course.distances[than], course.distances[check]
    return b > FACTOR * a and b - a > NOISE * math.hypot(course.errors[than], course.errors[check])


def _relative(history: Sequence[Record], turns: Collection[str]) -> tuple[float, ...]:
    """Return the largest gradient of some turns at each check, by the largest so far."""
    found = [
        max(_means(window, "gradients", turns).values(), default=0.0)
        for window in _windows(history)
    ]
    largest = [max(found[: i + 1]) for i in range(len(found))]
    return tuple(g / top if top > 0 else 0.0 for g, top in zip(found, largest, strict=True))


def _moves(history: Sequence[Record], group: str) -> dict[str, list[float | None]]:
    """Return the gradients or updates of each turn, a mean for each check."""
    turns = dict.fromkeys(name for r in history for name in r.get(group, {}))
    means = [_means(window, group, turns) for window in _windows(history)]
    return {name: [_finite(own.get(name)) for own in means] for name in turns}


def _means(window: Sequence[Record], group: str, turns: Collection[str]) -> dict[str, float]:
    """Return the mean over records of the gradients or updates of those turns that were played."""
    values = {name: [r[group][name] for r in window if name in r.get(group, {})] for name in turns}
    return {name: fmean(own) for name, own in values.items() if own}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _windows(history: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the records of each check, with those since the check before it."""
    window: list[Record] = []
    for record in history:
        window.append(record)
        if "validation" in record:
            yield window
            window = []
