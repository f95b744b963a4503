"""The fitted model that a run's folder holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from pushforward.data import Schema, schema_from_json
from pushforward.data.tables.where import Where
from pushforward.errors import DataError, ModelError, RunError, nearest
from pushforward.families.lookup import resolve_imported
from pushforward.families.model import Model
from pushforward.families.panels import Panel
from pushforward.files import read_json, read_tensors, write_json, write_tensors
from pushforward.measures import LatentDecoder
from pushforward.models import find
from pushforward.nn.device import choose_device
from pushforward.nn.priors import ContinuousPrior
from pushforward.random import isolated
from pushforward.runs.answering import Answering
from pushforward.runs.folder import (
    Checkpoint,
    Folder,
    Json,
    config_digest,
    diverged,
    schema_digest,
    steps_of,
    stopped,
)
from pushforward.sampling.answers import Answers
from pushforward.sampling.blocks import chosen_labels, one_hot
from pushforward.sampling.request import CHUNK, SampleInfo, SampleRequest
from pushforward.space import Cells

State = dict[str, Tensor]
CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "final")
ROWS_A_NOISE = 50  # rows, in deviations of a private count, below which a schema is doubtful


@dataclass
class Fitted(Answering):
    """A trained model: samples in the data's own form, can be saved and loaded.

    Args:
        model: the network with the weights of the best checkpoint, on its device.
        schema: how its rows become the user's data.
        states: the weights of the checkpoints `final` and `best` (on validation).
        config: what it takes to train it again.
        history: the records of training.
        panels: the model's anatomy.
    """

    model: Model
    schema: Schema
    states: Mapping[Checkpoint, State]
    config: Json
    history: list[Json] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = _frozen(self.model, self.states["best"])
        self._networks: dict[Checkpoint, Model] = {"best": self.model}

    def network(self, checkpoint: Checkpoint = "best") -> Model:
        """Return the network with a checkpoint's weights; it is made once and shared."""
        if checkpoint not in CHECKPOINTS:
            msg = f"unknown checkpoint {checkpoint!r}: {nearest(str(checkpoint), CHECKPOINTS)}"
            raise ModelError(msg)
        if checkpoint not in self._networks:
            self._networks[checkpoint] = _frozen(deepcopy(self.model), self.states[checkpoint])
        return self._networks[checkpoint]

    @overload
    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        given: Any = None,
        balance: Any = None,
        checkpoint: Checkpoint = "best",
        return_info: Literal[False] = False,
    ) -> Any: ...

    @overload
    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        given: Any = None,
        balance: Any = None,
        checkpoint: Checkpoint = "best",
        return_info: Literal[True],
    ) -> tuple[Any, SampleInfo]: ...

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        given: Any = None,
        balance: Any = None,
        checkpoint: Checkpoint = "best",
        return_info: bool = False,
    ) -> Any:
        """Return n generated rows as the data came in (DataFrame, images, array).

        Args:
            n: how many; as many as there are rows in `given`.
            seed: the same one gives the same rows; None draws one.
            condition: one class, or a sequence of n; without it classes are drawn as often as they
                are in the data.
            where: allowed values of a table's columns, by label: a value, None for a missing one,
                a list of values, and for numbers and times a `range` or (low, high), both ends
                included, e.g. `{"income": ">50K", "age": range(30, 40), "hours": (None, 20)}`. Rows
                follow the model's own distribution under this condition.
            given: rows of a table with some of its columns: each is continued from its known cells
                by a draw from the model's own distribution. A missing value is not known. It goes
                with `seed` and `checkpoint` alone.
            balance: a column of categories, all of which shall be equally frequent (a missing one
                left out).
            checkpoint: `"best"` on validation, or `"final"`.
            return_info: return the rows and a `SampleInfo`: the seed that was used, the classes of
                images and arrays, and for `where` the hit rate.

        Raises:
            ModelError: the model has no condition, or not that class; or rows under `where` are
                never generated.
            DataError: `where` does not fit the table, or contradicts itself.

        Warns when the rows under `where` are worth few independent ones: see `SampleInfo.hits`.
        """
        network = self.network(checkpoint)
        if given is not None:
            if return_info or any(own is not None for own in (n, condition, where, balance)):
                raise ModelError("given= goes with seed= and checkpoint= alone: one row for each")
            return Answers.of(network, self.schema, seed, "sample(given=)").continued(given)
        if n is None:
            raise ModelError("say how many rows, sample(n), or give rows to continue, given=")
        request = SampleRequest(network, self.schema, n, seed, condition, where, balance)
        rows, info = request.take()
        return (rows, info) if return_info else rows

    def stream(
        self,
        n: int,
        *,
        chunk: int = CHUNK,
        seed: int | None = None,
        condition: Any = None,
        where: Where | None = None,
        balance: Any = None,
        checkpoint: Checkpoint = "best",
    ) -> Iterator[Any]:
        """Return what `sample` returns, `chunk` rows at a time; the rows do not depend on it."""
        network = self.network(checkpoint)
        return SampleRequest(network, self.schema, n, seed, condition, where, balance).stream(chunk)

    def decoder(self, *, condition: Any = None, checkpoint: Checkpoint = "best") -> LatentDecoder:
        """Return the map from codes to rows (of one class), to measure likelihoods.

        Where a critic chooses among codes (`accept`), they have the prior's density, as before.
        """
        model, schema = self.network(checkpoint), self.schema
        if isinstance(schema.space, Cells) or not isinstance(model.source, ContinuousPrior):
            msg = "a likelihood with Gaussian noise needs images or arrays, and a continuous prior"
            raise ModelError(msg)
        if condition is None and schema.condition is not None:
            raise ModelError("a conditional model has a likelihood for each class: give condition=")
        code = None if condition is None else chosen_labels(schema.condition, 1, condition)
        c = None if code is None else one_hot(code, model.classes, model.device)

        def mean(z: Tensor) -> Any:
            return model.mean(z, None if c is None else c.expand(len(z), -1))

        prior = model.source.whole
        return LatentDecoder(
            mean, prior.latent, prior=prior, rows=lambda x: schema.expand(schema.encode(x))
        )

    @property
    def facts(self) -> dict[str, float]:
        """Named numbers that the panels of its anatomy hold, for findings."""
        return {name: value for panel in self.panels for name, value in panel.facts.items()}

    @property
    def steps(self) -> int:
        """How many steps it was trained for."""
        return steps_of(self.config)

    @property
    def foreseen_steps(self) -> int:
        """How many steps were planned for it, before it was shortened or diverged."""
        stages = self.config["schedule"]
        return sum(stage.get("foreseen") or stage["steps"] or 0 for stage in stages)

    @property
    def diverged(self) -> str | None:
        """Why training ended before its time, if it left the finite numbers; None otherwise.

        Both checkpoints are then the last one that was good.
        """
        return diverged(self.config)

    @property
    def stopped(self) -> bool:
        """Whether training ended before its time because nothing became better (`patience`)."""
        return stopped(self.config)

    @property
    def notes(self) -> list[str]:
        """What was noticed in training."""
        return [*self._notes_on_privacy(), *self._notes_on_steps()]

    def _notes_on_privacy(self) -> list[str]:
        spent = self.config.get("privacy")
        if spent is None or spent["rows"] >= ROWS_A_NOISE * spent["schema"]["noise"]:
            return []
        return [
            f"about {spent['rows']:,} rows are few beside the noise of each count of the schema "
            f"({spent['schema']['noise']:.0f}): ranges and categories may be far from those of the "
            "rows; it takes more rows, fewer columns or a larger epsilon"
        ]

    def _notes_on_steps(self) -> list[str]:
        steps, foreseen = self.steps, self.foreseen_steps
        if self.stopped:
            kept = max((r["step"] for r in self.history if r.get("kept")), default=0)
            return [
                f"training ended at step {steps:,} of {foreseen:,}, as the checks were no better "
                f"than that at step {kept:,}, whose weights are kept"
            ]
        if self.diverged is not None or 2 * steps >= foreseen:
            return []
        return [
            f"only {steps:,} of {foreseen:,} foreseen steps fitted into the budget: the machine "
            "became slower, as with other work beside; train again when it is quiet"
        ]

    def __repr__(self) -> str:
        """Say what was trained and how long, not every weight."""
        kept = [record["step"] for record in self.history if record.get("kept")]
        best = f", best at {kept[-1]:,}" if kept else ""
        options = ", ".join(f"{n}={v!r}" for n, v in self.config["identity"]["options"].items())
        known = f"{self.model.name}({options}) on {self.config['data']!r}"
        return f"Fitted {known}: {self.steps:,} steps{best}"

    def save(self, path: str | Path) -> Path:
        """Write the run's folder; RunError when the folder holds another run."""
        folder = Folder(Path(path))
        with folder.alone():
            folder.open_or_create(self.config, self.schema)
            self.write(folder)
        return folder.path

    def write(self, folder: Folder) -> None:
        """Write history, anatomy and weights; the final weights last: they say "finished"."""
        folder.write_history(self.history)
        write_json(folder.anatomy, [asdict(panel) for panel in self.panels])
        write_json(folder.config, self.config)
        for checkpoint in CHECKPOINTS:
            write_tensors(
                folder.weights(checkpoint), self.states[checkpoint], weights_text(self.config)
            )


def weights_text(config: Mapping[str, Any]) -> str:
    """Return what weights say of themselves: their config, and how many stages its schedule had."""
    return json.dumps({"config": config_digest(config), "stages": len(config["schedule"])})


def _frozen(model: Model, weights: State) -> Model:
    fresh = {n: t for n, t in model.state_dict().items() if n.startswith("refinement.")}
    model.load_state_dict(fresh | dict(weights))  # runs of before have none
    return model.eval().requires_grad_(False)


def build(
    model: str | type,
    schema: Schema,
    options: Mapping[str, Any],
    seed: int,
    device: torch.device,
) -> Model:
    """Return a new model for data of this schema, its start drawn from the seed alone."""
    cls = find(model)
    checked = cls.check(options)
    classes = 0 if schema.condition is None else len(schema.condition.classes)
    with isolated(torch.device("cpu"), seed):
        network = cls(schema.space, classes, **checked)
    network.check_players()
    # What convolutions are fastest in; this overload is missing from torch's annotations.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def load(
    path: str | Path,
    *,
    device: str = "auto",
    model: str | type | None = None,
    networks: str | Callable[..., Any] | None = None,
) -> Fitted:
    """Return the fitted model of a run's folder.

    Nothing in the folder is executed. An interrupted run gives its best checkpoint so far.

    Args:
        path: the folder.
        device: "auto", "cpu", "cuda", ...
        model: the class of a run whose model is your own and is not importable by its name.
        networks: likewise, your own networks.

    Raises:
        RunError: a file is missing, truncated or changed, or the run's own class has to be given.

    """
    folder = Folder(Path(path))
    config = folder.read_config()
    schema = _load_schema(folder, config)
    states = _load_states(folder, config)
    cls, options = _class_of(folder, config, model), dict(config["identity"]["options"])
    if options.get("networks") is not None:
        options["networks"] = networks or _imported(folder, "networks", options["networks"])
    network = build(cls, schema, options, 0, choose_device(device))
    panels = read_json(folder.anatomy) if folder.anatomy.exists() else []
    history, drawn = folder.read_history(), [Panel(**p) for p in panels]
    try:
        return Fitted(network, schema, states, config, history, drawn)
    except RuntimeError as error:
        msg = f"{folder.path}: the weights do not fit the model of config.json; train again"
        raise RunError(msg) from error


def _class_of(folder: Folder, config: Json, given: str | type | None) -> type[Model]:
    """Return the class of a run's model: the library's own, one to import, or the given one."""
    name = config["identity"]["model"]
    if given is None and config["class"] is not None:
        return find(_imported(folder, "model", config["class"]))
    cls = find(name if given is None else given)
    if cls.name != name:
        msg = f"{folder.path} was trained with {name!r}, not {cls.name!r}: leave model= out"
        raise RunError(f"{msg} (--model on the command line), or give that class")
    return cls


def _imported(folder: Folder, what: str, name: str) -> Any:
    """Return a user's class by the name that a run's config has; RunError says how to give it."""
    try:
        return resolve_imported(name, folder.path)
    except ModelError as error:
        msg = (
            f"{folder.path} was trained with the {what} {name}, which is not imported by itself: "
            f"add --{what} {name}, or in Python load(path, {what}=...) with the class"
        )
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


def _load_states(folder: Folder, config: Mapping[str, Any]) -> dict[Checkpoint, State]:
    """Return both checkpoints; of an unfinished run the best one in both places."""
    best, text = read_tensors(folder.weights("best"))
    if json.loads(text)["config"] != config_digest(config):
        msg = f"{folder.config} was changed after it was written; restore it or train again"
        raise RunError(msg)
    final = read_tensors(folder.weights("final"))[0] if folder.finished else best
    return {"best": best, "final": final}
