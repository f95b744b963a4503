"""The page "your own model" is a file, a program and a test that run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "own-model.md"


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    model, program, tests = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_models.py").write_text(model)
    (tmp_path / "program.py").write_text(re.sub(r"\d+ steps", "20 steps", program))
    (tmp_path / "test_mine.py").write_text(
        tests.replace("check_model(LSGAN)", "check_model(LSGAN, ('array',))")
    )
    for command in (["program.py"], ["-m", "pytest", "-q", "-p", "no:cacheprovider", "."]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
