"""Images and arrays: what comes in comes back, in its own layout, type and range."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pushforward.data import ArraySchema, ImageSchema, read, schema_from_json
from pushforward.errors import DataError
from read_tables import SHARED

GENTLE = settings(max_examples=50, deadline=None)
RNG = np.random.default_rng(0)


def rebuilt(schema: Any) -> Any:
    again = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert again.to_json() == schema.to_json()
    return again


# --- images

SHAPES = st.sampled_from(
    [(12, 8, 9), (10, 8, 8, 1), (11, 9, 8, 3), (10, 8, 10, 4), (12, 1, 8, 9), (10, 3, 9, 8)]
)


@GENTLE
@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape)), st.booleans())
def test_bytes_come_back_exactly(images: Any, as_tensor: bool) -> None:
    raw = torch.from_numpy(images) if as_tensor else images
    data = read(raw)
    schema = rebuilt(data.schema)
    back = schema.decode(schema.quantise(schema.expand(data.rows)))
    assert type(back) is type(raw)
    np.testing.assert_array_equal(np.asarray(back), images)
    assert back.dtype == raw.dtype


@GENTLE
@given(
    SHAPES.flatmap(
        lambda s: hnp.arrays(
            np.float32, s, elements=st.floats(-1, 1, width=32, allow_subnormal=False)
        )
    ),
    st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-7.0, 300.0)]),
)
def test_floats_come_back_in_their_range(unit: Any, span: tuple[float, float]) -> None:
    low, high = span
    images = ((unit + 1) / 2 * (high - low) + low).clip(low, high)
    images.flat[:2] = low, high
    data = read(images, kind="images")
    schema = rebuilt(data.schema)
    assert (schema.low, schema.high) == ((low,), (high,))
    x = schema.expand(data.rows)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    back = schema.decode(schema.quantise(3 * x))
    assert back.min() == low
    assert back.max() == high
    np.testing.assert_allclose(schema.decode(data.rows), images, atol=1e-6 * (high - low))


def test_pixels_are_placed_where_they_belong() -> None:
    images = RNG.integers(0, 256, (12, 8, 9, 3), dtype=np.uint8)
    rows = read(images).schema.encode(images)
    assert rows.shape == (12, 3, 8, 9)
    assert rows[5, 2, 7, 1] == images[5, 7, 1, 2]
    assert torch.equal(read(images.transpose(0, 3, 1, 2)).rows, rows)
    x = read(images).schema.expand(rows)
    assert float(x[5, 2, 7, 1]) == pytest.approx(images[5, 7, 1, 2] / 127.5 - 1)


def test_truth_values_and_wide_integers_are_images_too() -> None:
    masks = RNG.random((10, 8, 8)) < 0.5
    for images in (masks, RNG.integers(0, 256, (10, 8, 8))):
        data = read(images)
        x = data.schema.expand(data.rows)
        assert float(x.max()) > 0.9
        back = data.schema.decode(data.schema.quantise(x))
        assert back.dtype == images.dtype
        np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((10, 7, 8), np.uint8), "H, W >= 8"),
        (np.zeros((10, 8, 8, 8), np.uint8), "channels fewer than those"),
        (np.zeros((10, 8, 8, 3, 1), np.uint8), "H, W >= 8"),
        (np.full((10, 8, 8), np.nan), "got 640 of 640 that are NaN or infinite"),
        (np.full((10, 8, 8), "a"), "must hold numbers"),
    ],
)
def test_images_that_are_none(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(images, kind="images")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 9), np.uint8), "got shape"),
        (np.zeros((2, 8, 8), np.float32), "must be of dtype uint8"),
        (np.full((2, 8, 8), 256), "must lie in \\[0, 255\\]"),
    ],
)
def test_images_that_do_not_fit_the_schema(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(np.zeros((10, 8, 8), np.uint8)).schema.encode(images)


# --- folders of images


def save(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (12, 8, 9, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        save(tmp_path / "ab"[i % 2] / f"{i:02d}.png", image)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".hidden.png").write_text("no image")
    data = read(tmp_path)
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    np.testing.assert_array_equal(data.schema.decode(data.rows), pixels[order])
    assert data.labels is None
    conditioned = read(tmp_path, condition="folder")
    assert conditioned.schema.condition is not None
    assert conditioned.schema.condition.classes == ("a", "b")
    assert conditioned.labels is not None
    assert conditioned.labels.tolist() == [0] * 6 + [1] * 6


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        read(tmp_path)
    for i in range(12):
        save(tmp_path / f"{i:02d}.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "05.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(DataError, match=r"11 of 8x8 \(.*00\.png\), 1 of 9x8 \(.*05\.png\)"):
        read(tmp_path)
    whole = (tmp_path / "00.png").read_bytes()
    (tmp_path / "05.png").write_bytes(whole[:40])
    with pytest.raises(DataError, match=r"05\.png cannot be read as an image"):
        read(tmp_path)
    (tmp_path / "05.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"05\.png .*unknown format"):
        read(tmp_path)


@pytest.mark.shared("cifar10")
def test_cifar_is_read_whole() -> None:
    folder = SHARED / "cifar10" / "train"
    data = read(folder, condition="label")
    assert data.schema.condition is not None
    assert len(data.schema.condition.classes) == 10
    with Image.open(folder / "cat" / "0007.jpg") as image:
        expected = np.asarray(image)
    at = 3 * 500 + 7
    np.testing.assert_array_equal(data.schema.decode(data.rows[at : at + 1])[0], expected)
    assert data.labels is not None
    assert data.schema.condition.classes[data.labels[at]] == "cat"


# --- arrays


def test_a_column_that_hardly_varies_in_training_does_not_overflow_elsewhere() -> None:
    array = np.zeros((10, 1), np.float32)
    array[0], array[1] = np.finfo(np.float32).tiny, 2.0
    for train in ([0, 2, 3], [1, 2, 3]):
        schema = ArraySchema.fit(array, np.array(train))
        encoded = schema.encode(array)
        assert encoded.isfinite().all()
        np.testing.assert_allclose(schema.decode(encoded), array, atol=2e-7)


@GENTLE
@given(
    st.sampled_from(["float32", "float64", "int16", "uint8", "bool"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.tuples(st.integers(10, 20), st.integers(1, 4)),
            elements={"min_value": -1000, "max_value": 1000} if dtype[0] == "f" else None,
        )
    ),
    st.booleans(),
)
def test_arrays_come_back(array: Any, as_tensor: bool) -> None:
    raw = torch.from_numpy(array) if as_tensor else array
    data = read(raw)
    schema = rebuilt(data.schema)
    train = data.subset("train")[0]
    pairs = [
        (schema.decode(schema.encode(raw)), raw),
        # of a column that is constant in the training rows only these come back
        (schema.decode(schema.quantise(schema.expand(train))), data.raw("train")),
    ]
    for back, rows in pairs:
        assert type(back) is type(raw)
        assert back.dtype == raw.dtype
        if array.dtype.kind in "iub":
            np.testing.assert_array_equal(np.asarray(back), np.asarray(rows))
        else:
            np.testing.assert_allclose(np.asarray(back), np.asarray(rows), rtol=1e-6, atol=1e-3)


def test_training_rows_are_standardised_column_by_column() -> None:
    array = RNG.normal(size=(500, 3)) * [1e-9, 1.0, 1e9] + [0, 50, -1e12]
    array[:, 1] = 0.1  # a constant: its mean is not exactly 0.1 in floating point
    data = read(array)
    train = data.subset("train")[0].double()
    assert train.mean(0).numpy() == pytest.approx([0, 0, 0], abs=1e-4)
    assert train.std(0, correction=0).numpy() == pytest.approx([1, 0, 1], abs=1e-4)
    assert (data.schema.decode(data.rows)[:, 1] == 0.1).all()
    np.testing.assert_allclose(data.schema.decode(data.rows)[:, 0], array[:, 0], atol=1e-15)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">u2", ">i4"])
def test_arrays_of_the_other_byte_order_are_read(dtype: str) -> None:
    for shape in ((20, 3), (20, 8, 9, 3)):
        array = RNG.integers(0, 256, shape).astype(dtype)
        data = read(array)
        np.testing.assert_allclose(data.schema.decode(data.rows), array, atol=1e-4)


def test_a_vector_is_a_column() -> None:
    vector = RNG.normal(size=30)
    data = read(vector)
    assert data.schema.space.shape == (1,)
    np.testing.assert_allclose(data.schema.decode(data.rows), vector, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "float32"]
)
def test_what_a_dtype_cannot_hold_becomes_the_nearest_that_it_can(dtype: str) -> None:
    kind = np.dtype(dtype).kind
    info = np.iinfo(dtype) if kind in "iu" else np.finfo(dtype)
    schema = ArraySchema(np.zeros(1), np.array([float(info.max)]), (), dtype)
    low, high = schema.decode(torch.tensor([[-9.0], [9.0]]))
    assert low == info.min
    # of the largest integers of 64 bits, the nearest that is a float64
    apart = int(info.max) - int(high)
    assert 0 <= apart < 2**11 if kind in "iu" else high == info.max


def test_generated_rows_have_the_constants_of_the_training_rows() -> None:
    array = RNG.normal(size=(200, 3))
    array[:, 1] = 0.1
    schema = read(array).schema
    for own in (schema, rebuilt(schema)):
        raw = own.decode(own.quantise(torch.randn(50, 3)))
        assert (raw[:, 1] == 0.1).all()
        assert raw[:, [0, 2]].std(0) == pytest.approx([1, 1], abs=0.4)  # 4 / sqrt(2 n)


def test_quantising_rounds_to_integers() -> None:
    data = read(RNG.integers(0, 9, (200, 2)))
    drawn = data.schema.quantise(torch.randn(50, 2))
    assert isinstance(data.schema, ArraySchema)
    raw = data.schema.decode(drawn)
    torch.testing.assert_close(data.schema.encode(raw), drawn)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.array([[1.0, np.nan]] * 10),
            r"got 10 of 20 that are NaN or infinite, .*\(0, 1\)",
        ),
        (np.array([[1.0, -np.inf]] * 10), "NaN or infinite"),
        (np.full((10, 2), 1e200), "numbers up to 1e"),
        (np.zeros((10, 0)), "must have shape"),
        (np.array([["a"]] * 10), "must hold numbers"),
        (np.array([[None]] * 10, dtype=object), "must hold numbers"),
        (np.zeros((2, 3)), "at least 10 rows .*, got 2"),
        (np.zeros(()), "must have rows"),
        (torch.zeros(3, 2), "at least 10 rows"),
        (torch.zeros(30, 2, dtype=torch.bfloat16), r"got bfloat16; give \.float\(\)"),
        (np.ma.masked_less(np.arange(20.0), 3), "got 3 of 20 masked"),
    ],
)
def test_arrays_that_cannot_be_read(array: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(array)


def test_rows_of_another_width_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"shape \(2,\), got \(3,\)"):
        read(RNG.normal(size=(20, 2))).schema.encode(np.zeros((5, 3)))


# --- labels


def test_labels_are_the_condition() -> None:
    images, labels = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 4 + 5
    dataset = read(images, labels=torch.from_numpy(labels))
    condition = dataset.schema.condition
    assert isinstance(dataset.schema, ImageSchema)
    assert condition is not None
    assert (condition.name, condition.classes) == ("label", (5, 6, 7, 8))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == (labels - 5).tolist()
    _, train = dataset.subset("train")
    assert train is not None
    assert condition.frequencies == pytest.approx(np.bincount(train, minlength=4) / len(train))
    assert rebuilt(dataset.schema).condition == condition
    named = read(images, labels=labels, condition="species").schema.condition
    assert named is not None
    assert (named.name, named.classes) == ("species", condition.classes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "these data have none"),
        (np.zeros(39, int), r"shape \(40,\), got shape \(39,\)"),
        (np.linspace(0, 1, 40), "integers, truth values or text"),
        (np.arange(40).reshape(20, 2), "one per row"),
        (np.full(40, None), "integers, truth values or text"),
        ([f"w{i}" for i in range(39)], "one per row"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(np.zeros((40, 8, 8), np.uint8), labels=labels, condition="label")


def test_labels_have_a_thousand_classes_at_most() -> None:
    with pytest.raises(DataError, match="at most 1000 classes, got 1001"):
        read(np.zeros((1001, 2)), labels=np.arange(1001))


def test_labels_of_a_table_are_one_of_its_columns() -> None:
    with pytest.raises(DataError, match="labels= are for images and arrays"):
        read(pl.DataFrame({"v": range(20)}), labels=np.zeros(20, int))
