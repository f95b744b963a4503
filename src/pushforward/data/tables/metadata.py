"""The metadata of SDV: the kind of each column of one table, as its users wrote them down.

This reads the files of `SingleTableMetadata` and `Metadata` (`"METADATA_SPEC_VERSION"` `V1`, `V2`
or `SINGLE_TABLE_V1`, `"columns"` with an `"sdtype"` each) and the older ones with `"fields"`.
Source: https://docs.sdv.dev/sdv/concepts/metadata/metadata-json; for V2, issue 2952 of SDV.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from pushforward.data.tables.column_summary import category_keys
from pushforward.data.tables.constraints import Bounds
from pushforward.errors import DataError, nearest

KIND_OF_SDTYPE = {
    "numerical": "numeric",
    "categorical": "categorical",
    "ordinal": "categorical",  # of few values, numbers or text
    "boolean": "boolean",
    "datetime": "datetime",
    "id": "identifier",
}
COORDINATES = ("latitude", "longitude")  # modelled as numbers, although they are personal
SEQUENCE_KEYS = ("sequence_key", "sequence_index")
HELP = 'expected the JSON of one table, {"columns": {NAME: {"sdtype": "numerical"}, ...}}'


@dataclass(frozen=True)
class Metadata:
    """What a file of metadata says about a table.

    Args:
        columns: the names of all columns.
        kinds: of columns, by name, as in the overrides of `read`. Keys and personal data are
            identifiers; other columns of unknown type are left out.
        time_formats: strftime formats of dates, by name.
        bounds: on numbers and dates.
        allowed: the values that a column of categories may have, by name.
        complete: the columns that must have no missing values.
        notes: for the user, on what is not used.
    """

    columns: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    time_formats: Mapping[str, str] = field(default_factory=dict)
    bounds: tuple[Bounds, ...] = ()
    allowed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    complete: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def validate(self, table_columns: Iterable[str]) -> None:
        """Raise DataError unless the metadata describe exactly the columns of the table."""
        names = list(table_columns)
        for name in self.columns:
            if name not in names:
                msg = f"the metadata describe a column {name!r} that the table lacks"
                raise DataError(f"{msg}; {nearest(name, names)}")
        for name in names:
            if name not in self.columns:
                msg = f"the metadata do not describe the column {name!r} of the table"
                raise DataError(f"{msg}; {nearest(name, self.columns)}")

    def validate_values(self, frame: pl.DataFrame) -> None:
        """Raise DataError for a missing value, or one that is not allowed, in the rows."""
        for name in self.complete:
            missing = category_keys(frame[name]).is_null()
            if missing.any():
                msg = f"the metadata say that column {name!r} has no missing values, and row"
                raise DataError(f"{msg} {missing.arg_true()[0] + 1} has one; correct either")
        for name, values in self.allowed.items():
            known = set(map(_comparable, values))
            for value in category_keys(frame[name]).unique().drop_nulls().sort().to_list():
                if _comparable(value) not in known:
                    msg = f"column {name!r} has the value {value!r}, which the metadata do not list"
                    raise DataError(f"{msg} (range_values); correct either")


def read_metadata(source: str | Path | Mapping[str, Any]) -> Metadata:
    """Return the metadata of a file, or of a dictionary with the same content.

    DataError when it cannot be read or describes several tables.
    """
    table = _single_table(source if isinstance(source, Mapping) else _read_json(Path(source)))
    specs = table.get("columns", table.get("fields"))
    if not isinstance(specs, Mapping) or not specs:
        raise DataError(f"the metadata describe no columns; {HELP}")
    kinds = {name: _kind(name, spec) for name, spec in specs.items()}
    for key in _keys(table):
        for name in key:
            if name not in specs:
                hint = nearest(name, specs)
                raise DataError(f"the metadata's key {name!r} is not a column; {hint}")
        if len(key) == 1:
            kinds[key[0]] = "identifier"
    formats = {n: spec.get("datetime_format", spec.get("format")) for n, spec in specs.items()}
    return Metadata(
        tuple(specs),
        {name: kind for name, kind in kinds.items() if kind is not None},
        {n: f.replace(".%f", "%.6f") for n, f in formats.items() if f and kinds[n] == "datetime"},
        tuple(
            bounds
            for name, spec in specs.items()
            if kinds[name] in ("numeric", "datetime")
            and (bounds := _bounds(name, spec, formats[name])) is not None
        ),
        {
            name: tuple(spec["range_values"])
            for name, spec in specs.items()
            if kinds[name] == "categorical" and isinstance(spec.get("range_values"), list)
        },
        tuple(name for name, spec in specs.items() if spec.get("range_is_nullable") is False),
        _notes(table, specs, kinds),
    )


def _read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the metadata {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"the metadata {path} are not JSON: {error}; {HELP}") from None


def _single_table(data: Any) -> Mapping[str, Any]:
    """Return the description of the one table."""
    if not isinstance(data, Mapping):
        raise DataError(f"the metadata are a {type(data).__name__}; {HELP}")
    tables = data.get("tables")
    if tables is None:
        return data
    if not isinstance(tables, Mapping) or len(tables) != 1:
        names = ", ".join(map(repr, tables)) if tables else "none"
        msg = f"the metadata must describe one table, and describe {len(tables)} ({names})"
        raise DataError(f"{msg}; give those of one table, e.g. one entry of 'tables'")
    return _single_table(next(iter(tables.values())))


def _keys(table: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the keys: the columns of each, several if it is composite."""
    keys = [table.get("primary_key"), *(table.get("alternate_keys") or [])]
    return [(key,) if isinstance(key, str) else tuple(map(str, key)) for key in keys if key]


def _bounds(name: str, spec: Mapping[str, Any], time_format: str | None) -> Bounds | None:
    """Return the range of a column as bounds, or None; DataError for one that cannot be read."""
    low, high = spec.get("range_min"), spec.get("range_max")
    if spec.get("sdtype") == "datetime":
        low, high = (end and _time(name, str(end), time_format) for end in (low, high))
    return None if low is None and high is None else Bounds(name, low, high)


def _time(name: str, text: str, time_format: str | None) -> datetime:
    """Return a time that the metadata spell; DataError when it is not in their format."""
    try:
        if time_format is None:
            return datetime.fromisoformat(text)
        return datetime.strptime(text, time_format)
    except ValueError:
        msg = f"the metadata's range of the column {name!r} has {text!r}, which is no time in the"
        raise DataError(f"{msg} format {time_format or 'ISO 8601'}; correct either") from None


def _comparable(value: Any) -> Any:
    """Return what two spellings of a value share: 1, 1.0 and "1"; True and "true"."""
    try:
        return float(str(value))
    except ValueError:
        return str(value).lower()


def _kind(name: str, spec: Any) -> str | None:
    """Return the kind of a column, or None to infer it."""
    sdtype = spec.get("sdtype", spec.get("type")) if isinstance(spec, Mapping) else None
    if not isinstance(sdtype, str):
        raise DataError(f"the metadata have no sdtype of the column {name!r}; {HELP}")
    personal = spec.get("pii", sdtype not in KIND_OF_SDTYPE)
    if sdtype in COORDINATES:
        return "numeric"
    if personal:
        return "identifier"
    return None if sdtype == "unknown" else KIND_OF_SDTYPE.get(sdtype, "categorical")


def _notes(
    table: Mapping[str, Any], specs: Mapping[str, Any], kinds: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Return notes on what the metadata state and a model ignores."""
    given = [table[key] for key in SEQUENCE_KEYS if table.get(key)]
    sequences = [", ".join(key) if isinstance(key, list) else str(key) for key in given]
    composite = [", ".join(key) for key in _keys(table) if len(key) > 1]
    parts = [n for key in _keys(table) if len(key) > 1 for n in key if kinds[n] == "identifier"]
    key = f"check: the key ({'; '.join(composite)})"
    coordinates = [
        name
        for name, spec in specs.items()
        if spec.get("sdtype") in COORDINATES and spec.get("pii", True)
    ]
    notes = {
        f"rows are modelled as independent: the sequences of {', '.join(sequences)} are lost": (
            sequences
        ),
        f"column(s) {', '.join(coordinates)}: personal by the metadata, modelled as numbers": (
            coordinates
        ),
        f"{key} is composite: {', '.join(parts)} gets a new value in every row, so that no value "
        "occurs twice; override it as categorical to keep those of the table": parts,
        f"{key} is composite: its columns are modelled like any others, and a combination may "
        "occur twice": composite and not parts,
    }
    return tuple(note for note, applies in notes.items() if applies)
