"""Missing values are learned together with the rest: what is missing depends on other columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.partial import PartialRows
from pushforward.data.tables.where import restrict
from read_tables import positions

N = 4000
MISSING_RATES = (0.1, 0.8)  # how often b is missing, below and above a = 0


def dependent_missing_values() -> pl.DataFrame:
    """Where a > 0, b is missing in 80 % of the rows, else in 10 %; kind is missing with b."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    missing = rng.random(N) < np.where(a > 0, MISSING_RATES[1], MISSING_RATES[0])
    kind = np.where(rng.random(N) < 0.5, "x", "y").astype(object)
    frame = pl.DataFrame({"a": a, "b": rng.normal(size=N) + a, "kind": list(kind)})
    is_missing = pl.Series(missing)
    return frame.with_columns(
        pl.when(is_missing).then(None).otherwise(pl.col("b")).alias("b"),
        pl.when(is_missing).then(None).otherwise(pl.col("kind")).alias("kind"),
    )


def rates(frame: pl.DataFrame) -> list[float]:
    """The share of missing b below and above a = 0, and of rows in which only one is missing."""
    missing = frame["b"].is_null()
    sides = [float(missing.filter(side).mean()) for side in (frame["a"] <= 0, frame["a"] > 0)]  # type: ignore[arg-type]  # of truth values
    return [*sides, float((missing != frame["kind"].is_null()).mean())]  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize(("model", "steps"), [("vae", 200), ("r3gan", 600)])
def test_missing_values_depend_on_the_same_columns(model: str, steps: int) -> None:
    fitted = pf.fit(pf.read(dependent_missing_values()), model, budget=steps, seed=0, width=64)
    below, above, apart = rates(fitted.sample(N, seed=1))
    # Independent columns would have 0.45 on both sides and 0.5 apart. A share of about 2,000 rows
    # has a standard error of at most 0.011, in the training rows as in these: four of both is 0.06.
    assert below == pytest.approx(MISSING_RATES[0], abs=0.06)
    assert above == pytest.approx(MISSING_RATES[1], abs=0.06)
    assert apart < 0.06


@pytest.fixture(scope="module")
def data() -> Dataset:
    frame = dependent_missing_values()
    rng = np.random.default_rng(1)
    alone = pl.Series(rng.random(N) < 0.3)  # by chance
    sometimes = pl.Series(rng.random(N) < 0.5) & frame["b"].is_null()  # not without b
    return pf.read(
        frame.with_columns(
            c=pl.when(alone).then(None).otherwise(pl.col("a").round(1)),
            d=pl.when(sometimes).then(None).otherwise(pl.col("a").round(2)),
        ),
        relations=False,  # c and d are a, rounded
    )


def schema_of(data: Dataset) -> TableSchema:
    assert isinstance(data.schema, TableSchema)
    return data.schema


def any_cells(schema: TableSchema, n: int = 20_000) -> Tensor:
    """Cells as an untrained model draws them: every column by itself."""
    generator = torch.Generator().manual_seed(0)
    sizes = schema.space.sizes
    return torch.stack([torch.randint(size, (n,), generator=generator) for size in sizes], 1)


def test_what_is_missing_in_all_training_rows_is_missing_in_all_that_are_generated(
    data: Dataset,
) -> None:
    schema = schema_of(data)
    rows = schema.draw_in_cells(any_cells(schema))
    at, missing = positions(schema), rows.isnan()
    b, kind, c, d = (missing[:, at[name]] for name in ("b", "kind", "c", "d"))
    names = [column.name for column in schema.columns]
    implied = {(names[i], names[j]) for i, j in schema.implied}
    assert implied == {("b", "kind"), ("kind", "b"), ("d", "b"), ("d", "kind")}
    assert torch.equal(b, kind)
    assert bool(b[d].all())
    assert not bool(b[c].all())
    assert not bool(d[b].all())
    again = schema_from_json(schema.to_json())
    assert isinstance(again, TableSchema)
    assert again.implied == schema.implied


def test_a_condition_has_no_row_whose_missing_value_would_imply_another(data: Dataset) -> None:
    schema = schema_of(data)
    restriction = restrict(schema, {"b": (-5, 5)})
    fine = schema.fine_cells(any_cells(schema))
    kept = fine[restriction.chance_within(fine) > 0]
    at = positions(schema)
    rows = restriction.draw_in_cells(kept[kept[:, at["b"]] != 0])
    assert len(rows) > 1000
    assert not bool(rows[:, [at[name] for name in ("b", "kind", "d")]].isnan().any())


def test_what_is_known_is_not_implied_to_be_missing(data: Dataset) -> None:
    schema = schema_of(data)
    rows = PartialRows.of(schema, pl.DataFrame({"b": [0.5, 0.7]}))
    share = rows.share(torch.arange(2))
    first = {name: schema.cells_of_column(at).start for name, at in positions(schema).items()}
    for name in ("kind", "d"):
        assert not bool(share[:, first[name]].any())
    assert bool(share[:, first["c"]].all())
