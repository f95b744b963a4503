"""The only loop: it plays a model's turns until the budget is spent, and knows no model by name.

A run depends on its seed alone. The loop owns the random state, derives each batch from (seed,
position), and turns a budget in seconds into steps early on; so an interrupted run goes on to the
very weights that it would have had. A run that is trained on gets another stage: the learning rate
rises and falls again, from the weights and the optimizers' state that were kept.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.errors import DivergedError, RunError
from pushforward.families.model import Model, Turn
from pushforward.families.panels import Panel
from pushforward.files import read_tensors, write_json, write_tensors
from pushforward.random import isolated
from pushforward.runs.fitted import Fitted, State, weights_text
from pushforward.runs.folder import Checkpoint, Folder, Json, steps_of
from pushforward.sampling.blocks import one_hot
from pushforward.space import Image, Vector
from pushforward.training.batches import Batches
from pushforward.training.memory import PeakMemory
from pushforward.training.moving_average import MovingAverage
from pushforward.training.selection import Validation
from pushforward.training.settings import Budget, Settings
from pushforward.training.turn_optimizer import TurnOptimizer, resolve_precision

WARM_UP = 50  # steps over which the learning rate rises
CHECKS = 10  # times that validation rows are looked at
SAVES = 20  # times that the state is written
RECORDS = 200  # entries of the history
ANATOMY_ROWS = 1000  # held-out rows that a model looks at to tell about its measure
CALIBRATION = 0.1  # share of a budget in seconds after which its steps are fixed
FEWEST_LAPS = 8  # steps that must have been timed by then

Progress = Callable[[Mapping[str, Any]], None]


def default_batch_size(data: Dataset) -> int:
    """Return the rows of a batch for a kind of data."""
    return {Image: 128, Vector: 256}.get(type(data.schema.space), 512)


def schedule(step: int, total: int | None) -> float:
    """Return the learning rate's factor: a short rise, level, then falling from half-way to 0.

    Before half-way it does not depend on the total, so it can start before that is known.
    """
    rise = min(1.0, (step + 1) / WARM_UP)
    return rise if total is None else min(rise, 2 * (1 - step / total))


def due(step: int, total: int, times: int) -> bool:
    """Whether something done `times` times, evenly and at the end, is due after this step."""
    return step == total or step % math.ceil(total / times) == 0


def phase(turn: Turn, length: int | None) -> tuple[int, int | None]:
    """Return the steps of a stage (of so many) at which a turn's phase begins and ends.

    Until the length is known, only what is played from the start on is played.
    """
    if length is None:
        return (0 if turn.start == 0 else 2**62), None
    return round(turn.start * length), round(turn.end * length)


class Loop:
    """Plays one model's game on one data set, from its start or from a saved state."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: Settings,
        folder: Folder | None,
        config: Json,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.folder, self.config, self.progress = folder, config, progress
        self.device = model.device
        batch_size = settings.batch_size or default_batch_size(data)
        self.batches = Batches(data, batch_size, settings.seed, self.device, model.classes)
        config["precision"] = config["precision"] or resolve_precision(
            settings.precision, model.space, self.device
        )
        dtype: torch.dtype = getattr(torch, config["precision"])
        self.optimizers = [
            TurnOptimizer(model, turn, settings.learning_rate, dtype) for turn in model.turns()
        ]
        self.average = MovingAverage(model, settings.ema)
        self.stage = config["schedule"][-1]
        self.budget = Budget.parse(self.stage["budget"])
        self.first = steps_of(config) - (self.stage["steps"] or 0)  # of this stage
        self.step, self.length = 0, self._known_length()
        self.best_value, self.best = math.inf, self.average.weights()
        self.history: list[Json] = []
        self.validation = Validation(data, settings.seed)
        self.memory = PeakMemory(self.device)
        self.before, self.started = 0.0, time.perf_counter()
        self.laps: list[float] = []

    def run(self) -> Fitted:
        """Play until the budget is spent; return the fitted model."""
        with isolated(self.device, self.settings.seed):
            self._resume()
            while self.total is None or self.step < self.total:
                self.round()
                self._log()
            return self._finish()

    def round(self) -> None:
        """Play every turn that is due, in order, then move the averages."""
        position = self.step - self.first
        for optimizer in self.optimizers:
            turn = optimizer.turn
            begin, end = phase(turn, self.length)
            if begin <= position < (end or 2**62) and position % turn.every == 0:
                scale = schedule(position - begin, None if end is None else end - begin)
                for _ in range(turn.repeat):
                    optimizer.step(*self._batch(turn), scale, self.settings.clip_grad_norm)
        self.step += 1
        self.average.follow(self.step)

    def _batch(self, turn: Turn) -> tuple[Tensor | int, Tensor | None]:
        """Return the next rows and their conditions; for a turn without data, how many of them."""
        return self.batches() if turn.data else (self.batches.size, self.batches.conditions())

    @property
    def total(self) -> int | None:
        """The step at which the run ends, once it is fixed."""
        return None if self.length is None else self.first + self.length

    def seconds(self) -> float:
        """Return the seconds spent so far, those before an interruption counted in."""
        return self.before + time.perf_counter() - self.started

    # The budget.

    def _known_length(self) -> int | None:
        """Return this stage's number of steps, if its budget or an earlier start has fixed it."""
        if self.stage["steps"] is not None:
            return int(self.stage["steps"])
        if self.budget.unit == "seconds":
            return None
        drawing = [o.turn for o in self.optimizers if o.turn.data]
        rows = self.batches.size * sum(t.repeat / t.every * (t.end - t.start) for t in drawing)
        unit = 1.0 if self.budget.unit == "steps" else rows
        return self._fix_length(math.ceil(self.budget.amount / unit))

    def _fix_length(self, steps: int) -> int:
        """Record the number of steps: from here on, nothing depends on the clock."""
        self.stage["steps"] = steps
        if self.folder is not None:
            write_json(self.folder.config, self.config)
        return steps

    def _calibrate(self) -> None:
        """Turn seconds into steps, once a small share of them has shown the rate.

        The rate is that of the faster steps (the lower quartile): the first ones allocate, and
        other work on the machine comes in bursts that should not fix the length of the whole run.
        """
        self._wait()
        now = self.seconds() - self.before
        self.laps.append(now - sum(self.laps))
        if len(self.laps) < FEWEST_LAPS or now < CALIBRATION * self.budget.amount:
            return
        a_step = quantiles(self.laps, n=4)[0] * self._later_steps()
        start = self.seconds()
        self.check()
        checks = CHECKS * (self.seconds() - start)
        left = self.budget.amount - (self.seconds() - self.before) - checks
        played = self.step - self.first
        self.length = self._fix_length(max(4 * played, played + int(left / a_step)))

    def _later_steps(self) -> float:
        """Return how long the average step of the stage takes, in units of the steps so far.

        Not 1 where turns have phases of their own: then each is rehearsed and timed.
        """
        if all(o.turn.start == 0 and o.turn.end == 1 for o in self.optimizers):
            return 1.0
        costs = {o: self._rehearsed(o) * o.turn.repeat / o.turn.every for o in self.optimizers}
        so_far = sum(cost for o, cost in costs.items() if o.turn.start == 0)
        return sum(cost * (o.turn.end - o.turn.start) for o, cost in costs.items()) / so_far

    def _rehearsed(self, optimizer: TurnOptimizer) -> float:
        """Return the seconds of one play of a turn, by rehearsals that change nothing."""
        drawn, seconds = self.batches.drawn, []
        with isolated(self.device, self.settings.seed):
            for _ in range(FEWEST_LAPS):
                start = time.perf_counter()
                optimizer.rehearse(*self._batch(optimizer.turn))
                self._wait()
                seconds.append(time.perf_counter() - start)
        self.batches.drawn = drawn
        return quantiles(seconds, n=4)[0]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # The log: records, validation, state.

    def _log(self) -> None:
        """Fix the budget, write a record, look at validation rows, save: each when it is due."""
        if self.length is None:
            self._calibrate()
        position, length = self.step - self.first, self.length or 0
        checked = length > 0 and due(position, length, CHECKS)
        saved = length > 0 and due(position, length, SAVES)
        if checked or saved or position % max(10, length // RECORDS) == 0:
            self._record(self.check() if checked else None)
        if saved and self.folder is not None:
            self._save(self.folder)

    def _record(self, validation: float | None) -> None:
        """Write down the terms' means; the only place where the device is waited for."""
        self._check_finite_terms()
        terms: dict[str, float] = {}
        for optimizer in self.optimizers:
            terms |= optimizer.take_means()
        samples = self.batches.drawn * self.batches.size
        record: Json = {"step": self.step, "samples": samples}
        record |= {"seconds": round(self.seconds(), 3), "terms": terms}
        if validation is not None:
            record |= {"validation": validation, **self._choose(validation)}
        self.history.append(record)
        if self.folder is not None:
            self.folder.append_history(record)
        if self.progress is not None:
            self.progress(record | {"total": self.total})

    def check(self) -> float:
        """Return the energy distance between validation rows and as many generated ones."""
        return self.validation.distance(self.average.catch_up())

    def _choose(self, distance: float) -> Json:
        """Keep the averaged weights if none so far were better, past the first quarter; say so.

        Of weights that validation cannot tell apart, those that were trained longest are kept.
        """
        self._check_finite_weights()
        if 4 * self.step < (self.total or 0):
            return {}
        value, slack = self.validation.choice(self.average.catch_up(), distance)
        kept = value <= self.best_value + slack
        self.best_value = min(self.best_value, value)
        if kept:
            self.best = self.average.weights()
            if self.folder is not None:
                write_tensors(self.folder.weights("best"), self.best, weights_text(self.config))
        return {"chosen_by": value, "kept": kept}

    def _check_finite_terms(self) -> None:
        """Raise DivergedError for the first term of any turn that left the finite numbers."""
        first = [o.first_nonfinite(self.step) for o in self.optimizers]
        diverged = [step_and_terms for step_and_terms in first if step_and_terms is not None]
        if diverged:
            msg = (
                f"training failed: {min(diverged)[1]} is not finite; lower the learning rate or "
                "clip the gradient; the last good checkpoint is kept"
            )
            raise DivergedError(msg)

    def _check_finite_weights(self) -> None:
        for name, weight in self.model.named_parameters():
            if not bool(weight.isfinite().all()):
                msg = (
                    f"training failed: {name} is not finite at step {self.step}; the last good "
                    "checkpoint is kept"
                )
                raise DivergedError(msg)

    def _save(self, folder: Folder) -> None:
        """Write everything that an interrupted run needs to go on."""
        tensors = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.weights().items()}
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        for optimizer in self.optimizers:
            name = optimizer.turn.name
            tensors |= {f"turn {name}.{n}": t for n, t in optimizer.state().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        position = {
            "step": self.step,
            "drawn": self.batches.drawn,
            "seconds": self.seconds(),
            "best": self.best_value,
        }
        write_tensors(folder.state, tensors, json.dumps(position))
        write_json(folder.state.with_suffix(".json"), position)

    def _resume(self) -> None:
        """Go on from the saved state, if there is one; it says itself where it stands."""
        if self.folder is None or not self.folder.state.exists():
            if self.first > 0:
                msg = "this run has no saved state (it was saved from memory), so it cannot go on"
                raise RunError(msg)
            return
        tensors, text = read_tensors(self.folder.state)
        position = json.loads(text)
        self.model.load_state_dict(_under("model.", tensors))
        self.average.model.load_state_dict(_under("average.", tensors))
        self.best = {n: t.to(self.device) for n, t in _under("best.", tensors).items()}
        for optimizer in self.optimizers:
            optimizer.restore(_under(f"turn {optimizer.turn.name}.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.step, self.batches.drawn = position["step"], position["drawn"]
        self.before, self.best_value = position["seconds"], position["best"]
        self.history = self.folder.read_history(until=self.step)
        self.folder.write_history(self.history)

    def _finish(self) -> Fitted:
        """Settle both checkpoints, look at the model's anatomy, write the results."""
        self._check_finite_weights()
        model, final = self.average.catch_up(), self.average.weights()
        same = all(torch.equal(final[name], self.best[name]) for name in final)
        settled = self._settled(final)
        finals: dict[Checkpoint, State] = {"best": settled if same else self._settled(self.best)}
        finals["final"] = settled
        cost = {"seconds": self.seconds(), "peak_memory": self.memory.peak()}
        cost["parameters"] = sum(p.numel() for p in model.parameters())
        self.history.append({"step": self.step, "terms": {}, "cost": cost})
        fitted = Fitted(model, self.data.schema, finals, self.config, self.history)
        fitted.panels = self._anatomy(fitted.model)
        if self.folder is not None:
            fitted.write(self.folder)
        return fitted

    def _settled(self, weights: State) -> State:
        """Return weights after the model has fitted what is fitted once."""
        model = self.average.model
        model.load_state_dict(weights)
        model.settle(self.batches.epoch())
        return {name: t.clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def _anatomy(self, model: Model) -> list[Panel]:
        rows, labels = self.data.subset("validation")
        x = self.data.schema.expand(rows[:ANATOMY_ROWS].to(self.device))
        c = None if labels is None else one_hot(labels, model.classes, self.device)[:ANATOMY_ROWS]
        return model.anatomy(x, c)


def _under(prefix: str, tensors: State) -> State:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
