"""Which tests a machine can run: those that need a GPU, or data beside the project, say so."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from pushforward.families import raking
from pushforward.measures._registry import DEFAULT, MEASURES
from read_tables import SHARED

# No test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """What fsync adds, safety from a power failure, no test sees; half of a write waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test, or a file that it lets be read, registers ends with it: files have no order."""
    measures = {kind: dict(known) for kind, known in MEASURES.items()}
    default = dict(DEFAULT)
    yield
    for kind, known in measures.items():
        MEASURES[kind].clear()
        MEASURES[kind].update(known)
    DEFAULT.update(default)


@pytest.fixture(autouse=True)
def drawn() -> None:
    """A test draws the same numbers whatever ran before it, and whether it runs alone.

    Torch's own `manual_seed` writes down the stack for each kind of device that is not there.
    """
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


@pytest.fixture
def few_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rake tables by few codes: half of a fit of one step, for tests that look at no share."""
    monkeypatch.setattr(raking, "CODES", 64)


@pytest.fixture(scope="module")
def few_codes_here() -> Iterator[None]:
    """The same for a whole file, and the fits that its tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raking, "CODES", 64)
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what `@pytest.mark.cuda` and `@pytest.mark.shared(file)` say cannot run here."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    for marker in item.iter_markers("shared"):
        if not (SHARED / marker.args[0]).exists():
            pytest.skip(f"needs {marker.args[0]} in ../shared/data")
