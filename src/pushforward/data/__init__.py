"""Files in, tensors out, files back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.read import read
from pushforward.data.schema import Condition, Dataset, Schema
from pushforward.data.tables import TableSchema
from pushforward.data.write import write
from pushforward.errors import DataError

SCHEMAS: dict[str, type[Schema]] = {
    cls.kind: cls for cls in (ArraySchema, ImageSchema, TableSchema)
}


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    """Rebuild a schema of any kind; DataError when the description is broken."""
    try:
        return SCHEMAS[data["kind"]].from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        msg = f"the schema is broken ({type(error).__name__}: {error})"
        raise DataError(msg) from error


__all__ = [
    "ArraySchema",
    "Condition",
    "Dataset",
    "ImageSchema",
    "Schema",
    "TableSchema",
    "read",
    "schema_from_json",
    "write",
]
