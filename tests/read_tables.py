"""What tests of tables share: a table that is read, and its rows after quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pushforward.data import Dataset, TableSchema, read

SHARED = Path(__file__).parents[2] / "shared" / "data"
ADULT = SHARED / "adult-train.csv"


def read_table(source: Any, **arguments: Any) -> tuple[TableSchema, Dataset]:
    """The schema of a table, and the data set."""
    dataset = read(source, **arguments)
    assert isinstance(dataset.schema, TableSchema)
    return dataset.schema, dataset


def positions(schema: TableSchema) -> dict[str, int]:
    """Where each modelled column lies in an encoded row, by name."""
    return {column.name: i for i, column in enumerate(schema.columns)}


def lacking_keys(n: int) -> pl.DataFrame:
    """A value by a key that six rows lack, whatever their value, and that one row alone has."""
    rng = np.random.default_rng(0)
    key = rng.choice(list("abcde"), n).astype(object)
    value = np.array(["uuwwz"["abcde".index(k)] for k in key], object)
    key[:6], value[:6] = None, list("uwzuwz")
    key[6], value[6] = "f", "q"
    columns = {"key": key.tolist(), "value": value.tolist()}
    return pl.DataFrame(columns).sample(fraction=1, shuffle=True, seed=0)


def quantised_rows(dataset: Dataset, seed: int = 0) -> Any:
    """The raw rows after `expand` and `quantise`: positions within cells are drawn again."""
    schema = dataset.schema
    rows = schema.quantise(schema.expand(dataset.rows), torch.Generator().manual_seed(seed))
    return schema.decode(rows, dataset.labels, torch.Generator().manual_seed(seed))
