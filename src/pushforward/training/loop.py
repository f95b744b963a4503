"""The only loop: it plays a model's turns until the budget is spent, and knows no model by name.

A run depends on its seed alone. The loop owns the random state, derives each batch from (seed,
position), and turns a budget in seconds into steps early on; so an interrupted run goes on to the
very weights that it would have had.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch

from pushforward.data import Dataset, read
from pushforward.errors import DivergedError
from pushforward.families.model import Model, Panel
from pushforward.files import read_tensors, write_json, write_tensors
from pushforward.runs.fitted import (
    Checkpoint,
    Fitted,
    Folder,
    bond,
    build,
    choose_device,
    identify,
    load,
)
from pushforward.sampling.blocks import forked
from pushforward.space import Image, Vector
from pushforward.training.memory import PeakMemory
from pushforward.training.selection import Validation
from pushforward.training.settings import Budget, Settings
from pushforward.training.turn_optimizer import Average, Batches, Seat, State, one_hot, precision

WARM_UP = 50  # steps over which the learning rate rises
CHECKS = 10  # times that the validation measure is read
SAVES = 20  # times that the state is written
RECORDS = 200  # entries of the history
ANATOMY_ROWS = 1000  # held-out rows that a model looks at to tell about its measure
CALIBRATION = 0.1  # share of a budget in seconds after which its steps are fixed
FEWEST_LAPS = 8  # steps that must have been timed by then

Progress = Callable[[Mapping[str, Any]], None]


def fit(
    data: Any,
    model: str = "vae",
    *,
    out: str | Path | None = None,
    condition: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    settings: Settings | None = None,
    **keywords: Any,
) -> Fitted:
    """Train one model on a user's data and return it.

    Args:
        data: a path, DataFrame, array, tensor, built-in name, or a `Dataset` that was read.
        model: a name from `pushforward models`.
        out: the run's folder. A finished run in it is loaded, an interrupted one goes on, another
            run's folder is a RunError.
        condition: the column or labels to condition on (for data that are not yet a `Dataset`).
        device: "auto", "cpu", "cuda", ...
        progress: called with each record.
        settings: how to train; or give its fields as keywords (`budget="60s"`, `seed=0`,
            `batch`, `ema`, `clip`, `rate`, `precision`).
        **keywords: those, and the options of the model (`latent`, `beta`, `gamma`, ...).

    Raises:
        DataError, ModelError: the data, the model or an option do not fit.
        RunError: the folder is not this run's, or training left the finite numbers.

    """
    dataset = data if isinstance(data, Dataset) else read(data, condition=condition)
    if settings is None:
        own = {k: keywords.pop(k) for k in Settings.__dataclass_fields__ if k in keywords}
        settings = Settings(**own)
    network = build(model, dataset.schema, keywords, settings.seed, choose_device(device))
    config = identify(model, keywords, settings, dataset)
    folder = None if out is None else Folder(Path(out))
    if folder is not None:
        config = folder.claim(config, dataset.schema)
        if folder.finished:
            return load(folder.path, device=device)
    return Loop(network, dataset, settings, folder, config, progress).run()


def default_batch(data: Dataset) -> int:
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


class Loop:
    """Plays one model's game on one data set, from its start or from a saved state."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: Settings,
        folder: Folder | None,
        config: dict[str, Any],
        progress: Progress | None = None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.folder, self.config, self.progress = folder, config, progress
        self.device, self.budget = model.device, Budget.parse(settings.budget)
        batch = settings.batch or default_batch(data)
        self.batches = Batches(data, batch, settings.seed, self.device, model.classes)
        config["precision"] = config["precision"] or precision(
            settings.precision, model.space, self.device
        )
        dtype: torch.dtype = getattr(torch, config["precision"])
        self.seats = [Seat(model, turn, settings.rate, dtype) for turn in model.turns()]
        self.average = Average(model, settings.ema)
        self.step, self.total = 0, self._known_steps()
        self.best_value, self.best = math.inf, self.average.weights()
        self.history: list[dict[str, Any]] = []
        self.validation = Validation(data, settings.seed)
        self.memory = PeakMemory(self.device)
        self.before, self.started = 0.0, time.perf_counter()
        self.laps: list[float] = []

    def run(self) -> Fitted:
        """Play until the budget is spent; return the fitted model."""
        with forked(self.device, self.settings.seed):
            self._resume()
            while self.total is None or self.step < self.total:
                self.round()
                self._keep_books()
            return self._finish()

    def round(self) -> None:
        """Play every turn that is due, in order, then move the averages."""
        scale = schedule(self.step, self.total)
        for seat in self.seats:
            if self.step % seat.turn.every == 0:
                for _ in range(seat.turn.repeat):
                    seat.move(*self.batches(), scale, self.settings.clip)
        self.step += 1
        self.average.follow(self.step)

    def seconds(self) -> float:
        """Return the seconds spent so far, those before an interruption counted in."""
        return self.before + time.perf_counter() - self.started

    # The budget.

    def _known_steps(self) -> int | None:
        """Return the number of steps, if the budget or an earlier start has fixed it."""
        if self.config["steps"] is not None:
            return int(self.config["steps"])
        if self.budget.unit == "seconds":
            return None
        a_round = self.batches.size * sum(seat.turn.repeat / seat.turn.every for seat in self.seats)
        unit = 1.0 if self.budget.unit == "steps" else a_round
        return self._fix_steps(math.ceil(self.budget.amount / unit))

    def _fix_steps(self, steps: int) -> int:
        """Record the number of steps: from here on, nothing depends on the clock."""
        self.config["steps"] = steps
        if self.folder is not None:
            write_json(self.folder.config, self.config)
        return steps

    def _calibrate(self) -> None:
        """Turn seconds into steps, once a small share of them has shown the rate.

        The rate is that of the faster steps (the lower quartile): the first ones allocate, and
        other work on the machine comes in bursts that should not fix the length of the whole run.
        """
        self._wait()
        now = self.seconds()
        self.laps.append(now - sum(self.laps))
        if len(self.laps) < FEWEST_LAPS or now < CALIBRATION * self.budget.amount:
            return
        a_step = quantiles(self.laps, n=4)[0]
        self.check()
        checks = CHECKS * (self.seconds() - now)
        left = self.budget.amount - self.seconds() - checks
        self.total = self._fix_steps(max(4 * self.step, self.step + int(left / a_step)))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # The books: records, validation, state.

    def _keep_books(self) -> None:
        """Fix the budget, write a record, read the measure, save the state: each when it is due."""
        if self.total is None:
            self._calibrate()
        total = self.total or 0
        checked = total > 0 and due(self.step, total, CHECKS)
        saved = total > 0 and due(self.step, total, SAVES)
        if checked or saved or self.step % max(10, total // RECORDS) == 0:
            self._record(self.check() if checked else None)
        if saved and self.folder is not None:
            self._save(self.folder)

    def _record(self, validation: float | None) -> None:
        """Write down the terms' means; the only place where the device is waited for."""
        self._demand_finite_terms()
        terms: dict[str, float] = {}
        for seat in self.seats:
            terms |= seat.account()
        samples = self.batches.drawn * self.batches.size
        record: dict[str, Any] = {"step": self.step, "samples": samples}
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

    def _choose(self, distance: float) -> dict[str, Any]:
        """Keep the averaged weights if none so far were better, past the first quarter; say so.

        Of weights that validation cannot tell apart, those that were trained longest are kept.
        """
        self._demand_finite()
        if 4 * self.step < (self.total or 0):
            return {}
        value, slack = self.validation.choice(self.average.catch_up(), distance)
        kept = value <= self.best_value + slack
        self.best_value = min(self.best_value, value)
        if kept:
            self.best = self.average.weights()
            if self.folder is not None:
                write_tensors(self.folder.weights("best"), self.best, bond(self.config))
        return {"chosen_by": value, "kept": kept}

    def _demand_finite_terms(self) -> None:
        """Raise DivergedError for the first term of any turn that left the finite numbers."""
        strays = [found for seat in self.seats if (found := seat.stray(self.step)) is not None]
        if strays:
            msg = (
                f"{min(strays)[1]} is not finite; lower the learning rate or clip the gradient; "
                "the last good checkpoint is kept"
            )
            raise DivergedError(msg)

    def _demand_finite(self) -> None:
        for name, weight in self.model.named_parameters():
            if not bool(weight.isfinite().all()):
                msg = f"step {self.step}: {name} is not finite; the last good checkpoint is kept"
                raise DivergedError(msg)

    def _save(self, folder: Folder) -> None:
        """Write everything that an interrupted run needs to go on."""
        tensors = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.weights().items()}
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        for seat in self.seats:
            tensors |= {f"turn {seat.turn.name}.{n}": t for n, t in seat.state().items()}
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
            return
        tensors, text = read_tensors(self.folder.state)
        position = json.loads(text)
        self.model.load_state_dict(_under("model.", tensors))
        self.average.model.load_state_dict(_under("average.", tensors))
        self.best = _under("best.", tensors)
        for seat in self.seats:
            seat.restore(_under(f"turn {seat.turn.name}.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.step, self.batches.drawn = position["step"], position["drawn"]
        self.before, self.best_value = position["seconds"], position["best"]
        self.history = self.folder.read_history(until=self.step)
        self.folder.write_history(self.history)

    def _finish(self) -> Fitted:
        """Settle both checkpoints, look at the model's anatomy, write the results."""
        self._demand_finite()
        model, final = self.average.catch_up(), self.average.weights()
        same = all(torch.equal(final[name], self.best[name]) for name in final)
        settled = self._settled(final)
        finals: dict[Checkpoint, State] = {"best": settled if same else self._settled(self.best)}
        finals["final"] = settled
        cost = {"seconds": self.seconds(), "peak_memory": self.memory.peak()}
        cost["parameters"] = sum(p.numel() for p in model.parameters())
        self.history.append({"step": self.step, "terms": {}, "cost": cost})
        fitted = Fitted(model, self.data.schema, finals, self.config, self.history)
        fitted.panels = self._anatomy(model)
        if self.folder is not None:
            fitted.save_results(self.folder)
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
