"""Reading: files of every kind, one clear line for whatever is wrong with them, splits, hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

import pushforward as pf
from pushforward.data import Dataset, builtin, read, read_raw
from pushforward.data.split import split_sizes
from pushforward.errors import DataError
from read_tables import ADULT

TEXT = "a,b\n" + "".join(f"{i},w{i % 3}\n" for i in range(20))


def csv(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def column(folder: Path, *values: str) -> pl.Series:
    """A column of a CSV file, beside one that keeps blank lines apart."""
    rows = "".join(f"{v},{i}\n" for i, v in enumerate(values))
    frame: pl.DataFrame = read_raw(csv(folder, f"c,i\n{rows}"))
    return frame["c"]


# --- the types of a CSV file's columns


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-2", "+3", " 4 ", ""], [1, -2, 3, 4, None]),
        (["1", "NA", "n/a", "NaN", "null"], [1, None, None, None, None]),
        (["1.50", "-.5", "2", "1e3", ""], [1.5, -0.5, 2.0, 1000.0, None]),
        (["007", "010", "123"], ["007", "010", "123"]),
        (["0.5", "00.5"], ["0.5", "00.5"]),
        (["1", "99999999999999999999"], ["1", "99999999999999999999"]),
        (["9007199254740993", "1"], [9007199254740993, 1]),
        (["true", "false", ""], [True, False, None]),
        (["True", "False"], ["True", "False"]),
        (["NA", "NaN"], ["NA", "NaN"]),
        (["a", "NA", ""], ["a", "NA", None]),
        ([" a", "a"], ["a", "a"]),  # unquoted blanks
        (["2024-02-29", ""], [date(2024, 2, 29), None]),
        (["2024-02-30", "2024-02-01"], ["2024-02-30", "2024-02-01"]),
        (["29.02.2024", "01.03.2024"], [date(2024, 2, 29), date(2024, 3, 1)]),
        (
            ["2024-01-02 03:04", "2024-01-02 23:59"],
            [datetime(2024, 1, 2, 3, 4), datetime(2024, 1, 2, 23, 59)],
        ),
        (["2024-01-02T03:04:05.25Z", ""], [datetime(2024, 1, 2, 3, 4, 5, 250_000, UTC), None]),
        (["2024-01-02T03:04:05+02:00"], [datetime(2024, 1, 2, 1, 4, 5, 0, UTC)]),
        (['"x, y"', '"say ""hi"""', '"two\nlines"'], ["x, y", 'say "hi"', "two\nlines"]),
        (["", ""], [None, None]),
    ],
)
def test_a_column_has_the_type_that_all_its_values_have(
    tmp_path: Path, texts: list[str], values: list[Any]
) -> None:
    assert column(tmp_path, *texts).to_list() == values


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(",", ";"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        "\n" + TEXT + "\n\n",
        TEXT.replace("5,", "\n5,", 1),
        TEXT.replace("b", '"b"').replace("w1", '"w1"'),
    ],
    ids=["semicolons", "windows", "old mac", "byte order mark", "blank ends", "blank", "quotes"],
)
def test_dialects_of_csv(tmp_path: Path, text: str) -> None:
    assert read_raw(csv(tmp_path, text)).equals(read_raw(csv(tmp_path, TEXT, "plain.csv")))


def test_tables_from_everywhere_are_the_same(tmp_path: Path) -> None:
    frame = read_raw(csv(tmp_path, TEXT))
    assert frame.schema == {"a": pl.Int64, "b": pl.String}
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    sources = (tmp_path / "t.csv", str(tmp_path / "t.tsv"), tmp_path / "t.parquet", frame)
    assert len({read(source).digest for source in (*sources, frame.lazy())}) == 1
    pandas = read(pd.DataFrame({"a": range(20), "b": frame["b"].to_list()}))
    assert torch.equal(pandas.rows, read(frame).rows)
    assert isinstance(pandas.raw("test"), pd.DataFrame)


def test_a_single_column_may_have_blank_lines(tmp_path: Path) -> None:
    values = read_raw(csv(tmp_path, "v\n" + "1\n\n2\n" * 5))["v"].to_list()
    assert values == [1, None, 2] * 5


@pytest.mark.shared("adult-train.csv")
def test_a_written_adult_is_adult(tmp_path: Path) -> None:
    data = read(ADULT)
    whole = data.schema.decode(data.rows)
    whole.write_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == ADULT.read_bytes().replace(b"\r\n", b"\n")
    assert [note.partition(" in every row")[0] for note in data.notes] == [
        "`education-num` = lookup(education)"
    ]


# --- the first line of a CSV file

ROWS_OF_TEXT = "".join(f"{i % 7},{i / 4},w{i % 3}\n" for i in range(40))


def test_a_separator_that_ends_the_header_alone_is_dropped(tmp_path: Path) -> None:
    names = read_raw(csv(tmp_path, '"a","b","c",\n' + ROWS_OF_TEXT)).columns
    assert names == ["a", "b", "c"]
    ended = ROWS_OF_TEXT.replace("\n", ",\n")
    whole: pl.DataFrame = read_raw(csv(tmp_path, "a,b,c,\n" + ended))
    assert whole.columns == ["a", "b", "c", ""]
    assert whole[""].null_count() == len(whole) == 40
    mixed = "a,b,c,\n" + ROWS_OF_TEXT.replace("\n", ",\n", 1)
    with pytest.raises(DataError, match="line 3: got 3 fields"):
        read_raw(csv(tmp_path, mixed))


def years(*names: str) -> str:
    return ",".join(names) + "\n" + "".join(f"w{i % 3},{i},{i % 5},{i % 7}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        (years("w1", "3", "1", "5"), True),
        (years("w1", "3", "?", "5.5"), True),
        (years("land", "1960", "1970", "1990"), False),
        (years("land", "0", "1", "2"), False),
        (years("land", "1960", "1970", "count"), False),
        (years("land", "inf", "trt", "x"), False),
        (years("land", "inf", "nan", "-inf"), False),
        ("2024-01-31,1\n" + "".join(f"2024-01-{i:02d},{i % 4}\n" for i in range(1, 30)), True),
    ],
)
def test_a_first_line_that_looks_like_data_is_said(
    tmp_path: Path, text: str, is_said: bool
) -> None:
    notes = [note for note in read(csv(tmp_path, text)).notes if "first line" in note]
    assert [note.startswith("check: ") and "--no-header" in note for note in notes] == (
        [True] if is_said else []
    )


@pytest.mark.parametrize("marks", [["?"], ["NA", "-"], ["n/a"]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_texts_that_are_read_as_missing_are_said(
    tmp_path: Path, marks: list[str], ending: str
) -> None:
    values = [marks[i % len(marks)] if i % 5 == 0 else str(i % 9) for i in range(60)]
    plain = ["nan" if i % 5 == 1 else str(i % 9) for i in range(60)]
    frame, path = pl.DataFrame({"a": values, "b": plain, "c": values}), tmp_path / f"t.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    data = read(path, relations=False)
    (note,) = (note for note in data.notes if "missing" in note)
    assert all(repr(mark) in note for mark in marks)
    assert "'a', 'c'" in note
    assert "'b'" not in note
    assert not any("missing" in note for note in read(frame.select("b")).notes)


# --- bad input

BINARY = bytes(range(256)) * 20
ROWS = np.zeros((20, 2))


def truncated(write: Callable[[Path], Any], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        return folder / name

    return make


def pickled(folder: Path) -> Path:
    np.save(folder / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "o.npy"


def several(folder: Path) -> Path:
    np.savez(folder / "s.npz", first=ROWS, second=ROWS)
    return folder / "s.npz"


def repeated() -> pd.DataFrame:
    return pd.DataFrame(np.zeros((20, 2)), columns=["x", "x"])


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda d: d / "no.csv", "no such file or built-in"),
    "misspelt": (lambda _: "digts", "did you mean 'digits'"),
    "ending": (lambda d: csv(d, TEXT, "t.doc"), "unknown ending"),
    "empty": (lambda d: csv(d, ""), "is empty"),
    "blank": (lambda d: csv(d, " \n\n"), "is empty"),
    "mark only": (lambda d: csv(d, "\ufeff"), "is empty"),
    "header": (lambda d: csv(d, "a,b\n"), "header only"),
    "long row": (lambda d: csv(d, TEXT + "1,2,3\n"), "line 22: got 3 fields, .* 2 columns"),
    "short row": (lambda d: csv(d, TEXT.replace("4,w1", "4")), "line 6: got 1 fields"),
    "open quote": (lambda d: csv(d, TEXT + '"1,2\n3,4\n'), "line 23|cannot be read"),
    "same names": (lambda d: csv(d, TEXT.replace("b", "a", 1)), "'a' occurs twice"),
    "no names": (lambda d: csv(d, "0,0,1\n" * 20), "'0' occurs twice; .*--no-header .header=False"),
    "binary": (lambda d: csv(d, BINARY), "binary file"),
    "png": (lambda d: csv(d, b"\x89PNG\r\n\x1a\n" + BINARY), "binary file"),
    "latin-1": (lambda d: csv(d, TEXT.encode() + b"1,caf\xe9\n"), r"UTF-8, .* \(0xe9\)"),
    "utf-16": (lambda d: csv(d, TEXT.encode("utf-16")), "must be in UTF-8"),
    "infinite": (lambda d: csv(d, "v\n" + "1.5\n" * 10 + "inf\n"), "'v' .* row 11 is inf"),
    "two rows": (lambda d: csv(d, "v\n1\n2\n"), "at least 10 rows .*, got 2"),
    "parquet": (
        truncated(lambda p: pl.DataFrame({"a": range(99)}).write_parquet(p), "t.parquet"),
        "t.parquet cannot be read",
    ),
    "no parquet": (lambda d: csv(d, TEXT, "t.parquet"), "cannot be read"),
    "npz": (truncated(lambda p: np.savez(p, x=ROWS), "t.npz"), "t.npz cannot be read"),
    "npy": (truncated(lambda p: np.save(p, ROWS), "t.npy"), "t.npy cannot be read"),
    "empty npz": (lambda d: csv(d, b"", "t.npz"), "is empty"),
    "text npy": (lambda d: csv(d, TEXT, "t.npy"), "not an NPY file"),
    "pickle": (pickled, "Python objects"),
    "no arrays": (lambda d: str(archive(d)), "a.npz holds no arrays; save one"),
    "labels alone": (
        lambda d: archive(d, y=np.zeros(20)),
        r"holds labels alone \(y \(20,\)\); choose one with --key",
    ),
    "arrays": (several, r"several arrays \(first \(20, 2\), second .*--key"),
    "no images": (lambda d: d, "holds no images"),
    "list": (lambda _: [[1, 2]], "pandas or Polars data frame, got list"),
    "series": (lambda _: pl.Series([1, 2]), "got Series"),
    "nothing": (lambda _: None, "got NoneType"),
    "same pandas names": (
        lambda _: repeated(),
        "names must differ, and 'x' occurs twice; rename one$",
    ),
    "nested": (lambda _: pl.DataFrame({"v": [[1]] * 20}), "'v' must hold numbers, text"),
    "objects": (lambda _: pl.DataFrame({"v": [object()] * 20}), "'v' must hold numbers, text"),
    "infinite frame": (
        lambda _: pl.DataFrame({"v": [float("-inf")] + [0.5] * 20}),
        "row 1 is -inf",
    ),
    "no columns": (lambda _: pl.DataFrame(), "at least 10 rows"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_input_gives_one_clear_error(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    [{"overrides": {"x": "numeric"}}, {"rare": "name"}, {"constraints": "x <= y"}],
    ids=lambda argument: next(iter(argument)),
)
def test_arguments_of_tables_need_columns(argument: dict[str, Any]) -> None:
    name = next(iter(argument))
    with pytest.raises(DataError, match=f"{name} apply to .* these data are an array"):
        read(ROWS, **argument)


# --- NPZ


def archive(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def test_the_usual_array_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8)
    labels = np.arange(20) % 3
    path = archive(
        tmp_path, x_train=images, y_train=labels, x_test=images[:12], y_test=labels[:12][::-1]
    )
    data = read(path, condition="y_train")
    assert len(data) == 20
    assert data.labels is not None
    assert data.labels.tolist() == labels.tolist()
    assert "read x_train" in data.notes[0]
    assert "x_test (12, 8, 8)" in data.notes[0]
    test = read(path, key="x_test", condition="label")  # the first labels: those of the same suffix
    assert test.labels is not None
    assert test.labels.tolist() == labels[:12][::-1].tolist()
    assert test.notes == ()
    with pytest.raises(DataError, match="did you mean 'x_test'"):
        read(path, key="x_tset")
    with pytest.raises(DataError, match="did you mean 'y_train'"):
        read(path, condition="y_trian")


def test_one_array_beside_labels_needs_no_key(tmp_path: Path) -> None:
    labels = np.array(["u", "v"] * 10)
    points = np.random.default_rng(0).normal(size=(20, 2))
    data = read(archive(tmp_path, points=points, y=labels), condition="y")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1] * 10


def test_labels_of_another_length_are_named_with_it(tmp_path: Path) -> None:
    path = archive(tmp_path, x=ROWS, y=np.arange(15) % 3)
    assert len(read(path)) == 20
    for name in ("y", "label"):
        with pytest.raises(DataError, match=r"labels 'y' must be .* \(20,\), got shape \(15,\)"):
            read(path, condition=name)
    data = read(archive(tmp_path, x=ROWS, y=np.arange(20)[:, None] % 3), condition="y")
    assert data.labels is not None
    assert data.labels.tolist() == [i % 3 for i in range(20)]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (ROWS, "an array"),
        (np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8), "images"),
        (pl.DataFrame({"v": range(20)}), "a table"),
    ],
)
def test_a_data_set_says_what_its_rows_are_of(rows: Any, what: str) -> None:
    assert repr(read(rows)).splitlines()[0].endswith(f"test 2) of {what}")


def test_numbers_are_no_classes_unless_they_are_integers(tmp_path: Path) -> None:
    path = archive(tmp_path, x=ROWS + np.arange(20)[:, None], y=np.linspace(0, 1, 20))
    assert read(path).labels is None
    with pytest.raises(DataError, match="integers, truth values or text"):
        read(path, condition="y")


# --- built-ins


def test_digits_are_bytes_with_labels() -> None:
    data, bunch = read("digits", condition="label"), load_digits()
    images = data.schema.decode(data.rows)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {round(v * 255 / 16) for v in range(17)}
    np.testing.assert_allclose(images / 255, bunch.images / 16, atol=0.5 / 255)
    assert data.labels is not None
    assert data.labels.tolist() == bunch.target.tolist()


def test_tables_of_scikit_learn() -> None:
    data, bunch = read("breast-cancer", condition="target"), load_breast_cancer()
    frame = data.schema.decode(data.rows, data.labels)
    assert frame.columns == [*bunch.feature_names, "target"]
    np.testing.assert_array_equal(frame.drop("target").to_numpy(), bunch.data)
    assert data.schema.condition is not None
    assert data.schema.condition.classes == ("benign", "malignant")
    assert read("diabetes").raw("train")["target"].dtype == pl.Float64
    assert set(read("wine").raw("train")["target"]) == {"class_0", "class_1", "class_2"}


@pytest.mark.parametrize("name", builtin.names())
def test_every_built_in_is_read(name: str) -> None:
    data = read(name)
    assert data.name == name
    again = data.schema.quantise(data.schema.expand(data.rows[:5]))
    assert data.schema.features(again).shape == data.schema.features(data.rows[:5]).shape


def test_openml_without_a_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(DataError, match=r"adult cannot be fetched .no route"):
        read("openml:adult")


# --- splits and hashes

FRAME = pl.DataFrame({"v": np.random.default_rng(0).normal(size=300), "k": ["a", "b", "c"] * 100})


def test_parts_are_disjoint_and_whole() -> None:
    data = read(FRAME)
    sizes = [len(data.splits[name]) for name in ("train", "validation", "test")]
    assert sizes == [240, 30, 30]
    everything = torch.cat(list(data.splits.values()))
    assert sorted(everything.tolist()) == list(range(300))
    rows, _ = data.subset("test")
    assert torch.equal(rows, data.rows[data.splits["test"]])
    assert data.raw("validation").equals(FRAME[data.splits["validation"].tolist()])


def test_the_seed_alone_makes_the_split() -> None:
    first, again, other = read(FRAME), read(FRAME), read(FRAME, seed=1)
    assert torch.equal(first.splits["test"], again.splits["test"])
    assert not torch.equal(first.splits["test"], other.splits["test"])
    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize("n", [10, 11, 19])
def test_each_part_has_a_row(n: int) -> None:
    parts = read(FRAME[:n]).splits
    assert min(len(index) for index in parts.values()) >= 1
    assert len(parts["train"]) >= n - 4


@pytest.mark.parametrize("split", [(0.8, 0.2, 0.0), (0.5, 0.4, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_are_not_a_split(split: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="three positive shares"):
        read(FRAME, split=split)


def test_the_schema_learns_how_often_from_training_rows_only() -> None:
    data = read(FRAME)
    held = [*data.splits["test"].tolist(), *data.splits["validation"].tolist()]
    shifted = FRAME.with_columns(
        v=pl.when(pl.int_range(300).is_in(held)).then(pl.col("v") * 100).otherwise("v")
    )
    assert read(shifted).schema.to_json() == data.schema.to_json()


def test_the_hash_sees_every_value() -> None:
    digest = read(FRAME).digest
    at = int(read(FRAME).splits["test"][0])
    changed = FRAME["v"].to_list()
    changed[at] += 1e-9
    assert read(FRAME.with_columns(v=pl.Series(changed))).digest != digest
    swapped = FRAME["k"].to_list()
    swapped[0], swapped[1] = swapped[1], swapped[0]
    assert read(FRAME.with_columns(k=pl.Series(swapped))).digest != digest
    assert read(FRAME.rename({"k": "l"})).digest != digest
    assert read(FRAME, name="another name").digest == digest
    conditioned = read(FRAME, condition="k")
    assert conditioned.digest != digest


def test_the_hash_does_not_depend_on_the_process() -> None:
    source = "import pushforward.data as d; print(d.read('wine', condition='target').digest)"
    run = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert run.stdout.strip() == read("wine", condition="target").digest


def test_a_dataset_is_returned_unchanged() -> None:
    data = read(FRAME)
    assert isinstance(data, Dataset)
    assert read(data) is data
    assert read(data, split=(0.8, 0.1, 0.1), rare="draw") is data  # the defaults


@pytest.mark.parametrize(
    "argument",
    [
        *({"condition": "k"}, {"labels": np.zeros(300, int)}, {"key": "x"}, {"seed": 1}),
        *({"split": (0.6, 0.2, 0.2)}, {"overrides": {}}, {"rare": "keep"}, {"name": "n"}),
        *({"constraints": []}, {"metadata": {}}),
    ],
    ids=lambda argument: next(iter(argument)),
)
def test_a_dataset_takes_no_other_argument(argument: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(argument))}= cannot change a Dataset"):
        read(read(FRAME), **argument)


def test_a_name_of_a_built_in_goes_before_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "digits" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(read("digits")) == 1797
    with pytest.raises(DataError, match="at least 10 rows"):
        read("./digits")


@given(st.integers(10, 60), st.tuples(*[st.integers(1, 40)] * 3))
def test_every_split_has_rows_that_can_be_measured(n: int, parts: tuple[int, int, int]) -> None:
    shares = [part / sum(parts) for part in parts]
    sizes = split_sizes(n, shares)
    assert sum(sizes) == n
    assert min(sizes) >= 2
    assert all(abs(size - n * share) <= 4 for size, share in zip(sizes, shares, strict=True))


def test_ten_rows_are_trained_on_and_measured() -> None:
    """They used to fail after all models were trained, for want of a second test row."""
    frame = pl.DataFrame({"v": np.arange(10) / 7, "c": ["x", "y"] * 5})
    data = read(frame)
    assert data.sizes == {"train": 6, "validation": 2, "test": 2}
    card = pf.measure(data.raw("test"), data.raw("validation"), measures=["column_shapes"])
    assert card["column_shapes"].value <= 1
