"""The report's parts: columns, scales, numbers, labels."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

import pushforward as pf
from pushforward.comparison.facts import RunFacts
from pushforward.comparison.findings import Finding
from pushforward.comparison.summaries import summarise
from pushforward.data import TableSchema
from pushforward.report import marginals as columns
from pushforward.report.figures import label, plain, robust_range
from pushforward.report.finding_list import entries
from pushforward.report.loss_axis import LossAxis, LossGroup, LossMark, LossRow
from pushforward.report.measure_table import bits
from pushforward.report.numbers import (
    decimals_for,
    fixed,
    half_interval,
    memory,
    p_value,
    percent,
    significant,
)
from pushforward.report.training import best_check


def drawn(frames: dict[str, pl.DataFrame]) -> dict[str, columns.Marginal]:
    """Return the columns of tables as the report draws them, the largest difference first."""
    summaries = {name: summarise(frame, frames["real"]) for name, frame in frames.items()}
    return {m.name: m for m in columns.marginals(summaries)}


def test_marginals_agree_with_counting() -> None:
    real = pl.DataFrame({"x": list("aaaabb"), "y": [1.0, 1.0, None, None, 3.0, 3.0]})
    fake = pl.DataFrame({"x": list("aabbbb"), "y": [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]})
    by_name = drawn({"real": real, "vae": fake})
    assert by_name["x"].distance("vae") == pytest.approx(1 / 3)
    assert by_name["y"].missing == {"real": pytest.approx(1 / 3), "vae": 0.0}
    assert by_name["y"].distance("vae") == pytest.approx(1 / 3)


def test_histogram_counts_every_row() -> None:
    rng = np.random.default_rng(0)
    samples = {"real": rng.normal(size=500), "vae": 9 * rng.normal(size=500)}
    frames = {n: pl.DataFrame({"x": v, "n": (10 * v).astype(int)}) for n, v in samples.items()}
    for marginal in drawn(frames).values():
        assert len(marginal.bins) == len(marginal.shares["real"]) + 1
        assert [own.sum() for own in marginal.shares.values()] == pytest.approx([1, 1])


def test_a_histogram_shows_the_counts_of_numpy_on_the_rows() -> None:
    rng = np.random.default_rng(1)
    samples = {"real": np.exp(rng.normal(10, 1, 2000)), "vae": np.exp(rng.normal(10, 1.2, 1500))}
    frames = {name: pl.DataFrame({"pay": values}) for name, values in samples.items()}
    (marginal,) = drawn(frames).values()
    outer = [-np.inf, *marginal.bins[1:-1], np.inf]  # what is beyond the edges is counted, too
    for name, values in samples.items():
        counts = np.histogram(values, outer)[0]
        np.testing.assert_allclose(marginal.shares[name], counts / len(values), rtol=1e-12)
    (figure,) = columns.panels([marginal], {"vae": "#000"})
    widths = np.diff(marginal.bins)
    for trace, values in zip(figure.traces, samples.values(), strict=True):
        counts = np.histogram(values, outer)[0]
        area = np.array(trace["y"][:-1]) * widths / widths.min()
        np.testing.assert_allclose(area, counts / len(values), rtol=1e-12)


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
    read = pf.read(frame)
    assert isinstance(read.schema, TableSchema)
    real = read.schema.frame(read.rows)
    by_name = drawn({"real": real, "vae": real})
    kinds = {name: marginal.kind for name, marginal in by_name.items()}
    assert kinds == {"zone": "time", "flag": "category", "whole": "number", "few": "category"}
    assert by_name["flag"].missing["vae"] == by_name["few"].missing["vae"] == 0.5
    assert by_name["flag"].bins == ["True"]
    days = [datetime.fromtimestamp(ms / 1000, UTC) for ms in by_name["zone"].bins]
    assert days[0] <= datetime(2020, 1, 1, tzinfo=UTC) < days[-1] < datetime(2020, 3, 1, tzinfo=UTC)


def test_only_so_many_columns_are_drawn() -> None:
    rng = np.random.default_rng(0)
    wide = pl.DataFrame({f"c{j}": rng.normal(size=50) for j in range(40)})
    by_name = drawn({"real": wide, "vae": wide})
    assert len(columns.panels(list(by_name.values()), {"vae": "#000"})) == columns.PANELS


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


def test_half_an_interval_is_scipys() -> None:
    values = [0.3, 0.1, 0.4, 0.15]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert half_interval(values) == pytest.approx((high - low) / 2)
    assert half_interval([0.3]) is None


def test_percent_stays_on_the_axis() -> None:
    assert [percent(v, -1, 3) for v in (-2, 0, 3, 9)] == [0.0, 25.0, 100.0, 100.0]


def test_tiny_p_values_are_bounded() -> None:
    assert [p_value(v) for v in (1e-9, 0.04, 1.0)] == ["< 0.001", "0.040", "1.0"]


def axis_to(mean: float, ends: tuple[float, float] | None = None) -> LossAxis:
    return LossAxis(
        [LossGroup("use", [LossRow("utility", [LossMark("vae", "#00f", mean, ends)])])], ""
    )


@pytest.mark.parametrize(
    ("mean", "ends", "end"),
    [(0.4, None, 1.0), (1.0, None, 1.0), (0.9, (0.7, 1.1), 1.75), (1.2, None, 1.75),
     (2.0, None, 2.5), (4.0, None, 4.0)],
)  # fmt: skip
def test_the_axis_ends_behind_every_mark(
    mean: float, ends: tuple[float, float] | None, end: float
) -> None:
    assert axis_to(mean, ends).end == end


def test_an_aspects_mean_is_that_of_its_measures() -> None:
    rows = [LossRow(n, [LossMark("vae", "#00f", v)]) for n, v in (("energy", 0.2), ("mmd", 0.5))]
    rows[0].marks.append(LossMark("cart", "", 0.1))  # which the other measure lacks
    means = {mark.name: mark.mean for mark in LossGroup("joint structure", rows).means}
    assert means == {"vae": pytest.approx(0.35)}


def test_bits_a_row_are_listed_and_a_gan_has_a_dash() -> None:
    known = [RunFacts(1, 1, bits=bits, bits_error=0.21) for bits in (31.0, 31.4)]
    facts = {"vae": known, "gan": [RunFacts(1, 1)] * 2}
    comparison: Any = SimpleNamespace(models=["vae", "gan"], facts=facts)
    table = bits(comparison)
    assert table is not None
    assert table.rows == [["vae", "31.2"], ["gan", "–"]]
    assert "upper bound" in table.note
    assert "at most 0.2" in table.note
    without: Any = SimpleNamespace(models=["gan"], facts=facts)
    assert bits(without) is None


def test_findings_of_one_code_are_one_entry() -> None:
    found = [
        Finding("PF201", "Short", f"{model} was trained for {n} steps.", "More.", model, "model")
        for model, n in (("vae", 40), ("gan", 60))
    ]
    entry, other = entries([*found, Finding("PF302", "Trees", "trees lead.", "Use them.")])
    assert entry.evidence == ["vae was trained for 40 steps.", "gan was trained for 60 steps."]
    assert (entry.advice, bool(entry.consequence)) == (["More."], True)
    assert (other.code, other.consequence, other.evidence) == ("PF302", "", ["Trees lead."])
