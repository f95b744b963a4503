"""How often relations between columns hold in generated rows: real ones, a model's and `cart`'s.

    python benchmarks/relations.py [--tables flights diamonds adult] [--fits vae=700steps]

`cart` (a tree for each column given those before it) models every column by itself
(`relations=False`), as do the fits that are marked `free`; the others compute what `read` finds.
Of the training rows each relation holds in the share beside `train`, of held-out rows in that
beside `holdout`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
from table_sources import SPLIT, by_cart

import pushforward as pf

NEW_YORK = "America/New_York"
RATIO_TAILS = (0.005, 0.995)  # of training rows: what lies within them is possible
MAX_ERROR = 0.5  # of the depth of a diamond, in percent: its dimensions are rounded

Check = Callable[
    [pl.DataFrame], pl.Series
]  # rows in which it holds; null where a column is missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tables", nargs="*", default=[*CHECKS])
    parser.add_argument("--fits", nargs="*", default=["vae=700steps"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="take only so many of either part of a table")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/relations.json"))
    arguments = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = (
        json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    )
    for table in arguments.tables:
        train, holdout = (
            pl.read_csv(arguments.data / f"{table}-{part}.csv", n_rows=arguments.rows)
            for part in ("train", "test")
        )
        checks = CHECKS[table](train)
        for source in ("train", "holdout", "cart", *arguments.fits):
            if source in ("train", "holdout"):
                rows = train if source == "train" else holdout
            elif source == "cart":
                rows = by_cart(train, arguments.seed)
            else:
                rows = fitted_rows(train, source, arguments.seed)
            held = rates(rows, checks)
            found.setdefault(table, {})[source] = held
            shown = "  ".join(f"{name}: {rate:.4f}" for name, rate in held.items())
            print(f"{table}, {source}: {shown}", file=sys.stderr, flush=True)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def fitted_rows(train: pl.DataFrame, fit: str, seed: int) -> pl.DataFrame:
    """Fit MODEL=BUDGET or MODEL:free=BUDGET, and generate as many rows as there are."""
    model, _, budget = fit.partition("=")
    model, _, free = model.partition(":")
    data = pf.read(train, split=SPLIT, relations=not free)
    fitted = pf.fit(data, model, budget=budget.replace("steps", " steps"), seed=seed)
    rows: pl.DataFrame = fitted.sample(len(train), seed=seed)
    return rows


def rates(rows: pl.DataFrame, checks: dict[str, Check]) -> dict[str, float]:
    """Return the share of rows in which each relation holds, of those where it has values."""
    return {name: float(check(rows).drop_nulls().mean() or 0.0) for name, check in checks.items()}  # type: ignore[arg-type]  # of truth values


def expression(holds: pl.Expr) -> Check:
    return lambda rows: rows.select(holds.alias("holds"))["holds"]


def known(train: pl.DataFrame, *names: str) -> Check:
    """Whether training rows have the combination of a row."""
    combinations = train.select(names).unique().with_columns(pl.lit(value=True).alias("holds"))
    return lambda rows: rows.join(combinations, on=names, how="left", nulls_equal=True)[
        "holds"
    ].fill_null(value=False)


def missing_together(train: pl.DataFrame) -> Check:
    """Whether training rows have the pattern of missing values of a row."""
    patterns = known(train.select(pl.all().is_null()), *train.columns)
    return lambda rows: patterns(rows.select(pl.all().is_null()))


def flights(train: pl.DataFrame) -> dict[str, Check]:
    def minutes(name: str) -> pl.Expr:
        return pl.col(name) // 100 * 60 + pl.col(name) % 100

    time = pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.convert_time_zone(NEW_YORK)
    parts = {"month": time.dt.month(), "day": time.dt.day(), "hour": time.dt.hour()}
    departure = minutes("sched_dep_time") + pl.col("dep_delay") - minutes("dep_time")
    arrival = minutes("sched_arr_time") + pl.col("arr_delay") - minutes("arr_time")
    flown = (minutes("arr_time") - minutes("dep_time")) % 1440
    return {
        **{
            f"{name} of time_hour": expression(pl.col(name) == part) for name, part in parts.items()
        },
        "hour = sched_dep_time // 100": expression(
            pl.col("hour") == pl.col("sched_dep_time") // 100
        ),
        "dep_time = sched + delay": expression(departure % 1440 == 0),
        "arr_time = sched + delay": expression(arrival % 1440 == 0),
        "clock numbers": expression(
            pl.all_horizontal(pl.col("sched_dep_time", "sched_arr_time") % 100 < 60)
        ),
        # zones of destinations lie up to six hours behind New York, one before it
        "arrival after departure": expression(
            (flown - pl.col("air_time")).is_between(-360, 180)
            | (flown - pl.col("air_time") - 1440 >= -360)
        ),
        "distance of the route": known(train, "origin", "dest", "distance"),
        "route of the carrier": known(train, "carrier", "origin", "dest"),
        "plane of the carrier": known(train, "carrier", "tailnum"),
        "flight of the carrier": known(train, "carrier", "flight"),
        "missing together": missing_together(train),
    }


def diamonds(train: pl.DataFrame) -> dict[str, Check]:
    density = pl.col("carat") / (pl.col("x") * pl.col("y") * pl.col("z"))
    low, high = (train.select(density.quantile(tail)).item() for tail in RATIO_TAILS)
    depth = 200 * pl.col("z") / (pl.col("x") + pl.col("y"))
    return {
        "dimensions against carat": expression(density.is_between(low, high)),
        "depth = 2 z / (x + y)": expression((pl.col("depth") - depth).abs() < MAX_ERROR),
    }


def adult(train: pl.DataFrame) -> dict[str, Check]:
    return {
        "number of the education": known(train, "education", "education-num"),
        "sex of husband and wife": known(train, "relationship", "sex"),
        "married couples": known(train, "relationship", "marital-status"),
    }


CHECKS: dict[str, Callable[[pl.DataFrame], dict[str, Check]]] = {
    "flights": flights,
    "diamonds": diamonds,
    "adult": adult,
}

if __name__ == "__main__":
    main()
