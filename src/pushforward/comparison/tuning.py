"""Tuning: each model is compared at its best, found by as many trials as every other's.

A trial is a fit of the same length as the comparison's, with other values of those options whose
annotation has a range. It is judged by the energy distance to validation rows, whatever the model;
test rows play no part, and the comparison then trains on seeds of its own. Optuna proposes the
values (TPE, Bergstra et al. 2011), and its journal lies in the folder, so that an interrupted study
goes on, with the very trials that it would have had.

No trial is cut short. A pruner would have to judge a model early, and what is early for a GAN is
late for a VAE: it would take more of one family's good trials than of the other's, and leave them
with unequal budgets (`benchmarks/tuning.py` measures it).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pushforward.comparison.all_runs import equal_steps, parts_of, timed
from pushforward.comparison.bench import Bench
from pushforward.comparison.equal_steps import Entrant
from pushforward.comparison.jobs import Engine, Job, Site, opened
from pushforward.comparison.tuned import Trial, Tuning
from pushforward.errors import DivergedError
from pushforward.families.model import Model
from pushforward.families.options import Option, Range
from pushforward.nn.device import choose_device
from pushforward.random import Stream, derived_seed
from pushforward.runs import Fitted
from pushforward.runs.folder import new_config
from pushforward.training.fit import fit
from pushforward.training.settings import Budget, Settings
from pushforward.training.sized import sized

if TYPE_CHECKING:
    import optuna
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

DIGITS = 3  # significant ones of a value, so that people can repeat it


@dataclass(frozen=True)
class Tuner:
    """Tunes models under the same conditions.

    Args:
        bench: trials are trained on its data's training rows, and judged on validation rows; the
            journals lie in its folder's `tuning`.
        settings: how all are trained; the trials' seeds follow from the seed. A budget in seconds
            becomes steps once for each model.
        trials: of each model. A model's come one after the other, since each learns from those
            before; different models' go side by side.
        site: where.
    """

    bench: Bench
    settings: Settings
    trials: int
    site: Site

    def tune(
        self, models: Mapping[str, type[Model]], options: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Tuning]:
        """Return the trials of each model that has an option to tune: one that is not given."""
        place = choose_device(self.bench.device)
        free = {n: free_options(model.options(), options[n]) for n, model in models.items()}
        entrants: dict[str, Entrant] = {
            n: (models[n], sized(models[n], options[n], self.settings, self.bench.data, place))
            for n, own in free.items()
            if own
        }
        if not entrants:
            return {}
        own = [value for entrant in entrants.values() for value in parts_of(*entrant)]
        progress = self.bench.progress
        with quiet(), opened(self.bench, self.site, classes=own, progress=progress) as engine:
            searches = [
                Search(
                    name, entrants[name], free[name], replace(self.settings, budget=budget), self
                )
                for name, budget in self._budgets(engine, entrants)
            ]
            while going := [search for search in searches if not search.done]:
                asked = {(job := search.ask()).name: (search, job) for search in going}
                for job, value in engine.run([job for _, job in asked.values()]):
                    asked[job.name][0].tell(value)
        return {search.name: search.result() for search in searches}

    def _budgets(
        self, engine: Engine, entrants: Mapping[str, Entrant]
    ) -> list[tuple[str, str | int]]:
        """Return each model's budget of a trial: seconds as the steps that they are worth."""
        if Budget.parse(self.settings.budget).unit != "seconds":
            return [(name, self.settings.budget) for name in entrants]
        steps = equal_steps(self.bench, engine).find(
            entrants, self.settings, lambda new: timed(engine, new, self.settings)
        )
        return [(name, f"{found} steps") for name, found in steps.items()]


class Search:
    """The trials of one model: those that its journal has, and the next one.

    Args:
        name: of the model.
        entrant: its class and options.
        free: the options that are tuned.
        settings: how a trial is trained, but for its seed.
        tuner: which conditions.
    """

    def __init__(
        self,
        name: str,
        entrant: Entrant,
        free: Mapping[str, Option],
        settings: Settings,
        tuner: Tuner,
    ) -> None:
        self.name, self.entrant, self.free = name, entrant, free
        self.settings, self.tuner = settings, tuner
        folder, digest = tuner.bench.folder.tuning, self._digest()
        self.scratch = folder / f"{name}-{digest}"
        self.study = open_study(folder / f"{name}.journal", digest)
        begin(self.study, free, entrant[1])

    @property
    def done(self) -> bool:
        """Whether all trials are made."""
        return len(completed(self.study)) >= self.tuner.trials

    def ask(self) -> Job:
        """Return the next trial."""
        number = len(completed(self.study))
        seed = trial_seed(number, self.settings.seed)
        self.proposed = propose(self.study, self.free, seed)
        place = (self.scratch / str(number)).relative_to(self.tuner.bench.folder.path).as_posix()
        name = f"{self.name}, trial {number + 1} of {self.tuner.trials}"
        settings = replace(self.settings, seed=seed)
        chosen = rounded(self.proposed.params)
        return Job(name, fit_trial, (name, self.entrant, chosen, settings, place), place)

    def tell(self, found: float) -> None:
        """Record what the trial came to."""
        self.study.tell(self.proposed, found)

    def result(self) -> Tuning:
        """Return all trials, and remove what the fits have left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        made = completed(self.study)[: self.tuner.trials]
        ranges = {n: option.range for n, option in self.free.items() if option.range is not None}
        seeds = (trial_seed(number, self.settings.seed) for number in range(len(made)))
        return Tuning(ranges, tuple(map(_trial, made, seeds)))

    def _digest(self) -> str:
        """Return what identifies a study: trials under other conditions are another one's."""
        config = new_config(*self.entrant, asdict(self.settings), self.tuner.bench.data)
        space = {name: str(option.range) for name, option in self.free.items()}
        return hashlib.sha256(json.dumps([config["identity"], space]).encode()).hexdigest()[:12]


def free_options(known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options that have a range and are not given."""
    return {n: option for n, option in known.items() if option.range and n not in given}


def fit_trial(
    bench: Bench,
    name: str,
    entrant: Entrant,
    chosen: Mapping[str, Any],
    settings: Settings,
    place: str,
) -> float:
    """Train a model with the chosen options; return its distance to the validation rows.

    An interrupted trial goes on from what is in its place within the bench's folder.
    """
    model, options = entrant
    own = {**asdict(settings), **options, **chosen}
    progress, out = partial(bench.progress, name), bench.folder.path / place
    try:
        return distance(
            fit(bench.data, model, out=out, device=bench.device, progress=progress, **own)
        )
    except DivergedError:
        return math.inf


def distance(fitted: Fitted) -> float:
    """Return the energy distance to validation rows of the checkpoint that validation chose."""
    checks = [record for record in fitted.history if "validation" in record]
    kept = [record for record in checks if record.get("kept")]
    return float((kept or checks)[-1]["validation"])


def trial_seed(number: int, seed: int = 0) -> int:
    """Return the seed of a trial: the same for every model, and none that anyone would name."""
    return derived_seed(seed, Stream.TRIALS, number)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as a trial uses them."""
    return {n: v if isinstance(v, int) else float(f"{v:.{DIGITS}g}") for n, v in values.items()}


def _trial(made: FrozenTrial, seed: int) -> Trial:
    assert made.value is not None  # it is complete
    return Trial(rounded(made.params), seed, made.value)


# What of Optuna is used.


@contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna print nothing within the block."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def open_study(journal: Path, name: str) -> Study:
    """Return the study of that name in a journal, which is begun if need be."""
    from optuna import create_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return create_study(storage=storage, study_name=name, load_if_exists=True)


def begin(study: Study, free: Mapping[str, Option], usual: Mapping[str, Any]) -> None:
    """Give up trials that an interruption left, and propose the defaults to the first one.

    `usual` are those defaults that follow from the data, by name.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    if not study.get_trials(states=[TrialState.COMPLETE, TrialState.WAITING]):
        defaults = {name: usual.get(name, option.default) for name, option in free.items()}
        study.enqueue_trial({name: value for name, value in defaults.items() if value is not None})


def propose(study: Study, free: Mapping[str, Option], seed: int) -> optuna.Trial:
    """Return a trial with values to try, which follow from the trials so far and the seed."""
    from optuna.samplers import TPESampler

    study.sampler = TPESampler(seed=seed % 2**32)
    return study.ask({name: distribution(option) for name, option in free.items()})


def completed(study: Study) -> list[FrozenTrial]:
    """Return the trials that came to an end, in the order in which they began."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE])


def distribution(option: Option) -> BaseDistribution:
    """Return where Optuna looks for an option."""
    from optuna.distributions import FloatDistribution, IntDistribution

    range_: Range | None = option.range
    assert range_ is not None  # it is a free option
    if option.type is int:
        return IntDistribution(round(range_.low), round(range_.high), log=range_.log)
    return FloatDistribution(range_.low, range_.high, log=range_.log)
