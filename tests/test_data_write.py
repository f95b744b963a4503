"""Writing: what is written is read again, in the spelling that the user had."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from pushforward.data import read, read_raw, write
from pushforward.errors import DataError, PushforwardError, RunError
from pushforward.sampling.request import SampleRequest

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 8, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame])
def test_tables(tmp_path: Path, name: str, make: Any) -> None:
    columns = {
        "": [1, 2, 3],
        "word": ["a, b", 'say "hi"', "007"],
        "real": [0.1, 1e-9, -3.5],
        "flag": [True, False, True],
        "day": [date(2024, 1, 1), date(2024, 1, 2), None],
        "text": ["é", None, "two\nlines"],
    }
    path = write(make(columns), tmp_path / "deep" / name)
    assert read_raw(path).to_dict(as_series=False) == columns


def test_a_csv_file_keeps_its_spelling(tmp_path: Path) -> None:
    rows = [
        f"{i / 4:.2f},{i}.0,0{i % 9},2024-01-{1 + i % 28:02d} 10:{i % 60:02d}" for i in range(40)
    ]
    text = "price,whole,code,when\n" + "\n".join(rows) + "\n"
    (tmp_path / "t.csv").write_text(text)
    data = read(tmp_path / "t.csv")
    write(data.schema.decode(data.rows), tmp_path / "again.csv", schema=data.schema)
    assert (tmp_path / "again.csv").read_text() == text
    drawn = data.schema.quantise(data.schema.expand(data.rows))
    write(data.schema.decode(drawn), tmp_path / "drawn.csv", schema=data.schema)
    for line in (tmp_path / "drawn.csv").read_text().splitlines()[1:]:
        price, whole, code, when = line.split(",")
        assert price == f"{float(price):.2f}"
        assert whole == f"{float(whole):.1f}"
        assert len(code) == 2
        assert when == datetime.strptime(when, "%Y-%m-%d %H:%M").strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("raw", [IMAGES, torch.from_numpy(IMAGES), RNG.normal(size=(9, 2))])
def test_arrays(tmp_path: Path, name: str, raw: Any) -> None:
    back = read_raw(write(raw, tmp_path / name))
    assert back.dtype == np.asarray(raw).dtype
    np.testing.assert_array_equal(back, np.asarray(raw))


def test_labels_are_written_beside_the_array(tmp_path: Path) -> None:
    path = write(IMAGES, tmp_path / "a.npz", labels=["u", "v"] * 6)
    data = read(path, condition="y")
    assert data.schema.condition is not None
    assert data.schema.condition.classes == ("u", "v")


def test_a_matrix_as_a_table(tmp_path: Path) -> None:
    matrix = RNG.normal(size=(20, 3))
    back = read_raw(write(matrix, tmp_path / "m.csv"))
    assert back.columns == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(back.to_numpy(), matrix)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_as_a_folder(tmp_path: Path, channels: int) -> None:
    images = RNG.integers(0, 256, (12, 8, 9, channels), dtype=np.uint8)
    write(images, tmp_path / "pngs")
    np.testing.assert_array_equal(read_raw(tmp_path / "pngs"), images)
    write(images.transpose(0, 3, 1, 2), tmp_path / "first")
    np.testing.assert_array_equal(read_raw(tmp_path / "first"), images)


def test_classes_become_folders(tmp_path: Path) -> None:
    write(IMAGES, tmp_path / "pngs", labels=["cat", "dog"] * 6)
    data = read(tmp_path / "pngs", condition="folder")
    np.testing.assert_array_equal(
        data.schema.decode(data.rows), IMAGES[[*range(0, 12, 2), *range(1, 12, 2)]]
    )
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 6 + [1] * 6


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / ".DS_Store").write_text("hidden")
    write(IMAGES[:5], folder)
    before = (folder / "0.png").read_bytes()
    with pytest.raises(RunError, match=r"photos holds other files \(0.png, ...\); name an empty"):
        write(IMAGES[5:7], folder)
    assert len(list(folder.glob("*.png"))) == 5
    assert (folder / "0.png").read_bytes() == before
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="file is a file; name a folder"):
        write(IMAGES, tmp_path / "file")


def test_images_are_not_drawn_for_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_text("mine")
    schema, network = read(IMAGES).schema, torch.nn.Module()  # which draws nothing
    with pytest.raises(RunError, match="name an empty folder"):
        SampleRequest(cast(Any, network), schema, 3, 1).write(tmp_path)
    assert (tmp_path / "0.png").read_text() == "mine"


def test_black_and_white_of_floats_come_from_the_schema(tmp_path: Path) -> None:
    images = np.linspace(-1, 1, 12 * 64).reshape(12, 8, 8).astype(np.float32)
    schema = read(images).schema
    grey = images[6:]  # alone, these would be taken for values in [0, 1]
    write(grey, tmp_path / "pngs", schema=schema)
    with Image.open(tmp_path / "pngs" / "0.png") as image:
        np.testing.assert_allclose(np.asarray(image), (grey[0] + 1) * 127.5, atol=0.51)


@pytest.mark.parametrize(
    ("raw", "name", "message"),
    [
        (IMAGES, "a.csv", "at most two dimensions"),
        (IMAGES, "a.jpeg", "unknown ending"),
        (pl.DataFrame({"a": [1]}), "a.npz", "must be written as .csv"),
        (pl.DataFrame({"a": [1]}), "folder", "must be written as .csv"),
        (np.zeros((3, 2)), "folder", "images must have shape"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, raw: Any, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(raw, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(PushforwardError, match="cannot write"):
            write(pl.DataFrame({"a": [1]}), tmp_path / "file" / name)
