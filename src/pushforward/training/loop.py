"""The only loop: it plays a model's turns until the budget is spent, and knows no model by name.

A run depends on its seed alone. The loop owns the random state, derives each batch from (seed,
position), and turns a budget in seconds into steps early on; so an interrupted run goes on to the
very weights that it would have had. Where the machine turns out far slower than it was then, the
run is shortened, and its schedule records where. A run that is trained on gets another stage: the
learning rate rises and falls again, from the weights and the optimizers' state that were kept.
Several processes may play one game together (see `parallel`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.errors import DivergedError, ModelError
from pushforward.families.model import Model, Turn
from pushforward.families.panels import Panel
from pushforward.files import write_json, write_tensors
from pushforward.nn.sizes import busy_threads, pace
from pushforward.random import isolated
from pushforward.runs.course import alarms, panels
from pushforward.runs.fitted import Fitted, State, weights_text
from pushforward.runs.folder import Checkpoint, Folder, Json, steps_of
from pushforward.sampling.refining import refine
from pushforward.threads import threads, training_threads
from pushforward.training import state
from pushforward.training.batches import Batches, rows_of_a_batch
from pushforward.training.doctor import Doctor
from pushforward.training.learned import Learned
from pushforward.training.memory import PeakMemory, keep_freed
from pushforward.training.moving_average import MovingAverage
from pushforward.training.pace import APART, REFINED, STEPS_A_TREE, Pace, Watch
from pushforward.training.parallel import ALONE, Processes
from pushforward.training.plan import CHECKS, Plan, due, phase, record_due, saves
from pushforward.training.rehearsal import costs
from pushforward.training.selection import Reading, Validation
from pushforward.training.settings import Settings
from pushforward.training.shareable import require_shareable
from pushforward.training.turn_optimizer import TurnOptimizer, resolve_precision

STARTING = 5000, 2**23  # training rows by which a model chooses where it starts, and their values

Progress = Callable[[Mapping[str, Any]], None]


class Loop:
    """Plays one model's game on one data set, from its start or from a saved state."""

    optimizer_kind: ClassVar[type[TurnOptimizer]] = TurnOptimizer

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: Settings,
        folder: Folder | None,
        config: Json,
        progress: Progress | None = None,
        team: Processes = ALONE,
    ) -> None:
        self.model, self.data, self.settings, self.team = model, data, settings, team
        # the first process alone writes and reports
        self.folder, self.progress = (folder, progress) if team.leads else (None, None)
        self.config, self.device = config, model.device
        self.batches = self._batches()
        config["precision"] = config["precision"] or resolve_precision(settings.precision, model)
        config["threads"] = config.get("threads") or self._threads()
        config["processes"] = config.get("processes") or team.size
        dtype: torch.dtype = getattr(torch, config["precision"])
        factor = pace(model.space, model.networks.width, model.selection, self._training_rows())
        self.optimizers = [
            self.optimizer_kind(
                model, turn, settings.learning_rate or turn.learning_rate * factor, dtype, team
            )
            for turn in model.turns()
        ]
        self.started = time.perf_counter()
        self._begin()
        self.average = MovingAverage(model, settings.ema)
        self.stage = config["schedule"][-1]
        self.plan = Plan(self.stage)
        self.saves = saves(self.plan.budget)
        self.first = steps_of(config) - (self.stage["steps"] or 0)  # of this stage
        self.step = 0
        self.plays = {optimizer.turn.name: 0 for optimizer in self.optimizers}
        self.lowest = Reading(math.inf, torch.zeros(1, 1))
        self.best, self.best_step = self.average.weights(), 0
        self.history: list[Json] = []
        self.validation, self.learned = (
            Validation(data, settings.seed, self.batches.size),
            Learned(data, settings.seed),
        )
        self.doctor = Doctor(model)
        self.memory = PeakMemory(self.device)
        self.before, self.spent = 0.0, 0.0  # seconds before this start: the run's, the stage's
        self._plan_steps()

    def _threads(self) -> int:
        """Return the threads of a step: those that there are, unless they had too little to do."""
        width = self.model.networks.width
        busy = busy_threads(self.model.space, width, self.batches.own)
        return min(training_threads(), busy)

    def _training_rows(self) -> int:
        """Return how many rows are learned from, as far as that may be known."""
        return self.data.sizes["train"]

    def _batches(self) -> Batches:
        """Return where the turns' rows come from."""
        size = rows_of_a_batch(self.settings, self.data)
        seed, classes = self.settings.seed, self.model.classes
        return Batches(self.data, size, seed, self.device, classes, self.team)

    def _begin(self) -> None:
        """Let the model choose where it starts; a run that goes on has its weights from there."""
        with threads(self.config["threads"]):
            self.model.begin(*self.batches.spread(*STARTING))

    def run(self) -> Fitted:
        """Play until the budget is spent; return the fitted model."""
        keep_freed()
        with isolated(self.device, self.settings.seed), threads(self.config["threads"]):
            if self.team.size > 1:
                require_shareable(self)
            state.resume(self)
            try:
                self._play()
                return self._finish()
            except DivergedError as error:
                self._end_early(str(error))
                raise

    def _play(self) -> None:
        self.pace = Pace(self.device, self.plan.budget.amount, self.period)
        self.watch = Watch(self.plan.budget.amount, self.position, self.elapsed())
        while self.total is None or self.step < self.total:
            with self.doctor.listening() if self._checks_next() else nullcontext():
                self.round()
            self._log()

    def _checks_next(self) -> bool:
        """Whether validation rows are looked at after the next round."""
        length = self.plan.length(self.position)
        return length is not None and due(self.position + 1, length, CHECKS)

    def round(self) -> None:
        """Play every turn that is due, in order, then move the averages."""
        position = self.position
        length = self.plan.length(position)
        self.model.before_round(1.0 if self.first else position / length if length else 0.0)
        for optimizer in self.optimizers:
            turn = optimizer.turn
            begin, end = phase(turn, length)
            play = turn.due(position)
            if play is not None and begin <= position < end:
                scale = self.plan.rate(turn, position)
                for _ in range(turn.repeat):
                    optimizer.step(*self.batch(turn), scale, self.settings.clip_grad_norm, play)
                self.plays[turn.name] += turn.repeat
        self.step += 1
        self.average.follow(self.step)

    def batch(self, turn: Turn) -> tuple[Tensor | int, Tensor | None]:
        """Return the next rows and their conditions; for a turn without data, how many of them."""
        return self.batches() if turn.data else (self.batches.own, self.batches.conditions())

    @property
    def position(self) -> int:
        """The steps of the stage that have been played."""
        return self.step - self.first

    @property
    def period(self) -> int:
        """After how many rounds the same turns are due again."""
        return math.lcm(*(optimizer.turn.every for optimizer in self.optimizers))

    @property
    def total(self) -> int | None:
        """The step at which the run ends, once it is fixed."""
        length = self.plan.length(self.position)
        return None if length is None else self.first + length

    def seconds(self) -> float:
        """Return the seconds spent so far, those before an interruption counted in."""
        return self.before + time.perf_counter() - self.started

    def elapsed(self) -> float:
        """Return the seconds of this stage, likewise."""
        return self.spent + time.perf_counter() - self.started

    # The budget.

    def _plan_steps(self) -> None:
        """Fix the number of steps, unless an earlier start has done so or the clock has to."""
        budget = self.plan.budget
        if self.stage["steps"] is None and budget.unit != "seconds":
            unit = 1.0 if budget.unit == "steps" else self.batches.size * self._batches_a_round()
            self.plan.fix(math.ceil(budget.amount / unit))
        self._write_config()

    def _batches_a_round(self) -> float:
        """Return the batches that the turn draws that draws most, in the average round."""
        turns = [o.turn for o in self.optimizers if o.turn.data]
        if not turns:
            msg = f"no turn of {self.model.name!r} draws rows: give a budget in steps or seconds"
            raise ModelError(msg)
        return max(t.repeat * t.share * (t.end - t.start) for t in turns)

    def _write_config(self) -> None:
        if self.folder is not None:
            write_json(self.folder.config, self.config)

    def _calibrate(self) -> None:
        """Turn seconds into steps, once a small share of them has shown the pace.

        From here on nothing but delays depends on the clock.
        """
        steps = self.team.first(self._foreseen)
        if steps is not None:
            self.plan.fix(steps)
            self._write_config()

    def _foreseen(self) -> int | None:
        """Return the steps that the budget is worth; None as long as the pace is not known."""
        self.pace.tick()
        if not self.pace.enough:
            return None
        played = self.position
        found = costs(self, self.pace.step)
        left = self.plan.budget.amount - self.elapsed()
        return max(4 * played, played + found.steps(left))

    def _keep_time(self, length: int) -> None:
        """Shorten a stage that would end far too late; what is recorded already is followed."""
        looks = self.plan.budget.unit == "seconds" and self.position % APART == 0
        if looks and self.plan.newest < self.position < length:
            steps = self.team.first(
                lambda: self.watch.shorter(self.position, self.elapsed(), length)
            )
            if steps is not None:
                self.plan.shorten(self.position, steps)
                self._write_config()

    # The log: records, validation, state.

    def _log(self) -> None:
        """Fix the budget, write a record, look at validation rows, save: each when it is due."""
        position, length = self.position, self.plan.length(self.position - 1)
        checked = length is not None and due(position, length, CHECKS)
        saved = length is not None and due(position, length, self.saves)
        if checked or saved or record_due(position, length):
            self._record(self.team.first(self.check) if checked else None)
        if checked and self._in_vain():
            self.plan.stop(position)
            self._write_config()
        if (saved or self.step == self.total) and self.folder is not None:
            state.save(self, self.folder)
        if length is None:
            self._calibrate()
        else:
            self._keep_time(length)

    def _record(self, validation: Reading | None) -> None:
        """Write down the terms' means; the only place where the device is waited for."""
        self._check_finite_terms()
        terms: dict[str, float] = {}
        for optimizer in self.optimizers:
            terms |= optimizer.take_means()
        drawn = max((self.plays[o.turn.name] for o in self.optimizers if o.turn.data), default=0)
        layers = {} if validation is None else self.doctor.layers(self.optimizers)
        record: Json = {"step": self.step, "samples": drawn * self.batches.size}
        record |= {"seconds": round(self.seconds(), 3), "terms": terms, **self._moves()}
        if validation is not None:
            record |= {"validation": validation.value, "error": self.validation.error(validation)}
            record |= {"beside": dict(validation.beside)} if validation.beside else {}
            record |= self._choose(validation) | self.team.first(self.judge)
            record |= layers
            record |= alarms([*self.history, record], self.model)
        self.history.append(record)
        if self.folder is not None:
            self.folder.append_history(record)
        if self.progress is not None:
            self.progress(record | {"total": self.total})

    def _in_vain(self) -> bool:
        """Whether as many checks in a row as patience allows kept no weights."""
        kept = [r["kept"] for r in self.history if "kept" in r and r["step"] > self.first]
        patience = self.settings.patience
        return patience is not None and len(kept) >= patience and not any(kept[-patience:])

    def _moves(self) -> Json:
        """Return the norm of the gradient that reached each turn's players, and their update."""
        moves = {o.turn.name: o.take_move() for o in self.optimizers}
        made = {name: move for name, move in moves.items() if move is not None}
        return {
            "gradients": {name: gradient for name, (gradient, _) in made.items()},
            "updates": {name: update for name, (_, update) in made.items()},
        }

    def judge(self) -> Json:
        """Return what the model's learned measure says, if it has one."""
        return self.learned.verdict(self.model)

    def anatomy(self, model: Model) -> list[Panel]:
        """Return what a model tells of its measure on validation rows."""
        return self.validation.anatomy(model)

    def check(self) -> Reading:
        """Return the energy distance between validation rows and as many generated ones."""
        return self.validation.distance(self.average.catch_up())

    def _choose(self, distance: Reading) -> Json:
        """Keep the averaged weights if none so far were better, past the first quarter; say so.

        Of weights that validation cannot tell apart, those that were trained longest are kept.
        """
        self._check_finite_weights()
        if 4 * self.step < (self.total or 0):
            self._keep()  # in case it is the last good one
            return {}
        average = self.average.catch_up()
        reading = self.team.first(lambda: self.validation.choice(average, distance))
        kept = reading.as_good_as(self.lowest)
        self.lowest = min(self.lowest, reading, key=lambda r: r.value)
        if kept:
            self._keep()
        return {"chosen_by": reading.value, "kept": kept}

    def _keep(self) -> None:
        """Make the present weights the best ones."""
        self.best, self.best_step = self.average.weights(), self.step
        if self.folder is not None:
            write_tensors(self.folder.weights("best"), self.best, weights_text(self.config))

    def _check_finite_terms(self) -> None:
        """Raise DivergedError for the first term of any turn that left the finite numbers."""
        first = [o.first_nonfinite(self.step) for o in self.optimizers]
        diverged = [step_and_terms for step_and_terms in first if step_and_terms is not None]
        if diverged:
            msg = (
                f"training failed: {min(diverged)[1]} is not finite; lower the learning rate or "
                f"clip the gradient; {self._kept()}"
            )
            raise DivergedError(msg)

    def _check_finite_weights(self) -> None:
        for name, weight in self.model.named_parameters():
            if not bool(weight.isfinite().all()):
                msg = f"training failed: {name} is not finite at step {self.step}; {self._kept()}"
                raise DivergedError(msg)

    def _kept(self) -> str:
        if self.best_step == 0:
            return "no checkpoint was good, so the weights are those of the start"
        return f"the last good checkpoint, of step {self.best_step}, is kept"

    def _finish(self) -> Fitted:
        """Settle both checkpoints, look at the model's anatomy, write the results."""
        self._check_finite_weights()
        final = self.average.weights()
        same = all(torch.equal(final[name], self.best[name]) for name in final)
        settled = self.settled(final)
        finals: dict[Checkpoint, State] = {"best": settled if same else self.settled(self.best)}
        finals["final"] = settled
        return self._result(finals)

    def _end_early(self, reason: str) -> None:
        """Record that the run diverged, and make the last good checkpoint its result."""
        if self.folder is None:
            return
        self.stage["diverged"] = reason
        self.stage["steps"] = self.position
        kept = self.settled(self.best)
        self._result({"best": kept, "final": kept})

    def _result(self, finals: Mapping[Checkpoint, State]) -> Fitted:
        """Look at the model's anatomy, and write everything."""
        model = self.average.model
        self.history.append({"step": self.step, "terms": {}, "cost": self.cost()})
        fitted = Fitted(model, self.data.schema, finals, self.config, self.history)
        fitted.panels = [*self.anatomy(fitted.model), *panels(self.history)]
        if self.folder is not None:
            fitted.write(self.folder)
        return fitted

    def cost(self) -> Json:
        """Return the seconds and the bytes that the run took, and how many numbers it learned."""
        cost = {"seconds": self.seconds(), "peak_memory": self.memory.peak()}
        return cost | {"parameters": sum(p.numel() for p in self.model.parameters())}

    def refine(self, model: Model, trees: int) -> None:
        """Let a classifier of so many trees choose among a model's rows, if it is to."""
        if self.settings.refine:
            refine(model, self.data, self.settings.seed, trees)

    def settled(self, weights: State) -> State:
        """Return weights after the model has fitted what is fitted once."""
        model = self.average.model
        model.load_state_dict(weights)
        model.settle(self.batches.epoch())
        if self.step >= REFINED:
            self.refine(model, self.step // STEPS_A_TREE)
        return {name: t.clone() for name, t in model.state_dict().items()}
