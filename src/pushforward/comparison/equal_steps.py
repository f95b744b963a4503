"""A budget in seconds becomes steps once for each model, and every seed of it gets those steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
from pushforward.training.plan import Plan
from pushforward.training.rehearsal import costs_together
from pushforward.training.settings import Budget, Settings

FEWEST = 10  # steps, however short the budget: one for each check

# A model's class, and its options.
Entrant = tuple[type[Any], Mapping[str, Any]]


class EqualSteps:
    """The steps that a budget in seconds allows each model of a comparison.

    Models take turns while they are timed, before the first run, so that all of them see the same
    machine. What was found is kept in the folder, by model, options, settings, threads and data:
    seeds that are added later, and a comparison that goes on, get the same steps.
    """

    def __init__(self, data: Dataset, folder: ComparisonFolder, device: str) -> None:
        self.data, self.folder, self.device = data, folder, choose_device(device)

    def find(self, entrants: Mapping[str, Entrant], settings: Settings) -> dict[str, int]:
        """Return the steps by model, for a budget in seconds."""
        file = self.folder.steps
        known: Json = read_json(file) if file.exists() else {}
        keys = {name: self._key(entrant, settings) for name, entrant in entrants.items()}
        new = {name: entrants[name] for name, key in keys.items() if key not in known}
        if new:
            known |= {keys[name]: found for name, found in self._time(new, settings).items()}
            write_json(file, known)
        return {name: int(known[key]["steps"]) for name, key in keys.items()}

    def fix(self, run: Folder, entrant: Entrant, settings: Settings, steps: int) -> None:
        """Give a run that has none yet its steps; it is trained, or goes on, as if it knew them."""
        with run.alone():
            config = run.open_or_create(self._config(entrant, settings), self.data.schema)
            if config["schedule"][0]["steps"] is None:
                Plan(config["schedule"][0]).fix(steps)
                write_json(run.config, config)

    def _config(self, entrant: Entrant, settings: Settings) -> Json:
        return new_config(*entrant, asdict(settings), self.data)

    def _key(self, entrant: Entrant, settings: Settings) -> str:
        """Return what identifies a model under these conditions, whatever its seed."""
        identity = self._config(entrant, replace(settings, seed=0))["identity"]
        conditions = [identity, training_threads(), str(self.device)]
        return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()

    def _time(self, entrants: Mapping[str, Entrant], settings: Settings) -> dict[str, Json]:
        """Time all models together; return what is recorded of each."""
        seconds = Budget.parse(settings.budget).amount
        with TemporaryDirectory(dir=self.folder.path) as scratch, threads(training_threads()):
            loops = [
                self._loop(entrant, settings, Folder(Path(scratch) / name))
                for name, entrant in entrants.items()
            ]
            found = costs_together(loops)
        return {
            name: {
                "model": name,
                "budget": settings.budget,
                "steps": max(FEWEST, costs.steps(seconds)),
                "threads": training_threads(),
                "seconds": asdict(costs),
            }
            for name, costs in zip(entrants, found, strict=True)
        }

    def _loop(self, entrant: Entrant, settings: Settings, folder: Folder) -> Loop:
        """Return a loop that is played to be timed, and thrown away."""
        model, options = entrant
        network = build(model, self.data.schema, options, settings.seed, self.device)
        config = folder.open_or_create(self._config(entrant, settings), self.data.schema)
        return Loop(network, self.data, settings, folder, config)
