"""A run's folder, and the fitted model that it holds.

Files are written whole or not at all, nothing in a folder is executed on loading (JSON and
safetensors only), and no row of the data is in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.sampling.blocks import chosen_labels, forked
from pushforward.sampling.conditional import Conditional
from pushforward.data import Dataset, Schema, schema_from_json
from pushforward.data.tables.where import Where
from pushforward.errors import DataError, ModelError, RunError
from pushforward.families.model import Model, Panel
from pushforward.measures import LatentDecoder
from pushforward.models import find
from pushforward.sampling.sampling import STREAMED, Sampling
from pushforward.training.turn_optimizer import one_hot
from pushforward.training.settings import Settings
from pushforward.space import Cells
from pushforward.files import read_json, read_tensors, write_json, write_tensors, write_whole

Checkpoint = Literal["best", "final"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """Model, options, training settings, steps, data hash, versions."""
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
        """What the model tells about its own measure."""
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
        """Whether the run came to its end."""
        return self.weights("final").exists()

    def claim(self, config: Mapping[str, Any], schema: Schema) -> Json:
        """Return the folder's config if it is this very run, after writing it if it is new.

        RunError when the folder holds something else: nothing is overwritten.
        """
        if self.config.exists():
            found: Json = read_json(self.config)
            _same_run(self.path, found.get("identity", {}), config["identity"])
            return found
        files = self.path.iterdir() if self.path.is_dir() else iter(())
        foreign = [f.name for f in files if f.name != self.schema.name and f.suffix != ".partial"]
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


def identify(model: str, options: Mapping[str, Any], settings: Settings, data: Dataset) -> Json:
    """Return the config of a run: what it is, with which versions, and room for its steps."""
    identity = {
        "model": model,
        "options": dict(options),
        "settings": asdict(settings),
        "data": data.digest,
    }
    versions = {name: version(name) for name in ("pushforward", "torch", "numpy")}
    return {
        "identity": identity,
        "data": data.name,
        "schema": schema_digest(data.schema),
        "steps": None,
        "precision": None,
        "versions": versions | {"python": platform.python_version()},
    }


def schema_digest(schema: Schema) -> str:
    """Return the SHA-256 of a schema's JSON."""
    return hashlib.sha256(json.dumps(schema.to_json(), sort_keys=True).encode()).hexdigest()


def _same_run(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise RunError, naming the first difference, unless both identities are equal."""
    for key, value in json.loads(json.dumps(wanted)).items():
        if found.get(key) != value:
            msg = (
                f"{path} holds another run ({key}: {found.get(key)!r} there, {value!r} asked); "
                "name another folder, or delete this one"
            )
            raise RunError(msg)


@dataclass
class Fitted:
    """A trained model: samples in the data's own form, can be saved and loaded.

    Args:
        model: the network, on its device.
        schema: how its rows become the user's data.
        states: the weights of the checkpoints `final` and `best` (on validation).
        config: what it takes to train it again.
        history: the records of training.
        panels: the model's anatomy.
    """

    model: Model
    schema: Schema
    states: dict[Checkpoint, dict[str, Tensor]]
    config: Json
    history: list[Json] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        balance: str | None = None,
        checkpoint: Checkpoint = "best",
    ) -> Any:
        """Return n generated rows as the data came in (DataFrame, images, array).

        Args:
            n: how many.
            seed: the same one gives the same rows; None draws one.
            condition: one class, or a sequence of n; without it classes are drawn as often as they
                are in the data.
            where: the wanted values of a table's columns, by name: a value, None for a missing one,
                a list of values, and for numbers and times a `range` or (low, high), both ends
                included, e.g. `{"income": ">50K", "age": range(30, 40), "hours": (None, 20)}`. Rows
                follow the model's own distribution under this condition.
            balance: a column of categories, all of which shall be equally frequent (a missing one
                left out).
            checkpoint: `"best"` on validation, or `"final"`.

        Raises:
            ModelError: the model has no condition, or not that class; or rows under `where` are
                never generated.
            DataError: `where` does not fit the table, or contradicts itself.

        Warns when the rows under `where` are worth few independent ones: see `sample_where`.
        """
        return self.sampling(n, seed, condition, where, balance, checkpoint).labelled()[0]

    def sample_labelled(
        self,
        n: int,
        *,
        seed: int | None = None,
        condition: Any = None,
        checkpoint: Checkpoint = "best",
    ) -> tuple[Any, list[Any] | None]:
        """Return what `sample` returns, and each row's class where the rows do not hold it."""
        return self.sampling(n, seed, condition, checkpoint=checkpoint).labelled()

    def sample_where(
        self, n: int, where: Where, *, seed: int | None = None, checkpoint: Checkpoint = "best"
    ) -> Conditional:
        """Return what `sample(n, where=...)` returns as `frame`, with the condition's hit rate."""
        if not where:
            raise DataError("where: at least one column must be restricted")
        return self.sampling(n, seed, where=where, checkpoint=checkpoint).conditional()

    def stream(
        self,
        n: int,
        *,
        chunk: int = STREAMED,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        balance: str | None = None,
        checkpoint: Checkpoint = "best",
    ) -> Iterator[Any]:
        """Return what `sample` returns, `chunk` rows at a time; the rows do not depend on it."""
        return self.sampling(n, seed, condition, where, balance, checkpoint).stream(chunk)

    def sampling(
        self,
        n: int,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        balance: str | None = None,
        checkpoint: Checkpoint = "best",
    ) -> Sampling:
        """Return a sample that is not drawn yet: `write` puts it into a file with flat memory."""
        seed = torch.seed() % 2**63 if seed is None else seed
        model = deepcopy(self.load(checkpoint).model).requires_grad_(False)
        return Sampling(model, self.schema, n, seed, condition, where, balance)

    def draw(
        self,
        n: int,
        *,
        seed: int,
        condition: Any = None,
        checkpoint: Checkpoint = "best",
    ) -> tuple[Tensor, Tensor | None]:
        """Return n encoded rows, and the codes of their classes (None without a condition)."""
        return self.sampling(n, seed, condition, checkpoint=checkpoint).draw()

    def decoder(self, *, condition: Any = None, checkpoint: Checkpoint = "best") -> LatentDecoder:
        """Return a copy of the map from codes to rows (of one class), to measure likelihoods."""
        if isinstance(self.schema.space, Cells):
            raise ModelError("a likelihood with Gaussian noise takes images or arrays, no tables")
        if condition is None and self.schema.condition is not None:
            raise ModelError("a conditional model has a likelihood for each class: give condition=")
        model = deepcopy(self.load(checkpoint).model).eval().requires_grad_(False)
        own, prior = self.schema, model.prior
        code = None if condition is None else chosen_labels(own.condition, 1, condition)
        c = None if code is None else one_hot(code, model.classes, model.device)

        def mean(z: Tensor) -> Any:
            return model.mean(z, None if c is None else c.expand(len(z), -1))

        return LatentDecoder(mean, prior.latent, prior=prior, rows=lambda x: own.expand(own.encode(x)))

    def __repr__(self) -> str:
        """Say what was trained and how long, not every weight."""
        kept = [record["step"] for record in self.history if record.get("kept")]
        best = f", best at {kept[-1]:,}" if kept else ""
        known, steps = self.config["data"], self.config["steps"]
        return f"Fitted {self.model.name!r} on {known!r}: {steps:,} steps{best}"

    def load(self, checkpoint: Checkpoint) -> Fitted:
        """Put a checkpoint's weights into `model`; returns itself."""
        self.model.eval().load_state_dict(self.states[checkpoint])
        return self

    def save(self, path: str | Path) -> Path:
        """Write the run's folder; RunError when the folder holds another run."""
        folder = Folder(Path(path))
        folder.claim(self.config, self.schema)
        self.save_results(folder)
        return folder.path

    def save_results(self, folder: Folder) -> None:
        """Write history, anatomy and weights; the final weights last, as they say «finished»."""
        folder.write_history(self.history)
        write_json(folder.anatomy, [asdict(panel) for panel in self.panels])
        for checkpoint in ("best", "final"):
            write_tensors(folder.weights(checkpoint), self.states[checkpoint], bond(self.config))


def bond(config: Mapping[str, Any]) -> str:
    """Return what ties weights to their config, so that a change of either is noticed."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def build(
    name: str, schema: Schema, options: Mapping[str, Any], seed: int, device: torch.device
) -> Model:
    """Return a new model for data of this schema, its start drawn from the seed alone."""
    cls = find(name)
    cls.check(options)
    classes = 0 if schema.condition is None else len(schema.condition.classes)
    with forked(torch.device("cpu"), seed):
        return cls(schema.space, classes, **options).to(device)


def load(path: str | Path, *, device: str = "auto") -> Fitted:
    """Return the fitted model of a run's folder.

    An interrupted run gives its best checkpoint so far. RunError when a file is missing,
    truncated or changed; nothing in the folder is executed.
    """
    folder = Folder(Path(path))
    config = read_json(folder.config)
    schema = _load_schema(folder, config)
    states = _load_states(folder, config)
    identity = config["identity"]
    model = build(identity["model"], schema, identity["options"], 0, choose_device(device))
    panels = read_json(folder.anatomy) if folder.anatomy.exists() else []
    fitted = Fitted(
        model, schema, states, config, folder.read_history(), [Panel(**p) for p in panels]
    )
    try:
        return fitted.load("best")
    except RuntimeError as error:
        msg = f"{folder.path}: the weights do not fit the model of config.json; train again"
        raise RunError(msg) from error


def _load_schema(folder: Folder, config: Mapping[str, Any]) -> Schema:
    try:
        schema = schema_from_json(read_json(folder.schema))
        if config["schema"] == schema_digest(schema):
            return schema
    except (DataError, KeyError, TypeError) as error:
        msg = f"{folder.path}: config.json or schema.json is broken ({error}); train again"
        raise RunError(msg) from error
    msg = f"{folder.schema} was changed after it was written; restore it or train again"
    raise RunError(msg)


def _load_states(folder: Folder, config: Mapping[str, Any]) -> dict[Checkpoint, dict[str, Tensor]]:
    """Return both checkpoints; of an unfinished run the best one in both places."""
    best, tie = read_tensors(folder.weights("best"))
    if tie != bond(config):
        msg = f"{folder.config} was changed after it was written; restore it or train again"
        raise RunError(msg)
    final = read_tensors(folder.weights("final"))[0] if folder.finished else best
    return {"best": best, "final": final}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" picks CUDA, then CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"device {name!r} is not to be had here: {str(error).splitlines()[0]}"
        raise ModelError(msg) from error
    return device
