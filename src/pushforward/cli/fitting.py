"""The commands that train: `compare` and `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.features import check_features, make_features
from pushforward.cli.groups import reading, taking, training
from pushforward.cli.jobs import Cluster, DryRun, Jobs
from pushforward.cli.options import command_flags, is_given, label_models, model_options
from pushforward.cli.parameters import (
    AsJson,
    Budget,
    Data,
    Device,
    known_measures,
    listed,
    print_json,
    read_seeds,
    recorded_model,
    valid_budget,
)
from pushforward.models.catalogue import describe
from pushforward.training.launched import leads
from pushforward.training.private.guarantee import Guarantee
from pushforward.training.settings import Settings, require_trials

if TYPE_CHECKING:
    from pushforward.comparison.result import Comparison
    from pushforward.comparison.size import Size


@taking(reading, training)
def compare(
    context: typer.Context,
    data: Data,
    *,
    models: Annotated[
        str,
        typer.Option(
            help="Models to compare, separated by commas: names from `pushforward models`, "
            "my_models.py:MyModel or package.module:MyModel. With LABEL=MODEL one can be compared "
            "under several options."
        ),
    ] = "vae,gan",
    seeds: Annotated[
        str,
        typer.Option(
            help="How many runs of each model, or their random seeds, such as 0,1,5. Use 3 or more."
        ),
    ] = "3",
    budget: Budget = "60s",
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for runs and report. By default runs/ and the name of the data."
        ),
    ] = None,
    measures: Annotated[
        str | None,
        typer.Option(
            help="Measures to use, separated by commas, or all. By default those for the data."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Column that the measure utility predicts. By default --condition, or all in turn."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="What measures see of each row: identity, standardised, pca, image-statistics, "
            "inception-v3:WEIGHTS or dinov2:WEIGHTS (a file).",
            callback=check_features,
        ),
    ] = None,
    reading: dict[str, Any],
    device: Device = "auto",
    training: dict[str, Any],
    example_rows: Annotated[
        bool,
        typer.Option(
            "--example-rows",
            help="Keep, and show in the report, eight rows of a table and of each model's; of "
            "images real ones, reconstructions, and nearest training images. Without it the folder "
            "holds no row of a table and no image of yours.",
        ),
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Fits that choose each model's options first, judged on validation rows. Each is "
            "as long as a run. By default none.",
        ),
    ] = None,
    matters: Annotated[
        float | None,
        typer.Option(
            help="Smallest difference between models that matters to you, as a share of the way "
            "from the floor to real rows. By default 0.02.",
            min=0,
            max=1,
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Code of a finding, such as PF202, to leave out; can be repeated."),
    ] = None,
    n_jobs: Jobs = None,
    cluster: Cluster = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train models, measure them, and recommend one.

    All are trained on DATA under equal conditions. The same command continues an interrupted
    comparison. Options of models go by name: --latent 16 for all models that have it, --vae.beta
    0.5 for one (see `pushforward models`). One model under several options has labels: --models
    vae,wide=vae --wide.width 512.
    """
    labelled, listed_seeds = label_models(listed(models) or []), read_seeds(seeds)
    options = model_options(context.args, labelled, command_flags(context.command))
    settings = training | {"budget": budget}
    Settings(**settings)
    require_trials(trials)
    own = any(":" in model for model in labelled.values())  # whose file may register measures
    chosen = listed(measures) if own else known_measures(measures)

    from pushforward.cli.console import Display, err, print_note
    from pushforward.comparison.contrasts import MATTERS
    from pushforward.comparison.findings import require_codes
    from pushforward.comparison.jobs.cluster import connected
    from pushforward.comparison.size import size_of
    from pushforward.data import read
    from pushforward.report import set_up

    ignored = require_codes(ignore or ())
    dataset = read(data, **reading)
    with Display(err, quiet=as_json) as display, connected(cluster):
        display.notes(dataset)
        comparison = set_up(
            dataset,
            labelled,
            seeds=listed_seeds,
            out=out_folder or Path("runs") / Path(data).stem,
            condition=None,
            measures=chosen,
            target=target,
            features=None if features is None else make_features(features, dataset),
            device=device,
            progress=display.update,
            options=options,
            example_rows=example_rows,
            ignore=ignored,
            trials=trials,
            matters=MATTERS if matters is None else matters,
            n_jobs=n_jobs,
            keywords=settings,
        )
        size = size_of(comparison.runs, comparison.site, comparison.trials or 0, rehearse=dry_run)
        if dry_run:
            _print_size(size, as_json)
            return
        if not as_json:
            print_note(str(size))
        result = comparison.run()
        display.update("writing the report", {})
        report = result.report()
    _print_comparison(result, report, as_json)


def _print_size(size: Size, as_json: bool) -> None:
    if as_json:
        print_json(size.to_json())
    else:
        typer.echo(size)


def _print_comparison(result: Comparison, report: Path, as_json: bool) -> None:
    from pushforward.cli.console import out

    if as_json:
        print_json(result.to_json() | {"report": str(report)})
    else:
        out.print(result.table)
        for model, tuning in result.tuning.items():
            typer.echo(f"Tuned {model}: {tuning}")
        typer.echo(f"\n{result.recommendation}\n")
        for finding in result.findings:
            typer.echo(f"{finding} ({finding.page})")
        typer.echo(f"Report: {report}")


@taking(reading, training)
def fit(
    context: typer.Context,
    data: Data,
    *,
    run: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    model: Annotated[
        str,
        typer.Option(
            help="Model to train: a name from `pushforward models`, my_models.py:MyModel or "
            "package.module:MyModel."
        ),
    ] = "vae",
    seed: Annotated[
        int, typer.Option(help="Random seed of initial weights, batches and noise.")
    ] = 0,
    budget: Budget = "60s",
    more: Annotated[
        str | None,
        typer.Option(
            help="Train a finished run on for this long, such as 60s. The model, its options and "
            "the settings of training that you leave out are the run's own.",
            callback=valid_budget,
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Train on a table under differential privacy: the smaller, the more private, such "
            "as 3. It covers all that is learned of the training rows."
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="The delta of differential privacy, far below 1 / rows. By default 1e-5."
        ),
    ] = None,
    reading: dict[str, Any],
    training: dict[str, Any],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train one model on DATA.

    The same command continues an interrupted run. Options of the model go by name: --latent 16
    --beta 0.5 (see `pushforward models`).
    """
    if more is not None and not is_given(context, "model"):
        model = recorded_model(run)
    named = {describe(model).name: model}
    ((name, own),) = model_options(context.args, named, command_flags(context.command)).items()
    settings = training | {"budget": budget, "seed": seed}
    Settings(**settings)
    private = epsilon is not None or delta is not None
    if private:
        Guarantee.of(epsilon, delta)
    if more is not None:
        settings = {name: settings[name] for name in settings if is_given(context, name)}

    from pushforward.cli.console import Display, err
    from pushforward.data import read
    from pushforward.training.fit import fit as train
    from pushforward.training.private.fit import read_without_relations

    read_it = read_without_relations if private else read
    dataset = read_it(data, **reading)
    with Display(err, quiet=as_json or not leads()) as display:
        display.notes(dataset)
        fitted = train(
            dataset,
            model,
            out=run,
            device=device,
            more=more,
            epsilon=epsilon,
            delta=delta,
            progress=lambda record: display.update(name, record),
            **settings,
            **own,
        )
        display.notes(fitted)
    if not leads():
        return
    if as_json:
        print_json({"run": str(run), "config": fitted.config, "history": fitted.history})
    else:
        typer.echo(f"Run: {run} ({fitted.steps} steps)")
