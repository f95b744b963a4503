"""Messages: names are quoted, lists are short, and a device that is not there is one line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.errors import MeasureError, ModelError, listed, nearest
from pushforward.nn.device import choose_device

NAMES = st.lists(st.text(max_size=200), max_size=300, unique=True)


@given(NAMES, st.text(max_size=50))
def test_a_suggestion_is_short_however_many_names_there_are(names: list[str], name: str) -> None:
    found = nearest(name, names)
    # Eight names of at most 40 characters, each of which may be escaped to ten (\U0001f600).
    assert len(found) < 8 * 410
    assert found.startswith(("did you mean ", "known: "))


@given(NAMES)
def test_every_name_is_shown_or_counted(names: list[str]) -> None:
    short = [f"n{i}" for i in range(len(names))]
    text = listed(short)
    more = int(text.rsplit(" and ", 1)[1].split()[0].replace(",", "")) if " and " in text else 0
    assert sum(repr(name) in text.replace(",", " ").split() for name in short) + more == len(short)


def test_blanks_show() -> None:
    assert nearest("x", [" age", "b "]) == "known: ' age', 'b '"
    assert nearest(" ag", [" age"]) == "did you mean ' age'?"
    assert nearest("x", []) == "known: none"


@pytest.mark.parametrize("name", ["gpu", "mps", "GPU", "", "cuda:99", "cuda:-1", "xpu", "c", 7])
def test_a_device_that_is_not_there_is_explained_in_one_line(name: str) -> None:
    with pytest.raises(ModelError) as refused:
        choose_device(name)
    message = str(refused.value)
    assert message.startswith(f"device {str(name)!r} is not available here: ")
    assert "\n" not in message
    assert len(message) < 200
    assert "'cpu', or 'auto'" in message, "what to do"
    for internal in ("aten", "ideep", "Torch not compiled", "Expected one of"):
        assert internal not in message


def test_a_device_is_chosen() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto") == torch.device(best)
    with pytest.raises(MeasureError):
        choose_device("gpu", MeasureError)
