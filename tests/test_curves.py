"""What models make of codes of arrays and tables: figures, heat maps and tables of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import pushforward as pf
from comparisons import MODELS
from pushforward.comparison.column_moves import CODES, NUMBER, STEPS, column_moves
from pushforward.comparison.gallery import PAIRS, WAYS
from pushforward.data import Dataset, TableSchema
from pushforward.report import column_moves as heat_maps
from pushforward.report import curves, rows, write_report
from pushforward.report.folder import read_folder
from pushforward.testing import example_data
from read_tables import positions
from test_gallery import kept, tiny

COLOURS = dict.fromkeys(MODELS, "#123456")


def counts() -> Dataset:
    """A table of numbers and categories that all are atoms; `a` is rarer than `b`."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 600, p=[0.3, 0.7])
    return pf.read(pl.DataFrame({"n": rng.integers(0, 5, 600), "kind": kind}))


def moved(data: Dataset, mean: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Column moves of a model of one latent dimension that generates by a function of codes."""
    model = pf.fit(data, "vae", budget=2, latent=1, width=8).network()
    monkeypatch.setattr(model, "mean", mean)
    assert isinstance(data.schema, TableSchema)
    return column_moves(model, data.schema, data.subset("test"), 0)


def test_moves_are_in_standard_deviations_of_the_training_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = counts()
    raw, train = data.raw("test"), data.raw("train")
    x = data.schema.expand(data.subset("test")[0])
    low = raw.with_row_index().filter((pl.col("n") == 1) & (pl.col("kind") == "a"))["index"][0]
    high = raw.with_row_index().filter((pl.col("n") == 4) & (pl.col("kind") == "b"))["index"][0]
    up: list[bool] = []

    def mean(z: Tensor, c: Tensor | None = None) -> Tensor:
        del c
        assert z.shape == (CODES, 1)
        up.append(bool(z[0, 0] > 0))
        return x[torch.where(z[:, 0] > 0, high, low)]

    found = moved(data, mean, monkeypatch)
    ups = np.array(up, dtype=float)
    n, share = train["n"].to_numpy().astype(float), float((train["kind"] == "a").mean())
    number = np.where(ups > 0, 4, 1) / n.std()
    rare = (1 - ups) / (share * (1 - share)) ** 0.5  # of a and of b alike, but for the sign
    assert 0 < ups.mean() < 1
    assert found["moves"].shape == (1, STEPS, 2)
    assert isinstance(data.schema, TableSchema)
    at, levels = positions(data.schema), found["levels"].tolist()
    moves = {name: found["moves"][0, :, i].numpy() for name, i in at.items()}
    assert levels[at["n"]] == NUMBER
    np.testing.assert_allclose(moves["n"], number - number.mean(), atol=1e-4)
    level = heat_maps._category(data.schema.columns[at["kind"]], levels[at["kind"]])
    sign = {"a": 1, "b": -1}[level]
    np.testing.assert_allclose(moves["kind"], sign * (rare - rare.mean()), atol=1e-4)


def test_what_does_not_depend_on_a_code_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    data = counts()
    x = data.schema.expand(data.subset("test")[0])
    found = moved(data, lambda z, _: x[torch.randint(len(x), (len(z),))], monkeypatch)
    assert found["moves"].abs().max() < 1e-6  # of rounding


@pytest.mark.parametrize("condition", [None, "label"])
def test_a_table_has_averages_and_only_asked_rows(condition: str | None, tmp_path: Path) -> None:
    data = example_data("table", condition)
    plain = kept(data, tmp_path / "plain", ask=False)
    assert plain["vae"].keys() == {"moves", "levels", "traversed"}
    assert not plain["gan"]
    assert "real" not in plain
    asked = kept(data, tmp_path / "asked", ask=True)
    assert asked["vae"]["originals"].equal(data.subset("test")[0][:PAIRS])
    contents = read_folder(tmp_path / "asked")
    (table,) = rows.reconstructions(contents)
    frame = data.raw("test")[:PAIRS]
    given = data.schema.decode(asked["vae"]["reconstructions"], asked["vae"].get("original_labels"))
    assert table.head == frame.columns
    for column, name in enumerate(frame.columns):
        for cells, own, back in zip(table.rows, frame[name], given[name], strict=True):
            first, *second = cells[column].split(" → ")
            assert first == ("–" if own is None else f"{own:.6g}" if name == "age" else str(own))
            assert bool(second) == (own != back)
    (figure,) = heat_maps.column_moves(contents)
    z = np.array(figure.traces[0]["z"])
    np.testing.assert_allclose(z[:, :STEPS], asked["vae"]["moves"][0].numpy().T)
    assert np.isnan(z[:, STEPS]).all(), "a gap between two dimensions"
    page = write_report(tmp_path / "asked").read_text()
    assert "Latent traversals" in page
    assert "Reconstructions" in page
    assert "Reconstructions" not in write_report(tmp_path / "plain").read_text()


def test_in_the_plane_there_are_curves_and_arrows(tmp_path: Path) -> None:
    data = pf.read(np.random.default_rng(0).normal(3, 2, (80, 2)))
    tensors, contents = kept(data, tmp_path, ask=False), read_folder(tmp_path)
    figure = curves.interpolations(contents, COLOURS)[0]
    _, *ways = figure.traces
    assert len(ways) == WAYS
    for way, own in zip(ways, tensors["vae"]["ways"], strict=True):
        np.testing.assert_allclose(np.stack([way["x"], way["y"]], 1), data.schema.decode(own))
    (figure,) = curves.reconstructions(contents, COLOURS)
    arrow = np.stack([figure.traces[1][axis] for axis in "xy"], 1).reshape(-1, 3, 2)
    np.testing.assert_allclose(arrow[:, 0], data.raw("test"), rtol=1e-6)
    np.testing.assert_allclose(arrow[:, 1], data.schema.decode(tensors["vae"]["reconstructions"]))
    own, given = (tensors["vae"][name] for name in ("originals", "reconstructions"))
    assert f"{float((own - given).square().mean() ** 0.5):.2g}" in figure.note
    (figure,) = curves.traversals(contents, COLOURS)
    names = [trace["name"] for trace in figure.traces[1:]]
    assert names == [f"z{d}" for d in tensors["vae"]["traversed"].tolist()]


def test_with_more_columns_there_is_a_line_for_each_row(tmp_path: Path) -> None:
    data = example_data("array", None)
    tensors, contents = kept(data, tmp_path, ask=False), read_folder(tmp_path)
    assert {"originals", "reconstructions", "ways", "traversals"} <= tensors["vae"].keys()
    assert not {"suspects", "nearest"} & tensors["vae"].keys(), "no training row"
    (figure,) = curves.reconstructions(contents, COLOURS)
    lines = zip(figure.traces[::2], figure.traces[1::2], strict=True)
    for k, (own, given) in enumerate(lines):
        np.testing.assert_allclose(own["y"], tensors["vae"]["originals"][k])
        np.testing.assert_allclose(given["y"], tensors["vae"]["reconstructions"][k])
        assert own["yaxis"] == given["yaxis"] == ("y" if k == 0 else f"y{k + 1}")
    figure = curves.interpolations(contents, COLOURS)[1]
    np.testing.assert_allclose(figure.traces[0]["y"], tensors["gan"]["ways"][0, 0])
    text = write_report(tmp_path).read_text()
    assert all(name in text for name in ("Interpolations", "Latent traversals", "Reconstructions"))


def test_of_one_column_and_of_models_without_codes_less_is_shown() -> None:
    data = example_data("table", None)
    assert isinstance(data.schema, TableSchema)
    assert column_moves(tiny("gan", data), data.schema, data.subset("test"), 0) == {}
