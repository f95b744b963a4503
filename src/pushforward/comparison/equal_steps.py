"""A budget in seconds becomes steps once for each model, and every seed of it gets those steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pushforward.comparison.folder import ComparisonFolder
from pushforward.data import Dataset
from pushforward.files import read_json, write_json
from pushforward.nn.device import choose_device
from pushforward.runs.fitted import build
from pushforward.runs.folder import Folder, Json, new_config
from pushforward.threads import threads, training_threads
from pushforward.training.loop import Loop
from pushforward.training.pace import Costs
from pushforward.training.plan import Plan
from pushforward.training.rehearsal import costs_together
from pushforward.training.settings import Budget, Settings

FEWEST = 10  # steps, however short the budget: one for each check

# A model's class, and its options.
Entrant = tuple[type[Any], Mapping[str, Any]]
# Given models by name, what the parts of their runs take in each of several processes.
Timing = Callable[[Mapping[str, Entrant]], list[Mapping[str, Costs]]]


class EqualSteps:
    """The steps that a budget in seconds allows each model of a comparison.

    Models take turns while they are timed, before the first run, so that all of them see the same
    machine. What was found is kept in the folder, by model, options, settings, threads and data:
    seeds that are added later, and a comparison that goes on, get the same steps.
    """

    def __init__(
        self, data: Dataset, folder: ComparisonFolder, device: str, threads: int | None = None
    ) -> None:
        self.data, self.folder, self.device = data, folder, device
        self.threads = threads or training_threads()

    def find(
        self, entrants: Mapping[str, Entrant], settings: Settings, time: Timing | None = None
    ) -> dict[str, int]:
        """Return the steps by model, for a budget in seconds.

        Args:
            entrants: the models by name.
            settings: how they are trained.
            time: times some of them, in several processes at once if runs share the machine, and
                returns what each found. By default this process does it alone.
        """
        file = self.folder.steps
        known: Json = read_json(file) if file.exists() else {}
        keys = {name: self._key(entrant, settings) for name, entrant in entrants.items()}
        new = {name: entrants[name] for name, key in keys.items() if key not in known}
        if new:
            found = [self._alone(new, settings)] if time is None else time(new)
            known |= {keys[name]: self._record(name, settings, found) for name in new}
            write_json(file, known)
        return {name: int(known[key]["steps"]) for name, key in keys.items()}

    def fix(self, run: Folder, entrant: Entrant, settings: Settings, steps: int) -> None:
        """Give a run that has none yet its steps; it is trained, or goes on, as if it knew them."""
        with run.alone():
            config = run.open_or_create(_config(self.data, entrant, settings), self.data.schema)
            if config["schedule"][0]["steps"] is None:
                Plan(config["schedule"][0]).fix(steps)
                write_json(run.config, config)

    def _key(self, entrant: Entrant, settings: Settings) -> str:
        """Return what identifies a model under these conditions, whatever its seed."""
        identity = _config(self.data, entrant, replace(settings, seed=0))["identity"]
        conditions = [identity, self.threads, str(choose_device(self.device))]
        return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()

    def _alone(self, entrants: Mapping[str, Entrant], settings: Settings) -> Mapping[str, Costs]:
        with threads(self.threads):
            return time_steps(self.data, self.folder, self.device, entrants, settings)

    def _record(self, name: str, settings: Settings, found: list[Mapping[str, Costs]]) -> Json:
        """Return what is recorded of a model: the costs whose steps are the median."""
        seconds = Budget.parse(settings.budget).amount
        costs = sorted((own[name] for own in found), key=lambda own: own.steps(seconds))
        median = costs[(len(costs) - 1) // 2]
        return {
            "model": name,
            "budget": settings.budget,
            "steps": max(FEWEST, median.steps(seconds)),
            "threads": self.threads,
            "seconds": asdict(median),
        }


def time_steps(
    data: Dataset,
    folder: ComparisonFolder,
    device: str,
    entrants: Mapping[str, Entrant],
    settings: Settings,
) -> dict[str, Costs]:
    """Return what the parts of a run take by model, all timed together."""
    with TemporaryDirectory(dir=folder.path) as scratch:
        loops = [
            loop_of(data, device, entrant, settings, Folder(Path(scratch) / name))
            for name, entrant in entrants.items()
        ]
        return dict(zip(entrants, costs_together(loops), strict=True))


def loop_of(
    data: Dataset, device: str, entrant: Entrant, settings: Settings, folder: Folder
) -> Loop:
    """Return a loop from its start; played to be timed, it is thrown away."""
    model, options = entrant
    network = build(model, data.schema, options, settings.seed, choose_device(device))
    config = folder.open_or_create(_config(data, entrant, settings), data.schema)
    return Loop(network, data, settings, folder, config)


def _config(data: Dataset, entrant: Entrant, settings: Settings) -> Json:
    return new_config(*entrant, asdict(settings), data)
