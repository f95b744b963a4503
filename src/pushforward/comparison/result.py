"""The result of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from rich.console import Group
from rich.text import Text

from pushforward.comparison.contrasts import MATTERS
from pushforward.comparison.decide import Decision, MeanLoss, decide
from pushforward.comparison.differences import Difference
from pushforward.comparison.facts import RunFacts
from pushforward.comparison.findings import Finding
from pushforward.comparison.folder import CEILING, FLOOR, ComparisonFolder, of_this_version
from pushforward.comparison.recommendation import Recommendation
from pushforward.comparison.table import ComparisonTable
from pushforward.comparison.tuned import Tuning
from pushforward.errors import RunError
from pushforward.files import read_json
from pushforward.measures import Scorecard
from pushforward.runs import Checkpoint

Scorecards = dict[str, dict[Checkpoint, list[Scorecard]]]
Renderer = Callable[[Path, str | Path | None], Path]


@dataclass(repr=False)
class Comparison:
    """What models score on the same data under equal conditions, and which of them to use.

    It shows itself as a table in a terminal (`rich.print(result)`) and in a notebook.

    Args:
        folder: where everything lies.
        models: the models' names, in the order given.
        seeds: the seeds.
        cards: scorecards by model and checkpoint, one a seed.
        references: the scorecards of what models are compared with, by name: `"ceiling"`, real
            rows (validation) against the test rows, as good as it gets; `"floor"`, independent
            columns (tables) or a Gaussian fit (others), what anyone can reach; for tables `"cart"`,
            a tree for each column given those before it.
        facts: how each run went, by model, one a seed.
        matters: the smallest difference that matters, in units of floor to ceiling.
        ignore: codes of findings to leave out.
        tuning: the trials of the models that were tuned, by name.

    Attributes:
        decision: what follows from all this.
        renderer: how `report` writes a folder's report to a file. `pushforward.report` lies above
            this module and sets it when it is imported; this module imports nothing of it.
    """

    renderer: ClassVar[Renderer | None] = None

    folder: Path
    models: list[str]
    seeds: list[int]
    cards: Scorecards
    references: dict[str, Scorecard]
    facts: dict[str, list[RunFacts]] = field(default_factory=dict)
    matters: float = MATTERS
    ignore: tuple[str, ...] = ()
    tuning: dict[str, Tuning] = field(default_factory=dict)
    decision: Decision = field(init=False)

    def __post_init__(self) -> None:
        self.decision = decide(
            self.best_cards,
            self.references,
            facts=self.facts,
            matters=self.matters,
            ignore=self.ignore,
            tuning=self.tuning,
        )

    @property
    def losses(self) -> tuple[MeanLoss, ...]:
        """What each model lost by every measure, in units of floor to ceiling."""
        return self.decision.losses

    @property
    def differences(self) -> tuple[Difference, ...]:
        """How each pair of models differs by every aspect."""
        return self.decision.differences

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed, what vetoes first."""
        return self.decision.findings

    @property
    def recommendation(self) -> Recommendation:
        """Which model to use, and why."""
        return self.decision.recommendation

    @property
    def ceiling(self) -> Scorecard:
        """The scorecard of other real rows."""
        return self.references[CEILING]

    @property
    def floor(self) -> Scorecard:
        """The scorecard of what anyone can reach."""
        return self.references[FLOOR]

    @property
    def best_cards(self) -> dict[str, list[Scorecard]]:
        """The scorecards of the checkpoints that were best on validation, by model."""
        return {model: self.cards[model]["best"] for model in self.models}

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report as one HTML file (by default `report.html` in the folder).

        Raises:
            RunError: a part of the comparison is missing, the file cannot be written, or nothing
                can render reports because `pushforward.report` was not imported.
        """
        render = type(self).renderer
        if render is None:
            msg = "nothing renders reports yet: import pushforward.report first"
            raise RunError(msg)
        return render(self.folder, path)

    def frame(self) -> pl.DataFrame:
        """Return a Polars frame: one row for each model, seed, checkpoint and measure.

        The columns are `model`, `seed`, `checkpoint`, and those of `Scorecard.frame`. Rows of the
        references (their names stand as `model`) have neither seed nor checkpoint.
        """
        return pl.concat(
            card.frame().select(
                pl.lit(model, pl.String).alias("model"),
                pl.lit(seed, pl.Int64).alias("seed"),
                pl.lit(checkpoint, pl.String).alias("checkpoint"),
                pl.all(),
            )
            for model, seed, checkpoint, card in self._all_cards()
        )

    def _all_cards(self) -> Iterator[tuple[str, int | None, Checkpoint | None, Scorecard]]:
        for model in self.models:
            for checkpoint, cards in self.cards[model].items():
                for seed, card in zip(self.seeds, cards, strict=True):
                    yield model, seed, checkpoint, card
        for name, card in self.references.items():
            yield name, None, None, card

    @property
    def table(self) -> ComparisonTable:
        """The measures of all models beside the references."""
        return ComparisonTable(self.best_cards, self.references, self.losses)

    def __repr__(self) -> str:
        models, seeds = ", ".join(self.models), len(self.seeds)
        return f"Comparison of {models} (seeds: {seeds}): {self.recommendation.sentence}"

    def __rich__(self) -> Group:
        parts = [str(self.recommendation), *map(str, self.findings)]
        return Group(self.table, *map(Text, parts))

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.recommendation.sentence)}</p>{self.table._repr_html_()}"

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return {
            "folder": str(self.folder),
            "models": self.models,
            "seeds": self.seeds,
            "cards": {
                model: {name: [card.to_json() for card in cards] for name, cards in by_name.items()}
                for model, by_name in self.cards.items()
            },
            "references": {name: card.to_json() for name, card in self.references.items()},
            "facts": {name: [run.to_json() for run in runs] for name, runs in self.facts.items()},
            "matters": self.matters,
            "ignore": list(self.ignore),
            "tuning": {name: tuning.to_json() for name, tuning in self.tuning.items()},
            "losses": [asdict(loss) for loss in self.losses],
            "differences": [difference.to_json() for difference in self.differences],
            "findings": [asdict(found) | {"page": found.page} for found in self.findings],
            "recommendation": asdict(self.recommendation),
        }

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Return the comparison in a folder.

        RunError when there is none, or it is unfinished, or of another version.
        """
        path = Path(folder)
        file = ComparisonFolder(path).comparison
        stored = read_json(file)
        if not {"cards", "references", "facts"} <= stored.keys():
            msg = f"the comparison in {folder} is not finished: run its command again"
            raise RunError(msg)
        with of_this_version(file):
            return cls._from_json(path, stored)

    @classmethod
    def _from_json(cls, path: Path, stored: Mapping[str, Any]) -> Comparison:
        return cls(
            path,
            stored["models"],
            stored["seeds"],
            _cards(stored["cards"]),
            {name: Scorecard.from_json(card) for name, card in stored["references"].items()},
            {m: [RunFacts.from_json(run) for run in runs] for m, runs in stored["facts"].items()},
            stored["matters"],
            tuple(stored["ignore"]),
            {name: Tuning.from_json(own) for name, own in stored.get("tuning", {}).items()},
        )


def _cards(stored: Mapping[str, Mapping[Checkpoint, list[Any]]]) -> Scorecards:
    return {
        model: {name: [Scorecard.from_json(c) for c in cards] for name, cards in by_name.items()}
        for model, by_name in stored.items()
    }
