"""Files in, tensors out, files back."""

from pushforward.data.arrays import ArraySchema
from pushforward.data.images import ImageSchema
from pushforward.data.kinds import schema_from_json
from pushforward.data.load import read_raw
from pushforward.data.read import read
from pushforward.data.schema import Condition, Dataset, Kind, Part, Schema
from pushforward.data.split import split
from pushforward.data.tables.schema import TableSchema
from pushforward.data.write import write

__all__ = [
    "ArraySchema",
    "Condition",
    "Dataset",
    "ImageSchema",
    "Kind",
    "Part",
    "Schema",
    "TableSchema",
    "read",
    "read_raw",
    "schema_from_json",
    "split",
    "write",
]
