"""The command line: parse, call, print. Errors are one line; exit status 2 for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pushforward.cli.console import (
    Display,
    anatomy_tables,
    sanity_table,
    selftest_table,
)
from pushforward.cli.options import model_options
from pushforward.errors import MeasureError, ModelError, PushforwardError, nearest

if TYPE_CHECKING:
    from pushforward.comparison.result import Comparison
    from pushforward.data import Dataset
    from pushforward.runs import Checkpoint

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train VAEs and GANs on your own data, measure both with the same measures, "
    "and know which to use.",
)
MODEL_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

Data = Annotated[str, typer.Argument(help="A path, or a built-in: digits, wine, ring, moons, ...")]
Budget = Annotated[str, typer.Option(help="For each model: 60s, 2m, '500 steps', '1e6 samples'.")]
Condition = Annotated[
    str | None, typer.Option(help="Condition on this column, or 'label' for images.")
]
Key = Annotated[str | None, typer.Option(help="The array to take from an .npz file.")]
Constraint = Annotated[
    list[str] | None,
    typer.Option(help="What holds in every row of a table, e.g. 'start <= end'; may be repeated."),
]
RareValues = Annotated[
    str, typer.Option("--rare", help="Rare categories: draw; name, as '(rare)'; keep.")
]
Metadata = Annotated[Path | None, typer.Option(help="What a table's columns are, as SDV has it.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows a batch. [by kind of data]")]
Ema = Annotated[float, typer.Option(help="Decay of the generating players' average; 0: none.")]
ClipGradNorm = Annotated[float | None, typer.Option(help="Clip a turn's gradient to this norm.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate. [each model's own]")]
Precision = Annotated[str, typer.Option(help="Networks train in auto, float32 or bfloat16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

GO_ON = "interrupted; the same command goes on from the last saved state"

PIPE = 120  # columns, where no terminal says how many there are
out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE)
err = Console(stderr=True, highlight=False)


@app.command(context_settings=MODEL_OPTIONS)
def compare(
    context: typer.Context,
    data: Data,
    models: Annotated[str, typer.Option(help="Names, separated by commas.")] = "vae,gan",
    seeds: Annotated[int, typer.Option(help="Runs of each model; 3 or more are wanted.")] = 3,
    budget: Budget = "60s",
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="The comparison's folder. [runs/DATA]")
    ] = None,
    condition: Condition = None,
    key: Key = None,
    constraint: Constraint = None,
    rare: RareValues = "draw",
    metadata: Metadata = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    ema: Ema = 0.999,
    clip_grad_norm: ClipGradNorm = None,
    learning_rate: LearningRate = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Train models on DATA under equal conditions, measure them, recommend one, write a report.

    Options of a model follow as --latent 16, or as --vae.beta 0.5 for one model alone.
    """
    from pushforward.report import compare as run

    names = [name.strip() for name in models.split(",") if name.strip()]
    shared, own = model_options(context.args, names)
    dataset = _read(data, condition, key, constraint, rare, metadata)
    folder = out_folder or Path("runs") / Path(data).stem
    settings: dict[str, Any] = {"budget": budget, "batch_size": batch_size, "ema": ema}
    settings |= {"clip_grad_norm": clip_grad_norm, "learning_rate": learning_rate}
    settings |= {"precision": precision}
    with Display(err, quiet=as_json) as display:
        display.notes(dataset)
        result = run(
            dataset,
            names,
            seeds=seeds,
            out=folder,
            device=device,
            progress=display.told,
            options=own,
            **settings,
            **shared,
        )
        display.told("writing the report", {})
        report = result.report()
    if as_json:
        _print_json(result.to_json() | {"report": str(report)})
    else:
        _print_comparison(result, report)


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


def _print_comparison(result: Comparison, report: Path) -> None:
    out.print(result.table)
    out.print(escape(str(result.recommendation)), soft_wrap=True)
    out.print(f"Report: {escape(str(report))}", soft_wrap=True)


@app.command(context_settings=MODEL_OPTIONS)
def fit(
    context: typer.Context,
    data: Data,
    run: Annotated[Path, typer.Option("--out", help="The run's folder.")],
    model: Annotated[str, typer.Option(help="A name from `pushforward models`.")] = "vae",
    seed: Annotated[int, typer.Option(help="Of the start, the batches, the noise.")] = 0,
    budget: Budget = "60s",
    condition: Condition = None,
    key: Key = None,
    constraint: Constraint = None,
    rare: RareValues = "draw",
    metadata: Metadata = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    ema: Ema = 0.999,
    clip_grad_norm: ClipGradNorm = None,
    learning_rate: LearningRate = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Train one model on DATA. The same command goes on with an interrupted run.

    Options of the model follow by name, e.g. --latent 16 --beta 0.5 (see `pushforward models`).
    """
    from pushforward.training.fit import fit as train

    options, _ = model_options(context.args, [model])
    dataset = _read(data, condition, key, constraint, rare, metadata)
    settings: dict[str, Any] = {
        "budget": budget,
        "seed": seed,
        "batch_size": batch_size,
        "ema": ema,
    }
    settings |= {"clip_grad_norm": clip_grad_norm, "learning_rate": learning_rate}
    settings |= {"precision": precision}
    with Display(err, quiet=as_json) as display:
        display.notes(dataset)
        fitted = train(
            dataset,
            model,
            out=run,
            device=device,
            progress=lambda record: display.told(f"{model}, seed {seed}", record),
            **settings,
            **options,
        )
    if as_json:
        _print_json({"run": str(run), "config": fitted.config, "history": fitted.history})
    else:
        out.print(f"Run: {escape(str(run))} ({fitted.steps} steps)", soft_wrap=True)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    target: Annotated[
        Path, typer.Option("-o", "--out", help=".csv, .tsv, .parquet, .npz, .npy; else PNGs.")
    ],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 1000,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same samples.")] = None,
    condition: Annotated[str | None, typer.Option(help="Only this class.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="column=value, column=low..high or column>=low; may be repeated."),
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="As many rows of each category of this column.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="best (on validation) or final.")] = "best",
    device: Device = "auto",
) -> None:
    """Write generated samples in the data's own form, by the file's ending.

    Tables are written in chunks, however many rows they have.
    """
    from pushforward.runs.fitted import load
    from pushforward.sampling.request import SampleRequest, where_from_texts

    if checkpoint not in {"best", "final"}:
        msg = f"unknown checkpoint {checkpoint!r}: {nearest(checkpoint, ['best', 'final'])}"
        raise ModelError(msg)
    fitted = load(run, device=device)
    wanted = where_from_texts(where or [], fitted.schema)
    chosen: Checkpoint = "best" if checkpoint == "best" else "final"
    sampling = SampleRequest(
        fitted.network(chosen), fitted.schema, n, seed, condition, wanted, balance
    )
    out.print(f"{n} samples: {escape(str(sampling.write(target)))}", soft_wrap=True)
    for told in (*([str(sampling.hits)] if sampling.hits else []), *sampling.doubts):
        out.print(escape(told), soft_wrap=True)


@app.command()
def measure(
    real: Annotated[str, typer.Argument(help="The real samples: a path or a built-in.")],
    fake: Annotated[str, typer.Argument(help="The generated samples: a path.")],
    train: Annotated[
        str | None, typer.Option(help="The training rows, for measures that need them.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="These measures, separated by commas.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every measure for this kind of data.")
    ] = False,
    target: Annotated[str | None, typer.Option(help="The column that utility predicts.")] = None,
    seed: Annotated[int, typer.Option(help="Of subsampling and permutations.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how far FAKE is from REAL, for samples from anywhere."""
    from pushforward.data import read_raw
    from pushforward.measures import measure as run

    if every and only is not None:
        raise MeasureError("--all and --only: give one of them")
    rows = [None if path is None else read_raw(path) for path in (real, fake, train)]
    wanted = None if only is None else [name.strip() for name in only.split(",")]
    chosen = "all" if every else wanted
    card = run(rows[0], rows[1], train=rows[2], only=chosen, target=target, seed=seed)
    if as_json:
        _print_json({"measures": card.to_json(), "notes": list(card.notes)})
    else:
        out.print(card)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A comparison's folder.")],
    target: Annotated[
        Path | None, typer.Option("-o", "--out", help="The HTML file. [FOLDER/report.html]")
    ] = None,
) -> None:
    """Render a comparison's report again."""
    from pushforward.report import Comparison

    out.print(f"Report: {Comparison.load(folder).report(target)}", soft_wrap=True)


@app.command()
def inspect(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Open one run up: what its measure sees, term by term and dimension by dimension."""
    from pushforward.runs.fitted import load

    for table in anatomy_tables(load(run)):
        out.print(table)


@app.command()
def selftest(as_json: AsJson = False) -> None:
    """Check every measure against its closed form on this machine; takes one to two minutes."""
    from dataclasses import asdict

    from pushforward.measures.selftest import CHECKS, run
    from pushforward.measures.selftest.sanity import verdicts

    with Display(err, quiet=as_json) as display:
        found = run(CHECKS, lambda check: display.told(check, {}))
        display.told("sanity checks of fidelity and diversity", {})
        sane = verdicts()
    if as_json:
        _print_json({"checks": [asdict(r) for r in found], "sanity": [asdict(v) for v in sane]})
    else:
        out.print(selftest_table(found))
        out.print(sanity_table(sane))
    if not all(result.holds for result in found):
        raise typer.Exit(1)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models with their place in the grid and their options."""
    from pushforward.models import all_models

    if as_json:
        _print_json({name: _described(cls.options()) for name, cls in all_models().items()})
        return
    for name, cls in all_models().items():
        out.print(f"[bold]{name}[/bold]  {cls.place[1]}, in {cls.place[0]}  ({cls.reference})")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
        for option in cls.options().values():
            default = "" if option.default is None else str(option.default)
            table.add_row(f"  --{option.name.replace('_', '-')}", default, option.help)
        out.print(table)


def _print_json(told: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")


def _described(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"default": o.default, "help": o.help} for name, o in options.items()}


def main() -> None:
    """Run the command line; errors become one line and an exit status."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; return 0, 1 (the work failed), 2 (bad usage or input), 130 (interrupted)."""
    try:
        status = int(app(list(arguments) or ["--help"], standalone_mode=False) or 0)
        # The parser turns an interrupt into its exit status.
        return _complain(GO_ON, 130) if status == 130 else status
    except PushforwardError as error:
        return _complain(str(error), error.status)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(GO_ON, 130)
    except OSError as error:
        return _complain(f"{error.strerror or error} ({error.filename or 'no file'})", 2)
    except Exception as error:
        # What the parser says of bad usage; its classes differ between releases of typer.
        if hasattr(error, "format_message"):
            return _complain(error.format_message(), 2)
        raise


def _complain(text: str, status: int) -> int:
    err.print(f"error: {escape(' '.join(text.split()))}", soft_wrap=True)
    return status
