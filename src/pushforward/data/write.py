"""Raw data to files: CSV, Parquet, NPZ, NPY or a folder of images, by the ending of the path."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from PIL import Image
from polars import selectors
from polars.io.plugins import register_io_source
from torch import Tensor

from pushforward.data.images import COLOURS, ImageSchema
from pushforward.data.numeric import Array, to_numpy
from pushforward.data.schema import Schema
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError, nearest
from pushforward.files import refuse_occupied, whole, write_whole


def write(raw: Any, path: str | Path, labels: Any = None, schema: Schema | None = None) -> Path:
    """Write raw data to a file or folder, whole or not at all, and return the path.

    Args:
        raw: a data frame, an array or a tensor.
        path: ends in .csv, .tsv, .parquet, .npz, .npy; without an ending it is a folder of images:
            PNGs, or TIFFs of grey floats that came from such a folder. It must be new or empty.
        labels: one label per row: `y` of an NPZ file, the sub-folders of a folder of images.
        schema: for a CSV file, the format of the user's numbers and dates; for a folder of images,
            the values of black and white, to which floats are scaled.

    Raises:
        DataError: the ending is unknown or does not fit the data.
        RunError: the file cannot be written, or the folder holds other files.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending == "":
        _image_files(raw, path, labels, schema)
    elif ending in WRITERS:
        write_whole(path, WRITERS[ending](raw, labels, schema))
    else:
        hint = nearest(ending, WRITERS)
        raise DataError(f"{path}: unknown ending; {hint}, or none for a folder of images")
    return path


def streams(path: str | Path) -> bool:
    """Whether a file with this ending can be written chunk by chunk."""
    return Path(path).suffix.lower() in STREAM_WRITERS


def write_stream(chunks: Iterable[Any], path: str | Path, schema: Schema | None = None) -> Path:
    """Write raw data that come in chunks to one file, whole or not at all, and return the path.

    Args:
        chunks: data frames or matrices, at least one, with equal columns and types.
        path: ends in .csv, .tsv or .parquet.
        schema: for a CSV file, the format of the user's numbers and dates.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(path)
    with whole(path) as file:
        STREAM_WRITERS[path.suffix.lower()]((_frame(chunk) for chunk in chunks), file, schema)
    return path


def _frame(raw: Any) -> pl.DataFrame:
    """Return a table, or a matrix with columns x0, x1, ..."""
    if isinstance(raw, pl.DataFrame) and pl.Object not in raw.dtypes:
        return raw
    if not isinstance(raw, np.ndarray | Tensor):
        return to_polars(raw)[0]
    array = to_numpy(raw)
    if array.ndim > 2:
        msg = f"a table must have at most two dimensions, got shape {array.shape}"
        raise DataError(f"{msg}; write .npz or .npy, or a folder of images")
    columns = array.reshape(len(array), -1)
    return pl.DataFrame({f"x{i}": columns[:, i] for i in range(columns.shape[1])})


def _array(raw: Any) -> Array:
    """Return an array; DataError for a data frame."""
    if not isinstance(raw, np.ndarray | Tensor):
        raise DataError("a table must be written as .csv, .tsv or .parquet")
    return to_numpy(raw)


def _csv_stream(
    frames: Iterable[pl.DataFrame], file: BinaryIO, schema: Schema | None, separator: str = ""
) -> None:
    """Write rows with the separator of the user's file, unless another one is given."""
    own = schema.separator if isinstance(schema, TableSchema) else None
    separator = separator or own or ","
    for k, given in enumerate(frames):
        frame, _, _ = to_polars(given)
        formatted = schema.format_text(frame) if isinstance(schema, TableSchema) else frame
        spans = formatted.select(selectors.duration()).columns  # Polars writes none
        formatted = (
            formatted.with_columns(pl.col(spans).dt.to_string("iso")) if spans else formatted
        )
        text = formatted.write_csv(separator=separator, include_header=k == 0)
        file.write(text.encode())


def _tsv_stream(frames: Iterable[pl.DataFrame], file: BinaryIO, schema: Schema | None) -> None:
    _csv_stream(frames, file, schema, "\t")


def _parquet_stream(frames: Iterable[pl.DataFrame], file: BinaryIO, _schema: Schema | None) -> None:
    """Let Polars' streaming engine pull the frames; it keeps a few of them in memory."""
    source = iter(frames)
    first = next(source)

    def pull(*_pushed_down: Any) -> Iterator[pl.DataFrame]:
        yield first
        yield from source

    try:
        register_io_source(pull, schema=first.schema).sink_parquet(file)
    except pl.exceptions.ComputeError as error:
        if "os error" not in str(error):
            raise
        raise OSError(errno.EIO, str(error)) from error  # what Polars raises for a full disk


def _whole_table_writer(ending: str) -> Writer:
    """Return the writer of a table: its stream of a single chunk, in memory."""

    def write_bytes(raw: Any, _labels: Any, schema: Schema | None) -> bytes:
        buffer = io.BytesIO()
        STREAM_WRITERS[ending]([_frame(raw)], buffer, schema)
        return buffer.getvalue()

    return write_bytes


def _npz(raw: Any, labels: Any, _schema: Schema | None) -> bytes:
    buffer = io.BytesIO()
    label_arrays = {} if labels is None else {"y": _label_array(labels)}
    np.savez_compressed(buffer, allow_pickle=False, x=_array(raw), **label_arrays)
    return buffer.getvalue()


def _npy(raw: Any, _labels: Any, _schema: Schema | None) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, _array(raw), allow_pickle=False)
    return buffer.getvalue()


Writer = Callable[[Any, Any, Schema | None], bytes]
StreamWriter = Callable[[Iterable[pl.DataFrame], BinaryIO, Schema | None], None]
STREAM_WRITERS: dict[str, StreamWriter] = {
    ".csv": _csv_stream,
    ".tsv": _tsv_stream,
    ".parquet": _parquet_stream,
}
WRITERS: dict[str, Writer] = {
    **{ending: _whole_table_writer(ending) for ending in STREAM_WRITERS},
    ".npz": _npz,
    ".npy": _npy,
}


def _label_array(labels: Any) -> Array:
    """Return labels as an array of numbers or text."""
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    return array.astype(np.str_) if array.dtype == object else array


def _image_files(raw: Any, folder: Path, labels: Any, schema: Schema | None) -> None:
    """Write each image as a file, in a sub-folder for each class if there are labels."""
    array = _array(raw)
    refuse_occupied(folder)
    known = schema if isinstance(schema, ImageSchema) else ImageSchema.fit(array)[0]
    pixels, ending = _file_pixels(known, known.encode(array))
    names = [""] * len(pixels) if labels is None else [str(label) for label in _label_array(labels)]
    digits = len(str(max(len(pixels) - 1, 0)))
    for i, (image, name) in enumerate(zip(pixels, names, strict=True)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format=ending.removeprefix("."))
        write_whole(folder / name / f"{i:0{digits}d}{ending}", buffer.getvalue())


def _file_pixels(schema: ImageSchema, rows: Tensor) -> tuple[Array, str]:
    """Return the pixels of files, and the files' ending.

    Grey floats and 32-bit integers that came from a folder are TIFFs again. Integers of 8 bits, or
    of 16 in grey, keep their values; all others are scaled from black and white to 0 and 255.
    """
    channels = schema.space.channels
    if channels not in COLOURS:
        msg = f"files of images have 1, 3 or 4 channels, and these have {channels}"
        raise DataError(f"{msg}; write them as .npz or .npy")
    grey, low, high = channels == 1, min(schema.low), max(schema.high)
    ending = ".tiff" if schema.from_folder and schema.dtype in {"float32", "int32"} else ".png"
    kept: str | None = None
    if ending == ".tiff":
        kept = schema.dtype
    elif schema.integers and schema.dtype != "bool" and low >= 0 and high < 2**16:
        kept = "uint8" if high < 2**8 else "uint16" if grey else None
    pixels = rows if schema.integers else schema.pixels(rows)
    if kept is None:
        pixels = ((schema.expand(rows) + 1) * 127.5).round()
    array = pixels.permute(0, 2, 3, 1).numpy().astype(kept or "uint8")
    return (array[..., 0] if grey else array), ending
