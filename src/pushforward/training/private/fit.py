"""A fit with differential privacy: from a table to a model that gives no one row away."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward.data import Dataset, read
from pushforward.data.tables.private import NoisyCounts, private_table, questions, require_private
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import ModelError, RunError
from pushforward.families.model import Model
from pushforward.random import fresh_seed, generator
from pushforward.runs.fitted import Fitted, build
from pushforward.runs.folder import Folder, new_config
from pushforward.training.loop import Progress
from pushforward.training.private.accounting import Gaussian, schema_noise
from pushforward.training.private.guarantee import Guarantee
from pushforward.training.private.loop import PrivateLoop
from pushforward.training.settings import Settings

HIDDEN = "private"  # in place of a hash of the data, which would tell whether they are known ones


def read_without_relations(source: Any, **arguments: Any) -> Dataset:
    """Read data as for any fit, but a table without looking for what holds in all of its rows."""
    data = read(source, **arguments)
    schema = data.schema
    found = isinstance(schema, TableSchema) and schema.constraint_set.constraints
    if found and not isinstance(source, Dataset):
        return read(source, **arguments | {"relations": False})
    return data


def fit_privately(
    data: Dataset,
    model: type[Model],
    options: Mapping[str, Any],
    settings: Settings,
    guarantee: Guarantee,
    place: torch.device,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train a model on a table's training rows under (epsilon, delta)-differential privacy.

    The schema is learned anew from noisy counts; validation and test rows are not looked at. The
    folder is written at the end, whole.

    Raises:
        DataError, ModelError: the data, the model or an option has no private form.
        RunError: the folder holds a run already: each fit is a release of its own.

    """
    _refuse(settings)
    folder = None if out is None else Folder(Path(out))
    if folder is not None and folder.config.exists():
        msg = f"{folder.path} holds a run: with epsilon= every fit spends anew, so none is repeated"
        raise RunError(f"{msg} or goes on; load it (pf.load), or name another folder (out=, --out)")
    asked = questions(require_private(data))
    noise = schema_noise(guarantee, asked)
    counts = NoisyCounts(
        noise, asked, guarantee.naming, np.random.default_rng(secrets.randbits(256))
    )
    learned = private_table(data, counts)
    if guarantee.delta >= 1 / learned.size:
        msg = f"delta must be far below 1 / rows (here about 1 / {learned.size}), got"
        raise ModelError(f"{msg} {guarantee.delta:g}: with it a whole row may be given away")
    alone, none = torch.arange(len(learned.rows)), torch.arange(0)
    rows = Dataset(
        data.name,
        learned.schema,
        learned.rows,
        learned.labels,
        {"train": alone, "validation": none, "test": none},
        digest=HIDDEN,
    )
    network = build(model, learned.schema, options, settings.seed, place)
    config = new_config(model, options, asdict(settings), rows)
    loop = PrivateLoop(
        network,
        rows,
        settings,
        config,
        guarantee,
        Gaussian(noise, 1.0, asked),
        learned.size,
        generator(fresh_seed(), place),
        progress,
    )
    fitted = loop.run()
    if folder is not None:
        fitted.save(folder.path)
    return fitted


def _refuse(settings: Settings) -> None:
    """Raise ModelError for a setting that reads rows, or that noise does not allow."""
    if settings.patience is not None:
        raise ModelError("patience= looks at validation rows: with epsilon= leave it out")
    if settings.precision == "bfloat16":
        raise ModelError("precision='bfloat16' is too coarse for noise: with epsilon= leave it out")
