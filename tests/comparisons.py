"""What tests of comparisons and reports share: scorecards, a fabricated folder, a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import torch

import pushforward as pf
from pushforward.comparison.compare import describe
from pushforward.comparison.facts import RunFacts
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.references import floor_rows
from pushforward.comparison.result import Comparison, Scorecards
from pushforward.comparison.samples import KeptSamples
from pushforward.data import Dataset
from pushforward.families.panels import Panel
from pushforward.files import write_json
from pushforward.measures import Measurement, Scorecard
from pushforward.measures._intervals import Z
from pushforward.measures.aspects import ASPECTS
from pushforward.measures.measurement import Better
from pushforward.models import find
from pushforward.runs.folder import new_config
from pushforward.training.settings import Settings

# Made-up values by model and seed. By `energy` and `mmd`, which are one aspect, gan is better on
# every seed; by `coverage`, which is another, the differences change their sign.
MODELS = ("vae", "gan")
SEEDS = (0, 1, 2)
VALUES = {
    "energy": {"vae": (0.31, 0.33, 0.32), "gan": (0.11, 0.12, 0.13)},
    "mmd": {"vae": (0.041, 0.043, 0.042), "gan": (0.021, 0.022, 0.0231)},
    "coverage": {"vae": (0.80, 0.90, 0.70), "gan": (0.85, 0.75, 0.80)},
}
CEILING = {"energy": 0.01, "mmd": 0.001, "coverage": 0.95}
FLOOR = {"energy": 0.5, "mmd": 0.06, "coverage": 0.4}
NULL = {"energy": 0.0, "mmd": 0.0, "coverage": 0.97}
ERROR = {"energy": 0.005, "mmd": 0.0005, "coverage": 0.01}  # of one value, by the chance of rows
BETTER: dict[str, Better] = {"coverage": "higher", "density": "null"}  # others: lower

# Of the toy's 10,000 rows as many as workers are given as a file: a comparison takes a third.
RING = pf.read("ring").raw("train")[:2400]

MARKUP = "<script>alert(1)</script>"


def scorecard(**values: float) -> Scorecard:
    """Measurements of these values: coverage is better when higher, density at its null."""
    return Scorecard({name: _measurement(name, value) for name, value in values.items()})


def _measurement(name: str, value: float) -> Measurement:
    half = Z * ERROR.get(name, 0.01)
    return Measurement(
        name,
        value,
        value - half,
        value + half,
        null=NULL.get(name, 1.0),
        n=500,
        better=BETTER.get(name, "lower"),
        reading=f"{name} is {value}",
        aspect=ASPECTS[name],
    )


def scorecards(model: str) -> list[Scorecard]:
    """The made-up scorecards of a model, one for each seed."""
    return [scorecard(**{name: own[model][s] for name, own in VALUES.items()}) for s in SEEDS]


def orders(n: int = 80) -> pl.DataFrame:
    """A table with a number, an integer, and categories and a column that are named like HTML."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            MARKUP: rng.normal(size=n),
            "count": rng.integers(0, 50, n),
            "kind": rng.choice(["a", "</script><b>bold</b>", "<i>c</i>"], n),
        }
    )


def fabricate(
    folder: Path, data: Dataset, panels: Sequence[Panel] = (), *, example_rows: bool = False
) -> Comparison:
    """Write a folder as `compare` leaves it, with the made-up scorecards."""
    cards: Scorecards = {m: {"best": scorecards(m), "final": scorecards(m)} for m in MODELS}
    references = {"ceiling": scorecard(**CEILING), "floor": scorecard(**FLOOR)}
    facts = {model: [facts_of_history()] * len(SEEDS) for model in MODELS}
    result = Comparison(folder, list(MODELS), list(SEEDS), cards, references, facts)
    files = ComparisonFolder(folder)
    description = describe(data) | {"sources": {m: m for m in MODELS}}
    write_json(files.comparison, description | result.to_json())
    sources = {
        source: floor_rows(data, 40, torch.Generator().manual_seed(i))
        for i, source in enumerate(("real", *MODELS, "floor"))
    }
    samples = KeptSamples(data, files, sources["real"], example_rows)
    for source, rows in sources.items():
        samples.keep(source, lambda rows=rows: rows)  # type: ignore[misc]  # binds each source's
    for model in MODELS:
        for seed in SEEDS:
            fabricate_run(files, data, model, seed, panels)
    return result


def fabricate_run(
    files: ComparisonFolder, data: Dataset, model: str, seed: int, panels: Sequence[Panel]
) -> None:
    """Write a run of 100 steps that took 10 seconds."""
    run = files.run(model, seed)
    config = new_config(find(model), {}, asdict(Settings("100 steps", seed)), data)
    config["schedule"][0]["steps"] = 100
    run.open_or_create(config, data.schema)
    run.write_history(history())
    write_json(run.anatomy, [asdict(panel) for panel in panels])


def facts_of_history() -> RunFacts:
    """What the made-up history tells: nothing to warn of."""
    checks = {10 * i: abs(10 * i - 60) / 100 + 0.01 for i in range(1, 11)}
    steps, distances = tuple(checks), tuple(checks.values())
    return RunFacts(100, 100, rate=0.95, checks=steps, distances=distances)


def history() -> list[dict[str, object]]:
    """The records of a run, and its cost."""
    records: list[dict[str, object]] = [
        {
            "step": step,
            "samples": 64 * step,
            "seconds": step / 10,
            "terms": {"elbo.distortion": 3 / step, "elbo.rate": 0.01 * step},
            "validation": abs(step - 60) / 100 + 0.01,
        }
        for step in range(10, 101, 10)
    ]
    cost = {"seconds": 10.0, "peak_memory": 3 * 2**20, "parameters": 1234}
    return [*records, {"step": 100, "terms": {}, "cost": cost}]


class Page(HTMLParser):
    """What a reader sees of a page: tags with their attributes, tables, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.rows: list[list[tuple[str, str]]] = []  # of tables: (class, text)
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append((attributes.get("class") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self.inside:
            self.scripts.append(data)
            return
        self.words.append(data)
        if {"td", "th"} & set(self.inside):
            kind, text = self.rows[-1][-1]
            self.rows[-1][-1] = (kind, text + data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def ids(self) -> set[str | None]:
        return {attributes.get("id") for _, attributes in self.tags}

    def row(self, name: str) -> list[tuple[str, str]]:
        """Return the first table row whose head begins with a name."""
        return next(row for row in self.rows if row and row[0][1].strip().startswith(name))
