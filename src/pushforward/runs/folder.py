"""A run's folder: its files, what identifies the run, and who works in it.

Files are written whole or not at all, and nothing in a folder is executed. No row of the data is in
it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pushforward.data import Dataset, Schema
from pushforward.errors import RunError
from pushforward.families.lookup import name_of, source_digest
from pushforward.families.model import Model
from pushforward.files import discard_partial, locked, read_json, read_text, write_json, write_whole
from pushforward.models import is_builtin

Checkpoint = Literal["best", "final"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """Model, options, training settings, schedule, data hash, versions."""
        return self.path / "config.json"

    @property
    def schema(self) -> Path:
        """How tensors become the user's data again."""
        return self.path / "schema.json"

    @property
    def history(self) -> Path:
        """One record a line."""
        return self.path / "history.jsonl"

    @property
    def anatomy(self) -> Path:
        """What the model can tell about its own measure."""
        return self.path / "anatomy.json"

    @property
    def state(self) -> Path:
        """Everything that an interrupted run needs to go on."""
        return self.path / "state.safetensors"

    def weights(self, checkpoint: Checkpoint) -> Path:
        """The weights at the end, or at the best value on validation."""
        names = {"final": "weights.safetensors", "best": "best.safetensors"}
        return self.path / names[checkpoint]

    @property
    def finished(self) -> bool:
        """Whether the run came to the end of its schedule."""
        if not self.weights("final").exists():
            return False
        stages = self.read_config()["schedule"]
        trained: Json = json.loads(read_text(self.weights("final")))
        return bool(trained.get("stages") == len(stages))

    def read_config(self) -> Json:
        """Return the config; RunError when it is missing or broken."""
        config = read_json(self.config)
        if not isinstance(config, dict) or not isinstance(config.get("identity"), dict):
            msg = f"{self.config} is broken; restore it, or delete the folder and train again"
            raise RunError(msg)
        return config

    def recorded(self) -> tuple[str, Json]:
        """Return what names the run's model, and the settings and options of its training."""
        if not self.config.exists():
            msg = f"there is no run in {self.path} to train on: leave more= (--more) out"
            raise RunError(msg)
        config = self.read_config()
        identity = config["identity"]
        return config["class"] or identity["model"], identity["settings"] | identity["options"]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work alone in the folder; RunError while others do, or where it is not a run's."""
        files = self.path.iterdir() if self.path.is_dir() and not self.config.exists() else iter(())
        foreign = [f.name for f in files if f.name != self.schema.name and not _temporary(f)]
        if foreign:
            msg = f"{self.path} holds other files ({foreign[0]}, ...); name an empty folder"
            raise RunError(msg)
        with locked(self.path):
            discard_partial(self.path)
            yield

    def open_or_create(self, config: Mapping[str, Any], schema: Schema) -> Json:
        """Return the folder's config if it is this very run, after writing it if it is new.

        RunError when the folder holds something else: nothing is overwritten.
        """
        if self.config.exists():
            kept = self.read_config()
            _check_same_run(self.path, kept, config)
            return kept
        write_json(self.schema, schema.to_json())
        write_json(self.config, config)
        return dict(config)

    def read_history(self, until: int | None = None) -> list[Json]:
        """Return the records up to a step; a line torn by a kill is left out."""
        records = []
        if self.history.exists():
            for line in self.history.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    record = json.loads(line)
                    if until is None or record["step"] <= until:
                        records.append(record)
        return records

    def write_history(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write all records, whole or not at all."""
        write_whole(self.history, "".join(json.dumps(r) + "\n" for r in records).encode())

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add one record; a torn last line is dropped on reading."""
        try:
            with self.history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            msg = f"cannot write {self.history}: {error.strerror}"
            raise RunError(msg) from error


def _temporary(file: Path) -> bool:
    return file.suffix == ".partial" or file.name == ".lock"


def new_config(
    model: type[Model], options: Mapping[str, Any], settings: Mapping[str, Any], data: Dataset
) -> Json:
    """Return the config of a new run.

    Its `identity` is what it takes to train it again: options at their defaults are left out, and
    `source` stands for the files of a user's own classes. `class` is where the model's class can be
    found, if it is none of the library's. `schedule` has a stage for each budget that the run was
    given: that budget, the steps that it became (None until they are fixed), and where they were
    changed since (see `pushforward.training.plan`).
    """
    defaults = {name: option.default for name, option in model.options().items()}
    given = {name: value for name, value in options.items() if value != defaults[name]}
    classes = {name: value for name, value in given.items() if callable(value)}
    versions = {name: version(name) for name in ("pushforward", "torch", "numpy")}
    return {
        "identity": {
            "model": model.name,
            "source": source_digest(model, *classes.values()),
            "options": given | {name: name_of(value) for name, value in classes.items()},
            "settings": dict(settings),
            "data": data.digest,
        },
        "class": None if is_builtin(model) else name_of(model),
        "data": data.name,
        "schema": schema_digest(data.schema),
        "schedule": [new_stage(settings["budget"])],
        "precision": None,
        "threads": None,
        "processes": None,
        "versions": versions | {"python": platform.python_version()},
    }


def new_stage(budget: str | int) -> Json:
    """Return the record of a stage whose steps are not fixed yet."""
    return {"budget": budget, "steps": None}


def diverged(config: Mapping[str, Any]) -> str | None:
    """Return why a run ended before its time, if it left the finite numbers."""
    reason = config["schedule"][-1].get("diverged")
    return None if reason is None else str(reason)


def stopped(config: Mapping[str, Any]) -> bool:
    """Return whether a run ended before its time because training was in vain (`patience`)."""
    return any(at == steps for at, steps in config["schedule"][-1].get("shortened", []))


def repeating(stage: Json) -> str:
    """Return the budget that repeats a stage: the steps that were foreseen, and each change."""
    changes = [f"{steps} from {position}" for position, steps in stage.get("shortened", [])]
    return ", ".join([f"{stage.get('foreseen') or stage['steps']} steps", *changes])


def steps_of(config: Mapping[str, Any]) -> int:
    """Return how many steps a run's schedule has so far."""
    return sum(stage["steps"] or 0 for stage in config["schedule"])


def schema_digest(schema: Schema) -> str:
    """Return the SHA-256 of a schema's JSON."""
    return hashlib.sha256(json.dumps(schema.to_json(), sort_keys=True).encode()).hexdigest()


def config_digest(config: Mapping[str, Any]) -> str:
    """Return what ties weights to their config, so that a change of either is noticed.

    The schedule is left out: it grows when a run is trained on.
    """
    bound = {key: value for key, value in config.items() if key != "schedule"}
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()


def _check_same_run(path: Path, kept: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise RunError, saying what the first difference is, unless both identities are equal."""
    there, here = _flat(kept["identity"]), _flat(json.loads(json.dumps(asked["identity"])))
    different = (key for key in [*here, *there] if there.get(key) != here.get(key))
    key = next(different, None)
    if key is None:
        return
    if key == "data":
        what = (
            f"it was trained on {kept.get('data')!r}, and these rows ({asked.get('data')!r}) are "
            "others, or were read in another way (condition, rare, constraints, ...)"
        )
    elif key == "source":
        what = f"the file of {asked['class'] or 'its networks'} has changed since"
    else:
        values = [repr(own[key]) if key in own else "at its default" for own in (there, here)]
        what = f"{key} is {values[0]} there and {values[1]} here"
    longer = "; to train a run for longer, fit it with more= (--more) and the additional time"
    msg = f"{path} holds another run: {what}; name another folder (out=, --out), or delete this one"
    raise RunError(msg + longer * (key == "budget"))


def _flat(identity: Mapping[str, Any]) -> Json:
    """Return model, data, options and settings as one dictionary."""
    first = {key: identity.get(key) for key in ("model", "source", "data")}
    return first | dict(identity.get("settings", {})) | dict(identity.get("options", {}))
