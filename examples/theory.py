"""The theory of both families, executable: eight statements, each shown by an experiment.

    python examples/theory.py [--out docs/figures] [--quick]

Writes one figure a statement and all numbers (`theory.json`) to the folder, and prints the tables
of docs/theory.md. `--page docs/theory.md` puts the tables into the page. `--quick` is the reduced
form that the tests run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from statements import maps, measures, posteriors, weights
from statements.common import FULL, QUICK, Row, Scale, Shown
from statements.figures import save

STATEMENTS: dict[str, Callable[[Scale], Shown]] = {
    "1-one-map": maps.one_map,
    "2-only-samples": maps.only_samples,
    "3-own-code": posteriors.own_code,
    "4-no-kl": posteriors.no_kl,
    "5-aggregate": posteriors.aggregate,
    "6-weights": weights.natural_weight,
    "7-tug-of-war": weights.tug_of_war,
    "8-learned-measure": measures.learned_measure,
}


def span(values: list[float]) -> str:
    """Return mean (smallest to largest) of several runs."""
    mean = sum(values) / len(values)
    return f"{mean:.3g} ({min(values):.3g} to {max(values):.3g})"


def cell(value: Any) -> str:
    """Return a value as the page shows it; several runs as mean (smallest to largest)."""
    if isinstance(value, list):
        return span(value) if len(value) > 2 else ", ".join(cell(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(found: list[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = [list(found[0]), ["---"] * len(found[0])]
    lines += [[cell(value) for value in row.values()] for row in found]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(page: str, numbers: dict[str, Any]) -> str:
    """Return the page with each statement's table between its two markers."""
    for name, found in numbers.items():
        marked = f"<!-- {name} -->\n{table(found['rows'])}\n<!-- end -->"
        before, _, rest = page.partition(f"<!-- {name} -->")
        page = before + marked + rest.partition("<!-- end -->")[2]
    return page


def main() -> None:
    """Run every experiment; write figures and numbers."""
    parser = argparse.ArgumentParser(description="The theory of both families, executable.")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--quick", action="store_true", help="the reduced form that the tests run")
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    parser.add_argument("--only", nargs="*", default=list(STATEMENTS), choices=list(STATEMENTS))
    arguments = parser.parse_args()
    torch.set_num_threads(
        1
    )  # such small networks gain nothing from more, and lose on a busy machine
    arguments.out.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {}
    for name in arguments.only:
        start = time.perf_counter()
        shown = STATEMENTS[name](QUICK if arguments.quick else FULL)
        save(shown.figure, arguments.out / f"{name}.png")
        numbers[name] = {"rows": shown.rows, "seeds": shown.seeds, "notes": shown.notes}
        print(f"{name} ({time.perf_counter() - start:.1f} s)\n\n{table(shown.rows)}\n", flush=True)
    kept = arguments.out / "theory.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if arguments.only and kept.exists() else {}
    text = json.dumps(known | numbers, indent=1, ensure_ascii=False)
    kept.write_text(text + "\n", encoding="utf-8")
    if arguments.page is not None:
        page = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(fill(page, json.loads(text)), encoding="utf-8")


if __name__ == "__main__":
    main()
