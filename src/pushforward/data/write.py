"""Samples to files, by the file's ending."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from PIL import Image as Picture
from torch import Tensor

from pushforward.errors import DataError

TABLES, ARRAYS = (".csv", ".parquet"), (".npz", ".npy")


def write(raw: Any, path: str | Path, labels: Sequence[object] | None = None) -> Path:
    """Write raw samples: .csv or .parquet for tables, .npz, .npy, or a folder of PNGs for images.

    `labels` (one a row) become `y` in an NPZ file and class folders for PNGs. DataError when the
    ending does not fit the data, or the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(raw, target, labels)
    except (OSError, pl.exceptions.ComputeError) as error:
        msg = f"cannot write {target}: {getattr(error, 'strerror', None) or error}"
        raise DataError(msg) from error
    return target


def _write(raw: Any, target: Path, labels: Sequence[object] | None) -> None:
    ending = target.suffix.lower()
    array = raw.numpy() if isinstance(raw, Tensor) else raw
    if not isinstance(array, np.ndarray):
        _write_table(array, target, ending)
    elif ending == ".npz":
        extra = {} if labels is None else {"y": np.asarray(labels)}
        np.savez_compressed(target, x=array, **extra)
    elif ending == ".npy":
        np.save(target, array, allow_pickle=False)
    elif ending == ".csv" and array.ndim == 2:
        names = [f"x{j}" for j in range(array.shape[1])]
        pl.DataFrame(array, schema=names).write_csv(target)
    elif not ending and array.ndim > 2:
        _write_folder(array, target, labels)
    else:
        wanted = (
            "a folder (a name without ending), .npz or .npy"
            if array.ndim > 2
            else ".npz, .npy or .csv"
        )
        msg = f"{target}: these samples are written to {wanted}, got the ending {ending!r}"
        raise DataError(msg)


def _write_table(table: Any, target: Path, ending: str) -> None:
    frame = nw.from_native(table, eager_only=True)
    columns = {name: frame[name].to_list() for name in frame.columns}
    polars = table if isinstance(table, pl.DataFrame) else pl.DataFrame(columns)
    if ending == ".csv":
        polars.write_csv(target)
    elif ending == ".parquet":
        polars.write_parquet(target)
    else:
        msg = f"{target}: a table is written to {' or '.join(TABLES)}, got the ending {ending!r}"
        raise DataError(msg)


def _write_folder(
    images: np.ndarray[Any, Any], folder: Path, labels: Sequence[object] | None
) -> None:
    """Write PNGs named by number, in class folders where there are labels."""
    digits = len(str(len(images) - 1))
    for i, image in enumerate(images):
        home = folder if labels is None else folder / str(labels[i])
        home.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(_bytes(image)).save(home / f"{i:0{digits}d}.png")


def _bytes(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return one image as (h, w) or (h, w, channels) bytes."""
    if image.dtype != np.uint8:
        low = -1.0 if image.min() < 0 else 0.0
        image = np.rint((image - low) * (255 / (1 - low))).clip(0, 255).astype(np.uint8)
    if image.ndim == 3 and image.shape[-1] not in {1, 3, 4}:
        image = np.moveaxis(image, 0, -1)
    return image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
