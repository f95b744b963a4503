"""Relations that hold in every row are found, exact in what is generated, and never by chance."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.factors import simplest

N = 800
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "made_up.py"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def found(frame: pl.DataFrame, **arguments: Any) -> list[str]:
    schema = table_schema(pf.read(frame, **arguments))
    return [str(constraint) for constraint in schema.constraint_set.constraints]


def table_schema(data: Dataset) -> TableSchema:
    assert isinstance(data.schema, TableSchema)
    return data.schema


def bills(n: int = N) -> dict[str, Any]:
    g = rng()
    net, vat = g.gamma(2, 500, n).round(2), g.choice([7, 19], n)
    quantity, price = g.integers(1, 30, n), g.gamma(3, 20, n).round(2)
    region = g.choice(["North", "South", "West"], n, p=[0.5, 0.3, 0.2])
    start = [datetime(2024, 1, 1) + timedelta(minutes=15 * int(k)) for k in g.integers(0, 9000, n)]
    minutes = g.integers(5, 90, n)
    end = [a + timedelta(minutes=int(b)) for a, b in zip(start, minutes, strict=True)]
    rate = np.select([region == "North", region == "South"], [1.0, 1.5], 0.7)
    parts = [g.gamma(2, 100, n).round(2) for _ in range(4)]
    return locals()


def written(name: str) -> tuple[list[str], pl.DataFrame]:
    """A relation's text, and a table that satisfies it."""
    b = bills()
    tax = (b["net"] * 0.19).round(2)
    amount = b["quantity"] * b["price"]
    p, q, r, s = b["parts"]
    tables: dict[str, tuple[list[str], dict[str, Any]]] = {
        "multiple": (["y = 1/3 * x"], {"x": p, "y": (p / 3).round(1)}),
        "sum": (["tax = 0.19 * net", "gross = net + tax"], {"net": b["net"], "tax": tax}),
        "percent": (["gross = net * (1 + vat / 100)"], {"net": b["net"], "vat": b["vat"]}),
        "product": (
            ["amount = quantity * price"],
            {"quantity": b["quantity"], "price": b["price"]},
        ),
        "by": (["amount = quantity * price * factor(region)"], {}),
        "end": (["end = start + 60 * minutes"], {}),
        "order": (["start <= end"], {"start": b["start"], "end": b["end"]}),
        "long": (["total = p + q + s - r"], {"p": p, "q": q, "r": r, "s": s}),
        "quotient": (["speed = p / q"], {"p": p, "q": q, "speed": (p / q).round(1)}),
    }
    texts, columns = tables[name]
    if name == "sum":
        columns["gross"] = (b["net"] + tax).round(2)
    elif name == "percent":
        columns["gross"] = (b["net"] * (1 + b["vat"] / 100)).round(2)
    elif name == "product":
        columns["amount"] = amount.round(2)
    elif name == "by":
        columns |= {name: b[name] for name in ("region", "quantity", "price")}
        columns["amount"] = (amount * b["rate"]).round(2)
    elif name == "end":
        columns |= {name: b[name] for name in ("start", "end", "minutes")}
    elif name == "long":
        columns["total"] = (p + q - r + s).round(2)
    return texts, pl.DataFrame(columns)


KINDS = ["multiple", "sum", "percent", "product", "by", "end", "order", "long", "quotient"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_relation_is_found_and_said(kind: str) -> None:
    texts, frame = written(kind)
    data = pf.read(frame)
    stated = [str(c).replace("1 / 3", "1/3") for c in table_schema(data).constraint_set.constraints]
    assert stated == texts
    assert sum("in every row" in note for note in data.notes) == len(texts)
    assert found(frame, relations=False) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_worst_of_models_generates_keeps_it(kind: str) -> None:
    texts, frame = written(kind)
    schema = pf.read(frame).schema
    generator = torch.Generator().manual_seed(0)
    rows = schema.quantise(torch.rand((500, *schema.space.shape), generator=generator), generator)
    fake = schema.decode(rows, None, generator)
    assert fake.schema == frame.schema
    joined = pl.concat([frame, fake])  # the formula is found in both together: with one constant
    assert [text.replace("1 / 3", "1/3") for text in found(joined)] == texts


def test_a_factor_for_each_category_goes_through_json() -> None:
    _, frame = written("by")
    restored = schema_from_json(pf.read(frame).schema.to_json())
    assert isinstance(restored, TableSchema)
    (step,) = restored.constraint_set.steps
    assert isinstance(step, DerivedStep)
    assert step.factors == {"North": 1.0, "South": 1.5, "West": 0.7}
    assert step.holds(frame).all()


def test_factors_may_be_stated_and_missing_categories_have_one() -> None:
    _, frame = written("by")
    region = pl.when(pl.col("region") == "West").then(None).otherwise("region").alias("region")
    frame = frame.with_columns(region)
    stated = pf.read(frame, constraints="amount = price * quantity * factor(region)")
    (step,) = table_schema(stated).constraint_set.steps
    assert isinstance(step, DerivedStep)
    assert step.factors[None] == 0.7
    with pytest.raises(pf.DataError, match="does not hold"):
        pf.read(frame, constraints="amount = price * factor(region)")
    with pytest.raises(pf.DataError, match="one factor"):
        pf.read(frame, constraints="amount = factor(region) * factor(region)")


def test_missing_values_stay_where_they_are() -> None:
    x = rng().gamma(2, 50, N).round(2)
    gap = rng(1).random(N) < 0.1
    both = pl.DataFrame(
        {"x": np.where(gap, np.nan, x), "y": np.where(gap, np.nan, (3 * x).round(2))}
    )
    assert found(both.fill_nan(None)) == ["y = 3 * x"]
    without = pl.DataFrame({"x": np.where(gap, np.nan, x), "y": (3 * x).round(2)}).fill_nan(None)
    assert found(without) == ["x = 1 / 3 * y"]  # what is missing by itself can be modelled
    one_row_off = pl.DataFrame({"x": x, "y": (3 * x + 0.5 * (np.arange(N) == 400)).round(2)})
    assert found(one_row_off) == []


def test_the_condition_keys_and_what_is_stated_are_not_computed() -> None:
    _, frame = written("product")
    stated = ["quantity >= 1", "price > 0", "amount > 0"]
    assert found(frame, constraints=stated) == stated
    assert found(frame.head(50)) == []
    assert "quantity" not in [text.split(" = ")[0] for text in found(frame, condition="quantity")]


def test_a_digit_that_only_rounds_to_the_formula_is_no_relation() -> None:
    """A time as 1059: the hour is not a hundredth of it, though it differs by less than one."""
    hour, minute = rng().integers(0, 24, N), rng(1).integers(0, 60, N)
    assert found(pl.DataFrame({"time": 100 * hour + minute, "hour": hour})) == []


def test_what_is_too_small_to_show_is_no_operand() -> None:
    """A date stays the same with some seconds more, a whole number with some hundredths more."""
    day = [datetime(2024, 1, 1) + timedelta(days=int(d)) for d in rng().integers(0, 900, N)]
    whole, small = rng(1).integers(0, 900, N), rng(2).integers(0, 3000, N)
    dates = pl.DataFrame({"small": small, "day": day, "copy": day}).with_columns(
        pl.col("day", "copy").dt.date()
    )
    assert found(dates) == ["copy = day"]
    part = (small / 10_000).round(2)
    assert found(pl.DataFrame({"part": part, "whole": whole, "copy": whole})) == ["copy = whole"]


@pytest.mark.parametrize("relations", [True, False])
def test_a_frame_of_text_is_computed_from_its_numbers(relations: bool) -> None:
    b = bills()
    amount = b["quantity"] * b["price"]
    frame = pl.DataFrame(
        {
            "quantity": [str(q) for q in b["quantity"]],
            "price": [f"${p:,.2f}" for p in b["price"]],
            "amount": [f"${a:,.2f}" for a in amount],
            "start": [f"{t:%d.%m.%Y %H:%M}" for t in b["start"]],
            "minutes": [f"{m}" for m in b["minutes"]],
            "end": [f"{t:%d.%m.%Y %H:%M}" for t in b["end"]],
        }
    )
    stated = ["amount = quantity * price", "end = start + 60 * minutes"]
    data = pf.read(frame, constraints=[] if relations else stated, relations=relations)
    assert [str(c) for c in table_schema(data).constraint_set.constraints] == stated
    assert data.schema.decode(data.rows).equals(frame)
    assert torch.equal(data.schema.encode(frame), data.rows)


def test_independent_columns_have_no_relation() -> None:
    """300 small tables of 8 columns, of every shape of numbers: none is claimed."""
    g = rng()
    makers: list[Callable[[], Any]] = [
        lambda: g.integers(1, 6, 150),
        lambda: g.integers(0, 2, 150),
        lambda: g.random(150).round(2),
        lambda: g.gamma(1, 9, 150).round(1),
        lambda: g.choice(list("abc"), 150),
        lambda: (g.random(150) < 0.05) * g.integers(1, 99, 150),
    ]
    for _ in range(50):
        columns = {f"c{i}": makers[g.integers(6)]() for i in range(8)}
        assert found(pl.DataFrame(columns | {"last": g.random(150)})) == []


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(1.1899, 1.1901, "1.19"), (0.3333, 0.33334, "1/3"), (2.99, 3.01, "3"), (-0.71, -0.69, "-0.7")],
)
def test_a_constant_is_the_shortest_that_fits(low: float, high: float, text: str) -> None:
    assert simplest(low, high) == text


def test_a_file_of_text_amounts_keeps_its_relation_with_conditions(tmp_path: Path) -> None:
    def euros(x: float) -> str:
        return f"{x:,.2f} €".translate(str.maketrans(",.", ".,"))

    b = bills()
    amount = b["quantity"] * b["price"]
    rows = zip(b["quantity"], map(euros, b["price"]), map(euros, amount), strict=True)
    lines = ["Menge;Preis;Betrag", *(f"{q};{p};{a}" for q, p, a in rows)]
    source, run, target = (tmp_path / name for name in ("a.csv", "run", "fake.csv"))
    source.write_text("\n".join(lines) + "\n")
    fit = ["fit", str(source), "--out", str(run), "--budget", "20 steps", "--device", "cpu"]
    assert run_command(fit) == 0
    sample = ["sample", str(run), "-n", "50", "--seed", "1", "--out", str(target)]
    assert run_command([*sample, "--where", "Betrag>=500", "--device", "cpu"]) == 0
    values = [line.split(";") for line in target.read_text().splitlines()[1:]]
    numbers = [
        [float(v.removesuffix(" €").replace(".", "").replace(",", ".")) for v in row]
        for row in values
    ]
    for quantity, price, total in numbers:
        assert total >= 500
        assert abs(quantity * price - total) < 0.005 + 1e-9


@pytest.mark.parametrize("name", ["orders", "meter", "payroll"])
def test_files_made_up_afresh_come_back_possible_and_as_they_are_written(
    name: str, tmp_path: Path
) -> None:
    """After 20 steps: what is computed and spelt does not depend on how well a model is trained."""
    made_up = runpy.run_path(str(BENCHMARK))
    file = made_up["FILES"][name]
    source, target = tmp_path / "real.csv", tmp_path / "fake.csv"
    real = file.make(rng(7), 600)
    made_up["write"](source, real, file.separator)
    run = str(tmp_path / "run")
    fit = ["fit", str(source), "--out", run, "--budget", "20 steps", "--device", "cpu"]
    assert run_command(fit) == 0
    assert run_command(["sample", run, "-n", "400", "--seed", "0", "--out", str(target)]) == 0
    seen = made_up["compared"](file, real, made_up["read"](target, file.separator))
    assert seen["spelling"] == 1
    assert seen["impossible"] == 0


def test_what_is_computed_has_the_very_digits_that_were_given() -> None:
    """A formula that misses the last digit of some rows is none, but for ties of any custom."""
    g = rng()
    year, month = (
        np.repeat(np.arange(2000, 2016), 120),
        np.tile(np.repeat(np.arange(1, 13), 10), 16),
    )
    dated = {"year": year, "date": year + (month - 1) / 12, "sold": g.integers(1, 500, len(year))}
    q, p = g.integers(1, 90, N), g.integers(100, 9999, N) / 100
    whole = 2 * g.integers(-90, 90, N) + 1
    away = (np.sign(whole) * np.floor(np.abs(whole) / 2 + 0.5)).astype(int)
    tables: list[tuple[dict[str, Any], list[str]]] = [
        (dated, []),  # year = 0.9998 date, but in December
        ({"q": q, "p": p, "t": (q * p * 1.19).round(2)}, ["t = 1.19 * q * p"]),
        ({"q": q, "p": p, "t": np.floor(q * p * 119 + 0.5) / 100}, ["t = 1.19 * q * p"]),
        ({"q": whole, "t": away}, ["t = 0.5 * q"]),
    ]
    for columns, expected in tables:
        frame = pl.DataFrame(columns)
        assert found(frame) == expected
        data = pf.read(frame)
        again = schema_from_json(data.schema.to_json())
        assert again.decode(data.rows).equals(frame)


def test_what_a_category_says_by_itself_is_no_product_with_it() -> None:
    g = rng()
    speed = g.choice(list("abcdefgh"), N)
    gears = [ord(letter) - 90 for letter in speed]
    frame = pl.DataFrame({"year": g.choice([2021, 2022], N), "speed": speed, "gears": gears})
    assert found(frame) == ["gears = lookup(speed)"]
