"""What tests of tables share: a table that is read, and its rows after quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pushforward.data import Dataset, TableSchema, read

SHARED = Path(__file__).parents[2] / "shared" / "data"
ADULT = SHARED / "adult-train.csv"


def read_table(source: Any, **arguments: Any) -> tuple[TableSchema, Dataset]:
    """The schema of a table, and the data set."""
    dataset = read(source, **arguments)
    assert isinstance(dataset.schema, TableSchema)
    return dataset.schema, dataset


def quantised_rows(dataset: Dataset, seed: int = 0) -> Any:
    """The raw rows after `expand` and `quantise`: positions within cells are drawn again."""
    schema = dataset.schema
    rows = schema.quantise(schema.expand(dataset.rows), torch.Generator().manual_seed(seed))
    return schema.decode(rows, dataset.labels, torch.Generator().manual_seed(seed))
