"""Imports go downwards only: DESIGN's floors, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pushforward

ROOT = Path(pushforward.__file__).parent
FLOORS = [
    {"errors", "space", "files", "random"},
    {"data", "nn"},
    {"measures"},
    {"families"},
    {"models"},
    {"sampling", "runs"},
    {"training"},
    {"comparison"},
    {"report"},
    {"cli", "testing"},
    {"__main__"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def unit(path: Path) -> str:
    """The first part of a module's name below `pushforward`."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "pushforward":
            names += [f"pushforward.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("pushforward.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_do_not_climb(path: Path) -> None:
    own = unit(path)
    for other in imports(path):
        allowed = other == own or FLOOR[other] < FLOOR[own]
        siblings = FLOOR[other] == FLOOR[own] and (
            own
            in {
                *("runs", "train", "validation", "seats"),
                *("blocks", "conditional", "sampling", "compare"),
            }
        )
        assert allowed or siblings, f"{path.name} (floor {FLOOR[own]}) imports {other}"


def test_a_variant_never_imports_another() -> None:
    for path in (ROOT / "models").glob("[!_]*.py"):
        assert "models" not in imports(path), path


def test_the_loop_and_the_comparison_name_no_model() -> None:
    names = {p.stem for p in (ROOT / "models").glob("[!_]*.py")}
    for module in ("train", "validation", "seats", "runs"):
        tree = ast.parse((ROOT / f"{module}.py").read_text())
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        used = {n.id.lower() for n in ast.walk(tree) if isinstance(n, ast.Name)}
        defaults = {"vae"} if module == "train" else set()  # `fit`'s default argument
        assert not (names & texts) - defaults
        assert not names & used


def test_each_variant_is_one_short_file() -> None:
    for path in (ROOT / "models").glob("[!_]*.py"):
        assert len(path.read_text().splitlines()) <= 60, path
