"""The report's parts: columns, scales, numbers, labels."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest

from pushforward.comparison.decide import paired_differences
from pushforward.measures import Measurement, Scorecard
from pushforward.report import marginals as columns
from pushforward.report.figures import label, plain, robust_range
from pushforward.report.measure_table import best
from pushforward.report.numbers import decimals_for, fixed, memory, significant
from pushforward.report.training import best_check


def test_marginals_agree_with_counting() -> None:
    real = nw.from_native(pl.DataFrame({"x": list("aab"), "y": [1.0, None, 3.0]}), eager_only=True)
    fake = nw.from_native(pl.DataFrame({"x": list("abb"), "y": [1.0, 2.0, 3.0]}), eager_only=True)
    by_name = {m.name: m for m in columns.marginals({"real": real, "vae": fake})}
    assert by_name["x"].distance("vae") == pytest.approx(1 / 3)
    assert by_name["y"].missing == {"real": pytest.approx(1 / 3), "vae": 0.0}
    assert by_name["y"].distance("vae") == pytest.approx(1 / 3)


def test_histogram_counts_every_row() -> None:
    rng = np.random.default_rng(0)
    samples = {"real": rng.normal(size=500), "vae": 9 * rng.normal(size=500)}
    frames = {
        n: nw.from_native(pl.DataFrame({"x": v, "n": (10 * v).astype(int)}), eager_only=True)
        for n, v in samples.items()
    }
    for marginal in columns.marginals(frames):
        assert len(marginal.bins) == len(marginal.shares["real"]) + 1
        assert [own.sum() for own in marginal.shares.values()] == pytest.approx([1, 1])


def test_columns_of_every_type_are_drawn() -> None:
    n = 40
    frame = pd.DataFrame(
        {
            "zone": pd.date_range("2020-01-01", periods=n, tz="Europe/Berlin"),
            "flag": pd.array([True, None] * (n // 2), dtype="boolean"),
            "whole": pd.array([*range(n - 1), None], dtype="Int64"),
            "few": [1.0, float("nan")] * (n // 2),
            "empty": [None] * n,
            "name": [f"row {i}" for i in range(n)],
        }
    )
    samples = {name: nw.from_native(frame, eager_only=True) for name in ("real", "vae")}
    by_name = {m.name: m for m in columns.marginals(samples)}
    kinds = {name: marginal.kind for name, marginal in by_name.items()}
    assert kinds == {"zone": "time", "flag": "category", "whole": "number", "few": "category"}
    assert by_name["flag"].missing["vae"] == by_name["few"].missing["vae"] == 0.5
    assert by_name["flag"].bins == ["True"]


def test_only_so_many_columns_are_drawn() -> None:
    rng = np.random.default_rng(0)
    wide = {f"c{j}": rng.normal(size=50) for j in range(40)}
    frames = {n: nw.from_native(pl.DataFrame(wide), eager_only=True) for n in ("real", "vae")}
    assert len(columns.panels(columns.marginals(frames), {"vae": "#000"})) == columns.PANELS


def test_the_best_beats_every_other() -> None:
    sharp = {
        m: [Scorecard({"a": Measurement("a", v + s)}) for s in (0.0, 0.01, 0.02)]
        for m, v in {"x": 0.0, "y": 1.0, "z": 2.0}.items()
    }
    assert best("a", ["x", "y", "z"], paired_differences(sharp)) == "x"
    tied = sharp | {"y": sharp["x"]}
    assert best("a", ["x", "y", "z"], paired_differences(tied)) is None


def test_best_checkpoint_is_chosen_as_the_loop_does() -> None:
    series = [(10, 0.1, 1.0), (40, 0.3, 4.0), (80, 0.2, 8.0), (100, 0.25, 10.0)]
    assert best_check(series, [])[0] == 80
    assert best_check(series, [40, 100])[0] == 100


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [(0.12345, 3, "0.123"), (-0.0004, 3, "−0.0004"), (0.0, 3, "0"), (2e-6, 3, "2·10⁻⁶"),
     (1234.5, 1, "1,234.5"), (float("nan"), 2, "not finite")],
)  # fmt: skip
def test_fixed(value: float, decimals: int, shown: str) -> None:
    assert fixed(value, decimals) == shown


def test_numbers_have_as_many_digits_as_they_need() -> None:
    assert decimals_for([0.0123, 0.456]) == 3
    assert significant(1.5e-7) == "1.50·10⁻⁷"
    assert memory(1.5 * 2**30) == "1.5 GiB"


def test_labels_are_escaped_and_short() -> None:
    assert label("<b>") == "&lt;b&gt;"
    assert label("x" * 30, 10) == "x" * 9 + "…"


def test_plain_values_are_json() -> None:
    assert plain({"a": np.array([1.0, np.inf]), "b": 0.123456789}) == {
        "a": [1.0, None],
        "b": 0.12346,
    }


def test_robust_range_leaves_out_rare_extremes() -> None:
    assert robust_range([*np.linspace(0, 1, 200).tolist(), 1e6]) == pytest.approx(
        [-0.06, 1.08], abs=0.02
    )
    assert robust_range(np.linspace(0, 1, 200).tolist()) is None
