"""Files in, tensors out, files back."""

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.read import read, schema_from_json
from pushforward.data.schema import ClassCondition, DataKind, Dataset, Schema, SplitName
from pushforward.data.sources import read_raw
from pushforward.data.split import split
from pushforward.data.tables.schema import TableSchema
from pushforward.data.write import write

__all__ = [
    "ArraySchema",
    "ClassCondition",
    "DataKind",
    "Dataset",
    "ImageSchema",
    "Schema",
    "SplitName",
    "TableSchema",
    "read",
    "read_raw",
    "schema_from_json",
    "split",
    "write",
]
