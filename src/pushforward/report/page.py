"""The page: the parts of every section, put into one template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pushforward.comparison.folder import REAL
from pushforward.comparison.words import measure_label
from pushforward.files import write_whole
from pushforward.report import (
    anatomy,
    aspect_table,
    column_moves,
    curves,
    finding_list,
    loss_axis,
    marginals,
    measure_table,
    numbers,
    pictures,
    points,
    privacy,
    relations,
    reproduce,
    rows,
    training,
    tuning,
)
from pushforward.report.figures import GREY, Figure, TextTable, colours
from pushforward.report.folder import FolderContents, read_folder

KINDS = {"image": "images", "table": "table", "array": "array"}
FLOORS = {"table": "independent columns"}


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write a comparison's report as one HTML file that needs no network.

    Args:
        folder: a finished comparison; nothing outside it is read.
        path: the file; `report.html` in the folder by default.

    Raises:
        RunError: a part of the comparison is missing or broken, or the file cannot be written.

    """
    target = Path(folder) / "report.html" if path is None else Path(path)
    write_whole(target, render(read_folder(Path(folder))).encode())
    return target


def render(contents: FolderContents) -> str:
    """Return the page."""
    loader = PackageLoader("pushforward.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.tests |= {"figure": lambda part: isinstance(part, Figure)}
    environment.filters |= {"quantity": numbers.quantity}
    return environment.get_template("page.html").render(
        plotly=Markup(get_plotlyjs()), **_context(contents)
    )


def _context(contents: FolderContents) -> dict[str, Any]:
    """Return what the template shows."""
    colour = colours(contents.models)
    return {
        "description": contents.description,
        "name": _short_name(contents.description["data"]),
        "kind": KINDS[contents.schema.kind],
        "comparison": contents.comparison,
        "choice": _choice(contents),
        "budget": contents.first_run.settings["budget"],
        "models": contents.models,
        "colours": colour,
        "real_colour": GREY,
        "findings": finding_list.entries(contents.comparison.findings),
        "losses": loss_axis.loss_axis(contents.comparison, colour),
        "pairs": aspect_table.pairs(contents.comparison),
        "measures": {c: measure_table.rows(contents.comparison, c) for c in ("best", "final")},
        "bits": measure_table.bits(contents.comparison),
        "readings": measure_table.readings(contents.comparison),
        "references": list(contents.comparison.references)[::-1],  # from the worst to the best
        "floor": FLOORS.get(contents.schema.kind, "a Gaussian fit"),
        "privacy": privacy.panel(contents.comparison),
        "samples": _samples(contents, colour),
        "curves": {model: training.curves(runs) for model, runs in contents.runs.items()},
        "trials": tuning.trials(contents.comparison),
        "validation": training.validation(contents, colour),
        "anatomy": {model: _anatomy(contents, model) for model in contents.models},
        "costs": reproduce.costs(contents),
        "command": reproduce.command(contents),
        "script": reproduce.script(contents),
        "runs": reproduce.runs(contents),
        "versions": reproduce.versions(contents),
    }


def _choice(contents: FolderContents) -> dict[str, str]:
    """Return which measures were chosen, by what was chosen; empty where nothing was."""
    chosen = {name: contents.description.get(name) for name in ("measures", "target", "features")}
    texts = {
        "Measures": ", ".join(map(measure_label, chosen["measures"] or [])),
        "Target of utility": chosen["target"] or "",
        "Features": (chosen["features"] or {}).get("name", ""),
    }
    return {name: text for name, text in texts.items() if text}


def _short_name(name: str) -> str:
    """Return a path's last part, or the last two of a folder; another name as it is."""
    parts = Path(name).parts
    return "/".join(parts[-1 if Path(name).suffix else -2 :]) if len(parts) > 1 else name


def _anatomy(contents: FolderContents, model: str) -> list[Figure | TextTable]:
    return [anatomy.draw(panel, model) for panel in contents.runs[model][0].panels]


def _samples(contents: FolderContents, colour: dict[str, str]) -> dict[str, Any]:
    """Return the parts that show samples, by what the data are."""
    parts = ["grids", "scatters", "curves", "moved", "arrows"]
    parts += ["marginals", "maps", "moves", "given_back", "rows"]
    empty: dict[str, Any] = {part: [] for part in parts} | {"without_rows": False}
    if contents.schema.kind == "image":
        return empty | _images(contents)
    if REAL in contents.summaries:
        return empty | _table(contents, colour)
    if REAL not in contents.samples:
        return empty
    known = "density" in contents.samples[REAL].tensors
    return empty | {
        "scatters": points.scatters(contents, colour),
        "density": known,
        "curves": curves.interpolations(contents, colour),
        "moved": curves.traversals(contents, colour),
        "arrows": curves.reconstructions(contents, colour),
    }


def _images(contents: FolderContents) -> dict[str, Any]:
    return {
        "grids": pictures.grids(contents),
        "channels": pictures.channels_shown(contents),
        "interpolations": pictures.interpolations(contents),
        "without_ways": pictures.lacking(contents, "ways"),
        "traversals": pictures.traversals(contents),
        "reconstructions": pictures.reconstructions(contents),
        "without_encoder": pictures.lacking(contents, "reconstructions"),
        "nearest": pictures.nearest(contents),
        "without_images": REAL not in contents.samples,
    }


def _table(contents: FolderContents, colour: dict[str, str]) -> dict[str, Any]:
    summaries = contents.summaries
    columns = marginals.marginals(summaries)
    return {
        "marginals": marginals.panels(columns, colour),
        "columns": len(summaries[REAL].names),
        "comparable": len(columns),
        "maps": relations.heat_maps(summaries),
        "related": len(summaries[REAL].associations),
        "moves": column_moves.column_moves(contents),
        "given_back": rows.reconstructions(contents),
        "rows": rows.example_rows(summaries),
        "without_rows": not summaries[REAL].examples,
    }
