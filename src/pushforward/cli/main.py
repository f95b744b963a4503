"""The command line: parse, call, print. Errors are one line; exit status 2 for bad input.

Libraries that take long to import are imported inside the commands, after all checks that do
without: `--help` and errors in the usage answer at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.features import check_features, make_features
from pushforward.cli.options import ModelCommand, command_flags, model_options
from pushforward.cli.parameters import (
    AsJson,
    BatchSize,
    Budget,
    ClipGradNorm,
    Condition,
    Constraint,
    Data,
    Device,
    Ema,
    Key,
    LearningRate,
    Metadata,
    OwnModel,
    OwnNetworks,
    Precision,
    Rare,
    Run,
    existing_data,
    folder_with,
    listed,
    one_of,
    read_seeds,
    valid_budget,
)
from pushforward.errors import PushforwardError
from pushforward.training.settings import Settings

if TYPE_CHECKING:
    from pushforward.data import Dataset

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

INTERRUPTED = "interrupted; the same command continues from the last saved state"


def _print_version(wanted: bool) -> None:
    if wanted:
        import pushforward

        typer.echo(f"pushforward {pushforward.__version__}")
        raise typer.Exit


@app.callback()
def pushforward(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Train VAEs and GANs on your own data, measure both in the same way, know which to use."""


@app.command(cls=ModelCommand)
def compare(
    context: typer.Context,
    data: Data,
    models: Annotated[
        str,
        typer.Option(
            help="Models to compare, separated by commas: names from `pushforward models`, "
            "my_models.py:MyModel or package.module:MyModel."
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
    condition: Condition = None,
    measures: Annotated[
        str | None,
        typer.Option(help="Measures to use, separated by commas. By default those for the data."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Column that the measure utility predicts. By default --condition, or the last."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="What measures see of each row: identity, standardised, pca, image-encoder, "
            "random-convolutional, inception-v3:WEIGHTS or dinov2:WEIGHTS (a file).",
            callback=check_features,
        ),
    ] = None,
    key: Key = None,
    constraint: Constraint = None,
    rare: Rare = "draw",
    metadata: Metadata = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    ema: Ema = 0.999,
    clip_grad_norm: ClipGradNorm = None,
    learning_rate: LearningRate = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Train models, measure them, and recommend one.

    All are trained on DATA under equal conditions. The same command continues an interrupted
    comparison. Options of models go by name: --latent 16 for all models that have it, --vae.beta
    0.5 for one (see `pushforward models`).
    """
    names, listed_seeds = listed(models) or [], read_seeds(seeds)
    options = model_options(context.args, names, command_flags(context.command))
    settings: dict[str, Any] = {"budget": budget, "batch_size": batch_size, "ema": ema}
    settings |= {"clip_grad_norm": clip_grad_norm, "learning_rate": learning_rate}
    settings |= {"precision": precision}
    Settings(**settings)

    from pushforward.cli.console import Display, err
    from pushforward.comparison.compare import compare as run

    dataset = _read(data, condition, key, constraint, rare, metadata)
    with Display(err, quiet=as_json) as display:
        display.notes(dataset)
        result = run(
            dataset,
            names,
            seeds=listed_seeds,
            out=out_folder or Path("runs") / Path(data).stem,
            measures=listed(measures),
            target=target,
            features=None if features is None else make_features(features, dataset),
            device=device,
            progress=display.update,
            options=options,
            **settings,
        )
        display.update("writing the report", {})
        report = result.report()
    _print_comparison(result, report, as_json)


def _read(
    data: str,
    condition: str | None,
    key: str | None,
    constraint: list[str] | None,
    rare: str,
    metadata: Path | None,
) -> Dataset:
    """Read DATA as the options of `compare` and `fit` say."""
    from pushforward.data import read

    given: dict[str, Any] = {"condition": condition, "key": key, "rare": rare}
    return read(data, constraints=constraint, metadata=metadata, **given)


def _print_comparison(result: Any, report: Path, as_json: bool) -> None:
    from pushforward.cli.console import out

    if as_json:
        _print_json(result.to_json() | {"report": str(report)})
    else:
        out.print(result.table)
        typer.echo(str(result.recommendation))
        typer.echo(f"Report: {report}")


@app.command(cls=ModelCommand)
def fit(
    context: typer.Context,
    data: Data,
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
            help="Train a finished run on for this long, such as 60s.", callback=valid_budget
        ),
    ] = None,
    condition: Condition = None,
    key: Key = None,
    constraint: Constraint = None,
    rare: Rare = "draw",
    metadata: Metadata = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    ema: Ema = 0.999,
    clip_grad_norm: ClipGradNorm = None,
    learning_rate: LearningRate = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Train one model on DATA.

    The same command continues an interrupted run. Options of the model go by name: --latent 16
    --beta 0.5 (see `pushforward models`).
    """
    options = model_options(context.args, [model], command_flags(context.command))
    ((name, own),) = options.items()
    settings: dict[str, Any] = {"budget": budget, "seed": seed, "batch_size": batch_size}
    settings |= {"ema": ema, "clip_grad_norm": clip_grad_norm, "learning_rate": learning_rate}
    settings |= {"precision": precision}
    Settings(**settings)

    from pushforward.cli.console import Display, err
    from pushforward.runs.folder import steps_of
    from pushforward.training.fit import fit as train

    dataset = _read(data, condition, key, constraint, rare, metadata)
    with Display(err, quiet=as_json) as display:
        display.notes(dataset)
        fitted = train(
            dataset,
            model,
            out=run,
            device=device,
            more=more,
            progress=lambda record: display.update(f"{name}, seed {seed}", record),
            **settings,
            **own,
        )
    if as_json:
        _print_json({"run": str(run), "config": fitted.config, "history": fitted.history})
    else:
        typer.echo(f"Run: {run} ({steps_of(fitted.config)} steps)")


@app.command()
def sample(
    run: Run,
    target: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .csv, .tsv, .parquet, .npz or .npy. Without an ending, a folder "
            "of PNG images.",
        ),
    ],
    n: Annotated[int, typer.Option("-n", help="Number of samples.")] = 1000,
    seed: Annotated[
        int | None, typer.Option(help="Random seed: the same one gives the same samples.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Class to generate, if the run was trained with --condition.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition on a column of a table: column=value, column=low..high or "
            "column>=low. Repeatable.",
        ),
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="Column whose categories are generated equally often.")
    ] = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            help="Weights to use: best (on validation rows) or final.",
            callback=one_of("best", "final"),
        ),
    ] = "best",
    model: OwnModel = None,
    networks: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Generate samples with a trained model.

    They have the form of the data that it was trained on. Tables are written in chunks, so they can
    be larger than the memory.
    """
    from pushforward.runs import load
    from pushforward.sampling.request import SampleRequest, spoken

    fitted = load(run, device=device, model=model, networks=networks)
    network = fitted.network("final" if checkpoint == "final" else "best")
    conditions = spoken(where or [], fitted.schema)
    request = SampleRequest(network, fitted.schema, n, seed, condition, conditions, balance)
    typer.echo(f"{n} samples: {request.write(target)}")
    for line in (*([request.hits] if request.hits else []), *request.doubts):
        typer.echo(str(line))


@app.command()
def measure(
    real: Annotated[
        str,
        typer.Argument(
            metavar="REAL",
            help="Real samples: a file, a folder or a built-in data set.",
            callback=existing_data,
        ),
    ],
    fake: Annotated[
        str,
        typer.Argument(
            metavar="FAKE", help="Generated samples: a file or a folder.", callback=existing_data
        ),
    ],
    train: Annotated[
        str | None,
        typer.Option(
            help="Training samples, for the measures that need them.", callback=existing_data
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Measures to use, separated by commas, or all. By default those for the data."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Column that the measure utility predicts. By default the last one."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of subsamples and permutations.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how far FAKE is from REAL.

    The samples may come from any generator.
    """
    from pushforward.cli.console import out
    from pushforward.data import read_raw
    from pushforward.measures import measure as run

    rows = [None if path is None else read_raw(path) for path in (real, fake, train)]
    chosen = only if only == "all" else listed(only)
    card = run(rows[0], rows[1], train=rows[2], only=chosen, target=target, seed=seed)
    if as_json:
        _print_json({"measures": card.to_json(), "notes": list(card.notes)})
    else:
        out.print(card)


@app.command()
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of the comparison.",
            callback=folder_with("comparison.json", "comparison"),
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="HTML file to write. By default FOLDER/report.html."),
    ] = None,
) -> None:
    """Write the report of a finished comparison again."""
    from pushforward.comparison.compare import Comparison

    typer.echo(f"Report: {Comparison.load(folder).report(target)}")


@app.command()
def inspect(run: Run, model: OwnModel = None, networks: OwnNetworks = None) -> None:
    """Show a run's training, and what its model has learned."""
    from pushforward.cli.console import anatomy_tables, out
    from pushforward.runs import load

    for table in anatomy_tables(load(run, model=model, networks=networks)):
        out.print(table)


@app.command()
def selftest(as_json: AsJson = False) -> None:
    """Check every measure against its closed form.

    This takes one to two minutes. The exit status is 1 if a check is missed.
    """
    from dataclasses import asdict

    from pushforward.cli.console import Display, err, out, sanity_table, selftest_table
    from pushforward.measures.selftest import CHECKS, run
    from pushforward.measures.selftest.sanity import verdicts

    with Display(err, quiet=as_json) as display:
        results = run(CHECKS, lambda check: display.update(check, {}))
        display.update("sanity checks of fidelity and diversity", {})
        sanity = verdicts()
    if as_json:
        _print_json({"checks": [asdict(r) for r in results], "sanity": [asdict(v) for v in sanity]})
    else:
        out.print(selftest_table(results))
        out.print(sanity_table(sanity))
    if not all(result.holds for result in results):
        raise typer.Exit(1)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models and their options."""
    from pushforward.models.catalogue import catalogue, offered

    if as_json:
        described = {name: entry.to_json() for name, entry in catalogue().items()}
        _print_json(described | {name: {"class": value} for name, value in offered().items()})
        return

    from pushforward.cli.console import options_table, out

    for name, entry in catalogue().items():
        out.print(
            f"[bold]{name}[/bold]  {entry.place[1]}, in {entry.place[0]}  ({entry.reference})"
        )
        out.print(options_table(entry))
    for name, value in offered().items():
        out.print(f"[bold]{name}[/bold]  an installed model: {value}")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def main() -> None:
    """Run the command line; errors become one line and an exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("pushforward").addHandler(handler)
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; return 0, 1 (the work failed), 2 (bad usage or input), 130 (interrupted)."""
    try:
        status = int(app(list(arguments) or ["--help"], standalone_mode=False) or 0)
        sys.stdout.flush()
    except BrokenPipeError:
        # What read the output, such as `head`, has closed it: nobody reads the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        message, status = _explain(error)
        if message is None:
            raise
        return _complain(message, status)
    # The parser turns an interrupt into its exit status.
    return _complain(INTERRUPTED, 130) if status == 130 else status


def _explain(error: BaseException) -> tuple[str | None, int]:
    """Return what to say of an error, and the exit status; None for one that is a bug."""
    if isinstance(error, PushforwardError):
        return str(error), error.status
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED, 130
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename or 'no file'})", 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory; a smaller --batch-size may help ({error})", 1
    # What the parser says of bad usage; its classes differ between releases of typer.
    usage = getattr(error, "format_message", None)
    return (None if usage is None else usage()), 2


def _complain(text: str, status: int) -> int:
    sys.stderr.write(f"error: {' '.join(text.split())}\n")
    return status
