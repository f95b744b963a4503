"""All runs of a comparison: those that are missing are trained and measured.

As many run at a time as there is room for, after the steps of each model have been fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pushforward.comparison.bench import Bench, Completed, Run
from pushforward.comparison.equal_steps import Entrant, EqualSteps, time_steps
from pushforward.comparison.facts import RunFacts
from pushforward.comparison.jobs import Engine, Job, Site, opened
from pushforward.comparison.result import Scorecards
from pushforward.comparison.tuned import Tuning
from pushforward.families.model import Model
from pushforward.measures import Scorecard
from pushforward.nn.device import choose_device
from pushforward.runs.fitted import CHECKPOINTS
from pushforward.training.pace import Costs
from pushforward.training.settings import Budget, Settings
from pushforward.training.sized import sized

REFERENCES = "the references"


@dataclass(frozen=True)
class AllRuns:
    """The runs of a comparison.

    Args:
        bench: that trains and measures them.
        models: the models' classes and options, by label.
        seeds: of each model.
        settings: how all are trained.
    """

    bench: Bench
    models: Mapping[str, Entrant]
    seeds: Sequence[int]
    settings: Settings

    @classmethod
    def of(
        cls,
        bench: Bench,
        models: Mapping[str, type[Model]],
        seeds: Sequence[int],
        settings: Settings,
        options: Mapping[str, Mapping[str, Any]],
    ) -> AllRuns:
        """Return the runs; sizes that are not given follow from the data and the budget."""
        place = choose_device(bench.device)
        entrants = {
            name: (model, sized(model, options[name], settings, bench.data, place))
            for name, model in models.items()
        }
        return cls(bench, entrants, seeds, settings)

    def tuned(self, tuning: Mapping[str, Tuning]) -> AllRuns:
        """Return the runs of the models as tuning chose them."""
        chosen = {name: found.chosen for name, found in tuning.items()}
        entrants = {
            name: (model, {**options, **chosen.get(name, {})})
            for name, (model, options) in self.models.items()
        }
        return replace(self, models=entrants)

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs seed by seed, so that the models come equally far."""
        for seed in self.seeds:
            for label, (model, options) in self.models.items():
                settings = replace(self.settings, seed=seed)
                yield Run(label, model, options, settings, shown=seed == self.seeds[0])

    def complete(self, site: Site) -> AllCompleted:
        """Do what is missing where `site` says; return what all runs come to."""
        done = {run.name: self.bench.complete(run) for run in self if self.bench.has(run)}
        missing = [run for run in self if run.name not in done]
        if not missing and self.bench.has_references:
            return AllCompleted(self, done, self.bench.references())
        own = [value for entrant in self.models.values() for value in parts_of(*entrant)]
        with opened(self.bench, site, classes=own, progress=self.bench.progress) as engine:
            self._fix_steps(engine, missing)
            return self._complete(engine, done, missing)

    def _complete(
        self, engine: Engine, done: dict[str, Completed], missing: Sequence[Run]
    ) -> AllCompleted:
        jobs = [Job(REFERENCES, Bench.references)]
        jobs += [Job(run.name, Bench.complete, (run,), self._place(run)) for run in missing]
        references: dict[str, Scorecard] = {}
        for job, value in engine.run(jobs):
            if job.name == REFERENCES:
                references = value
            else:
                done[job.name] = value
                count = {"finished": len(done), "of": len(self.seeds) * len(self.models)}
                self.bench.progress(job.name, {**value.record, "total": value.facts.steps, **count})
        return AllCompleted(self, done, references)

    def _place(self, run: Run) -> str:
        """Return a run's folder within the comparison's."""
        folder = self.bench.folder
        path = folder.run(run.label, run.settings.seed).path
        return path.relative_to(folder.path).as_posix()

    def _fix_steps(self, engine: Engine, missing: Iterable[Run]) -> None:
        """Give every seed of a model the same steps, if any of its runs is still to be trained."""
        bench, folder = self.bench, self.bench.folder
        new = [r for r in missing if not folder.run(r.label, r.settings.seed).finished]
        entrants = {run.label: (run.model, run.options) for run in new}
        if not new or Budget.parse(self.settings.budget).unit != "seconds":
            return
        equal, settings = equal_steps(bench, engine), replace(self.settings, seed=self.seeds[0])
        steps = equal.find(entrants, settings, lambda new: timed(engine, new, settings))
        for run in new:
            place, entrant = folder.run(run.label, run.settings.seed), entrants[run.label]
            equal.fix(place, entrant, run.settings, steps[run.label])


def equal_steps(bench: Bench, engine: Engine) -> EqualSteps:
    """Return what finds the steps of models, as long as they run where the engine has them run."""
    bench.progress("timing the models' steps", {})
    return EqualSteps(bench.data, bench.folder, bench.device, engine.site.threads)


def timed(
    engine: Engine, entrants: Mapping[str, Entrant], settings: Settings
) -> list[Mapping[str, Costs]]:
    """Return what all workers found who timed the models at the same time."""
    names = [f"timing the models' steps, {i + 1}" for i in range(engine.site.jobs)]
    jobs = [Job(name, _time, (entrants, settings)) for name in names]
    return [found for _, found in engine.run(jobs)]


def _time(bench: Bench, entrants: Mapping[str, Entrant], settings: Settings) -> dict[str, Costs]:
    return time_steps(bench.data, bench.folder, bench.device, entrants, settings)


def parts_of(model: type[Model], options: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the classes and functions that a model is made of."""
    yield model
    yield from filter(callable, options.values())


@dataclass(frozen=True)
class AllCompleted:
    """What all runs come to, and what they are compared with."""

    runs: AllRuns
    done: Mapping[str, Completed]
    references: dict[str, Scorecard]

    @property
    def cards(self) -> Scorecards:
        """The scorecards by model and checkpoint, one a seed."""
        return {
            name: {point: [found.cards[point] for found in own] for point in CHECKPOINTS}
            for name, own in self._by_model().items()
        }

    @property
    def facts(self) -> dict[str, list[RunFacts]]:
        """How the runs went, by model, one a seed."""
        return {name: [found.facts for found in own] for name, own in self._by_model().items()}

    def _by_model(self) -> dict[str, list[Completed]]:
        return {
            label: [self.done[run.name] for run in self.runs if run.label == label]
            for label in self.runs.models
        }
