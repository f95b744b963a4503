"""The contract that every model keeps, to be run on your own: `check_model(MyModel)`.

    def test_my_model() -> None:
        pushforward.testing.check_model(MyModel)

It trains the model for some steps on small tables, images and arrays, with and without a condition,
and raises AssertionError with a sentence for the first promise that is broken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data import Dataset, read
from pushforward.data.schema import DataKind
from pushforward.errors import ModelError
from pushforward.families.model import Model, Turn
from pushforward.models import find
from pushforward.random import isolated
from pushforward.runs.fitted import Fitted, build, load
from pushforward.sampling.blocks import one_hot
from pushforward.training.fit import fit
from pushforward.training.turn_optimizer import TurnOptimizer

KINDS: tuple[DataKind, ...] = ("table", "image", "array")
CPU = torch.device("cpu")
ROWS = 240
SAMPLES = 70


def check_model(model: str | type, kinds: Sequence[DataKind] = KINDS, **options: Any) -> None:
    """Check a model's contract.

    Each turn moves its players and nobody else, and gives one finite value a row; a run depends on
    its seed alone; samples come in the data's own form, and depend on the seed; a condition is kept
    to, and an unknown class is refused; a run that was saved and loaded gives the same samples.

    Args:
        model: your class, or where it is (`my_models.py:MyModel`).
        kinds: the kinds of data that it is for.
        **options: the model's options; small ones are quick.

    Raises:
        AssertionError: a promise is broken; the sentence says which.
        ModelError: it is not a model, or an option does not fit.

    """
    cls = find(model)
    small = {n: v for n, v in (("latent", 4), ("width", 32)) if n in cls.options()}
    for kind in kinds:
        for condition in (None, "label"):
            data = example_data(kind, condition)
            with _about(f"{cls.name} on {kind} data, condition {condition}"):
                check_turns(cls, data, small | options)
                check_run(cls, data, small | options)


@contextmanager
def _about(where: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        msg = f"{where}: {error}"
        raise AssertionError(msg) from error


def example_data(kind: DataKind, condition: str | None) -> Dataset:
    """Return a small data set of one kind, with two classes that differ."""
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % 2
    if kind == "table":
        age = [
            None if i % 17 == 0 else round(float(a), 1)
            for i, a in enumerate(rng.normal(40, 9, ROWS))
        ]
        columns = {"age": age, "children": rng.poisson(1.0, ROWS), "label": labels.astype(str)}
        return read(pl.DataFrame(columns), condition=condition)
    shape = (ROWS, 8, 9, 3) if kind == "image" else (ROWS, 3)
    x = rng.normal(size=shape) + 2 * labels.reshape(-1, *(1,) * (len(shape) - 1))
    x = (40 * x + 100).clip(0, 255).astype(np.uint8) if kind == "image" else x
    return read(x, labels=None if condition is None else labels, condition=condition)


def check_turns(cls: type[Model], data: Dataset, options: dict[str, Any]) -> None:
    """Check that each turn moves its own players alone, and gives one finite value a row."""
    model = build(cls, data.schema, options, 0, CPU)
    rows, labels = data.subset("train")
    x = data.schema.expand(rows[:12])
    c = None if labels is None else one_hot(labels[:12], model.classes, CPU)
    for turn in model.turns():
        for play in {turn.name, turn.between or turn.name}:
            _check_terms(model, turn, play, x, c)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        with isolated(CPU, 0):
            TurnOptimizer(model, turn, None).step(x if turn.data else len(x), c, 1.0, None)
        moved = {n.split(".")[0] for n, p in model.named_parameters() if not p.equal(before[n])}
        movers = {p for p in turn.players if any(True for _ in model.player(p).parameters())}
        assert moved == movers, f"turn {turn.name!r} moved {moved}, its players are {movers}"


def _check_terms(model: Model, turn: Turn, play: str, x: Tensor, c: Tensor | None) -> None:
    def terms() -> dict[str, Tensor]:
        with isolated(CPU, 1):
            played: dict[str, Tensor] = getattr(model, play)(x if turn.data else len(x), c)
        return played

    first, again = terms(), terms()
    assert first, f"turn {play!r} returns no terms"
    for name, value in first.items():
        what = f"term {name!r} of turn {play!r}"
        assert value.dim() == 1, f"{what} must give one value a row, got shape {tuple(value.shape)}"
        assert bool(value.isfinite().all()), f"{what} is not finite"
        assert value.equal(again[name]), f"{what} differs for the same random state"


def check_run(cls: type[Model], data: Dataset, options: dict[str, Any]) -> None:
    """Check a short training: its seed, its samples, its condition, and that it can be loaded."""
    run = {"budget": "4 steps", "batch_size": 32, "device": "cpu", **options}
    fitted, again = (fit(data, cls, seed=1, **run) for _ in "ab")
    states = zip(fitted.states["final"].items(), again.states["final"].values(), strict=True)
    for (name, mine), theirs in states:
        assert mine.equal(theirs), f"two runs of the same seed differ in {name}"
    assert all(p.title and p.series for p in fitted.panels), "a panel of `anatomy` shows nothing"
    check_samples(fitted, data)
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder) / "run")
        loaded = load(Path(folder) / "run", device="cpu", model=cls)
        same = _equal(fitted.sample(SAMPLES, seed=5), loaded.sample(SAMPLES, seed=5))
        assert same, "a run that was saved and loaded gives other samples"


def check_samples(fitted: Fitted, data: Dataset) -> None:
    """Check that samples are in the data's own form, follow the seed, and keep to a condition."""
    given, fake = data.raw("train"), fitted.sample(SAMPLES, seed=5)
    assert type(fake) is type(given), f"samples are {type(fake)}, the data {type(given)}"
    expected = (SAMPLES, *given.shape[1:])
    assert fake.shape == expected, f"samples have shape {fake.shape}, expected {expected}"
    assert _equal(fake, fitted.sample(SAMPLES, seed=5)), "the same seed gives other samples"
    assert not _equal(fake, fitted.sample(SAMPLES, seed=6)), "another seed gives the same samples"
    if data.schema.condition is None:
        return
    chosen = data.schema.condition.classes[1]
    rows, info = fitted.sample(SAMPLES, seed=5, condition=chosen, return_info=True)
    classes = rows["label"].to_list() if info.labels is None else info.labels
    assert classes == [chosen] * SAMPLES, f"asked for class {chosen!r}, got {set(classes)}"
    try:
        fitted.sample(3, condition="no such class")
    except ModelError:
        return
    raise AssertionError("an unknown class is not refused")


def _equal(a: Any, b: Any) -> bool:
    """Tell whether two samples are the same."""
    return a.equals(b) if isinstance(a, pl.DataFrame) else np.array_equal(a, b)
