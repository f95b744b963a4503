"""Models x seeds x measures under equal conditions; of a model it sees only samples.

Every model gets the same split, encoding, batch size, budget, seeds and number of trials (one:
its defaults, or the options given). Checkpoints are selected on validation, measured on test.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.comparison.decide import (
    Difference,
    Recommendation,
    beside_floor,
    beside_privacy,
    differences,
    recommend,
)
from pushforward.data import Dataset, read
from pushforward.errors import ModelError, RunError, nearest
from pushforward.files import read_json, write_json, write_tensors
from pushforward.measures import Scorecard, Scorer
from pushforward.models import find
from pushforward.runs import Checkpoint, Fitted
from pushforward.sampling.request import SampleRequest
from pushforward.training.fit import fit
from pushforward.training.settings import Settings

MODELS = ("vae", "gan")
TEST_ROWS = 3000  # real and generated rows that are measured, at most
SHOWN = 100  # rows of each source that are kept for the report
POINTS = 2000  # ... for points in the plane
GAUSSIAN_ROWS = 5000  # training rows that the Gaussian floor is fitted to, at most
PLANE = 120  # the true density in the plane is drawn on so many points a side

Rows = tuple[Tensor, Tensor | None]  # encoded rows, and their labels
Told = Callable[[str, Mapping[str, Any]], None]  # what is being done, and the loop's record


@dataclass
class Comparison:
    """What a comparison found.

    Args:
        folder: where everything lies.
        models: the models, in the order given.
        seeds: the seeds.
        cards: scorecards by model and checkpoint, one a seed.
        ceiling: real rows (validation) against the test rows: as good as it gets.
        floor: independent columns (tables) or a Gaussian fit (others): what anyone can do.
        found: differences between models by every measure.
        recommendation: which to use, and why.
    """

    folder: Path
    models: list[str]
    seeds: list[int]
    cards: dict[str, dict[Checkpoint, list[Scorecard]]]
    ceiling: Scorecard
    floor: Scorecard
    found: list[Difference] = field(default_factory=list)
    recommendation: Recommendation = field(default_factory=lambda: Recommendation(None, "", ()))

    def __post_init__(self) -> None:
        self.found = differences({m: self.cards[m]["best"] for m in self.models})
        told = recommend(self.found, self.models, len(self.seeds))
        beside = [beside_floor(m, self.cards[m]["best"], self.floor) for m in self.models]
        beside += [beside_privacy(m, self.cards[m]["best"]) for m in self.models]
        evidence = (*told.evidence, *(line for line in beside if line is not None))
        self.recommendation = replace(told, evidence=evidence)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report as one HTML file (by default `report.html` in the folder)."""
        from pushforward.report import write_report

        return write_report(self.folder, path)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return {
            "folder": str(self.folder),
            "models": self.models,
            "seeds": self.seeds,
            "cards": {
                model: {name: [card.to_json() for card in cards] for name, cards in own.items()}
                for model, own in self.cards.items()
            },
            "ceiling": self.ceiling.to_json(),
            "floor": self.floor.to_json(),
            "differences": [asdict(difference) for difference in self.found],
            "recommendation": asdict(self.recommendation),
        }

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Return the comparison that a folder holds; RunError when it holds none."""
        data = read_json(Path(folder) / "comparison.json")
        if "cards" not in data:
            msg = f"the comparison in {folder} is not finished: run its command again"
            raise RunError(msg)
        cards = {
            model: {name: [Scorecard.from_json(c) for c in own[name]] for name in own}
            for model, own in data["cards"].items()
        }
        ceiling, floor = Scorecard.from_json(data["ceiling"]), Scorecard.from_json(data["floor"])
        return cls(Path(folder), data["models"], data["seeds"], cards, ceiling, floor)


def compare(
    data: Any,
    models: Sequence[str] = MODELS,
    *,
    seeds: int = 3,
    out: str | Path | None = None,
    condition: str | None = None,
    device: str = "auto",
    told: Told | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **keywords: Any,
) -> Comparison:
    """Train every model on every seed, measure all with the same measures, recommend one.

    Args:
        data: as `fit` takes it.
        models: names from `pushforward models`.
        seeds: how many; 0, 1, ... are used. Fewer than 2 allow no recommendation.
        out: a folder; runs that are already there are reused. A temporary one by default.
        condition: the column or labels to condition on.
        device: "auto", "cpu", "cuda", ...
        told: called with what is being done and the loop's record.
        options: a model's own options, by model.
        **keywords: how to train (`budget`, `batch`, `ema`, `clip`, `rate`), the same for all, and
            options that go to every model that has them (at least one must).

    Raises:
        DataError, ModelError: the data, a model or an option do not fit.
        RunError: the folder holds a comparison on other data, or training failed.

    """
    dataset = data if isinstance(data, Dataset) else read(data, condition=condition)
    settings = {k: keywords.pop(k) for k in Settings.__dataclass_fields__ if k in keywords}
    each = share_options(models, keywords, options or {})
    if seeds < 1:
        msg = f"seeds must be at least 1, got {seeds}"
        raise ModelError(msg)
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="pushforward-"))
    _claim(folder, dataset)
    bench = Bench(dataset, folder, device, told or (lambda _what, _record: None))
    cards: dict[str, dict[Checkpoint, list[Scorecard]]] = {m: {} for m in models}
    for seed in range(seeds):
        for model in models:
            fitted = bench.fit(model, Settings(**(settings | {"seed": seed})), each[model])
            for checkpoint, card in bench.score(fitted, model, seed).items():
                cards[model].setdefault(checkpoint, []).append(card)
    ceiling, floor = bench.yardsticks()
    result = Comparison(folder, list(models), list(range(seeds)), cards, ceiling, floor)
    write_json(folder / "comparison.json", _about(dataset) | result.to_json())
    return result


def share_options(
    models: Sequence[str], shared: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return each model's options: the shared ones that it has, and its own.

    ModelError when a model is named twice, or an option fits no model.
    """
    known = {model: find(model).options() for model in models}
    if len(known) < len(models) or not models:
        msg = f"name each model once, and at least one; got {', '.join(models) or 'none'}"
        raise ModelError(msg)
    for name in shared:
        if not any(name in options for options in known.values()):
            every = {option for options in known.values() for option in options}
            msg = f"no model here has an option {name!r}: {nearest(name, every)}"
            raise ModelError(msg)
    for model in own:
        if model not in known:
            msg = f"options for {model!r}, which is not compared: {nearest(model, known)}"
            raise ModelError(msg)
    return {
        model: {n: v for n, v in shared.items() if n in known[model]} | dict(own.get(model, {}))
        for model in models
    }


def _about(data: Dataset) -> dict[str, Any]:
    """Return what the report says of the data."""
    return {
        "data": data.name,
        "digest": data.digest,
        "kind": data.schema.kind,
        "notes": list(data.notes),
        "rows": data.sizes,
        "condition": data.schema.condition and data.schema.condition.name,
    }


def _claim(folder: Path, data: Dataset) -> None:
    """Make the folder this comparison's; RunError when it holds another data set's."""
    path = folder / "comparison.json"
    if path.exists():
        found = read_json(path)
        if found.get("digest") != data.digest:
            msg = (
                f"{folder} holds a comparison on other data ({found.get('data')}); "
                "name another folder, or delete this one"
            )
            raise RunError(msg)
        return
    write_json(path, _about(data))


class Bench:
    """Where models are trained and measured under equal conditions."""

    def __init__(self, data: Dataset, folder: Path, device: str, told: Told) -> None:
        self.data, self.folder, self.device, self.told = data, folder, device, told
        self.test = _first(data.part("test"), TEST_ROWS)
        self._scorer: Scorer | None = None

    @property
    def scorer(self) -> Scorer:
        """The measures, made once: for images they train an encoder on the training rows."""
        if self._scorer is None:
            self.told("preparing the measures", {})
            self._scorer = Scorer(self.data, copies=self.data.schema.kind == "table")
        return self._scorer

    def run_folder(self, model: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / "runs" / f"{model}-{seed}"

    def fit(self, model: str, settings: Settings, options: Mapping[str, Any]) -> Fitted:
        """Train one model on one seed, or take the run that is already there."""
        what = f"{model}, seed {settings.seed}"
        return fit(
            self.data,
            model,
            out=self.run_folder(model, settings.seed),
            device=self.device,
            progress=lambda record: self.told(what, record),
            **asdict(settings),
            **options,
        )

    def score(self, fitted: Fitted, model: str, seed: int) -> dict[Checkpoint, Scorecard]:
        """Measure both checkpoints of a run on test rows; kept in the run's folder."""
        path = self.run_folder(model, seed) / "scorecard.json"
        if path.exists():
            kept = read_json(path)
            return {name: Scorecard.from_json(kept[name]) for name in ("best", "final")}
        self.told(f"{model}, seed {seed}: measuring", {})
        cards: dict[Checkpoint, Scorecard] = {}
        for checkpoint in ("best", "final"):
            network = fitted.network(checkpoint)
            fake = SampleRequest(network, fitted.schema, len(self.test[0]), seed).draw()
            cards[checkpoint] = self.scorer.score(self.test, fake, seed=seed)
            if checkpoint == "best" and seed == 0:
                self.keep(model, fake)
        write_json(path, {name: card.to_json() for name, card in cards.items()})
        return cards

    def yardsticks(self) -> tuple[Scorecard, Scorecard]:
        """Return ceiling and floor."""
        path = self.folder / "yardsticks.json"
        if not path.exists():
            self.told("measuring ceiling and floor", {})
            # Validation rows: an encoder that was trained on the training rows knows those.
            ceiling = _first(self.data.part("validation"), len(self.test[0]))
            floor = baseline(self.data, len(self.test[0]), torch.Generator().manual_seed(0))
            cards = {"ceiling": ceiling, "floor": floor}
            self.keep("real", self.test)
            if self.data.schema.kind != "table":  # its values are those of training rows
                self.keep("floor", floor)
            found = {n: self.scorer.score(self.test, fake).to_json() for n, fake in cards.items()}
            write_json(path, found)
        kept = read_json(path)
        return Scorecard.from_json(kept["ceiling"]), Scorecard.from_json(kept["floor"])

    def keep(self, source: str, rows: Rows) -> None:
        """Keep some rows for the report: test rows and generated ones, never training rows."""
        plane = self.data.schema.space.shape == (2,) and self.data.schema.kind == "array"
        many = self.data.schema.kind == "table"
        shown, labels = _first(rows, TEST_ROWS if many else POINTS if plane else SHOWN)
        tensors = {"rows": shown} | ({} if labels is None else {"labels": labels})
        if plane and self.data.log_density is not None and source == "real":
            tensors |= _true_density(self.data, shown)
        write_tensors(self.folder / "samples" / f"{source}.safetensors", tensors)


def _first(rows: Rows, n: int) -> Rows:
    return rows[0][:n], None if rows[1] is None else rows[1][:n]


def _true_density(data: Dataset, rows: Tensor) -> dict[str, Tensor]:
    """Return the true density of points in the plane, on a grid around the rows."""
    assert data.log_density is not None
    raw = torch.as_tensor(data.schema.decode(rows)).double()
    low, high = raw.amin(0), raw.amax(0)
    margin = 0.08 * (high - low)
    x, y = (
        torch.linspace(float(low[i] - margin[i]), float(high[i] + margin[i]), PLANE).double()
        for i in range(2)
    )
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    density = data.log_density(points).exp().reshape(PLANE, PLANE)
    return {"density": density, "density_x": x, "density_y": y}


def baseline(data: Dataset, n: int, generator: torch.Generator) -> Rows:
    """Return what anyone can do: independent columns (tables), else a Gaussian fit.

    The Gaussian is exact without its covariance: mean + W Xc / sqrt(m - 1), W ~ N(0, I) of shape
    (n, m), has the covariance Xc' Xc / (m - 1) of the m centred training rows Xc.
    """
    rows, labels = data.part("train")
    drawn = torch.randint(len(rows), (n,), generator=generator)
    classes = None if labels is None else labels[drawn]
    if data.schema.kind == "table":
        columns = [_resampled(rows[:, j], n, generator) for j in range(rows.shape[1])]
        return torch.stack(columns, 1), classes
    x = data.schema.expand(rows[:GAUSSIAN_ROWS]).flatten(1)
    mean = x.mean(0)
    weights = torch.randn(n, len(x), generator=generator) / math.sqrt(max(len(x) - 1, 1))
    fake = (mean + weights @ (x - mean)).reshape(n, *data.schema.space.shape)
    return data.schema.quantise(fake, generator), classes


def _resampled(column: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return column[torch.randint(len(column), (n,), generator=generator)]
