"""The report: one self-contained page that says what the scorecards say."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
import torch
from PIL import Image
from plotly.offline import get_plotlyjs

from pushforward.comparison.compare import Comparison, baseline
from pushforward.data import Dataset, read
from pushforward.errors import RunError
from pushforward.families.panels import Panel
from pushforward.files import write_json, write_tensors
from pushforward.measures import CAVEAT, Measurement, Scorecard
from pushforward.report import write_report
from pushforward.report.measures import scale
from pushforward.runs.folder import Folder, new_config
from pushforward.training.settings import Settings

EVIL = "<script>alert(1)</script>"
MODELS = ("vae", "gan")
# Values by model and seed: on `energy` gan is lower by about 0.2 on every seed, on `coverage`
# the differences change their sign.
VALUES = {
    "energy": {"vae": (0.31, 0.33, 0.32), "gan": (0.11, 0.12, 0.13)},
    "mmd": {"vae": (0.041, 0.043, 0.042), "gan": (0.021, 0.022, 0.0231)},
    "coverage": {"vae": (0.80, 0.90, 0.70), "gan": (0.85, 0.75, 0.80)},
}
YARDSTICKS = {"energy": (0.01, 0.5), "mmd": (0.001, 0.06), "coverage": (0.95, 0.4)}


class Page(HTMLParser):
    """What a reader sees of a page: tags with their attributes, tables, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.rows: list[list[tuple[str, str]]] = []  # of tables: (class, text)
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.tags.append((tag, own))
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append((own.get("class") or "", ""))

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

    def row(self, name: str) -> list[tuple[str, str]]:
        """Return the first table row whose head begins with a name."""
        return next(row for row in self.rows if row and row[0][1].strip().startswith(name))


def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            EVIL: rng.normal(size=80),
            "count": rng.integers(0, 50, 80),
            "kind": rng.choice(["a", "</script><b>bold</b>", "<i>c</i>"], 80),
        }
    )


def card(model: str, seed: int) -> Scorecard:
    better = {"coverage": "higher"}
    return Scorecard(
        {
            name: Measurement(
                name,
                own[model][seed],
                null=0.0 if name != "coverage" else 0.97,
                better="higher" if name in better else "lower",
                reading=f"{model} by {name}",
            )
            for name, own in VALUES.items()
        }
    )


def yardstick(which: int) -> Scorecard:
    first = card("vae", 0)
    return Scorecard(
        {
            name: Measurement(name, ends[which], better=first[name].better)
            for name, ends in YARDSTICKS.items()
        }
    )


def fabricate(folder: Path, data: Dataset, panels: Sequence[Panel] = ()) -> Comparison:
    """Write a folder as a comparison leaves it."""
    cards = {m: [card(m, seed) for seed in range(3)] for m in MODELS}
    both = {m: {"best": own, "final": own} for m, own in cards.items()}
    result = Comparison(folder, list(MODELS), [0, 1, 2], both, yardstick(0), yardstick(1))  # type: ignore[arg-type]
    about: dict[str, object] = {
        "data": data.name,
        "digest": data.digest,
        "notes": [],
        "condition": data.schema.condition and data.schema.condition.name,
        "rows": {name: len(index) for name, index in data.parts.items()},
    }
    write_json(folder / "comparison.json", about | result.to_json())
    for i, source in enumerate(("real", *MODELS, "floor")):
        rows, labels = baseline(data, 40, torch.Generator().manual_seed(i))
        tensors = {"rows": rows} | ({} if labels is None else {"labels": labels})
        write_tensors(folder / "samples" / f"{source}.safetensors", tensors)
    for model in MODELS:
        for seed in range(3):
            run = Folder(folder / "runs" / f"{model}-{seed}")
            settings = Settings("100 steps", seed)
            config = new_config(model, {}, asdict(settings), data) | {"steps": 100}
            run.open_or_create(config, data.schema)
            run.write_history(history())
            write_json(run.anatomy, [asdict(panel) for panel in panels])
    return result


def history() -> list[dict[str, object]]:
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


PANELS = (
    Panel("Bars", "bars", {"rate": [1.0, 2.0]}, ["z0", "z1"], note="<b>note</b>"),
    Panel("Lines", "lines", {"a": [1.0, 2.0], "b": [2.0, float("nan")]}, [1, 2]),
    Panel("Histogram", "histogram", {"a": [0.0, 1.0, 2.0]}),
    Panel("Table", "table", {"value": [0.12345]}, ["<b>row</b>"], "what"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison")
    fabricate(path, read(table()), PANELS)
    return path


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return write_report(folder).read_text().replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def figures(page: Page) -> list[go.Figure]:
    """Return the page's plots; plotly raises for a property that it does not know."""
    return [go.Figure(json.loads(s)) for s in page.scripts if s.lstrip().startswith('{"data"')]


def test_page_loads_nothing(text: str, page: Page) -> None:
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "@import" not in text
    assert "url(" not in text
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for _, own in page.tags:
        assert (own.get("src") or "data:").startswith("data:")
        assert (own.get("href") or "#").startswith("#")


def test_page_forbids_the_browser_to_load(page: Page) -> None:
    rules = [own["content"] for _, own in page.tags if "http-equiv" in own]
    assert len(rules) == 1
    assert (rules[0] or "").startswith("default-src 'none'")


def test_page_holds_plotly_once(folder: Path) -> None:
    assert write_report(folder).read_text().count(get_plotlyjs()) == 1


def test_links_lead_to_sections(page: Page) -> None:
    wanted = {(own["href"] or "")[1:] for tag, own in page.tags if tag == "a"}
    assert wanted <= {own.get("id") for _, own in page.tags}


def test_recommendation_is_on_the_page(folder: Path, page: Page) -> None:
    recommendation = Comparison.load(folder).recommendation
    assert recommendation.model == "gan"
    assert recommendation.sentence in page.text
    for line in recommendation.evidence:
        assert line in page.text


def test_markup_in_the_data_stays_text(text: str, page: Page) -> None:
    assert EVIL not in text
    assert "</script><b>" not in text
    assert EVIL in page.text
    assert not any("alert(1)" in script and "u003c" not in script for script in page.scripts)
    assert not any(tag in {"b", "i"} for tag, _ in page.tags)


def test_plots_are_valid_and_escape_tags(page: Page) -> None:
    found = figures(page)
    assert len(found) > 10
    names = {str(name) for f in found for t in f.data if t.type == "bar" for name in (t.y or ())}
    assert "&lt;i&gt;c&lt;/i&gt;" in names


def test_every_plot_has_words_for_it(page: Page) -> None:
    plots = [own for tag, own in page.tags if tag == "div" and own.get("class") == "plot"]
    assert len(plots) == len(figures(page))
    assert all(own["role"] == "img" and own["aria-label"] for own in plots)
    assert all(own.get("alt") for tag, own in page.tags if tag == "img")
    assert all("scope" in own for tag, own in page.tags if tag == "th")


def test_best_is_bold_only_where_the_difference_is_real(page: Page) -> None:
    for name in ("energy", "mmd"):
        _, vae, gan, *_ = page.row(name)
        assert (vae[0], gan[0]) == ("", "best")
    assert [kind for kind, _ in page.row("coverage")[1:3]] == ["", ""]


@pytest.mark.parametrize("name", VALUES)
def test_table_shows_the_means_of_the_scorecards(page: Page, name: str) -> None:
    _, *models, null, floor, ceiling, _ = page.row(name)
    for model, (_, shown) in zip(MODELS, models, strict=True):
        value = float(shown.split("±")[0])
        assert value == pytest.approx(fmean(VALUES[name][model]), rel=0.02)
    assert float(null[1]) == pytest.approx(0.97 if name == "coverage" else 0.0)
    assert float(ceiling[1]) == pytest.approx(YARDSTICKS[name][0], rel=0.05)
    assert float(floor[1]) == pytest.approx(YARDSTICKS[name][1], rel=0.05)


def test_margin_is_half_of_students_interval(page: Page) -> None:
    shown = page.row("energy")[1][1]
    assert shown.split() == ["0.320", "±", "0.025"]  # 4.303 * 0.01 / sqrt(3) = 0.0248


def test_forest_divides_by_the_measures_scale(page: Page) -> None:
    forest = next(f for f in figures(page) if "vae better" in (f.layout.xaxis.title.text or ""))
    found = {y: x for t in forest.data for x, y in zip(t.x, t.y, strict=True)}
    assert found["energy"] == pytest.approx(0.2 / (0.5 - 0.01), rel=1e-4)
    assert found["coverage"] == pytest.approx(0.0, abs=1e-9)
    assert {t.name for t in forest.data} == {"gan better", "no real difference"}


def test_costs_are_means_over_seeds(page: Page) -> None:
    shown = [text.strip() for _, text in page.row("vae")]
    if shown[1] != "10.0 s":
        rows = [[t.strip() for _, t in row] for row in page.rows]
        shown = next(row for row in rows if row[0] == "vae" and "10.0 s" in row)
    assert shown == ["vae", "10.0 s", "100", "6,400", "640", "1,234", "3 MiB"]


def test_commands_repeat_the_comparison(page: Page) -> None:
    assert "--models vae,gan --seeds 3 --budget '100 steps'" in page.text
    line = "pf.fit('data frame', 'gan', budget='100 steps', seed=2, precision='float32')"
    assert line in page.text.replace(read(table()).name, "data frame")


def test_an_unfinished_comparison_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "comparison.json", {"digest": "0"})
    with pytest.raises(RunError, match="not finished"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_report_goes_where_it_is_asked_to(folder: Path, tmp_path: Path) -> None:
    assert write_report(folder, tmp_path / "page.html") == tmp_path / "page.html"


def images() -> Dataset:
    rng = np.random.default_rng(0)
    return read(rng.integers(0, 256, (60, 8, 8)).astype(np.uint8))


def pixels(url: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    raw = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(raw)))


def test_grids_show_the_pixels_enlarged(tmp_path: Path) -> None:
    data = images()
    fabricate(tmp_path, data)
    shown = [o["src"] for t, o in Page(write_report(tmp_path).read_text()).tags if t == "img"]
    assert len(shown) == 4  # real, both models, the floor
    grid = pixels(shown[0] or "")
    rows, _ = baseline(data, 40, torch.Generator().manual_seed(0))
    second = rows[1, 0].numpy().repeat(5, 0).repeat(5, 1)
    assert np.array_equal(grid[:40, 42:82, 0], second)
    assert np.all(grid[:40, 40:42, 3] == 0)


def cloud(d: int) -> Callable[[], Dataset]:
    return lambda: read(np.random.default_rng(0).normal(size=(60, d)))


@pytest.mark.parametrize("make", [cloud(2), cloud(5), lambda: read("ring")])
def test_arrays_are_scattered(tmp_path: Path, make: Callable[[], Dataset]) -> None:
    fabricate(tmp_path, make())
    found = figures(Page(write_report(tmp_path).read_text()))
    clouds = [
        f for f in found if f.data and f.data[-1].mode == "markers" and len(f.data[-1].x) == 40
    ]
    assert len(clouds) == 4


def test_scale_runs_from_the_worst_to_the_ceiling(tmp_path: Path) -> None:
    result = fabricate(tmp_path, read(table()))
    found = scale("coverage", result)
    assert found is not None
    assert (found.place(-0.4), found.place(-0.95)) == (0.0, 1.0)
    result.ceiling = yardstick(1)
    assert scale("coverage", result) is None


def test_the_privacy_panel_says_what_the_scorecards_say(folder: Path, tmp_path: Path) -> None:
    without = Page(write_report(folder).read_text())
    assert "privacy" not in {own.get("id") for _, own in without.tags}
    made = fabricate(tmp_path, read(table())).to_json()
    shares = {"vae": (0.01, 0.0, 0.0246), "gan": (0.5, 0.45, 0.55)}
    for model, (value, low, high) in shares.items():
        for own in made["cards"][model]["best"]:
            found = Measurement("exact_matches", value, low, high, null=0.005, unit="share")
            own["exact_matches"] = found.to_json()
    about = json.loads((tmp_path / "comparison.json").read_text())
    write_json(tmp_path / "comparison.json", about | made)
    page = Page(write_report(tmp_path).read_text())
    head, vae, gan, null = page.row("exact matchesgenerated")
    assert [kind for kind, _ in (vae, gan)] == ["", "alarm"]
    assert vae[1] == "1.0 %0 – 2.5"
    assert gan[1] == "50.0 %45.0 – 55.0"
    assert (head[1], null[1]) == ("exact matchesgenerated rows that equal a training row", "0.50 %")
    named = "gan gives training rows away, by exact matches: treat what it generates as you do"
    assert page.text.count(named) == 2, "beside the recommendation, and in the panel"
    assert "vae: none of these measures finds training rows" in page.text
    assert CAVEAT in page.text
