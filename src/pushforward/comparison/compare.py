"""Compare models on a user's data: train all, measure all, recommend one.

Every model gets the same split, encoding, batch size, budget, seeds and number of trials (none: its
defaults, or the options given). Checkpoints are selected on validation rows, measured on test rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

from pushforward.comparison.all_runs import AllRuns
from pushforward.comparison.bench import Bench, MeasureChoice, StageProgress, silent
from pushforward.comparison.contrasts import MATTERS
from pushforward.comparison.findings import require_codes
from pushforward.comparison.folder import CART, CEILING, FLOOR, REAL, ComparisonFolder
from pushforward.comparison.jobs import Site, find_site, require_jobs
from pushforward.comparison.result import Comparison
from pushforward.comparison.tuned import Tuning
from pushforward.comparison.tuning import Tuner
from pushforward.data import Dataset, read
from pushforward.errors import ModelError, RunError, nearest
from pushforward.families.lookup import name_of
from pushforward.families.model import Model
from pushforward.files import discard_partial, locked, write_json
from pushforward.measures._inputs import FeatureFunction
from pushforward.measures._selection import MeasureSelection, listed
from pushforward.models import find, is_builtin
from pushforward.models.catalogue import require_name
from pushforward.training.launched import launched
from pushforward.training.settings import (
    Settings,
    require_function,
    require_trials,
    split_keywords,
)

MODELS = ("vae", "gan")
Models = Sequence[str | type] | Mapping[str, str | type]


def compare(
    data: Any,
    models: Models = MODELS,
    *,
    seeds: int | Sequence[int] = 3,
    out: str | Path | None = None,
    condition: Any = None,
    measures: MeasureSelection = None,
    target: str | None = None,
    features: FeatureFunction | None = None,
    device: str = "auto",
    progress: StageProgress | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    matters: float = MATTERS,
    ignore: Collection[str] = (),
    example_rows: bool = False,
    trials: int | None = None,
    n_jobs: int | None = None,
    **keywords: Any,
) -> Comparison:
    """Train every model on every seed, measure all with the same measures, recommend one.

    Args:
        data: as `fit` takes it.
        models: names from `pushforward models`, subclasses of `Model`, and where one is
            (`my_models.py:MyModel`), in any mixture. A mapping gives them labels, so that one
            can be compared under several options: `{"vae": "vae", "vae-flow": "vae"}` with
            `options={"vae-flow": {"sampler": "flow"}}`.
        seeds: how many (0, 1, ... are used), or which ones. Fewer than 3 allow no recommendation.
        out: a folder; finished runs and scorecards in it are reused, so that another seed or model
            costs only its own training. A temporary folder by default.
        condition: the column or labels to condition on, for data that are not yet a `Dataset`.
        measures: names of measures, or functions with a measure's signature; `"all"`, or None for
            the default ones of the kind of data.
        target: the column that the measure `utility` predicts; None for the condition, or
            every column in turn.
        features: what to measure of each row: a map from rows in the networks' form (n, ...) to
            vectors (n, d). A plain function is measured with anew each time; one with a `digest`
            (see `pushforward.measures.Features`) is recognised.
        device: where models are trained and measured: "auto", "cpu", "cuda", ...
        progress: called with the stage ("vae, seed 0") and the training loop's record, which is
            empty while measuring. That of a finished run has `finished` runs `of` so many. With
            several jobs it is called from a thread of its own.
        options: a model's own options, by the model's name or label.
        matters: the smallest difference between models that matters to you, as a share of the way
            from the floor to real rows.
        ignore: codes of findings, such as `"PF202"`, that are neither shown nor heeded.
        example_rows: whether the folder keeps, and the report shows, rows of the data: of a table
            the first eight test rows, and eight of each model's; of images some test images,
            reconstructions beside them, and those training images that are nearest to generated
            ones. Otherwise it holds no row of a table, and no image. See `docs/folder.md`.
        trials: how many fits choose each model's options before the comparison, the first with its
            defaults. Options are tuned that have a range and are not given; trials are judged on
            validation rows, have seeds of their own, and are as long as a run. See
            `docs/tuning.md`.
        n_jobs: how many runs at a time, as in scikit-learn: each in a process of its own; -1 for as
            many as there are cores, which they share. None for one, or for what
            `joblib.parallel_config` says, also on a cluster (see `docs/cluster.md`). Results do not
            depend on it, but on the threads of a run, which each run records.
        **keywords: how to train (`budget`, `batch_size`, `ema`, `clip_grad_norm`, `learning_rate`,
            `precision`, `patience`, `refine`), the same for all models; and options that go to
            every model that has them (at least one must).

    Raises:
        DataError: the data cannot be read, or `condition` is given beside a `Dataset`.
        ModelError: a model, an option or a seed does not fit.
        MeasureError: a measure is unknown, or does not suit the data.
        RunError: the folder holds a comparison on other data, training failed, runs are missing
            because their workers died, or a cluster cannot do the work.

    """
    return set_up(**locals()).run()


@dataclass(frozen=True)
class SetUp:
    """A comparison whose arguments are checked and whose data are read: it can begin.

    Args:
        runs: what is trained and measured.
        site: where.
        trials: of each model, before.
        options: of each model by label, as they are given.
        description: what `comparison.json` says about the data and how they are measured.
        matters: see `compare`.
        ignore: see `compare`.
    """

    runs: AllRuns
    site: Site
    trials: int | None
    options: Mapping[str, Mapping[str, Any]]
    description: Mapping[str, Any]
    matters: float
    ignore: tuple[str, ...]

    def run(self) -> Comparison:
        """Train, measure and decide; RunError as `compare` says."""
        folder = self.runs.bench.folder
        with locked(folder.path):
            folder.open_or_create(self.description)
            tuning = self._tune()
            found = self.runs.tuned(tuning).complete(self.site)
            for place in (folder.path, folder.path / "samples"):
                discard_partial(place)  # of workers that died
            result = Comparison(
                folder.path,
                list(self.runs.models),
                list(self.runs.seeds),
                found.cards,
                found.references,
                found.facts,
                self.matters,
                self.ignore,
                tuning,
            )
            write_json(folder.comparison, {**self.description, **result.to_json()})
        return result

    def _tune(self) -> dict[str, Tuning]:
        """Return the trials of each model, if there are to be any."""
        if self.trials is None:
            return {}
        models = {name: model for name, (model, _) in self.runs.models.items()}
        tuner = Tuner(self.runs.bench, self.runs.settings, self.trials, self.site)
        return tuner.tune(models, self.options)


def set_up(
    data: Any,
    models: Models,
    *,
    seeds: int | Sequence[int],
    out: str | Path | None,
    condition: Any,
    measures: MeasureSelection,
    target: str | None,
    features: FeatureFunction | None,
    device: str,
    progress: StageProgress | None,
    options: Mapping[str, Mapping[str, Any]] | None,
    matters: float,
    ignore: Collection[str],
    example_rows: bool,
    trials: int | None,
    n_jobs: int | None,
    keywords: Mapping[str, Any],
) -> SetUp:
    """Check the arguments of `compare`, read the data and prepare the measures: train nothing."""
    if launched():
        raise RunError("torchrun shares one fit among processes: compare without it")
    require_jobs(n_jobs)
    classes, seeds = find_models(models), list_seeds(seeds)
    given, shared = split_keywords(keywords, classes.values())
    settings, own_options = _settings(given), share_options(classes, shared, options or {})
    ignored = require_codes(ignore)
    require_trials(trials)
    if not 0 <= matters < 1:
        raise ModelError(f"matters must be at least 0 and below 1, got {matters!r}")
    dataset = read(data, condition=condition)
    choice = MeasureChoice(None if measures is None else listed(measures), target, features)
    folder = Path(tempfile.mkdtemp(prefix="pushforward-")) if out is None else Path(out)
    require_function("progress", progress)
    bench = Bench(
        dataset,
        ComparisonFolder(folder),
        choice,
        device,
        progress or silent,
        example_rows=example_rows,
    )
    sources = {label: source_of(model) for label, model in label_models(models).items()}
    description = describe(dataset) | {"sources": sources, "example_rows": example_rows}
    description |= choice.to_json(dataset.schema.kind)
    bench.prepare(list(classes), seeds)
    runs = AllRuns.of(bench, classes, seeds, settings, own_options)
    site = find_site(n_jobs, len(classes) * len(seeds))
    return SetUp(runs, site, trials, own_options, description, matters, ignored)


def list_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Return 0, 1, ... for a number of seeds, or the seeds that are given.

    ModelError for anything but whole numbers, for none, negative ones and duplicates.
    """
    try:
        listed = list(map(index, seeds if isinstance(seeds, Iterable) else range(index(seeds))))
    except TypeError:
        msg = f"seeds must be a whole number or a list of whole numbers, got {seeds!r}"
        raise ModelError(msg) from None
    if not listed:
        msg = f"seeds must be at least 1, got {seeds!r}"
        raise ModelError(msg)
    if min(listed) < 0 or len(set(listed)) < len(listed):
        msg = f"seeds must not be negative, and each must be given once; got {seeds!r}"
        raise ModelError(msg)
    return listed


def find_models(models: Models) -> dict[str, type[Model]]:
    """Return the models' classes by label; ModelError as `label_models` says."""
    return {label: find(model) for label, model in label_models(models).items()}


def label_models(models: Models) -> dict[str, str | type]:
    """Return models by what the comparison calls them: a mapping's keys, else their own names.

    ModelError for an unknown model, none at all, one name twice, and what is no list or mapping.
    """
    if isinstance(models, str | type) or not isinstance(models, Iterable):
        text = models.__name__ if isinstance(models, type) else str(models)
        example = [name.strip() for name in text.split(",")]
        msg = f"models must be a list, such as {example}, got {models!r}"
        raise ModelError(msg)
    if not isinstance(models, Mapping):
        models = _by_name(models)
    for label in models:
        require_name(label)
    if not models:
        raise ModelError("name each model once, and at least one; got none")
    if reserved := {REAL, CEILING, FLOOR, CART}.intersection(models):
        msg = f"a model cannot be called {min(reserved)!r}: reports use this name for a reference"
        raise ModelError(msg)
    return dict(models)


def _by_name(models: Sequence[str | type]) -> dict[str, str | type]:
    """Return models by their own names; ModelError for one that is named twice."""
    names = [find(model).name for model in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"name each model once; got {', '.join(names)} (to compare one under several options"
        raise ModelError(f"{msg}, label it: {{{twice!r}: {twice!r}, '{twice}-2': {twice!r}}})")
    return dict(zip(names, models, strict=True))


def share_options(
    classes: Mapping[str, type[Model]],
    shared: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return each model's options, by its label: the shared ones that it has, and its own.

    ModelError when an option fits no model, or belongs to a model that is not compared.
    """
    known = {name: cls.options() for name, cls in classes.items()}
    every = {option for options in known.values() for option in options}
    for option in shared:
        if option not in every:
            msg = f"no model here has an option {option!r}: {nearest(option, every)}"
            raise ModelError(msg)
    for model in own:
        if not isinstance(own[model], Mapping):
            msg = f"options of {model!r} must be a dictionary, got {own[model]!r}"
            raise ModelError(msg)
        if model not in known:
            msg = f"options for {model!r}, which is not compared: {nearest(model, known)}"
            raise ModelError(msg)
    options_of = {
        model: {n: v for n, v in shared.items() if n in known[model]} | dict(own.get(model, {}))
        for model in known
    }
    return {model: cls.check(options_of[model]) for model, cls in classes.items()}


def _settings(given: Mapping[str, Any]) -> Settings:
    """Return how to train; ModelError for a wrong value, and for `seed` beside `seeds`."""
    if "seed" in given:
        msg = f"a comparison trains on several seeds: use seeds=[{given['seed']!r}], not seed="
        raise ModelError(msg)
    return Settings(**given)


def describe(data: Dataset) -> dict[str, Any]:
    """Return what `comparison.json` says about the data."""
    condition = data.schema.condition
    return {
        "data": data.name,
        "digest": data.digest,
        "kind": data.schema.kind,
        "notes": list(data.notes),
        "rows": data.sizes,
        "condition": None if condition is None else condition.name,
        "reading": data.reading.to_json(),
    }


def source_of(model: str | type) -> str:
    """Return what a command calls a model: what was given, or where the class is."""
    if isinstance(model, str):
        return model
    cls = find(model)
    return cls.name if is_builtin(cls) else name_of(cls)
