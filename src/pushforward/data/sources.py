"""Raw data from files, folders, built-ins and objects."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pushforward.data import builtin
from pushforward.data.folders import read_folder
from pushforward.data.image_files import IMAGE_ENDINGS, Resizing, read_images
from pushforward.data.numeric import Array
from pushforward.data.raw_data import RawData
from pushforward.data.tables.csv_text import read_csv
from pushforward.data.tables.stream import ParquetSource
from pushforward.errors import DataError, nearest

NPY_MAGIC = b"\x93NUMPY"
CSV = (".csv", ".tsv", ".txt")  # also with .gz behind
MAX_ROWS_IN_MEMORY = 1_000_000  # a Parquet file with more rows is streamed


def load_source(
    source: Any,
    *,
    key: str | None = None,
    header: bool = True,
    resizing: Resizing | None = None,
    kinds: Mapping[str, str] | None = None,
) -> RawData:
    """Return the raw data of a path, the name of a built-in, or an object that holds them.

    `kinds` are those that are stated of the columns of a CSV file.

    The name of a built-in takes precedence over a path; write `./digits` for a folder of that name.
    """
    if resizing is not None and not _is_pictures(source):
        msg = "resize and crop apply to a folder of images (or one file of many pages)"
        raise DataError(f"{msg}, and these data are none; resize arrays before")
    if not isinstance(source, str | Path):
        return RawData(type(source).__name__, source)
    if str(source) in builtin.names() or str(source).startswith(builtin.OPENML):
        return builtin.load_builtin(str(source))
    path = Path(source).expanduser()
    if not path.exists():
        known = nearest(str(source), builtin.names())
        raise DataError(f"no such file or built-in: {str(source)!r}; {known}")
    return _load_path(path, key, resizing, header=header, kinds=kinds or {})


def _is_pictures(source: Any) -> bool:
    """Whether a source holds files of images."""
    if not isinstance(source, str | Path):
        return False
    return Path(source).is_dir() or Path(source).suffix.lower() in IMAGE_ENDINGS


def read_raw(source: Any, *, key: str | None = None) -> Any:
    """Return only the raw rows of a source: a data frame, images or an array."""
    data = load_source(source, key=key).data
    return data.scan.collect() if isinstance(data, ParquetSource) else data


def _load_path(
    path: Path,
    key: str | None,
    resizing: Resizing | None,
    *,
    header: bool,
    kinds: Mapping[str, str],
) -> RawData:
    """Return the raw data of a file or folder, by its ending."""
    if path.is_dir():
        return _folder(path, resizing)
    name = path.name.lower().removesuffix(".gz")
    ending = Path(name).suffix
    if ending in IMAGE_ENDINGS:
        found = read_images([path], resizing)
        return RawData(
            str(path), found.images, notes=found.notes, from_folder=True, groups=found.groups
        )
    known = [*CSV, *READERS]
    if ending not in known or (name != path.name.lower() and ending not in CSV):
        endings = ", ".join(known)
        msg = f"{path}: unknown ending {ending!r}; save it as {endings}, or give a folder of images"
        raise DataError(msg)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; it must hold at least ten rows")
    with _broken_files_as_data_errors(path):
        if not header and ending not in CSV:
            msg = f"header=False (--no-header) is for {' and '.join(CSV)} files: {path}"
            raise DataError(msg)
        if ending in CSV:
            return _csv(path, header, kinds)
        return READERS[ending](path, key)


def _folder(path: Path, resizing: Resizing | None) -> RawData:
    """Return the images of a folder, their classes and splits."""
    found = read_folder(path, resizing)
    labels = {} if found.classes is None else {"folder": found.classes}
    return RawData(
        str(path),
        found.images,
        labels=labels,
        notes=found.notes,
        from_folder=True,
        splits=found.splits,
        groups=found.groups,
    )


@contextmanager
def _broken_files_as_data_errors(path: Path) -> Iterator[None]:
    """Turn what readers raise for a broken file into a DataError that names it."""
    broken = (
        *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError),
        *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    )
    try:
        yield
    except broken as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in reason or "Object arrays" in reason:
            reason = "it holds Python objects; save plain numbers instead"
        raise DataError(f"{path} cannot be read: {reason}") from None


def _csv(path: Path, header: bool, kinds: Mapping[str, str]) -> RawData:
    table = read_csv(path, header=header, kinds=kinds)
    return RawData(str(path), table.frame, text_formats=table.text_formats, notes=table.notes)


def _json_lines(path: Path, _key: str | None) -> RawData:
    return RawData(str(path), pl.read_ndjson(path, infer_schema_length=None))


def _excel(path: Path, _key: str | None) -> RawData:
    """Return the first sheet of a workbook."""
    try:
        frame = pl.read_excel(path, engine="openpyxl")
    except ModuleNotFoundError:
        msg = f"{path}: Excel files need openpyxl: pip install 'pushforward[excel]', or save as CSV"
        raise DataError(msg) from None
    return RawData(str(path), frame)


def _parquet(path: Path, _key: str | None) -> RawData:
    """Return a file's rows, or the scan of a file with too many rows for memory."""
    source = ParquetSource(pl.scan_parquet(path))
    too_large = source.rows > MAX_ROWS_IN_MEMORY
    return RawData(str(path), source if too_large else pl.read_parquet(path))


def _npy(path: Path, _key: str | None) -> RawData:
    with path.open("rb") as file:
        # NumPy takes a file without this beginning for a pickle
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise DataError(f"{path} is not an NPY file, or its beginning is broken")
    return RawData(str(path), np.load(path, allow_pickle=False))


def _npz(path: Path, key: str | None) -> RawData:
    """Return one of the arrays of an NPZ file, and the labels that belong to it."""
    # Opened here: with a broken archive `np.load` would leave its own handle open.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    chosen, notes = _choose_array(path, arrays, key)
    return RawData(str(path), arrays[chosen], labels=_label_arrays(arrays, chosen), notes=notes)


READERS: dict[str, Callable[[Path, str | None], RawData]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".xlsx": _excel,
    ".parquet": _parquet,
    ".npz": _npz,
    ".npy": _npy,
}


def _choose_array(
    path: Path, arrays: Mapping[str, Array], key: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the name of the array to read, and a note when there are others."""
    if not arrays:
        raise DataError(f"{path} holds no arrays; save one, np.savez(file, x=...)")
    if key is not None:
        if key not in arrays:
            raise DataError(f"{path} has no array {key!r}; {nearest(key, arrays)}")
        return key, ()
    candidates = [name for name in arrays if not _is_label(name)]
    if len(candidates) == 1:
        return candidates[0], ()
    listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    usual = next((name for name in ("x_train", "X_train", "x", "X") if name in candidates), None)
    if usual is None:
        what = "several arrays" if candidates else "labels alone"
        raise DataError(f"{path} holds {what} ({listed}); choose one with --key (key=)")
    return usual, (f"read {usual} of {path.name}, which holds {listed}; --key chooses another",)


def _is_label(name: str) -> bool:
    """Whether an array's name says that it holds labels."""
    return name.lower() == "y" or name.lower().startswith(("y_", "label", "target"))


def _label_arrays(arrays: Mapping[str, Array], chosen: str) -> dict[str, Array]:
    """Return the label arrays, the fitting one with the same suffix first, unfitting ones last."""
    n = arrays[chosen].shape[:1]
    labels = {k: a for k, a in arrays.items() if _is_label(k) and k != chosen}
    fitting = {k: a for k, a in labels.items() if a.shape in (n, (*n, 1))}
    twin = {"x": "y", "X": "y"}.get(chosen[:1], "y") + chosen[1:]
    first = {twin: fitting[twin]} if twin in fitting else {}
    return first | fitting | labels
