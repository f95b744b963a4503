"""The selftest: every measure is in it, all of it holds here, and a wrong factor would be found."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from pushforward.cli.main import run_command
from pushforward.measures import all_measures, selftest
from pushforward.measures.selftest import CHECKS, Check, Result, run, sanity
from pushforward.measures.selftest.checking import Estimate, averaged, holds


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return run(CHECKS)


def test_every_measure_is_checked() -> None:
    assert {check.measure for check in CHECKS} == set(all_measures())


def test_all_checks_hold(results: list[Result]) -> None:
    assert [(r.measure, r.case, r.truth, r.value) for r in results if not r.holds] == []


def test_a_wrong_factor_would_be_found(results: list[Result]) -> None:
    """Half or twice the truth is refused, unless the estimate is one from below and said to be."""
    for check, result in zip(CHECKS, results, strict=True):
        seen = Estimate(result.value, result.low, result.high)
        if check.truth == 0:
            assert not holds(replace(check, truth=1.0), seen), check.case
            continue
        if check.short < 0.5:
            assert not holds(replace(check, truth=check.truth / 2), seen), check.case
        assert not holds(replace(check, truth=2 * check.truth), seen), check.case


@pytest.mark.parametrize(
    ("truth", "short", "exact", "expected"),
    [
        (1.0, 0.0, None, True),
        (1.33, 0.0, None, True),  # 0.2 widened by 3.29 / 1.96 is 0.336
        (1.35, 0.0, None, False),
        (0.65, 0.0, None, False),
        (1.5, 0.15, None, True),  # 0.15 of 1.5 more above, and nothing below
        (0.65, 0.15, None, False),
        (1.2, 0.0, 0.01, False),
        (1.2, 0.0, 0.5, True),
    ],
)
def test_a_check_holds_within_the_widened_interval(
    truth: float, short: float, exact: float | None, expected: bool
) -> None:
    check = Check("energy", "", truth, lambda: Estimate(0, 0, 0), short, exact)
    assert holds(check, Estimate(1.0, 0.8, 1.2)) is expected


def test_the_interval_of_a_mean() -> None:
    seen = averaged([1.0, 2.0, 3.0, 6.0])
    # Variance (4 + 1 + 0 + 9) / 3.
    assert seen.value == 3.0
    assert (seen.high - seen.low) / 2 == pytest.approx(1.959964 * math.sqrt(14 / 3 / 4))


def of(truth: float) -> Check:
    return Check("energy", "a <case>", truth, lambda: Estimate(1.0, 0.9, 1.1))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The command with one check of a given truth, and the quickest sanity checks."""
    quick = [c for c in sanity.CHECKS if c.name == "Scaling one dimension"]
    verdicts = sanity.verdicts(checks=quick, repetitions=2)

    def choose(truth: float) -> None:
        monkeypatch.setattr(selftest, "CHECKS", (of(truth),))
        monkeypatch.setattr(sanity, "verdicts", lambda: verdicts)

    return choose


def test_the_command_prints_both_tables(
    few: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    few(1.0)
    assert run_command(["selftest"]) == 0
    printed = capsys.readouterr().out
    assert "1 checks against closed forms, 0 missed" in printed
    assert "0.9 – 1.1" in printed
    assert "Scaling one dimension" in printed
    assert "2 of 2" in printed


def test_the_command_fails_where_a_check_is_missed(
    few: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    few(2.0)
    assert run_command(["selftest", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["checks"][0]["holds"] is False
    assert {v["measure"] for v in printed["sanity"]} == set(sanity.KINDS)
    assert run_command(["selftest"]) == 1
    assert "MISSED" in capsys.readouterr().out
