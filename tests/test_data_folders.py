"""Folders of images: every file is read, or counted; sub-folders are splits, classes or masks."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from pushforward.cli.main import run_command
from pushforward.data import Dataset, read
from pushforward.data.split import grouped_split
from pushforward.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 8, 9), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 8, 9, 3), dtype=np.uint8)


def save(path: Path, pixels: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def fill(folder: Path, n: int, pixels: Any = GREY, ending: str = ".png") -> None:
    for i in range(n):
        save(folder / f"{i:03d}{ending}", pixels[i % len(pixels)])


def raw(data: Dataset) -> Any:
    return data.schema.decode(data.rows)


# --- which files


ENDINGS = ".png .jpg .jpeg .jfif .jpe .bmp .webp .gif .tif .tiff .avif .jp2 .tga .ppm .apng .PNG"
LOSSLESS = ".png .bmp .tif .tiff .tga .ppm .apng .PNG"


@pytest.mark.parametrize("ending", ENDINGS.split())
def test_every_usual_ending_is_read(tmp_path: Path, ending: str) -> None:
    fill(tmp_path, 12, RGB, ending)
    data = read(tmp_path)
    assert data.rows.shape == (12, 3, 8, 9)
    palette = ("12 of 12 images have a palette and are read as RGB",)
    assert data.notes == (palette if ending == ".gif" else ())
    if ending in LOSSLESS.split():
        np.testing.assert_array_equal(raw(data), RGB[:12])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from([".txt", ".json", ".heic", ".npy", ".dcm", "", ".svg"]),
        st.integers(1, 4),
        max_size=4,
    ),
    st.integers(0, 2),
)
def test_no_file_is_left_out_without_its_count(
    tmp_path_factory: Any, others: dict[str, int], hidden: int
) -> None:
    folder = tmp_path_factory.mktemp("images")
    fill(folder / "deep" / "er", 11)
    for ending, n in others.items():
        for i in range(n):
            (folder / "deep" / f"other{i}{ending}").write_bytes(b"no image")
    for i in range(hidden):
        save(folder / ".cache" / f"{i}.png", GREY[0])
    notes = read(folder).notes
    for ending, n in others.items():
        assert f"{n} {ending or 'without ending'}" in notes[0]
    if hidden:
        assert f"{hidden} hidden images" in notes[0]
    assert len(notes) == bool(others or hidden)
    assert notes == () or notes[0].startswith("check: ") is bool(
        {".heic", ".npy", ".dcm", ".svg"} & others.keys()
    )


# --- frames


def animated(path: Path, frames: Any, **options: Any) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(
    ("ending", "options"),
    [(".tif", {}), (".png", {}), (".webp", {"lossless": True}), (".gif", {"optimize": False})],
)
def test_every_frame_is_an_image(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    animated(tmp_path / f"a{ending}", GREY[:7], **options)
    fill(tmp_path / "more", 5, GREY[7:])
    data = read(tmp_path)
    assert len(data) == 12
    np.testing.assert_array_equal(raw(data)[..., 0], GREY[:12])
    assert any("1 files hold 7 pages or frames" in note for note in data.notes)
    assert all(note.startswith("check: ") for note in data.notes if "pages" in note)


def test_one_file_of_many_pages_and_previews(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in GREY[:12]]
    previews = [Image.fromarray(GREY[0, :4, :4])] * 3
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=[*pages[1:], *previews])
    data = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(raw(data)[..., 0], GREY[:12])
    assert "3 pages of another size (previews) are left out" in data.notes[0]


def test_frames_keep_the_class_of_their_file(tmp_path: Path) -> None:
    for name, n in (("cat", 5), ("dog", 8)):
        (tmp_path / name).mkdir()
        animated(tmp_path / name / "a.tif", GREY[:n])
    data = read(tmp_path, condition="folder")
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 5 + [1] * 8


@pytest.mark.parametrize("lacking", [(), ("val",), ("val", "test")])
def test_frames_of_one_file_fall_into_one_split(tmp_path: Path, lacking: tuple[str, ...]) -> None:
    """In folders of splits, those that lack are taken from others by whole files, too."""
    folders = [f for f in ("train", "val", "test") if f not in lacking] if lacking else [""]
    total = 0
    for k in range(30):
        folder = tmp_path / folders[k % len(folders)]
        folder.mkdir(exist_ok=True)
        pixels = np.full((1 + k % 4, 8, 8), k, np.uint8) + np.eye(8, dtype=np.uint8) * 100
        animated(folder / f"{k}.tif", pixels)
        total += 1 + k % 4
    data = read(tmp_path)
    files = {name: set(np.asarray(data.raw(name))[:, 0, 1, 0].tolist()) for name in data.splits}
    assert sum(map(len, data.splits.values())) == total
    assert sum(map(len, files.values())) == len(set.union(*files.values())) == 30
    if not lacking:
        sizes = {name: len(rows) for name, rows in data.splits.items()}
        assert abs(sizes["test"] - total / 10) < 4
        assert abs(sizes["validation"] - total / 10) < 4


@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=40),
    st.integers(0, 3),
    st.sampled_from([(0.8, 0.1, 0.1), (0.4, 0.3, 0.3)]),
)
def test_groups_are_split_whole(sizes: list[int], seed: int, shares: Any) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    assume(len(groups) >= 10)
    splits, note = grouped_split(len(groups), shares, seed, groups)
    found = {name: set(groups[rows.numpy()].tolist()) for name, rows in splits.items()}
    assert sorted(row for rows in splits.values() for row in rows.tolist()) == [*range(len(groups))]
    assert min(map(len, splits.values())) >= 2
    whole = sum(map(len, found.values())) == len(sizes)
    assert whole == (note == "")
    others = sorted(sizes)[:-1]
    singles = others.count(1)
    assert whole == (len(others) - singles + singles // 2 >= 2)  # two parts of two rows or more
    wanted = {name: round(share * len(groups)) for name, share in zip(found, shares, strict=True)}
    if max(sizes) <= min(wanted["validation"], wanted["test"]):
        for name in ("validation", "test"):
            assert abs(len(splits[name]) - wanted[name]) < max(sizes)


def test_one_file_of_many_frames_is_said_to_be_on_both_sides(tmp_path: Path) -> None:
    animated(tmp_path / "a.tif", GREY[:30])
    notes = [note for note in read(tmp_path).notes if "too few to keep" in note]
    assert [note[:7] for note in notes] == ["check: "]


# --- types and modes


@pytest.mark.parametrize("top", [1023, 4095, 65535])
def test_more_than_8_bits_are_kept(tmp_path: Path, top: int) -> None:
    images = RNG.integers(0, top + 1, (12, 8, 9)).astype(np.uint16)
    images.flat[:2] = 0, top
    fill(tmp_path, 12, images, ".tif" if top == 4095 else ".png")
    data = read(tmp_path)
    assert raw(data).dtype == np.uint16
    np.testing.assert_array_equal(raw(data)[..., 0], images)
    assert data.schema.to_json()["high"] == [top]


@pytest.mark.parametrize(("top", "bits"), [(4095, 12), (65535, 16)])
def test_16_bits_among_8_are_reduced(tmp_path: Path, top: int, bits: int) -> None:
    fill(tmp_path, 12)
    save(tmp_path / "050.png", (GREY[0].astype(np.uint16) << (bits - 8)) + (top == 65535) * 17)
    save(tmp_path / "051.png", np.full((8, 9), top, np.uint16))
    data = read(tmp_path)
    np.testing.assert_array_equal(raw(data)[12, ..., 0], GREY[0])
    assert data.notes == (
        f"check: 2 of 14 images have {bits} bits, the others 8: they are reduced to 8",
    )


def test_floats_among_bytes_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    save(tmp_path / "050.tif", np.zeros((8, 9), np.float32))
    with pytest.raises(DataError, match=r"12 of uint8 \(.*000\.png\), 1 of float32 \(.*050\.tif\)"):
        read(tmp_path)


def test_colours_of_16_bits_are_noted(tmp_path: Path) -> None:
    fill(tmp_path, 12, RGB)
    for i in range(2):
        write_wide_png(tmp_path / f"9{i}.png", RGB[0])
    data = read(tmp_path)
    np.testing.assert_array_equal(raw(data)[13], RGB[0])
    assert "2 of 14 images have colours of 16 bits, of which 8 are read" in data.notes[0]


def write_wide_png(path: Path, pixels: Any) -> None:
    """Write RGB with 16 bits, which Pillow reads and cannot write."""
    height, width, _ = pixels.shape
    rows = (pixels.astype(np.uint16) << 8).astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def rgba(alpha: Any) -> Any:
    return np.concatenate([RGB[0], np.broadcast_to(alpha, (8, 9))[..., None].astype(np.uint8)], -1)


def test_one_transparent_image_does_not_change_the_others(tmp_path: Path) -> None:
    fill(tmp_path, 12, RGB)
    save(tmp_path / "090.png", rgba(np.where(np.arange(9) < 4, 0, 255)))
    save(tmp_path / "091.png", rgba(255))
    data = read(tmp_path)
    assert raw(data).shape == (14, 8, 9, 3)
    assert (raw(data)[12, :, :4] == 255).all()
    np.testing.assert_array_equal(raw(data)[12, :, 4:], RGB[0, :, 4:])
    np.testing.assert_array_equal(raw(data)[13], RGB[0])
    assert data.notes == (
        "check: 2 of 14 images have an alpha channel, 1 of them with transparency, which is laid "
        "on white",
    )


@pytest.mark.parametrize(("others", "note"), [(0, ()), (2, ("8 of 10 images have an alpha ",))])
def test_transparent_images_keep_their_alpha(tmp_path: Path, others: int, note: Any) -> None:
    for i in range(10 - others):
        save(tmp_path / f"{i}.png", rgba(100))
    fill(tmp_path / "z", others, RGB)
    data = read(tmp_path)
    assert raw(data).shape == (10, 8, 9, 4)
    np.testing.assert_array_equal(raw(data)[0], rgba(100))
    if others:
        np.testing.assert_array_equal(raw(data)[-2], rgba(255))
    alpha = tuple(text for text in data.notes if "alpha" in text)
    assert len(alpha) == len(note)
    assert all(text.startswith(start) for text, start in zip(alpha, note, strict=True))


def test_opaque_alpha_and_grey_in_colours_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    save(tmp_path / "090.png", np.repeat(GREY[1][..., None], 3, 2))
    save(tmp_path / "091.png", np.dstack([*[GREY[2]] * 3, np.full((8, 9), 255, np.uint8)]))
    data = read(tmp_path)
    np.testing.assert_array_equal(raw(data)[12:, ..., 0], GREY[1:3])
    assert data.notes == (
        "1 of 14 images have an alpha channel that is opaque: it is left out",
        "the images are 12 grey and 2 RGB, which show grey alone: all are read as grey",
    )
    save(tmp_path / "092.png", RGB[0])
    mixed = read(tmp_path)
    np.testing.assert_array_equal(raw(mixed)[0], np.repeat(GREY[0][..., None], 3, 2))
    assert mixed.notes[0] == "check: the images are 12 grey and 3 RGB: all are read as RGB"


@pytest.mark.parametrize(
    ("mode", "channels", "note"),
    [
        ("1", 1, None),
        ("CMYK", 3, "12 of 12 images have CMYK and are read as RGB"),
        ("P", 3, "12 of 12 images have a palette and are read as RGB"),
        ("LA", 4, "12 of 12 images have grey and alpha and are read as RGBA"),
        ("YCbCr", 3, "12 of 12 images have YCbCr and are read as RGB"),
    ],
)
def test_other_modes_are_named(tmp_path: Path, mode: str, channels: int, note: Any) -> None:
    for i, image in enumerate(GREY[:12]):
        Image.fromarray(image).convert(mode).save(tmp_path / f"{i}.tif")
    data = read(tmp_path)
    assert raw(data).shape[3] == channels
    assert data.notes == (() if note is None else (note,))
    if mode == "P":
        np.testing.assert_array_equal(np.sort(raw(data), 0)[..., 0], np.sort(GREY[:12], 0))


def test_a_file_with_nan_is_named(tmp_path: Path) -> None:
    fill(tmp_path, 12, GREY.astype(np.float32), ".tif")
    broken = GREY[0].astype(np.float32)
    broken[2, :3] = np.nan
    save(tmp_path / "005.tif", broken)
    with pytest.raises(DataError, match=r"005\.tif .*3 of its pixels are NaN or infinite"):
        read(tmp_path)


# --- sub-folders


def splits(data: Dataset) -> dict[str, set[int]]:
    return {name: set(rows.tolist()) for name, rows in data.splits.items()}


@pytest.mark.parametrize("spelled", [("train", "val", "test"), ("Training", "validation", "TEST")])
@pytest.mark.parametrize("inside", ["{split}/{name}", "{name}/{split}", "all/{split}/{name}"])
def test_folders_of_splits(tmp_path: Path, spelled: tuple[str, ...], inside: str) -> None:
    for split, n in zip(spelled, (6, 3, 2), strict=True):
        for name in ("cat", "dog"):
            fill(tmp_path / inside.format(split=split, name=name), n)
    data = read(tmp_path, condition="folder")
    assert data.sizes == {"train": 12, "validation": 6, "test": 4}
    assert data.schema.condition is not None
    assert data.schema.condition.classes == ("cat", "dog")
    assert data.notes == ("the folders are the splits: train 12, validation 6, test 4",)
    whole = splits(data)
    assert set.union(*whole.values()) == set(range(22))
    again = read(tmp_path, condition="folder", seed=5)
    assert splits(again) == whole
    drawn = read(tmp_path, split=(0.5, 0.25, 0.25))
    assert splits(drawn) != whole
    assert "split anew" in drawn.notes[-1]


@pytest.mark.parametrize(
    ("folders", "sizes", "note"),
    [
        ({"train": 18, "test": 5}, (16, 2, 5), r"validation \(2\) is taken from train at random"),
        ({"train": 18, "val": 6}, (18, 3, 3), r"test \(3\) is taken from validation at random"),
        ({"train": 20}, (16, 2, 2), "split at random"),
        ({"val": 10, "test": 10}, (16, 2, 2), "split at random"),
    ],
)
def test_splits_that_are_missing(
    tmp_path: Path, folders: dict[str, int], sizes: tuple[int, ...], note: str
) -> None:
    for name, n in folders.items():
        fill(tmp_path / name, n)
    data = read(tmp_path)
    assert tuple(data.sizes.values()) == sizes
    assert sum(map(len, splits(data).values())) == len(data)
    assert data.labels is None
    assert re.search(note, data.notes[-1])
    with pytest.raises(DataError, match="these data have none"):
        read(tmp_path, condition="folder")


def test_splits_without_rows(tmp_path: Path) -> None:
    fill(tmp_path / "train", 12)
    fill(tmp_path / "val", 1)
    with pytest.raises(DataError, match=r"none is left for validation; move some there"):
        read(tmp_path)


def test_splits_beside_other_folders_are_classes(tmp_path: Path) -> None:
    for name in ("train", "bus", "car"):
        fill(tmp_path / name, 5)
    data = read(tmp_path, condition="folder")
    assert data.schema.condition is not None
    assert data.schema.condition.classes == ("bus", "car", "train")
    assert data.notes[0].startswith("check: the folders train are read as classes like bus")
    fill(tmp_path, 2)
    outside = read(tmp_path)
    assert outside.notes[0].startswith("check: 2 of 17 images lie outside of the sub-folders")


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [("images", "masks"), ("train/Images", "train/labels"), ("JPEGImages", "SegmentationClass")],
)
def test_masks_beside_images_are_left_out(tmp_path: Path, pictures: str, masks: str) -> None:
    fill(tmp_path / pictures, 12, RGB)
    fill(tmp_path / masks, 12, (GREY > 128).astype(np.uint8))
    data = read(tmp_path)
    np.testing.assert_array_equal(raw(data), RGB[:12])
    assert f"left out 12 in {Path(masks).name}/ that look like masks" in data.notes[0]
    assert data.notes[0].startswith("check: ")
    assert read(tmp_path / masks).schema.to_json()["high"] == [1]


def test_masks_named_after_images(tmp_path: Path) -> None:
    fill(tmp_path, 12, RGB)
    for i in range(7):
        save(tmp_path / f"{i:03d}_mask.png", GREY[i])
    save(tmp_path / "the_mask.png", RGB[13])  # of no image
    data = read(tmp_path)
    assert len(data) == 13
    assert "left out 7 that look like masks" in data.notes[0]


# --- sizes


def gradient(height: int, width: int) -> Any:
    """Return red that grows to the right and green that grows downwards, 0 to 255."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.rint(255 * np.stack([x, y, 0 * x], -1)).astype(np.uint8)


SIZES = [(40, 60), (64, 64), (90, 50), (200, 220), (16, 16)]


def of_many_sizes(folder: Path, make: Callable[[int, int], Any], ending: str = ".png") -> None:
    for i in range(15):
        save(folder / f"{i:02d}{ending}", make(*SIZES[i % 5]))


def test_sizes_are_counted_in_the_error(tmp_path: Path) -> None:
    of_many_sizes(tmp_path, gradient)
    message = r"3 of 60x40 \(.*00\.png\), 3 of 64x64 .* and 2 sizes more; .*--resize 60x40"
    with pytest.raises(DataError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("given", ["16x16", 16, (16, 16)])
def test_images_are_resized(tmp_path: Path, given: Any) -> None:
    of_many_sizes(tmp_path, gradient)
    data = read(tmp_path, resize=given)
    expected = gradient(16, 16).astype(float)
    assert np.abs(raw(data) - expected).max() < 9  # the whole image is there, edges included
    assert data.notes == (
        "check: 12 of 15 images are resized to 16x16, and 9 of them distorted, since their "
        "proportions are others; crop=True (--crop) cuts instead",
    )


def test_images_are_cut_to_the_proportions(tmp_path: Path) -> None:
    of_many_sizes(tmp_path, gradient)
    data = read(tmp_path, resize=(20, 10), crop=True)
    red, green = np.moveaxis(raw(data).astype(float), -1, 0)[:2]
    assert raw(data).shape == (15, 10, 20, 3)
    for (height, width), r, g in zip(SIZES, red, green, strict=False):
        kept = min(1, height * 2 / width), min(1, width / 2 / height)
        for values, share in ((r[5], kept[0]), (g[:, 10], kept[1])):
            steps = len(values)
            assert values[-1] - values[0] == pytest.approx(255 * share * (1 - 1 / steps), abs=8)
            assert values.mean() == pytest.approx(127.5, abs=3)
    assert data.notes == (
        "15 of 15 images are resized to 20x10, and 15 of them cut to these proportions",
    )


def test_cropping_alone_keeps_pixels(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"{i:02d}.png", np.pad(GREY[i], [(i % 3, i % 3), (1, 1)]))
    data = read(tmp_path, crop=True)
    assert raw(data).shape == (12, 8, 11, 1)
    np.testing.assert_array_equal(raw(data)[:, :, 1:-1, 0], GREY[:12])
    assert data.notes == ("8 of 12 images are cut to 11x8",)


def test_the_command_line_reads_folders_likewise(tmp_path: Path, capfd: Any) -> None:
    of_many_sizes(tmp_path / "real", gradient)
    (tmp_path / "real" / "scan.heic").write_bytes(b"unknown")
    real, run, fake = (str(tmp_path / name) for name in ("real", "run", "fake"))
    size = ["--resize", "10x12", "--crop"]
    assert run_command(["fit", real, "--out", run, "--budget", "2", *size]) == 0
    assert "note: check: left out what is no image: 1 .heic" in capfd.readouterr().err
    assert run_command(["sample", run, "-n", "12", "-o", fake]) == 0
    assert raw(read(fake)).shape == (12, 12, 10, 3)
    assert run_command(["measure", real, fake, "--measures", "energy", *size]) == 0
    assert "real: check: left out what is no image: 1 .heic" in capfd.readouterr().err
    assert run_command(["measure", real, fake, "--measures", "energy"]) == 2
    assert "--resize" in capfd.readouterr().err
    assert run_command(["measure", fake, fake, "--range", "-1..300", "--kind", "array"]) == 2
    assert "range= is for images" in capfd.readouterr().err


def test_thin_stripes_become_grey_and_no_moire(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 60)[None].repeat(120, 0)
    for i in range(12):
        save(tmp_path / f"{i:02d}.png", np.dstack([stripes] * 3))
    assert np.abs(raw(read(tmp_path, resize=17)).astype(float) - 127.5).max() < 12


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
def test_resized_masks_are_masks(tmp_path: Path, values: tuple[int, int]) -> None:
    low, high = values

    def halves(height: int, width: int) -> Any:
        row = np.where(np.arange(width) < width / 2, low, high).astype(np.uint8)
        return np.tile(row, (height, 1))

    of_many_sizes(tmp_path, halves)
    images = raw(read(tmp_path, resize=16))[..., 0]
    assert set(np.unique(images)) == set(values)
    assert (images[:, :, :8] == low).all()
    assert (images[:, :, 8:] == high).all()


@pytest.mark.parametrize(("dtype", "top"), [(np.float32, 1), (np.uint16, 4095)])
def test_resizing_leaves_the_range_alone(tmp_path: Path, dtype: Any, top: int) -> None:
    of_many_sizes(
        tmp_path,
        lambda h, w: (RNG.integers(0, 3, (h, w)) * (top / 2)).astype(dtype),
        ".tif",
    )
    images = raw(read(tmp_path, resize=16))
    assert images.dtype == dtype
    assert images.min() >= 0
    assert images.max() <= top
    assert len(np.unique(images)) > 100
