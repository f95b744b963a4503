"""CSV files made up afresh: is the generated file written as the original, possible, and related?

    python benchmarks/made_up.py [--seeds 1] [--budget 60s] [--files orders visits ...]

Each file is written with spellings of its own (day-first dates, euros with decimal commas, zoned
times, office hours, month-first times, accounting brackets, percentages), then `fit`, `sample` and
`measure` of the command line are run on it. For each file:

impossible  generated values that the file's own rules exclude (weekends, closing hours, a price
            that does not end in .99, an end before its start, an unknown spelling, ...);
corr        for each pair of numeric columns, Pearson's correlation in both files;
spelling    the share of generated values that the pattern of their column matches.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.cli.main import run_command

ROWS = 4000
NEAR = 0.05  # a correlation is kept when it differs by no more

Texts = dict[str, list[str]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class File:
    """How a file is made, and what must hold for its values.

    Args:
        make: the columns of n rows, as text, by a generator of random numbers.
        separator: between the columns.
        patterns: the regular expression of each column's spelling.
        numbers: how the columns whose correlations count become numbers.
        impossible: counts rows that break a rule of the file, given its columns.
    """

    make: Callable[[np.random.Generator, int], Texts]
    separator: str
    patterns: dict[str, str]
    numbers: dict[str, Callable[[str], float]]
    impossible: Callable[[Texts], int]


def euros(x: float) -> str:
    return f"{x:,.2f} €".translate(str.maketrans(",.", ".,"))


def from_euros(text: str) -> float:
    return float(text.removesuffix(" €").replace(".", "").replace(",", "."))


def dollars(x: float) -> str:
    return f"(${-x:,.2f})" if x < 0 else f"${x:,.2f}"


def from_dollars(text: str) -> float:
    number = float(re.sub(r"[($),]", "", text))
    return -number if text.startswith("(") else number


def percent(text: str) -> float:
    return float(text.rstrip("%"))


def orders(g: np.random.Generator, n: int) -> Texts:
    """Amounts that are a product with a factor for each region, and a noisy freight."""
    day = datetime(2023, 1, 1)
    quantity, price = g.integers(1, 40, n), np.round(g.gamma(3, 40, n)) + 0.99
    region = g.choice(["Nord", "Süd", "West"], n, p=[0.5, 0.3, 0.2])
    factor = np.select([region == "Nord", region == "Süd"], [1.0, 1.5], 0.7)
    amount = quantity * price * factor
    freight = 4 + 0.02 * amount * g.lognormal(0, 0.3, n)
    days = [day + timedelta(int(k)) for k in g.integers(0, 700, n)]
    return {
        "Auftrag": [f"A-{10000 + i}" for i in range(n)],
        "Bestellt am": [f"{d:%d.%m.%Y}" for d in days],
        "Menge": [*map(str, quantity)],
        "Preis": [*map(euros, price)],
        "Betrag": [*map(euros, amount)],
        "Fracht": [*map(euros, freight)],
        "Region": [*map(str, region)],
    }


def _orders_impossible(texts: Texts) -> int:
    prices, quantities = map(from_euros, texts["Preis"]), map(int, texts["Menge"])
    dates = [datetime.strptime(text, "%d.%m.%Y") for text in texts["Bestellt am"]]
    wrong = sum(round(p * 100) % 100 != 99 for p in prices) + sum(
        q < 1 or q > 39 for q in quantities
    )
    return wrong + sum(not 2023 <= d.year <= 2024 for d in dates)


def visits(g: np.random.Generator, n: int) -> Texts:
    """Appointments of quarter hours on weekdays between 9 and 16, at an offset from UTC."""
    hour = np.clip(g.normal(12.5, 1.6, n), 9, 15.99)
    week, weekday = g.integers(0, 60, n), g.integers(0, 5, n)
    start = [
        datetime(2024, 1, 1) + timedelta(int(7 * w + d), minutes=int(h * 60) // 15 * 15 * 1.0)
        for w, d, h in zip(week, weekday, hour, strict=True)
    ]
    minutes = np.round(g.gamma(2, 10, n) * (1 + (hour > 13)), 1)
    fee = minutes * 3 * g.lognormal(0, 0.2, n)
    return {
        "visit start": [f"{s:%Y-%m-%dT%H:%M:%S}+05:30" for s in start],
        "minutes": [f"{m:.1f}" for m in minutes],
        "shift": ["late" if h > 13 else "early" for h in hour],
        "fee": [*map(dollars, fee)],
    }


def _visits_impossible(texts: Texts) -> int:
    starts = [datetime.fromisoformat(text) for text in texts["visit start"]]
    wrong = sum(s.weekday() > 4 or not 9 <= s.hour < 16 or s.minute % 15 > 0 for s in starts)
    return wrong + sum(float(m) < 0 for m in texts["minutes"])


def meter(g: np.random.Generator, n: int) -> Texts:
    """Readings with month-first times: energy = power * hours, cost by tariff."""
    start = [datetime(2025, 1, 1) + timedelta(minutes=5 * int(k)) for k in g.integers(0, 9000, n)]
    minutes = g.integers(1, 48, n) * 5
    hour = np.array([s.hour for s in start])
    tariff = np.where((hour >= 6) & (hour < 22), "day", "night")
    power = np.round(g.gamma(2, 1.5, n) * np.where(tariff == "day", 1.5, 0.8) + 0.1, 2)
    energy = np.round(power * minutes / 60, 3)
    cost = np.round(energy * np.where(tariff == "day", 0.32, 0.24), 2)
    end = [s + timedelta(minutes=int(m)) for s, m in zip(start, minutes, strict=True)]
    return {
        "started": [f"{s:%m/%d/%Y %I:%M %p}" for s in start],
        "ended": [f"{s:%m/%d/%Y %I:%M %p}" for s in end],
        "minutes": [*map(str, minutes)],
        "kW": [f"{p:.2f}" for p in power],
        "kWh": [f"{e:.3f}" for e in energy],
        "tariff": [*map(str, tariff)],
        "cost": [*map(dollars, cost)],
    }


def _meter_impossible(texts: Texts) -> int:
    started, ended = (
        [datetime.strptime(text, "%m/%d/%Y %I:%M %p") for text in texts[name]]
        for name in ("started", "ended")
    )
    wrong = sum(a >= b for a, b in zip(started, ended, strict=True))
    off_grid = sum(time.minute % 5 > 0 for time in started)
    return wrong + off_grid + sum(float(power) <= 0 for power in texts["kW"])


def payroll(g: np.random.Generator, n: int) -> Texts:
    """Pay: gross = hours * rate, tax by a percentage, corrections in accounting brackets."""
    rate, hours = np.round(g.gamma(9, 3, n) + 12, 2), np.round(g.normal(38, 3, n), 1)
    share = g.choice([12, 22, 24, 32], n)
    gross = np.round(hours * rate, 2)
    tax = np.round(gross * share / 100, 2)
    correction = np.round(g.normal(0, 40, n), 2)
    bonus = gross * 0.05 * g.lognormal(0, 0.4, n)
    return {
        "hours": [f"{h:.1f}" for h in hours],
        "rate": [*map(dollars, rate)],
        "gross": [*map(dollars, gross)],
        "tax rate": [f"{s}%" for s in share],
        "tax": [*map(dollars, tax)],
        "correction": [*map(dollars, correction)],
        "net": [*map(dollars, gross - tax + correction)],
        "bonus": [*map(dollars, bonus)],
    }


def _payroll_impossible(texts: Texts) -> int:
    wrong = sum(share not in ("12%", "22%", "24%", "32%") for share in texts["tax rate"])
    amounts = zip(*(map(from_dollars, texts[name]) for name in ("gross", "tax")), strict=True)
    return wrong + sum(not 0 < tax < gross for gross, tax in amounts)


EUROS = r"\d{1,3}(\.\d{3})*,\d\d €"
DOLLARS = r"\(?\$\d{1,3}(,\d{3})*\.\d\d\)?"
US_TIME = r"\d\d/\d\d/\d{4} \d\d:\d\d [AP]M"
FILES = {
    "orders": File(
        orders,
        ";",
        {"Auftrag": r"A-\d{5}", "Bestellt am": r"\d\d\.\d\d\.\d{4}", "Menge": r"\d+"}
        | dict.fromkeys(("Preis", "Betrag", "Fracht"), EUROS),
        {"Menge": float, "Preis": from_euros, "Betrag": from_euros, "Fracht": from_euros},
        _orders_impossible,
    ),
    "visits": File(
        visits,
        ",",
        {"visit start": r"\d{4}-\d\d-\d\dT\d\d:\d\d:00\+05:30", "minutes": r"\d+\.\d"}
        | {"fee": DOLLARS},
        {"minutes": float, "fee": from_dollars},
        _visits_impossible,
    ),
    "meter": File(
        meter,
        ",",
        {"started": US_TIME, "ended": US_TIME, "minutes": r"\d+", "kW": r"\d+\.\d\d"}
        | {"kWh": r"\d+\.\d{3}", "cost": DOLLARS},
        {"minutes": float, "kW": float, "kWh": float, "cost": from_dollars},
        _meter_impossible,
    ),
    "payroll": File(
        payroll,
        ",",
        {"hours": r"\d+\.\d", "tax rate": r"\d\d%"}
        | dict.fromkeys(("rate", "gross", "tax", "correction", "net", "bonus"), DOLLARS),
        {
            **dict.fromkeys(("rate", "gross", "tax", "correction", "net", "bonus"), from_dollars),
            "hours": float,
            "tax rate": percent,
        },
        _payroll_impossible,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--files", nargs="*", default=[*FILES])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/made_up.json"))
    arguments = parser.parse_args()
    found = []
    for seed in range(arguments.seeds):
        for name in arguments.files:
            with tempfile.TemporaryDirectory() as folder:
                found.append(run(name, seed, arguments.budget, arguments.rows, Path(folder)))
            show(found[-1])
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def run(name: str, seed: int, budget: str, rows: int, folder: Path) -> dict[str, Any]:
    """Make a file up, fit, sample and measure it through the command line."""
    file, real, fake = FILES[name], folder / "real.csv", folder / "fake.csv"
    write(real, file.make(np.random.default_rng(seed), rows), file.separator)
    told = command("fit", real, "--out", folder / "run", "--budget", budget, "--seed", seed)
    command("sample", folder / "run", "-n", rows, "--seed", seed, "--out", fake)
    card = json.loads(command("measure", real, fake, "--json")[0])
    shown = ("column_shapes", "pair_trends")
    values = {name: card["measures"][name]["value"] for name in shown if name in card["measures"]}
    return {
        "file": name,
        "seed": seed,
        "budget": budget,
        "relations": [line for line in told[1].splitlines() if "in every row" in line],
        "measures": values,
        **compared(file, read(real, file.separator), read(fake, file.separator)),
    }


def command(*words: object) -> tuple[str, str]:
    """Run a command of `pushforward` in this process, and return what it prints."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        status = run_command([*map(str, words)])
    if status:
        raise RuntimeError(errors.getvalue())
    return out.getvalue(), errors.getvalue()


def compared(file: File, real: Texts, fake: Texts) -> dict[str, Any]:
    """Return what is impossible or spelt otherwise, and the correlations in both tables."""
    if [*real] != [*fake]:
        raise ValueError(f"the columns are {[*fake]}, not {[*real]}")
    matches = [
        sum(re.fullmatch(pattern, text) is not None for text in fake[name]) / len(fake[name])
        for name, pattern in file.patterns.items()
    ]
    pairs = {}
    for a, b in combinations(file.numbers, 2):
        r, f = (correlation(file, texts, a, b) for texts in (real, fake))
        pairs[f"{a}, {b}"] = {"real": r, "generated": f, "difference": abs(r - f)}
    return {"impossible": file.impossible(fake), "spelling": min(matches), "correlations": pairs}


def correlation(file: File, texts: Texts, a: str, b: str) -> float:
    x, y = (np.array([file.numbers[name](t) for t in texts[name]]) for name in (a, b))
    return round(float(np.corrcoef(x, y)[0, 1]), 4)


def write(path: Path, texts: Texts, separator: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target, delimiter=separator, lineterminator="\n")
        writer.writerow(texts)
        writer.writerows(zip(*texts.values(), strict=True))


def read(path: Path, separator: str) -> Texts:
    with path.open(newline="", encoding="utf-8") as source:
        header, *rows = csv.reader(source, delimiter=separator)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def show(result: dict[str, Any]) -> None:
    pairs = result["correlations"]
    far = {pair: p for pair, p in pairs.items() if p["difference"] > NEAR}
    worst = max(p["difference"] for p in pairs.values())
    print(
        f"{result['file']:8} seed {result['seed']}: {result['impossible']} impossible, spelling "
        f"{result['spelling']:.4f}, worst difference of {len(pairs)} correlations {worst:.3f}, "
        f"{len(far)} above {NEAR}"
    )
    for pair, p in far.items():
        print(f"    {pair}: real {p['real']:.3f}, generated {p['generated']:.3f}")


if __name__ == "__main__":
    main()
