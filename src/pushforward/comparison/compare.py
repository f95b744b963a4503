"""Compare models on a user's data: train all, measure all, recommend one.

Every model gets the same split, encoding, batch size, budget, seeds and number of trials (one: its
defaults, or the options given). Checkpoints are selected on validation rows, measured on test rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from pushforward.comparison.bench import Bench, MeasureChoice, StageProgress
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.result import Cards, Comparison
from pushforward.data import Dataset, read
from pushforward.errors import DataError, ModelError, nearest
from pushforward.families.model import Model
from pushforward.files import write_json
from pushforward.measures._inputs import Featurise
from pushforward.models import find
from pushforward.training.settings import Settings

MODELS = ("vae", "gan")
RESERVED = {"real", "ceiling", "floor"}  # names of references: no model can have them

ModelSource = str | type[Model]


def compare(
    data: Any,
    models: ModelSource | Sequence[ModelSource] = MODELS,
    *,
    seeds: int | Iterable[int] = 3,
    out: str | Path | None = None,
    condition: str | None = None,
    measures: Sequence[str] | None = None,
    target: str | None = None,
    features: Featurise | None = None,
    device: str = "auto",
    progress: StageProgress | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **keywords: Any,
) -> Comparison:
    """Train every model on every seed, measure all with the same measures, recommend one.

    Args:
        data: as `fit` takes it.
        models: names from `pushforward models`, and subclasses of `Model`; or one of these alone.
        seeds: how many (0, 1, ... are used), or which ones. Fewer than 2 allow no recommendation.
        out: a folder; runs and scorecards that are finished there are reused, so that another seed
            or another model costs only its own training. A temporary folder by default.
        condition: the column or labels to condition on, for data that are not yet a `Dataset`.
        measures: names of measures; by default those that suit the data.
        target: the column that the measure `utility` predicts.
        features: what to measure of each row: a map from rows in the networks' form (n, ...) to
            vectors (n, d).
        device: "auto", "cpu", "cuda", ...
        progress: called with the stage ("vae, seed 0") and the training loop's record, which is
            empty while measuring.
        options: a model's own options, by the model's name.
        **keywords: how to train (`budget`, `batch_size`, `ema`, `clip_grad_norm`, `learning_rate`,
            `precision`), the same for all; and options that go to every model that has them (at
            least one must).

    Raises:
        DataError: the data cannot be read, or were read already and `condition` is given.
        ModelError: a model, an option or a seed does not fit.
        MeasureError: a measure is unknown, or does not suit the data.
        RunError: the folder holds a comparison on other data, or training failed.

    """
    dataset = as_dataset(data, condition=condition)
    sources, seeds = find_models(models), list_seeds(seeds)
    settings = _settings(keywords)
    own_options = share_options(list(sources.values()), keywords, options or {})
    choice = MeasureChoice(measures, target, features)
    folder = Path(tempfile.mkdtemp(prefix="pushforward-")) if out is None else Path(out)
    bench = Bench(dataset, ComparisonFolder(folder), choice, device, progress or _silent)
    description = describe(dataset) | choice.to_json()
    bench.folder.open_or_create(description)
    cards: Cards = {model: {} for model in sources}
    for seed in seeds:
        for model, source in sources.items():
            trained = bench.fit(model, source, Settings(**settings, seed=seed), own_options[model])
            for checkpoint, card in bench.score(trained, model, seed).items():
                cards[model].setdefault(checkpoint, []).append(card)
    result = Comparison(folder, list(sources), seeds, cards, *bench.references())
    write_json(bench.folder.comparison, description | result.to_json())
    return result


def _silent(stage: str, record: Mapping[str, Any]) -> None:
    """Show nothing."""


def as_dataset(data: Any, **arguments: Any) -> Dataset:
    """Return data as a `Dataset`, read with these arguments of `read` where they are not None.

    DataError for an argument beside a `Dataset`, which has been read already.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if not isinstance(data, Dataset):
        return read(data, **given)
    if given:
        names = ", ".join(f"{name}=" for name in given)
        msg = f"{names}: these data have been read already; give it to pf.read instead"
        raise DataError(msg)
    return data


def list_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return 0, 1, ... for a number of seeds, or the seeds that are given.

    ModelError for anything but whole numbers, for none, negative ones and duplicates.
    """
    try:
        listed = [*map(index, seeds)] if isinstance(seeds, Iterable) else [*range(index(seeds))]
    except TypeError:
        msg = f"seeds must be a whole number or a sequence of whole numbers, got {seeds!r}"
        raise ModelError(msg) from None
    if not listed or min(listed) < 0 or len(set(listed)) < len(listed):
        msg = f"seeds must be at least one, not negative, and each given once; got {seeds!r}"
        raise ModelError(msg)
    return listed


def find_models(models: ModelSource | Sequence[ModelSource]) -> dict[str, ModelSource]:
    """Return what each model comes from (a name or a class), by the model's own name.

    ModelError for an unknown model, none at all, one that is named twice, and a text such as
    "vae,gan".
    """
    if isinstance(models, str) and "," in models:
        msg = (
            f"models must be a list, e.g. {[m.strip() for m in models.split(',')]}, got {models!r}"
        )
        raise ModelError(msg)
    listed = [models] if isinstance(models, str | type) else list(models)
    names = [model_class(source).name for source in listed]
    if len(set(names)) < len(names) or not names:
        msg = f"name each model once, and at least one; got {', '.join(names) or 'none'}"
        raise ModelError(msg)
    if reserved := RESERVED.intersection(names):
        msg = f"a model cannot be named {min(reserved)!r}: reports use this name for a reference"
        raise ModelError(msg)
    return dict(zip(names, listed, strict=True))


def model_class(source: ModelSource) -> type[Model]:
    """Return the class of a model that is given by its name or as a class."""
    if not isinstance(source, type):
        return find(source)
    if not issubclass(source, Model) or not source.name:
        msg = f"{source.__name__} is not a model: it must be a subclass of Model with a name"
        raise ModelError(msg)
    return source


def share_options(
    models: Sequence[ModelSource], shared: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return each model's options: the shared ones that it has, and its own.

    ModelError when an option fits no model, or belongs to a model that is not compared.
    """
    classes = {name: model_class(source) for name, source in find_models(models).items()}
    known = {name: cls.options() for name, cls in classes.items()}
    for option in shared:
        if not any(option in options for options in known.values()):
            every = {name for options in known.values() for name in options}
            msg = f"no model here has an option {option!r}: {nearest(option, every)}"
            raise ModelError(msg)
    for model in own:
        if model not in known:
            msg = f"options for {model!r}, which is not compared: {nearest(model, known)}"
            raise ModelError(msg)
    given = {
        model: {n: v for n, v in shared.items() if n in known[model]} | dict(own.get(model, {}))
        for model in known
    }
    for model, options in given.items():
        classes[model].check(options)
    return given


def _settings(keywords: dict[str, Any]) -> dict[str, Any]:
    """Take how to train out of the keywords; ModelError for a wrong value."""
    if "seed" in keywords:
        msg = f"a comparison takes several seeds: give seeds=[{keywords['seed']!r}], not seed="
        raise ModelError(msg)
    settings = {k: keywords.pop(k) for k in Settings.__dataclass_fields__ if k in keywords}
    Settings(**settings)
    return settings


def describe(data: Dataset) -> dict[str, Any]:
    """Return what the report says about the data."""
    return {
        "data": data.name,
        "digest": data.digest,
        "kind": data.schema.kind,
        "notes": list(data.notes),
        "rows": data.sizes,
        "condition": data.schema.condition and data.schema.condition.name,
    }
