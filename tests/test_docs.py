"""Every measure has its page, every page its parts, and the pages are those of the docstrings."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pushforward.measures import Measurement, all_measures
from pushforward.models.catalogue import builtin_models

DOCS = Path(__file__).parents[1] / "docs"
MADE: dict[str, Any] = runpy.run_path(str(DOCS / "measure_pages.py"))
CLOSED = {"kl", "jeffreys", "frechet_gaussian"}


def test_the_pages_are_those_of_the_docstrings() -> None:
    pages = MADE["pages"]()
    written = {path.name: path.read_text() for path in (DOCS / "measures").glob("*.md")}
    assert sorted(written) == sorted(pages), "run: python docs/measure_pages.py"
    stale = [name for name, text in pages.items() if written[name] != text]
    assert not stale, "run: python docs/measure_pages.py"


@pytest.mark.parametrize("name", all_measures())
def test_a_measure_says_what_a_reader_has_to_know(name: str) -> None:
    measure: Callable[..., Measurement] = all_measures()[name]
    parts = MADE["sections"](measure)
    assert {*MADE["REQUIRED"], "Reference"} <= parts.keys()
    assert all(parts.values())
    assert "$$" in parts[""], "a formula"


def test_every_module_has_a_title() -> None:
    assert {MADE["_module"](measure) for measure in all_measures().values()} <= MADE[
        "MODULES"
    ].keys()


def test_every_model_stands_at_its_place_in_the_table_of_models() -> None:
    lines = (DOCS / "theory.md").read_text().splitlines()
    columns = ["closed form", "from samples, by hand", "learned by a critic"]
    head = next(i for i, line in enumerate(lines) if line == f"| | {' | '.join(columns)} |")
    shown: dict[str, tuple[str, str]] = {}
    for line in lines[head + 2 : head + 5]:
        row, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for column, cell in zip(columns, cells, strict=True):
            places = (row.strip("*"), column)
            shown |= {name.strip().strip("`"): places for name in cell.split(",") if name}
    assert shown == {name: entry.place for name, entry in builtin_models().items()}
