"""The command line: parse, call, print. Errors are one line; exit status 2 for bad input.

Libraries that take long to import are imported inside the commands, after all checks that do
without: `--help` and errors in the usage answer at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pushforward.cli.answers import impute, log_prob, predict
from pushforward.cli.fitting import compare, fit
from pushforward.cli.options import ModelCommand
from pushforward.cli.parameters import (
    AsJson,
    OwnModel,
    OwnNetworks,
    Run,
    folder_with,
    print_json,
)
from pushforward.cli.samples import measure, sample
from pushforward.errors import PushforwardError, out_of_memory
from pushforward.training.launched import launched

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
app.command(cls=ModelCommand)(compare)
app.command(cls=ModelCommand)(fit)
app.command()(sample)
app.command()(impute)
app.command()(predict)
app.command()(log_prob)
app.command()(measure)

INTERRUPTED = "interrupted; the same command continues from the last saved state"


def _print_version(given: bool) -> None:
    if given:
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
    from pushforward.report import Comparison

    typer.echo(f"Report: {Comparison.load(folder).report(target)}")


@app.command()
def inspect(run: Run, model: OwnModel = None, networks: OwnNetworks = None) -> None:
    """Show a run's training, and what its model has learned."""
    from pushforward.cli.console import anatomy_tables, out, print_alarms
    from pushforward.runs import load

    fitted = load(run, model=model, networks=networks)
    for table in anatomy_tables(fitted):
        out.print(table)
    print_alarms(fitted)


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
        print_json({"checks": [asdict(r) for r in results], "sanity": [asdict(v) for v in sanity]})
    else:
        out.print(selftest_table(results))
        out.print(sanity_table(sanity))
    if not all(result.holds for result in results):
        raise typer.Exit(1)


@app.command()
def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Models whose options are shown, your own among them: my_models.py:MyModel. "
            "Without a name, all models are listed.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models by where their measure sits and what it is, or show a model's options."""
    from pushforward.models.catalogue import builtin_models, describe, installed_models

    chosen = {entry.name: entry for entry in map(describe, names or [])} or builtin_models()
    installed = {} if names else installed_models()
    if as_json:
        others = {name: {"class": value} for name, value in installed.items()}
        print_json(others | {name: entry.to_json() for name, entry in chosen.items()})
        return

    from pushforward.cli.console import grid_of_models, options_table, out

    if not names:
        out.print(grid_of_models(chosen.values(), installed))
        return
    for name, entry in chosen.items():
        out.print(
            f"[bold]{name}[/bold]  {entry.place[1]}, in {entry.place[0]}  ({entry.reference})"
        )
        out.print(options_table(entry))


def main() -> None:
    """Run the command line; errors become one line and an exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("pushforward").addHandler(handler)
    sys.path.append("")  # a user's own `package.module:MyModel` may lie in the working folder
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
        if not _speaks():
            return status
        if message is None:
            raise
        return _complain(message, status)
    # The parser turns an interrupt into its exit status.
    return _complain(INTERRUPTED, 130) if status == 130 and _speaks() else status


def _speaks() -> bool:
    """Whether an error is this process's to report: of several, the first that has one does."""
    if not launched():
        return True
    from pushforward.training.parallel import processes

    return processes().speaks()


def _explain(error: BaseException) -> tuple[str | None, int]:
    """Return what to say of an error, and the exit status; None for one that is a bug."""
    if isinstance(error, PushforwardError):
        return str(error), error.status
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED, 130
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename or 'no file'})", 2
    if out_of_memory(error):
        return f"out of memory; a smaller --batch-size may help ({error})", 1
    # What the parser says of bad usage; its classes differ between releases of typer.
    usage = getattr(error, "format_message", None)
    return (None if usage is None else usage()), 2


def _complain(text: str, status: int) -> int:
    sys.stderr.write(f"error: {' '.join(text.split())}\n")
    return status
