"""Train one model: from data and a name to a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pushforward.data import Dataset, read
from pushforward.errors import DataError, ModelError, RunError
from pushforward.families.lookup import name_of
from pushforward.families.model import Model
from pushforward.files import locked, write_json
from pushforward.models import all_models, find
from pushforward.runs.fitted import Fitted, build, choose_device, load
from pushforward.runs.folder import Folder, Json, new_config
from pushforward.training.loop import Loop, Progress
from pushforward.training.settings import Budget, Settings, split_keywords
from pushforward.training.tracker import Tracker


def fit(
    data: Any,
    model: str | type = "vae",
    *,
    out: str | Path | None = None,
    condition: str | None = None,
    device: str = "auto",
    more: str | int | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
    **keywords: Any,
) -> Fitted:
    """Train one model on a user's data and return it.

    Args:
        data: a path, DataFrame, array, tensor, built-in name, or a `Dataset` that was read.
        model: a name from `pushforward models`, your own subclass of `pushforward.Model`, or where
            it is: `my_models.py:MyModel`, `package.module:MyModel`.
        out: the run's folder. A finished run in it is loaded, an interrupted one goes on, another
            run's folder is a RunError.
        condition: the column or labels to condition on (for data that are not yet a `Dataset`).
        device: "auto", "cpu", "cuda", ...
        more: train the finished run in `out` on, for a budget of its own ("60s", "500 steps"). The
            learning rate rises and falls once more, and the run's schedule records it. Settings and
            options that are not given are the run's own.
        progress: called with each record.
        tracker: told parameters, metrics and figures, see `Tracker`.
        **keywords: how to train (`budget="60s"`, `seed=0`, `batch_size`, `ema`, `clip_grad_norm`,
            `learning_rate`, `precision`: see `Settings`), and the options of the model (`latent`,
            `beta`, `gamma`, ...).

    Raises:
        DataError, ModelError: the data, the model or an option do not fit.
        RunError: the folder is not this run's, another process works in it, or training failed.

    """
    cls = find(model)
    if more is not None and out is not None:
        keywords = Folder(Path(out)).keywords() | keywords
    own, options = split_keywords(keywords, [cls])
    settings = Settings(**own)
    options = cls.check(options)
    dataset = as_dataset(data, condition=condition)
    network = build(cls, dataset.schema, options, settings.seed, choose_device(device))
    config = new_config(recorded_name(cls), options, asdict(settings), dataset)
    folder = None if out is None else Folder(Path(out))
    with nullcontext() if folder is None else locked(folder.path):
        if folder is not None:
            config = folder.open_or_create(config, dataset.schema)
            _continue(folder, config, more)
            if folder.finished:
                return load(folder.path, device=device, model=cls)
        elif more is not None:
            raise ModelError("more= trains a finished run on: name its folder with out=")
        loop = Loop(network, dataset, settings, folder, config, _told(progress, tracker))
        return _run(loop, tracker)


def recorded_name(cls: type[Model]) -> str:
    """Return what a run's config calls a model: its name, or where a user's own class is."""
    return cls.name if all_models().get(cls.name) is cls else name_of(cls)


def as_dataset(data: Any, **reading: Any) -> Dataset:
    """Return data as a `Dataset`; DataError for arguments of reading beside one that was read."""
    given = [name for name, value in reading.items() if value is not None]
    if not isinstance(data, Dataset):
        return read(data, **{name: reading[name] for name in given})
    if given:
        msg = f"{given[0]}= goes with data that are not read yet: pass it to pushforward.read"
        raise DataError(msg)
    return data


def _continue(folder: Folder, config: Json, more: str | int | None) -> None:
    """Add a stage to a finished run's schedule; one that was interrupted goes on by itself."""
    if more is None:
        return
    Budget.parse(more)
    stages = config["schedule"]
    if not folder.finished:
        if len(stages) > 1 and stages[-1]["budget"] == more:
            return
        msg = f"{folder.path} is not finished: run its own command again before it is trained on"
        raise RunError(msg)
    if not folder.state.exists():
        msg = f"{folder.path} has no saved state (it was saved from memory), so it cannot go on"
        raise RunError(msg)
    stages.append({"budget": more, "steps": None})
    write_json(folder.config, config)


def _told(progress: Progress | None, tracker: Tracker | None) -> Progress | None:
    """Return what the loop calls with each record."""
    if tracker is None:
        return progress

    def tell(record: Mapping[str, Any]) -> None:
        metrics = dict(record["terms"])
        metrics |= {k: record[k] for k in ("validation", "chosen_by") if k in record}
        tracker.log_metrics(metrics, record["step"])
        if progress is not None:
            progress(record)

    return tell


def _run(loop: Loop, tracker: Tracker | None) -> Fitted:
    if tracker is None:
        return loop.run()
    identity = loop.config["identity"]
    tracker.log_params({"model": identity["model"], **identity["settings"], **identity["options"]})
    try:
        fitted = loop.run()
        for panel in fitted.panels:
            tracker.add_figure(panel.title, panel.figure(), loop.step)
    finally:
        tracker.flush()
    return fitted
