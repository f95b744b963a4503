"""Imports go downwards only: DESIGN's floors, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pushforward
from pushforward.models import all_models

ROOT = Path(pushforward.__file__).parent
FLOORS = [
    {"errors"},
    {"space", "random", "files", "threads"},
    {"data", "nn"},
    {"measures"},
    {"families"},
    {"models"},
    {"sampling"},
    {"runs"},
    {"training"},
    {"comparison"},
    {"report"},
    {"cli", "testing"},
    {"__main__"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")
LOOKUP = {"__init__", "registry", "catalogue"}  # of the models: how they are found by name
VARIANTS = [p for p in sorted((ROOT / "models").glob("*.py")) if p.stem not in LOOKUP]


def imports(path: Path) -> set[str]:
    """The modules of the package that a module imports, below `pushforward`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pushforward":
            names |= {f"pushforward.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {n.removeprefix("pushforward.") for n in names if n.startswith("pushforward.")}


def test_the_tree_is_that_of_the_floors() -> None:
    modules = [p for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert {p.stem for p in modules} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_do_not_climb(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for other in {name.split(".")[0] for name in imports(path)}:
        allowed = other == own or FLOOR[other] < FLOOR[own]
        assert allowed, f"{path.name} (floor {FLOOR[own]}) imports {other}"


@pytest.mark.parametrize("path", VARIANTS, ids=lambda p: p.stem)
def test_each_variant_is_one_short_file_that_knows_no_other(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 64
    assert not any(name.startswith("models") for name in imports(path))


def test_the_loop_and_the_comparison_name_no_model() -> None:
    names = {p.stem for p in VARIANTS} | set(all_models())
    for path in [
        p for room in ("training", "runs", "sampling") for p in (ROOT / room).glob("*.py")
    ]:
        tree = ast.parse(path.read_text())
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        used = {n.id.lower() for n in ast.walk(tree) if isinstance(n, ast.Name)}
        defaults = {"fit": {"vae"}, "compare": {"vae", "gan"}}.get(path.stem, set())  # arguments
        assert not (names & (texts | used)) - defaults, path
