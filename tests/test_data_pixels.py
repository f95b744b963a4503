"""Pixels: black and white are chosen from the values of the whole set, and nothing is lost."""

from __future__ import annotations

import json
import re
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

import pushforward as pf
from pushforward.data import ArraySchema, ImageSchema, read, read_raw, schema_from_json, write
from pushforward.data.pixel_range import PixelValues, choose_range
from pushforward.errors import DataError, MeasureError
from pushforward.measures._encoding import encode

GENTLE = settings(max_examples=60, deadline=None)
RNG = np.random.default_rng(0)
UNIT = RNG.random((12, 9, 8, 3))
UNIT.flat[:2] = 0, 1
FLOATS = ("float16", "float32", "float64")


def spread(low: float, high: float, dtype: str, levels: int = 0) -> Any:
    """Return images between low and high, both of which occur, on so many levels (or any)."""
    unit = UNIT if levels == 0 else np.rint(UNIT * (levels - 1)) / (levels - 1)
    values = low + unit * (high - low)
    return (values if dtype in FLOATS else np.rint(values)).astype(dtype)


# What the values are, black, white, and whether a user must look at the note (None: no note).
MATRIX: list[tuple[str, float, float, int, float, float, bool | None]] = [
    ("bool", 0, 1, 2, 0, 1, None),
    ("uint8", 0, 255, 0, 0, 255, None),
    ("uint8", 3, 90, 0, 0, 255, None),  # dark photographs
    ("uint8", 0, 255, 2, 0, 255, None),
    ("uint8", 0, 1, 2, 0, 1, False),  # masks
    ("int64", 0, 1, 2, 0, 1, False),
    ("uint8", 0, 20, 21, 0, 20, True),  # labels
    ("int8", 0, 127, 0, 0, 127, False),
    ("uint16", 0, 255, 0, 0, 255, False),
    ("uint16", 0, 1023, 0, 0, 1023, False),
    ("uint16", 12, 4071, 0, 0, 4095, False),  # 12-bit cameras
    ("int32", 0, 4095, 0, 0, 4095, False),
    ("uint16", 0, 16383, 0, 0, 16383, False),
    ("uint16", 0, 65535, 0, 0, 65535, False),
    ("int16", 0, 32767, 0, 0, 32767, False),
    ("int16", -1024, 3071, 0, -1024, 3071, True),  # computed tomography
    ("int32", 0, 1_000_000, 0, 0, 1_000_000, True),
    ("int32", 1_000_000, 1_000_100, 0, 1_000_000, 1_000_100, True),
    *[
        row
        for dtype in FLOATS
        for row in (
            (dtype, 0, 1, 0, 0, 1, False),
            (dtype, 0, 1, 2, 0, 1, False),
            (dtype, 0, 0.4, 0, 0, 1, False),
            (dtype, -1, 1, 0, -1, 1, False),
            (dtype, -1, 1, 2, -1, 1, False),
            (dtype, 0, 255, 256, 0, 255, False),
            (dtype, 0, 254.5, 0, 0, 255, False),
            (dtype, 0, 16, 17, 0, 16, True),  # scikit-learn's digits
            (dtype, 0, 1.5, 0, 0, 1.5, True),
            (dtype, -2.0, 2.5, 0, -2.0, 2.5, True),  # standardised by ImageNet's mean
        )
    ],
    ("float32", 0, 1.0000001, 0, 0, float(np.float32(1.0000001)), False),
    ("float64", 0, 1.0000001, 0, 0, 1.0000001, False),
    ("float64", -1e-9, 1, 0, -1e-9, 1, False),
    ("float32", -0.03125, 1.03125, 0, -0.03125, 1.03125, True),  # resampled
    ("float64", 0, 4095, 4096, 0, 4095, False),
    ("float64", 0, 1 / 257, 0, 0, 1 / 257, True),  # 8 bits divided by 16 bits
    ("float64", 1e6, 1e6 + 3, 0, 1e6, 1e6 + 3, True),
]


@pytest.mark.parametrize(("dtype", "low", "high", "levels", "black", "white", "check"), MATRIX)
def test_black_and_white_by_type_range_and_levels(
    dtype: str, low: float, high: float, levels: int, black: float, white: float, check: bool | None
) -> None:
    images = spread(low, high, dtype, levels)
    chosen = choose_range(PixelValues.of(images))
    assert (chosen.low, chosen.high) == pytest.approx((black, white), abs=0)
    assert chosen.note.startswith("check: ") is bool(check)
    assert (chosen.note == "") is (check is None)
    for limit in (images.min(), images.max()):
        assert chosen.note == "" or f"{float(limit):.8g}" in chosen.note
    data = read(images)
    assert data.notes == ((chosen.note,) if chosen.note else ())
    x = data.schema.expand(data.rows)
    assert float(x.max()) == pytest.approx((images.max() - black) / (white - black) * 2 - 1)
    back = data.schema.decode(data.schema.quantise(x))
    assert back.dtype == images.dtype
    tolerance = 0 if images.dtype.kind != "f" else 2e-7 * max(abs(black), white - black)
    np.testing.assert_allclose(
        back.astype(float), images.astype(float), rtol=1e-3 * (dtype == "float16"), atol=tolerance
    )


ANY_DTYPE = st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])


@st.composite
def pixel_sets(draw: st.DrawFn) -> Any:
    dtype = draw(ANY_DTYPE)
    info = np.iinfo(dtype) if dtype not in FLOATS else None
    scale = draw(st.sampled_from([1e-3, 0.3, 1, 2, 17, 255, 300, 4095, 65535, 1e6]))
    low, high = (-scale, scale) if draw(st.booleans()) else (0, scale)
    if info:
        bounds = (max(low, info.min), max(1, min(high, info.max)))
        elements = st.integers(int(bounds[0]), int(bounds[1]))
        return draw(hnp.arrays(dtype, (10, 8, 9), elements=elements))
    return (
        low + (high - low) * draw(hnp.arrays("float64", (10, 8, 9), elements=st.floats(0, 1)))
    ).astype(dtype)


def test_a_pixel_half_way_between_two_levels_comes_back() -> None:
    """11 is next to the level 10.5 of 31 between -17 and 16, which rounds to 10."""
    images = np.full((10, 8, 9), 16, np.int8)
    images.reshape(-1)[:15] = [-17, 2, 3, 0, -3, 4, 5, 11, -4, -2, -6, 6, 1, -5, 7]
    schema = read(images, kind="images").schema
    back = schema.decode(schema.quantise(schema.expand(schema.encode(images))))
    np.testing.assert_array_equal(back, images)


@GENTLE
@given(pixel_sets(), st.booleans())
def test_no_pixel_is_clipped_and_no_set_is_black(images: Any, as_tensor: bool) -> None:
    usable = torch.from_numpy(images) if as_tensor else images
    data = read(usable, kind="images")
    schema = schema_from_json(data.schema.to_json())
    assert isinstance(schema, ImageSchema)
    ((low,), (high,)) = schema.low, schema.high
    assert low <= images.min() <= images.max() <= high
    if images.min() < images.max():
        assert (float(images.max()) - low) / (high - low) >= 0.25
    back = schema.decode(schema.quantise(schema.expand(data.rows)))
    assert type(back) is type(usable)
    assert np.asarray(back).dtype == images.dtype
    atol = 0 if images.dtype.kind != "f" else 3e-7 * (high - low)
    np.testing.assert_allclose(np.asarray(back), images, rtol=0, atol=atol)


def test_a_few_bright_pixels_are_noted() -> None:
    images = spread(0, 1, "float32")
    images.flat[5] = 1e5
    (note,) = read(images).notes
    assert note.startswith("check: pixels are float32 from 0 to 100000 ")
    assert "99 % of the pixels lie between" in note


@pytest.mark.parametrize("given", ["0..4", (0, 4), [0.0, 4.0]])
def test_a_range_is_taken_and_what_lies_outside_is_counted(given: Any) -> None:
    images = spread(0, 4, "float64")
    images.flat[[3, 4]] = -1, 7
    data = read(images, range=given)
    assert data.schema.to_json()["low"] == [0]
    assert data.schema.to_json()["high"] == [4]
    assert data.notes == (
        "check: 2 of 2,592 pixels lay outside of the range 0..4 and were moved to its ends",
    )
    np.testing.assert_allclose(data.schema.decode(data.rows), images.clip(0, 4), atol=1e-6)


@pytest.mark.parametrize(
    ("images", "given", "message"),
    [
        (
            spread(0, 255, "uint8"),
            (0, 1),
            r"range 0..1 that was given, got uint8 from 0 to 255 .*%",
        ),
        (spread(0, 255, "uint8"), (1, 0), "two numbers"),
        (spread(0, 255, "uint8"), "0-255", "two numbers"),
        (spread(0, 255, "uint8"), (0, 128, 255), "two numbers"),
        (RNG.normal(size=(20, 3)), (0, 1), "range= is for images"),
        (spread(0, 1e200, "float64"), None, "up to 1e"),
        (spread(0, 2.0**40, "int64"), None, "must fit 32 bits"),
    ],
)
def test_ranges_that_do_not_fit(images: Any, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(images, range=given)


# --- the kind of an array


@pytest.mark.parametrize(
    ("array", "kind", "space", "note"),
    [
        (RNG.normal(size=(50, 24, 10)), ArraySchema, (240,), "check: rows of shape .* are read as"),
        (RNG.random((50, 24, 10)), ImageSchema, (1, 24, 10), "check: .* kind='array'"),
        (
            RNG.random((50, 12, 12)),
            ImageSchema,
            (1, 12, 12),
            "rows of .* grey images; kind='array'",
        ),
        (RNG.normal(size=(50, 9, 9)), ImageSchema, (1, 9, 9), "check: .* kind='array'"),
        (RNG.random((50, 24, 7)), ArraySchema, (168,), "check: "),
        (RNG.integers(0, 256, (50, 24, 10), np.uint8), ImageSchema, (1, 24, 10), None),
        (RNG.integers(-500, 9, (50, 24, 10)), ArraySchema, (240,), "check: .* kind='images'"),
        (RNG.normal(size=(50, 8, 9, 3)), ImageSchema, (3, 8, 9), "check: pixels are float64"),
        (RNG.random((50, 8, 9, 2)), ImageSchema, (2, 8, 9), "check: .* images of 2 bands"),
        (RNG.random((50, 12, 16, 17)), ImageSchema, (12, 16, 17), "check: .* images of 12 bands"),
        (RNG.random((50, 16, 17, 12)), ImageSchema, (12, 16, 17), "check: .* images of 12 bands"),
        (RNG.random((50, 6, 6, 6)), ArraySchema, (216,), "check: .* come back in that shape"),
        (RNG.random((50, 2, 2, 2, 2)), ArraySchema, (16,), "check: .* come back in that shape"),
    ],
)
def test_the_kind_is_told_by_shape_and_values(
    array: Any, kind: type, space: tuple[int, ...], note: str | None
) -> None:
    data = read(array)
    assert type(data.schema) is kind
    assert data.schema.space.shape == space
    if note is None:
        assert data.notes == ()
    else:
        assert any(re.match(note, line) for line in data.notes), data.notes
    back = data.schema.decode(data.rows)
    assert back.shape == array.shape
    np.testing.assert_allclose(back, array, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 24, 10), (40, 9, 8, 3), (40, 2, 3, 4, 5)])
def test_each_value_of_an_array_has_a_scale_of_its_own(shape: tuple[int, ...]) -> None:
    scales = 10.0 ** RNG.integers(-6, 7, shape[1:])
    array = RNG.normal(size=shape) * scales
    data = read(array, kind="array")
    assert data.notes == ()
    train = data.subset("train")[0].double()
    np.testing.assert_allclose(train.std(0, correction=0), 1, atol=1e-4)
    again = schema_from_json(data.schema.to_json()).decode(data.rows)
    np.testing.assert_allclose(again / scales, array / scales, atol=1e-5)


def test_each_band_has_a_range_of_its_own_and_colours_share_one() -> None:
    scales = np.array([1.0, 3000.0, 0.01, 50.0, 7.0])
    unit = np.stack([UNIT[..., 0], *RNG.permuted(np.stack([UNIT[..., 0]] * 4), axis=1)], -1)
    unit[0, 0, 0], unit[1, 0, 0] = 0, 1
    bands = unit * scales
    data = read(bands.astype(np.float32))
    x = data.schema.expand(data.rows)
    np.testing.assert_allclose(x.amax((0, 2, 3)), 1, atol=1e-6)
    np.testing.assert_allclose(x.amin((0, 2, 3)), -1, atol=1e-6)
    assert any("3000" in note and "5 bands" in note for note in data.notes)
    back = data.schema.decode(data.schema.quantise(x))
    np.testing.assert_allclose(back / scales, bands / scales, atol=1e-6)
    colours = read(UNIT * [1.0, 0.5, 0.25])
    x = colours.schema.expand(colours.rows)
    np.testing.assert_allclose(x.amax((0, 2, 3)), [1, 0, -0.5], atol=0.01)


@pytest.mark.parametrize(
    ("array", "given", "message"),
    [
        (RNG.random((20, 30)), {"kind": "images"}, "images must have shape"),
        (RNG.random((20, 8, 8)), {"kind": "pictures"}, "kind must be array or images"),
        (RNG.random((20, 16, 16, 16)), {"kind": "images"}, "channels fewer"),
        (RNG.random((20, 8, 8)), {"resize": "8x8"}, "apply to a folder"),
        (RNG.random((20, 8, 8)), {"resize": "8by8"}, "such as 32x32"),
        (RNG.random((20, 8, 8)), {"crop": True}, "apply to a folder"),
    ],
)
def test_kinds_that_do_not_fit(array: Any, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(array, **given)


def test_kind_and_range_are_not_for_tables() -> None:
    frame = pl.DataFrame({"v": range(20)})
    with pytest.raises(DataError, match="these data are a table"):
        read(frame, kind="array")
    with pytest.raises(DataError, match="these data are a table"):
        read(frame, range=(0, 1))


@pytest.mark.parametrize("channels", [2, 5, 7])
@pytest.mark.parametrize("model", ["vae", "r3gan"])
def test_images_of_bands_train_and_come_back_in_their_units(channels: int, model: str) -> None:
    scales = np.array([1, 4000, 200, 17, 3000, 90, 9])[:channels]
    images = np.rint(RNG.random((40, 9, 8, channels)) * scales).astype(np.int16)
    fitted = pf.fit(read(images), model, budget="2 steps", seed=0, batch_size=8, device="cpu")
    fake = fitted.sample(30, seed=1)
    assert fake.shape == (30, 9, 8, channels)
    assert fake.dtype == np.int16
    assert (fake >= 0).all()
    assert (fake <= fitted.schema.to_json()["high"]).all()
    assert (fake.mean((0, 1, 2)) > images.max((0, 1, 2)) / 5).all()
    series = RNG.normal(size=(40, 6, 5, 4))
    drawn = pf.fit(series, model, budget="2 steps", seed=0, batch_size=8, device="cpu").sample(7)
    assert drawn.shape == (7, 6, 5, 4)


# --- files


@pytest.mark.parametrize(
    ("images", "kept"),
    [
        (spread(0, 1, "uint8", 2)[..., :1], True),
        (spread(0, 255, "uint8"), True),
        (spread(0, 4095, "uint16")[..., :1], True),
        (spread(0, 65535, "int32")[..., :1], True),
        (spread(0, 1, "float32"), False),
        (spread(0, 4095, "uint16"), False),
        (spread(0, 1, "bool", 2)[..., :1], False),
        (spread(-1024, 3071, "int16")[..., :1], False),
    ],
)
def test_files_of_images_keep_integers_and_scale_the_rest(
    tmp_path: Path, images: Any, kept: bool
) -> None:
    back = read_raw(write(images, tmp_path / "files", schema=read(images).schema))
    if kept:
        np.testing.assert_array_equal(back, images)
    else:
        low, high = float(images.min()), float(images.max())
        assert back.dtype == np.uint8
        np.testing.assert_allclose(back, (images - low) * (255 / (high - low)), atol=0.51)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("float32", 0, 1), ("float32", -1, 1), ("int32", 0, 65535), ("int32", -9, 1_000_000)],
)
def test_tiffs_of_32_bits_come_back_as_such(
    tmp_path: Path, dtype: str, low: int, high: int
) -> None:
    images = spread(low, high, dtype)[..., :1]
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{i:02d}.tif")
    data = read(tmp_path)
    x = data.schema.expand(data.rows)
    assert x.min() < -0.9
    assert x.max() > 0.9
    schema = schema_from_json(data.schema.to_json())
    drawn = schema.decode(schema.quantise(x))
    np.testing.assert_allclose(drawn, images, atol=2e-7 if dtype == "float32" else 0)
    back = read_raw(write(drawn, tmp_path / "fake", schema=schema))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, drawn)
    encode({"real": images, "fake": back}, "real")


def test_bands_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1, 3 or 4 channels, and these have 5; .*\.npy"):
        write(RNG.random((10, 8, 8, 5)), tmp_path / "files")


# --- real and generated images


REAL = spread(0, 255, "uint8")
OTHER_UNITS: list[tuple[Any, Any, str]] = [
    (REAL, spread(0, 1, "float32"), r"\(fake \* 255\)\.round\(\)\.astype\('uint8'\)"),
    (REAL, spread(0, 255, "float32", 256), r"fake\.round\(\)\.astype\('uint8'\)"),
    (REAL, spread(-1, 1, "float64"), r"\(fake \* 127\.5 \+ 127\.5\)\.round"),
    (REAL, spread(0, 1, "uint8", 2), r"fake \* 255$"),
    (spread(0, 1, "uint8", 2), REAL, r"\(fake \* 0\.00392157\)\.round\(\)\.astype\('uint8'\)"),
    (spread(0, 1, "bool", 2), REAL, r"\(fake \* 0\.00392157\)\.round\(\)\.astype\('bool'\)"),
    (spread(0, 1, "float32"), spread(0, 255, "float32"), r"fake \* 0\.00392157$"),
    (spread(0, 255, "float32"), spread(0, 1, "float32"), r"fake \* 255$"),
    (spread(0, 1, "float32"), spread(-1, 1, "float32"), r"fake \* 0\.5 \+ 0\.5$"),
    (spread(-1, 1, "float32"), spread(0, 1, "float32"), r"fake \* 2 \+ -1$"),
    (spread(0, 4095, "uint16"), REAL, r"\(fake \* 16\.0588\)\.round\(\)\.astype\('uint16'\)"),
    (spread(0, 65535, "uint16"), spread(0, 255, "uint16"), r"fake \* 257$"),
]


@pytest.mark.parametrize(("real", "fake", "cure"), OTHER_UNITS)
def test_other_units_are_named_with_the_cure(real: Any, fake: Any, cure: str) -> None:
    message = rf"real has {real.dtype} from .*, fake has {fake.dtype} from .*e\.g\. {cure}"
    with pytest.raises(MeasureError, match=message) as raised:
        encode({"real": real, "fake": fake}, "real")
    cured = eval(str(raised.value).rsplit("e.g. ", 1)[1], {"fake": fake})
    encode({"real": real, "fake": cured.clip(real.min(), real.max())}, "real")


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (REAL, REAL // 8),  # dark
        (REAL, np.zeros_like(REAL)),
        (REAL, REAL.astype(np.int64)),
        (spread(0, 1, "float32"), spread(0, 1.0000001, "float64")),
        (spread(0, 1, "float32"), spread(-0.2, 1.3, "float32")),
        (spread(0, 1, "float32"), spread(0.4, 0.6, "float16")),
        (spread(-1, 1, "float32"), np.full_like(UNIT, 0.5)),
        (spread(0, 4095, "uint16"), spread(0, 200, "uint16")),
        (REAL, REAL.transpose(0, 3, 1, 2)),
        (REAL[..., :1], REAL[..., 0]),
    ],
)
def test_what_a_bad_generator_gives_is_measured(real: Any, fake: Any) -> None:
    encoded = encode({"real": real, "fake": fake}, "real")
    ours, theirs = (encoded.data.schema.expand(encoded.rows[name]) for name in ("real", "fake"))
    assert ours.shape == theirs.shape
    low, high = (np.asarray(encoded.data.schema.to_json()[name]) for name in ("low", "high"))
    placed = (theirs.numpy() + 1) / 2 * (high - low) + low
    axes = fake.astype(float)
    if fake.ndim == 3:
        axes = axes[:, None]
    elif fake.shape[1] > 4:
        axes = axes.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(placed, axes, atol=1e-6 * float((high - low)[0]))


def test_images_of_other_sizes_are_named() -> None:
    with pytest.raises(MeasureError, match="real: 8x9, 3 channels; fake: 8x9, 1 channels"):
        encode({"real": REAL, "fake": REAL[..., :1]}, "real")


def test_a_data_set_says_what_kind_it_is() -> None:
    real, fake = RNG.random((2, 40, 24, 10))
    encoded = encode({"real": read(real, kind="array"), "fake": fake}, "real")
    assert encoded.data.schema.kind == "array"
    images = encode({"real": read(real, range=(0, 2)), "fake": fake}, "real")
    assert images.data.schema.to_json()["high"] == [2]


@pytest.mark.parametrize("levels", [2, 3, 17, 64])
@pytest.mark.parametrize(
    ("dtype", "black", "white"),
    [("uint8", 0, 255), ("uint16", 0, 4095), ("float32", 0, 1), ("float64", -1, 1)],
)
def test_generated_pixels_lie_on_the_levels_of_the_real_ones(
    levels: int, dtype: str, black: float, white: float
) -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(0, levels, (40, 8, 9)) / (levels - 1)
    pixels = black + steps * (white - black)
    real = (pixels.round() if dtype.startswith("u") else pixels).astype(dtype)
    data = pf.read(real)
    assert isinstance(data.schema, ImageSchema)
    assert data.schema.space.levels == levels
    schema = schema_from_json(json.loads(json.dumps(data.schema.to_json())))
    anywhere = torch.rand(50, 1, 8, 9, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    generated = schema.decode(schema.quantise(anywhere))
    assert generated.dtype == real.dtype
    values, found = np.unique(real), np.unique(generated)
    near = np.abs(values[:, None] - found).min(0)
    assert near.max() <= 1e-6 * (white - black)  # float32 in between
    # each goes to the level nearest to it
    expected = black + (anywhere.clamp(-1, 1).double().numpy()[:, 0] + 1) / 2 * (white - black)
    half = (white - black) / (levels - 1) / 2 + (0.5 if dtype.startswith("u") else 0)
    assert np.abs(generated.astype(np.float64) - expected).max() <= half * (1 + 1e-6)


def test_a_few_values_that_lie_on_no_even_levels_are_left_alone() -> None:
    real = np.random.default_rng(0).choice([0, 100, 255], (40, 8, 8)).astype(np.uint8)
    schema = pf.read(real).schema
    assert isinstance(schema, ImageSchema)
    assert schema.space.levels is None
