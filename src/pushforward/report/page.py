"""The page: every section's parts, put into one template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pushforward.files import write_whole
from pushforward.report import (
    anatomy,
    forest,
    marginals,
    measures,
    numbers,
    pictures,
    points,
    privacy,
    relations,
    reproduce,
    rows,
    training,
)
from pushforward.report.figures import GREY, Figure, Sheet, colours
from pushforward.report.folder import FLOOR, REAL, Found, read_folder

KINDS = {"image": "images", "table": "table", "array": "array"}
FLOORS = {"table": "independent columns"}


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write a comparison's report as one HTML file that needs no network.

    Args:
        folder: a finished comparison; nothing beside it is read.
        path: the file; `report.html` in the folder by default.

    Raises:
        RunError: a part of the comparison is missing or broken, or the file cannot be written.

    """
    target = Path(folder) / "report.html" if path is None else Path(path)
    write_whole(target, render(read_folder(Path(folder))).encode())
    return target


def render(found: Found) -> str:
    """Return the page."""
    loader = PackageLoader("pushforward.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.tests |= {"figure": lambda part: isinstance(part, Figure)}
    environment.filters |= {"quantity": numbers.quantity}
    return environment.get_template("page.html").render(
        plotly=Markup(get_plotlyjs()), **_context(found)
    )


def _context(found: Found) -> dict[str, Any]:
    """Return what the template shows."""
    colour = colours(found.models)
    return {
        "about": found.about,
        "name": _short(found.about["data"]),
        "kind": KINDS[found.schema.kind],
        "comparison": found.comparison,
        "budget": found.runs[found.models[0]][0].settings["budget"],
        "models": found.models,
        "colours": colour,
        "real_colour": GREY,
        "measures": {c: measures.rows(found.comparison, c) for c in ("best", "final")},
        "readings": measures.readings(found.comparison),
        "floor": FLOORS.get(found.schema.kind, "a Gaussian fit"),
        "privacy": privacy.panel(found.comparison),
        "forests": forest.forests(found.comparison, colour),
        "left_out": forest.left_out(found.comparison),
        "samples": _samples(found, colour),
        "curves": {model: training.curves(runs) for model, runs in found.runs.items()},
        "validation": training.validation(found, colour),
        "anatomy": {model: _anatomy(found, model) for model in found.models},
        "costs": reproduce.costs(found),
        "command": reproduce.command(found),
        "script": reproduce.script(found),
        "runs": reproduce.runs(found),
        "versions": reproduce.versions(found),
    }


def _short(name: str) -> str:
    """Return a path's last part, or the last two of a folder; another name as it is."""
    parts = Path(name).parts
    return "/".join(parts[-1 if Path(name).suffix else -2 :]) if len(parts) > 1 else name


def _anatomy(found: Found, model: str) -> list[Figure | Sheet]:
    return [anatomy.draw(panel, model) for panel in found.runs[model][0].panels]


def _samples(found: Found, colour: dict[str, str]) -> dict[str, Any]:
    """Return the parts that show samples, by what the data are."""
    empty: dict[str, Any] = {"grids": [], "scatters": [], "marginals": [], "maps": [], "rows": []}
    if REAL not in found.samples:
        return empty
    if found.schema.kind == "image":
        return empty | {"grids": pictures.grids(found)}
    if found.schema.kind == "array":
        known = "density" in found.samples[REAL].tensors
        return empty | {"scatters": points.scatters(found, colour), "density": known}
    return empty | _table(found, colour)


def _table(found: Found, colour: dict[str, str]) -> dict[str, Any]:
    frames = {
        name: nw.from_native(found.decode(sample), eager_only=True)
        for name, sample in found.sources()
        if name != FLOOR
    }
    columns = marginals.marginals(frames)
    return {
        "marginals": marginals.panels(columns, colour),
        "columns": len(frames[REAL].columns),
        "comparable": len(columns),
        "maps": relations.heat_maps(frames),
        "related": min(relations.COLUMNS, len(frames[REAL].columns)),
        "rows": rows.first_rows(frames),
    }
