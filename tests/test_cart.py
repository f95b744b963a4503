"""Trees for each column: conditional distributions, odd tables, the same rows for the same seed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import pushforward as pf
from pushforward.comparison import cart
from pushforward.comparison.cart import cart_rows
from pushforward.comparison.references import LabelledRows, floor_rows
from pushforward.data import Dataset, read


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chain(n: int = 4000) -> pl.DataFrame:
    """A number x; y = x + noise of deviation 0.5; a category that is b with probability F(y)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = x + 0.5 * rng.normal(size=n)
    b = rng.random(n) < 1 / (1 + np.exp(-2 * y))
    z = np.where(b, 1.0, -1.0) + 0.5 * rng.normal(size=n)
    return pl.DataFrame({"x": x, "y": y, "kind": np.where(b, "b", "a"), "z": z})


def errors(frame: pl.DataFrame) -> dict[str, float]:
    """How far a table is from the chain: noise of y and z, and probabilities of b given y."""
    x, y, z = (frame[name].to_numpy() for name in ("x", "y", "z"))
    b = (frame["kind"] == "b").to_numpy()
    low, high = y < -0.5, y > 0.5
    return {
        "y - x": abs(float((y - x).std()) - 0.5),
        "z given b": abs(float(z[b].mean() - z[~b].mean()) - 2),
        "b given low y": abs(float(b[low].mean() - (1 / (1 + np.exp(-2 * y[low]))).mean())),
        "b given high y": abs(float(b[high].mean() - (1 / (1 + np.exp(-2 * y[high]))).mean())),
    }


def test_conditional_distributions_are_those_of_the_table() -> None:
    data = read(chain())
    of_trees = errors(data.schema.decode(*cart_rows(data, 4000, generator())))
    of_floor = errors(data.schema.decode(*floor_rows(data, 4000, generator())))
    # The standard errors over 3,200 training and 4,000 generated rows are about
    # 0.5 (1 / 6400 + 1 / 8000)^(1/2) = 0.008 for the deviation of y - x, 0.03 for a difference of
    # means, and (0.15 (1 / 1100 + 1 / 1400))^(1/2) = 0.016 for a share of a third of the rows.
    # Leaves of a width of 0.02 or so add little to the noise. Four standard errors are allowed.
    allowed = {"y - x": 0.032, "z given b": 0.12, "b given low y": 0.064, "b given high y": 0.064}
    assert all(of_trees[name] < allowed[name] for name in allowed), of_trees
    assert all(of_floor[name] > 2 * allowed[name] for name in allowed), of_floor


def test_a_missing_value_depends_on_what_is_before_it() -> None:
    rng = np.random.default_rng(1)
    side = rng.integers(2, size=3000)
    values = np.where(rng.random(3000) < 0.1 + 0.8 * side, np.nan, side + rng.normal(size=3000))
    data = read(pl.DataFrame({"side": np.where(side, "r", "l"), "value": values}).fill_nan(None))
    fake = data.schema.decode(*cart_rows(data, 3000, generator()))
    shares = [fake.filter(side=s)["value"].is_null().mean() for s in ("l", "r")]
    # 1,200 training and 1,500 generated rows a side: (0.09 (1 / 1200 + 1 / 1500))^(1/2) = 0.012
    assert shares == pytest.approx([0.1, 0.9], abs=0.048)


def test_categories_are_split_by_what_follows_them_not_by_their_names() -> None:
    """Even and odd of 40 categories differ: in the order of names that takes 39 splits."""
    code = np.random.default_rng(2).integers(40, size=4000)
    frame = pl.DataFrame(
        {"code": [f"c{c:02}" for c in code], "odd": np.where(code % 2, "yes", "no")}
    )
    data = read(frame)
    fake = data.schema.decode(*cart_rows(data, 2000, generator()))
    odd = fake["code"].str.slice(1).cast(pl.Int64) % 2 == 1
    assert ((fake["odd"] == "yes") == odd).all()


def test_the_condition_comes_first() -> None:
    data = read(chain(), condition="kind")
    rows, labels = cart_rows(data, 4000, generator())
    fake = data.schema.decode(rows, labels)
    means = [fake.filter(kind=k)["z"].mean() for k in ("a", "b")]
    assert means == pytest.approx([-1, 1], abs=0.08)  # four times 0.5 / (1 / 1600 + 1 / 2000)^(1/2)


def test_the_same_generator_gives_the_same_rows() -> None:
    data = read(chain(400))
    first, again, other = (cart_rows(data, 100, generator(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_values_are_those_of_training_rows_and_rows_are_not() -> None:
    data = read(chain(1000))
    train = data.subset("train")[0].numpy()
    fake = cart_rows(data, 500, generator())[0].numpy()
    assert all(np.isin(fake[:, j], train[:, j]).all() for j in range(fake.shape[1]))
    known = {tuple(row) for row in train}
    assert sum(tuple(row) in known for row in fake) < 50


def many_levels() -> pl.DataFrame:
    code = np.random.default_rng(3).integers(3000, size=6000)
    return pl.DataFrame(
        {"x": code + 0.5, "code": [f"level {c}" for c in code], "half": code // 1500}
    )


ODD = {
    "one column": pl.DataFrame({"x": np.arange(50) / 7}),
    "a constant": pl.DataFrame(
        {"x": np.arange(50) / 7, "same": ["a"] * 50, "y": np.arange(50) % 3}
    ),
    "an empty column": pl.DataFrame(
        {"x": np.arange(50) / 7, "none": [None] * 50, "y": np.arange(50) % 3},
        schema_overrides={"none": pl.Float64},
    ),
    "few rows": pl.DataFrame(
        {"x": [0.5, 1.5, 2.5, 3.5, 4.5] * 2, "y": ["a", "b", "a", None, "b"] * 2}
    ),
    "many categories": many_levels(),
}


def rows_of(data: Dataset, n: int) -> LabelledRows:
    return cart_rows(data, n, generator())


@pytest.mark.parametrize("name", ODD)
def test_odd_tables_are_generated(name: str) -> None:
    data = read(ODD[name])
    rows, labels = rows_of(data, 30)
    assert labels is None
    fake = data.schema.decode(rows)
    assert fake.shape == (30, ODD[name].width)
    assert fake.schema == data.schema.decode(data.rows[:1]).schema


def test_many_categories_still_depend_on_what_is_before_them() -> None:
    data = read(ODD["many categories"], overrides={"code": "categorical"})
    fake = data.schema.decode(*rows_of(data, 1000))
    same = (fake["x"] < 1500) == (fake["half"].cast(pl.Int64) < 1)
    assert same.mean() > 0.99


def test_a_wide_table_uses_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(chain(1000))
    monkeypatch.setattr(cart, "MAX_WORK", 10 * 4**2)
    fake = rows_of(data, 500)[0]
    assert all(len(fake[:, j].unique()) <= 10 for j in range(4))


def test_a_comparison_of_a_table_has_the_reference() -> None:
    measures = ["column_shapes", "pair_trends"]
    result = pf.compare(chain(600), ["vae"], seeds=1, budget="2 steps", measures=measures)
    assert list(result.references) == ["ceiling", "floor", "cart"]
    # The floor is exact in each column and knows no pair; trees know both.
    trends = {name: card["pair_trends"].value for name, card in result.references.items()}
    assert trends["cart"] < trends["floor"] / 2
    assert "cart" in result.table.head
    assert result.frame().filter(pl.col("model") == "cart").height == 2
    assert list(type(result).load(result.folder).references) == list(result.references)
