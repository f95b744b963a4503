"""The page "your own model" is a file, a program and a test that run as they stand."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from pushforward.comparison import bench

PAGE = Path(__file__).parents[1] / "docs" / "own-model.md"


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page's program and its test, where the page's model can be imported."""
    model, *rest = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_models.py").write_text(model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    importlib.invalidate_caches()
    return rest


def test_the_program_runs_as_it_stands(
    blocks: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "TEST_ROWS", 200)  # the measures of 1000 rows are no concern here
    exec(re.sub(r"\d+ steps", "8 steps", blocks[0]), {})
    assert capsys.readouterr().out


def test_the_tests_of_the_page_pass(blocks: list[str]) -> None:
    names: dict[str, object] = {}
    exec(blocks[1].replace("check_model(LSGAN)", "check_model(LSGAN, ('array',))"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        assert callable(test)
        test()
