"""A run's folder: its files, what identifies the run, and who works in it.

Files are written whole or not at all, and nothing in a folder is executed. No row of the data is in
it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pushforward.data import Dataset, Schema
from pushforward.errors import RunError
from pushforward.families.lookup import name_of
from pushforward.files import read_json, read_text, write_json, write_whole

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
        stages = read_json(self.config).get("schedule", [])
        trained: Json = json.loads(read_text(self.weights("final")))
        return bool(trained.get("stages") == len(stages))

    def keywords(self) -> Json:
        """Return the settings and options that the run was trained with; none of a new folder."""
        identity = read_json(self.config)["identity"] if self.config.exists() else {}
        return {**identity.get("settings", {}), **identity.get("options", {})}

    def open_or_create(self, config: Mapping[str, Any], schema: Schema) -> Json:
        """Return the folder's config if it is this very run, after writing it if it is new.

        RunError when the folder holds something else: nothing is overwritten.
        """
        if self.config.exists():
            kept: Json = read_json(self.config)
            _check_same_run(self.path, kept.get("identity", {}), config["identity"])
            return kept
        files = self.path.iterdir() if self.path.is_dir() else iter(())
        foreign = [f.name for f in files if f.name != self.schema.name and not _temporary(f)]
        if foreign:
            msg = f"{self.path} holds other files ({foreign[0]}, ...); name an empty folder"
            raise RunError(msg)
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
    model: str, options: Mapping[str, Any], settings: Mapping[str, Any], data: Dataset
) -> Json:
    """Return the config of a new run.

    Its `identity` is what it takes to train it again; its `schedule` has a stage for each budget
    that it was given: that budget, and the steps that it became (None until they are fixed).
    """
    names = {name: name_of(v) if isinstance(v, type) else v for name, v in options.items()}
    versions = {name: version(name) for name in ("pushforward", "torch", "numpy")}
    return {
        "identity": {
            "model": model,
            "options": names,
            "settings": dict(settings),
            "data": data.digest,
        },
        "data": data.name,
        "schema": schema_digest(data.schema),
        "schedule": [{"budget": settings["budget"], "steps": None}],
        "precision": None,
        "versions": versions | {"python": platform.python_version()},
    }


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
    """Raise RunError, naming the first difference, unless both identities are equal."""
    there, here = _flat(kept), _flat(json.loads(json.dumps(asked)))
    for key in [*here, *there]:
        if there.get(key) != here.get(key):
            advice = "name another folder, or delete this one"
            if key == "budget":
                advice = f"to train it on, ask for more={here[key]!r} (--more), or {advice}"
            msg = (
                f"{path} holds another run: {key} is {there.get(key)!r} there and "
                f"{here.get(key)!r} here; {advice}"
            )
            raise RunError(msg)


def _flat(identity: Mapping[str, Any]) -> Json:
    """Return model, data, options and settings as one dictionary."""
    first = {"model": identity.get("model"), "data": identity.get("data")}
    return first | dict(identity.get("settings", {})) | dict(identity.get("options", {}))
