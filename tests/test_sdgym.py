"""The page on SDGym is code that runs: two functions, and a class with the methods of SDV."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import pushforward as pf

PAGE = Path(__file__).parents[1] / "docs" / "sdgym.md"
TABLE = pd.DataFrame({"city": ["Oslo", "Rome", "Rome"] * 40, "age": range(20, 140)})
METADATA = {
    "METADATA_SPEC_VERSION": "SINGLE_TABLE_V1",
    "columns": {"city": {"sdtype": "categorical"}, "age": {"sdtype": "numerical"}},
}


@pytest.fixture
def names() -> dict[str, Any]:
    """What the page defines, with a budget for a test."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block.replace('"60s"', "5"), found)
    return found


def test_the_two_functions_train_and_sample(names: dict[str, Any]) -> None:
    fitted = names["get_trained_synthesizer"](TABLE, METADATA)
    fake = names["sample_from_synthesizer"](fitted, 7)
    assert len(fake) == 7
    assert fake.dtypes.equals(TABLE.dtypes)
    assert set(fake["city"]) <= set(TABLE["city"])


def test_the_class_fits_samples_saves_and_loads(names: dict[str, Any], tmp_path: Path) -> None:
    synthesizer = names["PushforwardSynthesizer"](SimpleNamespace(to_dict=lambda: METADATA))
    synthesizer.fit(TABLE)
    synthesizer.save(tmp_path / "run")
    loaded = names["PushforwardSynthesizer"].load(tmp_path / "run")
    assert isinstance(loaded.fitted, pf.Fitted)
    pd.testing.assert_frame_equal(
        loaded.fitted.sample(5, seed=1), synthesizer.fitted.sample(5, seed=1)
    )
    assert len(synthesizer.sample(num_rows=4)) == 4
