"""The three kinds of schema, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.schema import Schema
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError

KINDS: dict[str, type[Schema]] = {s.kind: s for s in (TableSchema, ImageSchema, ArraySchema)}


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from `Schema.to_json`; DataError when the description is broken."""
    try:
        return KINDS[data["kind"]].from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        msg = f"the schema's description is broken ({type(error).__name__}: {error})"
        raise DataError(f"{msg}; read the data again") from None
