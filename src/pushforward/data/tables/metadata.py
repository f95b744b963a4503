"""The metadata of SDV: the kind of each column of one table, as its users wrote them down.

This reads the files of `SingleTableMetadata` and `Metadata` (`"METADATA_SPEC_VERSION"` `V1` or
`SINGLE_TABLE_V1`, `"columns"` with an `"sdtype"` each) and the older ones with `"fields"`. Source:
https://docs.sdv.dev/sdv/concepts/metadata/metadata-json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pushforward.errors import DataError, nearest

KIND_OF_SDTYPE = {
    "numerical": "numeric",
    "categorical": "categorical",
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
        notes: for the user, on what is not used.
    """

    columns: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    time_formats: Mapping[str, str] = field(default_factory=dict)
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


def read_metadata(source: str | Path | Mapping[str, Any]) -> Metadata:
    """Return the metadata of a file, or of a dictionary with the same content.

    DataError when it cannot be read or describes several tables.
    """
    table = _single_table(source if isinstance(source, Mapping) else _read_json(Path(source)))
    specs = table.get("columns", table.get("fields"))
    if not isinstance(specs, Mapping) or not specs:
        raise DataError(f"the metadata describe no columns; {HELP}")
    kinds = {name: _kind(name, spec) for name, spec in specs.items()}
    for name in _key_columns(table):
        if name not in specs:
            raise DataError(f"the metadata's key {name!r} is not a column; {nearest(name, specs)}")
        kinds[name] = "identifier"
    formats = {n: spec.get("datetime_format", spec.get("format")) for n, spec in specs.items()}
    return Metadata(
        tuple(specs),
        {name: kind for name, kind in kinds.items() if kind is not None},
        {n: f.replace(".%f", "%.f") for n, f in formats.items() if f and kinds[n] == "datetime"},
        _notes(table, specs),
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


def _key_columns(table: Mapping[str, Any]) -> list[str]:
    """Return the columns that identify rows, each by itself."""
    primary = table.get("primary_key")
    alternate = [key for key in table.get("alternate_keys") or [] if isinstance(key, str)]
    return [*([primary] if isinstance(primary, str) else []), *alternate]


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


def _notes(table: Mapping[str, Any], specs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return notes on what the metadata state and a model ignores."""
    sequences = [str(table[key]) for key in SEQUENCE_KEYS if table.get(key)]
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
    }
    return tuple(note for note, applies in notes.items() if applies)
