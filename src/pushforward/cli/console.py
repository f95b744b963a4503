"""What a person sees in a terminal: progress of long steps, and results as tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from pushforward.data import Dataset
    from pushforward.families.panels import Panel
    from pushforward.measures.selftest import Result
    from pushforward.measures.selftest.sanity import Verdict
    from pushforward.models.catalogue import Entry
    from pushforward.runs import Fitted

PANEL_ROWS = 12  # dimensions of one panel that a terminal shows
NOTE_WIDTH = 64  # columns that a panel has at least, for its note
PIPE_WIDTH = 120  # columns, where no terminal says how many there are

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False)


def print_note(note: str, console: Console = err) -> None:
    """Print a remark on the data."""
    console.print(f"note: {escape(note)}", soft_wrap=True)


class Display:
    """Progress of training and measuring: on a terminal a bar for each run in flight.

    In a pipe a line for each run that is finished, and nothing else.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[terms]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self.alarmed: set[tuple[str, str]] = set()  # runs, and the codes that were said of them
        self.bars: dict[str, TaskID] = {}  # of runs in flight, by name
        self.passing: TaskID | None = None  # of a stage that is over when the next one begins
        self.total: TaskID | None = None  # of all runs

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def notes(self, noted: Dataset | Fitted) -> None:
        """Print what was noticed in reading the data, or in training."""
        for note in noted.notes:
            if not self.quiet:
                print_note(note, self.console)

    def update(self, stage: str, record: Mapping[str, Any]) -> None:
        """Show the stage, and how far its training is: the loop's record, or an empty one.

        The record of a run that is finished has `finished` and `of`: so many runs of so many.
        """
        self._end_passing()
        run = stage.partition(":")[0]
        if "finished" in record:
            self._finish(run, record)
        elif record:
            self._train(run, record)
        elif run in self.bars:
            self.progress.update(self.bars[run], description=escape(stage), terms="")
        else:
            self.passing = self.progress.add_task(escape(stage), total=None, terms="")

    def _end_passing(self) -> None:
        if self.passing is not None:
            self.progress.remove_task(self.passing)
            self.passing = None

    def _train(self, run: str, record: Mapping[str, Any]) -> None:
        self._warn(run, record)
        if run not in self.bars:
            self.bars[run] = self.progress.add_task(escape(run), total=None, terms="")
        self.progress.update(
            self.bars[run],
            total=record["total"],
            completed=record["step"],
            terms=escape(_speed_and_terms(record)),
        )

    def _warn(self, run: str, record: Mapping[str, Any]) -> None:
        """Say what alarms a run, each kind once."""
        for code, seen in record.get("alarms", {}).items():
            if (run, code) not in self.alarmed and not self.quiet:
                print_note(f"{code}, {run}, step {record['step']:,}: {seen}", self.console)
            self.alarmed.add((run, code))

    def _finish(self, run: str, record: Mapping[str, Any]) -> None:
        """Take a run's bar away, and move that of all runs; in a pipe say that it is finished."""
        if run in self.bars:
            self.progress.remove_task(self.bars.pop(run))
        done, of = record["finished"], record["of"]
        if not self.console.is_terminal and not self.quiet:
            steps, seconds = record["step"], record["cost"]["seconds"]
            line = f"{run}: {steps:,} steps in {seconds:.0f} s, measured ({done} of {of})"
            self.console.print(line, soft_wrap=True, markup=False)
        if self.total is None:
            self.total = self.progress.add_task("all runs", total=of, terms="")
        self.progress.update(self.total, completed=done, total=of)


def _speed_and_terms(record: Mapping[str, Any]) -> str:
    """Return the rows a second and the turns' terms of a record."""
    speed = record["samples"] / max(record["seconds"], 1e-9)
    terms = " ".join(f"{name}={value:.3g}" for name, value in record["terms"].items())
    return f"{speed:,.0f} rows/s  {terms}"


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.3g}"


def selftest_table(results: Sequence[Result]) -> Table:
    """Return one row a check: truth, estimate, interval, verdict."""
    missed = sum(not r.holds for r in results)
    spent = sum(r.seconds for r in results)
    table = Table(
        title=f"{len(results)} checks against closed forms, {missed} missed, {spent:.0f} s",
        caption="A check holds if the true value lies in the interval, widened from 95 % to "
        "99.9 %.\nShort: how far an estimate from below may also fall short of the true value.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in ("measure", "case", "truth", "short", "estimate", "95 % interval", "verdict"):
        table.add_column(head, no_wrap=head in {"measure", "verdict"})
    for r in results:
        bounds = f"{r.low:.5g} – {r.high:.5g}" if r.low < r.high else "exact"
        verdict = "holds" if r.holds else "[bold red]MISSED[/bold red]"
        short = f"{r.short:.0%}" if r.short else ""
        numbers = (f"{r.truth:.6g}", short, f"{r.value:.6g}", bounds)
        table.add_row(r.measure, escape(r.case), *numbers, verdict)
    return table


def sanity_table(verdicts: Sequence[Verdict]) -> Table:
    """Return one row a check and desideratum, one column a measure, and how many each passes."""
    from pushforward.measures.selftest import sanity

    outcomes = sanity.table(verdicts)
    table = Table(
        title="Do measures of fidelity and diversity pass the checks of Räisä et al. (2025)?",
        caption="Properties of the measures, not of this machine: none passes all checks. low, "
        "high: passed,\nas a diversity that falls, or stays, where a generator is too wide. ?: "
        "these repetitions leave it open.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in outcomes.columns:
        table.add_column(head.replace("_", " "), no_wrap=head == "desideratum")
    for row in outcomes.iter_rows():
        cells = [cell.replace("passes", "yes").replace("fails", "no") for cell in row]
        table.add_row(*map(escape, cells))
    passed = [[v.passed for v in verdicts if v.measure == m] for m in outcomes.columns[2:]]
    table.add_section()
    table.add_row("passed", "", *(f"{sum(own)} of {len(own)}" for own in passed))
    return table


def grid_of_models(models: Iterable[Entry], installed: Mapping[str, str]) -> Group:
    """Return the models under the places where their measures sit; then those of other packages."""
    places: dict[tuple[str, str], list[Entry]] = {}
    for model in models:
        places.setdefault(model.place, []).append(model)
    width = max(len(model.name) for group in places.values() for model in group)
    parts: list[Any] = []
    for place, group in sorted(places.items(), reverse=True):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
        table.add_column(min_width=width)
        for model in group:
            table.add_row(f"  {model.name}", escape(model.summary))
        parts += [f"[bold]{place[0]}: {place[1]}[/bold]", table, ""]
    parts += [f"{name}: an installed model, {value}" for name, value in installed.items()]
    return Group(*parts, "`pushforward models NAME` shows a model's options.")


def options_table(model: Entry) -> Table:
    """Return a model's options with their defaults."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for option in model.options.values():
        default = "" if option.default is None else str(option.default)
        tuned = f" With --trials: {option.range}." if option.range else ""
        table.add_row(f"  --{option.name.replace('_', '-')}", default, escape(option.help + tuned))
    return table


def print_alarms(fitted: Fitted, console: Console = out) -> None:
    """Print what alarms of a run, by code."""
    from pushforward.runs.course import ALARMS, Course

    course = Course.of(fitted.history, fitted.model)
    for code, alarm in ALARMS.items():
        if (seen := alarm(course)) is not None:
            print_note(f"{code}: {seen}", console)


def anatomy_tables(fitted: Fitted) -> Iterator[Table]:
    """Yield a run's terms through training, then each panel of its model's anatomy."""
    if spent := fitted.config.get("privacy"):
        yield _privacy_table(spent)  # nothing was read on validation rows
    else:
        yield _history_table(fitted.history)
    for panel in fitted.panels:
        yield _panel_table(panel)


def _privacy_table(spent: Mapping[str, Any]) -> Table:
    """Return what a private run spent, and on what."""
    table = Table("part", "what", title="Differential privacy", min_width=NOTE_WIDTH)
    table.caption = f"It cannot tell {spent['neighbours']}. Measuring rows is not covered."
    schema, training = spent["schema"], spent["training"]
    table.add_row("guarantee", f"epsilon {spent['epsilon']:g}, delta {spent['delta']:g}")
    table.add_row("spent", f"epsilon {spent['spent']:.3f} by {spent['accountant']}")
    table.add_row("training rows", f"about {spent['rows']:,}, a noisy count")
    table.add_row(
        "schema",
        f"{schema['histograms']} histograms, noise {schema['noise']:.1f}; alone epsilon "
        f"{schema['epsilon_alone']:.3f}",
    )
    table.add_row(
        "training",
        f"{training['steps']:,} sums of gradients, sampling rate {training['sampling_rate']:.4g}, "
        f"noise multiplier {training['noise_multiplier']:.3f}, clipped at "
        f"{training['clip_grad_norm']:g}; alone epsilon {training['epsilon_alone']:.3f}",
    )
    table.add_row("names of categories", f"delta {spent['naming_delta']:.1e}")
    return table


def _history_table(history: list[dict[str, Any]]) -> Table:
    """Return the terms at the records where the validation measure was read."""
    checked = [record for record in history if "validation" in record]
    names = list(checked[-1]["terms"]) if checked else []
    table = Table("step", "validation", *names, title="Training, turn by turn and term by term")
    for record in checked:
        terms = [number(record["terms"][name]) for name in names]
        table.add_row(str(record["step"]), number(record["validation"]), *terms)
    return table


def _panel_table(panel: Panel) -> Table:
    """Return a panel as numbers: histograms by quartiles, maps by centres, heat at three checks."""
    table = Table(
        title=escape(panel.title),
        caption=escape(panel.note),
        caption_justify="left",
        min_width=NOTE_WIDTH,
    )
    if panel.kind == "heat":
        shown = _first_middle_last(panel.x)
        for head in ("", *(f"{panel.x_title} {panel.x[i]}" for i in shown)):
            table.add_column(escape(head))
        for name, values in panel.series.items():
            table.add_row(escape(name), *(_optional(values[i]) for i in shown))
        return table
    if panel.kind == "map":
        for head in ("", panel.x_title, panel.y_title):
            table.add_column(escape(head))
        for name, density in panel.series.items():
            table.add_row(escape(name), *map(number, _centre(density, panel.x)))
        return table
    if panel.kind == "histogram":
        for head in ("", "5 %", "25 %", "50 %", "75 %", "95 %"):
            table.add_column(head)
        for name, values in panel.series.items():
            ranked = sorted(values)
            at = [ranked[round(q * (len(ranked) - 1))] for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
            table.add_row(escape(name), *(number(value) for value in at))
        return table
    for head in (panel.x_title, *panel.series):
        table.add_column(escape(head))
    columns = [panel.x or [""] * len(next(iter(panel.series.values()))), *panel.series.values()]
    for row in list(zip(*columns, strict=False))[:PANEL_ROWS]:
        table.add_row(*(number(v) if isinstance(v, float) else escape(str(v)) for v in row))
    return table


def _first_middle_last(places: Sequence[Any]) -> list[int]:
    return sorted({0, (len(places) - 1) // 2, len(places) - 1})


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)


def _centre(density: Sequence[Sequence[float]], places: Sequence[float]) -> tuple[float, float]:
    """Return the mean place of a density on a grid, along the axis below and that at the left."""
    columns, rows = [sum(column) for column in zip(*density, strict=True)], list(map(sum, density))
    return _weighted(places, columns), _weighted(places, rows)


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else math.nan
