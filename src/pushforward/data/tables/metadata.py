"""Metadata of SDV: what each column of one table is, as its users wrote it down.

Read are the files of `SingleTableMetadata` and `Metadata` (`"METADATA_SPEC_VERSION"` `V1` or
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

KINDS = {
    "numerical": "numeric",
    "categorical": "categorical",
    "boolean": "boolean",
    "datetime": "datetime",
    "id": "identifier",
}
PLACES = ("latitude", "longitude")  # numbers, and numbers are modelled
SEQUENCE = ("sequence_key", "sequence_index")
HELP = 'it must be the JSON of one table, {"columns": {NAME: {"sdtype": "numerical"}, ...}}'


@dataclass(frozen=True)
class Metadata:
    """What a file of metadata says of a table.

    Args:
        columns: the names of all columns.
        kinds: what they are, by name: as `read` takes it for overrides. Keys, and columns that name
            persons, are identifiers; a column of unknown type that does not is left out.
        formats: strftime formats of dates, by name.
        notes: what is not used.
    """

    columns: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def check(self, names: Iterable[str]) -> None:
        """Raise DataError unless the table has these very columns."""
        found = list(names)
        for name in self.columns:
            if name not in found:
                msg = f"the metadata describe a column {name!r} that the table lacks"
                raise DataError(f"{msg}; {nearest(name, found)}")
        for name in found:
            if name not in self.columns:
                msg = f"the metadata do not describe the column {name!r} of the table"
                raise DataError(f"{msg}; {nearest(name, self.columns)}")


def read_metadata(source: str | Path | Mapping[str, Any]) -> Metadata:
    """Return what a file of metadata says, or a dictionary with the same content.

    DataError when it cannot be read, describes several tables, or has a type that there is not.
    """
    table = _table(source if isinstance(source, Mapping) else _loaded(Path(source)))
    specs = table.get("columns", table.get("fields"))
    if not isinstance(specs, Mapping) or not specs:
        raise DataError(f"the metadata describe no columns; {HELP}")
    kinds = {name: _kind(name, spec) for name, spec in specs.items()}
    for name in _keys(table):
        if name not in specs:
            raise DataError(f"the metadata's key {name!r} is no column; {nearest(name, specs)}")
        kinds[name] = "identifier"
    formats = {n: spec.get("datetime_format", spec.get("format")) for n, spec in specs.items()}
    return Metadata(
        tuple(specs),
        {name: kind for name, kind in kinds.items() if kind is not None},
        {n: f.replace(".%f", "%.f") for n, f in formats.items() if f and kinds[n] == "datetime"},
        _notes(table, specs),
    )


def _loaded(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the metadata {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"the metadata {path} are not JSON: {error}; {HELP}") from None


def _table(data: Any) -> Mapping[str, Any]:
    """Return the description of the one table."""
    if not isinstance(data, Mapping):
        raise DataError(f"the metadata are a {type(data).__name__}; {HELP}")
    tables = data.get("tables")
    if tables is None:
        return data
    if not isinstance(tables, Mapping) or len(tables) != 1:
        told = ", ".join(map(repr, tables)) if tables else "none"
        msg = f"the metadata must describe one table, and describe {len(tables)} ({told})"
        raise DataError(f"{msg}; give those of one, e.g. the content of one of its 'tables'")
    return _table(next(iter(tables.values())))


def _keys(table: Mapping[str, Any]) -> list[str]:
    """Return the columns that name rows, each by itself."""
    primary = table.get("primary_key")
    alternate = [key for key in table.get("alternate_keys") or [] if isinstance(key, str)]
    return [*([primary] if isinstance(primary, str) else []), *alternate]


def _kind(name: str, spec: Any) -> str | None:
    """Return what a column is, or None to infer it."""
    said = spec.get("sdtype", spec.get("type")) if isinstance(spec, Mapping) else None
    if not isinstance(said, str):
        raise DataError(f"the metadata tell no sdtype of the column {name!r}; {HELP}")
    personal = spec.get("pii", said not in KINDS)
    if said in PLACES:
        return "numeric"
    if personal:
        return "identifier"
    return None if said == "unknown" else KINDS.get(said, "categorical")


def _notes(table: Mapping[str, Any], specs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a user should know that the metadata ask for and do not get."""
    sequences = [str(table[key]) for key in SEQUENCE if table.get(key)]
    places = [n for n, s in specs.items() if s.get("sdtype") in PLACES and s.get("pii", True)]
    told = {
        f"rows are independent here: the sequences of {', '.join(sequences)} are lost": sequences,
        f"column(s) {', '.join(places)}: personal by the metadata, modelled as numbers": places,
    }
    return tuple(note for note, applies in told.items() if applies)
