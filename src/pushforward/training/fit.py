"""Train one model: from data and a name to a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from pushforward.data import Schema, read
from pushforward.errors import DivergedError, ModelError, RunError
from pushforward.files import write_json
from pushforward.models import find
from pushforward.nn.device import choose_device
from pushforward.runs.fitted import Fitted, build, load
from pushforward.runs.folder import Folder, Json, diverged, new_config, new_stage
from pushforward.training.batches import rows_of_a_batch
from pushforward.training.loop import Loop, Progress
from pushforward.training.parallel import Processes, processes
from pushforward.training.private.fit import fit_privately, read_without_relations
from pushforward.training.private.guarantee import Guarantee
from pushforward.training.settings import Budget, Settings, require_function, split_keywords
from pushforward.training.sized import sized


class Tracker(Protocol):
    """Where the numbers of a training go besides the run's folder: MLflow, TensorBoard, wandb, ...

    Five methods, as in sbi; docs/trackers.md has adapters of a few lines.
    """

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Take the model's name, its options and the settings, once, before the first step."""

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Take one number at a step."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take the terms of each turn, named `turn.term`, and what was read on validation rows."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Take a plotly figure: what the model tells about its own measure, at the end."""

    def flush(self) -> None:
        """Write what is still held back."""


def fit(
    data: Any,
    model: str | type | None = None,
    *,
    out: str | Path | None = None,
    condition: Any = None,
    device: str = "auto",
    more: str | int | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
    **keywords: Any,
) -> Fitted:
    """Train one model on a user's data and return it.

    Under torchrun all processes call it alike, and train one model together (see
    `docs/several_gpus.md`).

    Args:
        data: a path, DataFrame, array, tensor, built-in name, or a `Dataset` that was read.
        model: a name from `pushforward models`, your own subclass of `pushforward.Model`, or where
            it is: `my_models.py:MyModel`, `package.module:MyModel`. None for "vae".
        out: the run's folder. A finished run in it is loaded, an interrupted one goes on, another
            run's folder is a RunError.
        condition: the column or labels to condition on (for data that are not yet a `Dataset`).
        device: "auto", "cpu", "cuda", ...
        more: train the finished run in `out` on, for a budget of its own ("60s", "500 steps"). The
            learning rate rises and falls once more, and the run's schedule records it. The model,
            settings and options that are not given are the run's own.
        epsilon: train under (epsilon, delta)-differential privacy, which covers all that is learned
            of a table's training rows, its schema too (see `docs/privacy.md`).
        delta: by default 1e-5.
        progress: called with each record.
        tracker: receives parameters, metrics and figures, see `Tracker`.
        **keywords: how to train (`budget="60s"`, `seed=0`, `batch_size`, `ema`, `clip_grad_norm`,
            `learning_rate`, `precision`, `patience`, `refine`: see `Settings`), and the options of
            the model (`latent`, `beta`, `gamma`, ...).

    Raises:
        DataError, ModelError: the data, the model or an option do not fit.
        RunError: the folder is not this run's, or another process works in it.
        DivergedError: training left the finite numbers. The folder then holds the last checkpoint
            that was good, see `Fitted.diverged`.

    """
    team, folder = processes(), None if out is None else Folder(Path(out))
    if more is not None:
        model, keywords = _of_the_run(team, folder, more, model, keywords)
    cls = find("vae" if model is None else model)
    own, options = split_keywords(keywords, [cls])
    settings = Settings(**own)
    options = cls.check(options)
    if epsilon is not None or delta is not None:
        guarantee = Guarantee.of(epsilon, delta)
        _refuse_with_privacy(team, more, tracker)
        require_function("progress", progress)
        table = read_without_relations(data, condition=condition)
        place = choose_device(device)
        return fit_privately(table, cls, options, settings, guarantee, place, out, progress)
    dataset = read(data, condition=condition)
    place = choose_device(team.device(device))
    team.shard(rows_of_a_batch(settings, dataset))
    options = sized(cls, options, settings, dataset, place)
    network = build(cls, dataset.schema, options, settings.seed, place)
    config = new_config(cls, options, asdict(settings), dataset)
    with team, ExitStack() as stack:
        _require_same(team, config)
        if folder is not None:
            config, finished = team.first(
                lambda: _open(stack, folder, config, dataset.schema, more)
            )
            if finished:
                networks = options.get("networks")
                return load(folder.path, device=str(place), model=cls, networks=networks)
        loop = Loop(network, dataset, settings, folder, config, _observer(progress, tracker), team)
        return _run(loop, tracker if team.leads else None)


def _refuse_with_privacy(team: Processes, more: Any, tracker: Any) -> None:
    """Raise ModelError for what would be a release of its own."""
    if more is not None:
        raise ModelError("more= would spend beyond the epsilon of the run: fit anew with a budget")
    if team.size > 1:
        raise ModelError("epsilon= needs one process: run it without torchrun")
    if tracker is not None:
        raise ModelError(
            "tracker= would receive what is not accounted for: with epsilon= leave it out"
        )


def _require_same(team: Processes, config: Json) -> None:
    """Raise RunError in a process that was asked for something else than the first one."""
    if team.first(lambda: config["identity"]) != config["identity"]:
        msg = f"process {team.rank} got other data, options or settings than process 0"
        raise RunError(f"{msg}: start all of them with the same command on the same files")


def _open(
    stack: ExitStack, folder: Folder, config: Json, schema: Schema, more: str | int | None
) -> tuple[Json, bool]:
    """Return the config in a folder, in which nobody else works then, and if it is finished."""
    stack.enter_context(folder.alone())
    config = folder.open_or_create(config, schema)
    if reason := diverged(config):
        raise DivergedError(reason)
    _continue(folder, config, more)
    return config, folder.finished


def _of_the_run(
    team: Processes,
    folder: Folder | None,
    more: str | int,
    model: str | type | None,
    keywords: Mapping[str, Any],
) -> tuple[str | type, dict[str, Any]]:
    """Return the model and keywords of the run that is trained on, where they are not given."""
    Budget.parse(more)
    if folder is None:
        raise ModelError("more= trains a finished run on: name its folder with out=")
    recorded, trained_with = team.first(folder.recorded)
    return recorded if model is None else model, trained_with | dict(keywords)


def _continue(folder: Folder, config: Json, more: str | int | None) -> None:
    """Add a stage to a finished run's schedule; one that was interrupted goes on by itself."""
    if more is None:
        return
    stages = config["schedule"]
    if not folder.finished:
        if len(stages) > 1 and stages[-1]["budget"] == more:
            return
        msg = f"{folder.path} is not finished: run its own command again before it is trained on"
        raise RunError(msg)
    if not folder.state.exists():
        msg = f"{folder.path} has no saved state (it was saved from memory), so it cannot go on"
        raise RunError(msg)
    stages.append(new_stage(more))
    write_json(folder.config, config)


def _observer(progress: Progress | None, tracker: Tracker | None) -> Progress | None:
    """Return what the loop calls with each record."""
    require_function("progress", progress)
    if tracker is None:
        return progress

    def tell(record: Mapping[str, Any]) -> None:
        metrics = dict(record["terms"])
        metrics |= {k: record[k] for k in ("validation", "chosen_by") if k in record}
        for group in ("critic", "beside", "gradients", "updates"):
            metrics |= {f"{group}.{name}": v for name, v in record.get(group, {}).items()}
        tracker.log_metrics(metrics, record["step"])
        if progress is not None:
            progress(record)

    return tell


def _run(loop: Loop, tracker: Tracker | None) -> Fitted:
    if tracker is None:
        return loop.run()
    identity, stage = loop.config["identity"], loop.config["schedule"][-1]
    settings = identity["settings"] | {"budget": stage["budget"]}
    tracker.log_params({"model": identity["model"], **settings, **identity["options"]})
    try:
        fitted = loop.run()
        for panel in fitted.panels:
            tracker.add_figure(panel.title, panel.figure(), loop.step)
    finally:
        tracker.flush()
    return fitted
