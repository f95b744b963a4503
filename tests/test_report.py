"""The report: one self-contained page that says what the scorecards say."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image
from plotly.offline import get_plotlyjs

import pushforward as pf
from comparisons import (
    CEILING,
    FLOOR,
    MARKUP,
    MODELS,
    NULL,
    VALUES,
    Page,
    fabricate,
    orders,
    scorecard,
)
from pushforward.comparison.references import floor_rows
from pushforward.comparison.result import Comparison
from pushforward.data import Dataset, read
from pushforward.errors import RunError
from pushforward.families.panels import Panel
from pushforward.files import read_json, write_json
from pushforward.measures import CAVEAT, Measurement
from pushforward.report import reproduce, write_report
from pushforward.report.folder import read_folder

SECTIONS = {
    "losses",
    "differences",
    "measures",
    "samples",
    "training",
    "anatomy",
    "cost",
    "reproduce",
}

PANELS = (
    Panel("Bars", "bars", {"rate": [1.0, 2.0]}, ["z0", "z1"], note="<b>note</b>"),
    Panel("Lines", "lines", {"a": [1.0, 2.0], "b": [2.0, float("nan")]}, [1, 2]),
    Panel("Histogram", "histogram", {"a": [0.0, 1.0, 2.0]}),
    Panel("Map", "map", {"a": [[0.0, 1.0], [2.0, 1.0]], "prior": [[1.0] * 2] * 2}, [0.0, 1.0]),
    Panel("Table", "table", {"value": [0.12345]}, ["<b>row</b>"], "what"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, table = (
        tmp_path_factory.mktemp("comparison"),
        tmp_path_factory.mktemp("data") / "t.parquet",
    )
    orders().write_parquet(table)
    fabricate(path, read(table), PANELS)
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
    targets = {(own["href"] or "")[1:] for tag, own in page.tags if tag == "a"}
    assert targets <= page.ids


def test_recommendation_is_on_the_page(folder: Path, page: Page) -> None:
    recommendation = Comparison.load(folder).recommendation
    assert recommendation.model == "gan"
    assert recommendation.sentence in page.text


def test_markup_in_the_data_stays_text(text: str, page: Page) -> None:
    assert MARKUP not in text
    assert "</script><b>" not in text
    assert MARKUP in page.text
    assert not any("alert(1)" in script and "u003c" not in script for script in page.scripts)
    assert not any(tag in {"b", "i"} for tag, _ in page.tags)


def test_plots_are_valid_and_escape_tags(page: Page) -> None:
    plots = figures(page)
    assert len(plots) > 10
    names = {
        str(name) for plot in plots for t in plot.data if t.type == "bar" for name in (t.y or ())
    }
    assert "&lt;i&gt;c&lt;/i&gt;" in names


def test_every_plot_has_words_for_it(page: Page) -> None:
    plots = [own for tag, own in page.tags if tag == "div" and own.get("class") == "plot"]
    assert len(plots) == len(figures(page))
    assert all(own["role"] == "img" and own["aria-label"] for own in plots)
    assert all(own.get("alt") for tag, own in page.tags if tag == "img")
    assert all("scope" in own for tag, own in page.tags if tag == "th")


def _is_measure(row: list[tuple[str, str]], name: str) -> bool:
    """Whether a row is a measure's: that of an aspect of the same name has no values."""
    return len(row) > 1 and bool(re.match(rf"{name}[↓↑→]", row[0][1]))


@pytest.mark.parametrize("name", VALUES)
def test_table_shows_the_means_of_the_scorecards(page: Page, name: str) -> None:
    _, *models, null, floor, ceiling = next(row for row in page.rows if _is_measure(row, name))
    for model, (_, shown) in zip(MODELS, models, strict=True):
        value = float(shown.split("±")[0])
        assert value == pytest.approx(fmean(VALUES[name][model]), rel=0.02)
    assert float(null[1]) == pytest.approx(NULL[name])
    assert float(ceiling[1]) == pytest.approx(CEILING[name], rel=0.05)
    assert float(floor[1]) == pytest.approx(FLOOR[name], rel=0.05)


def test_margin_is_half_of_students_interval(page: Page) -> None:
    shown = page.row("energy")[1][1]
    assert shown.split() == ["0.320", "±", "0.025"]  # 4.303 * 0.01 / sqrt(3) = 0.0248


def loss(name: str, value: float) -> float:
    """The loss of a value by its definition; all of the made-up ones lie between 0 and 2."""
    return (value - CEILING[name]) / (FLOOR[name] - CEILING[name])


def styles(page: Page, kind: str) -> list[dict[str, float]]:
    """The positions, in percent, of all elements of a class, in the order of the page."""
    shown = [own["style"] or "" for _, own in page.tags if own.get("class") == kind]
    return [{key: float(v) for key, v in re.findall(r"(\w+): ([\d.]+)%", style)} for style in shown]


def test_dots_lie_at_the_losses(page: Page) -> None:
    dots = [dot["left"] for dot in styles(page, "dot")][: 2 * len(VALUES)]
    means = [fmean(loss(name, v) for v in VALUES[name][m]) for name in VALUES for m in MODELS]
    assert dots == pytest.approx([100 * mean for mean in means], abs=0.006)


def test_intervals_are_drawn_as_stated_but_not_below_zero(folder: Path, page: Page) -> None:
    lines = styles(page, "interval")[: 2 * len(VALUES)]
    by_key = {(own.measure, own.model): own for own in Comparison.load(folder).losses}
    stated = [by_key[name, model] for name in VALUES for model in MODELS]
    lows, highs = ([getattr(own, end) for own in stated] for end in ("low", "high"))
    assert min(lows) < 0, "a test of something"
    assert [line["left"] for line in lines] == pytest.approx(
        [100 * max(low, 0) for low in lows], abs=0.006
    )
    assert [line["left"] + line["width"] for line in lines] == pytest.approx(
        [100 * high for high in highs], abs=0.011
    )


def test_every_mark_of_the_losses_has_words(folder: Path, page: Page) -> None:
    labels = [
        o["aria-label"] or "" for _, o in page.tags if o.get("class") == "track" and "role" in o
    ]
    assert len(labels) == len(VALUES)
    for own in Comparison.load(folder).losses:
        words = next(text for text in labels if f" {own.measure}:" in text)
        assert f"{own.model} {own.mean:.2f} (" in words


def report_of(changed: dict[str, Any], folder: Path) -> str:
    """The report of a fabricated comparison after changes."""
    stored = json.loads((folder / "comparison.json").read_text())
    write_json(folder / "comparison.json", stored | changed)
    return write_report(folder).read_text()


def test_the_reference_is_hollow_and_the_axis_reaches_it(tmp_path: Path) -> None:
    made = fabricate(tmp_path, read(orders())).to_json()
    trees = {"energy": 0.25, "mmd": 0.08, "coverage": 0.95}  # by mmd worse than the floor
    made["references"]["cart"] = scorecard(**trees).to_json()
    page = Page(report_of(made, tmp_path))
    lefts = [dot["left"] for dot in styles(page, "dot hollow")]
    ratios = [loss(name, value) for name, value in trees.items()]
    expected = [100 * (r if r <= 1 else 1 + np.log(r)) / 1.75 for r in ratios]
    assert lefts == pytest.approx(expected, abs=0.006), "the axis ends at 1.75"


def test_measures_without_a_vote_stand_apart(tmp_path: Path) -> None:
    made = fabricate(tmp_path, read(orders())).to_json()
    # By mmd, floor and ceiling differ by less than two standard errors (5e-4 each, twice over).
    made["references"]["floor"]["measures"]["mmd"]["value"] = CEILING["mmd"] + 1e-3
    text = report_of(made, tmp_path)
    _, silent = text.split('<section class="silent">')
    assert "Losses by mmd" in silent
    assert "Losses by energy" not in silent
    assert "PF102" in text.split('id="losses"')[0]


def test_differences_are_those_of_the_comparison(folder: Path, page: Page) -> None:
    for own in Comparison.load(folder).differences:
        row = next(r for r in page.rows if r and r[0][1] == own.aspect and len(r) > 2)
        better, numbers, p = (text.strip() for _, text in row[1:4])
        assert better == (own.better or "not told apart")
        mean, low, high = re.findall(r"−?\d(?:\.\d\d)?", numbers)
        assert [float(v.replace("−", "-")) for v in (mean, low, high)] == pytest.approx(
            [own.mean, own.low, own.high], abs=0.005
        )
        assert (p == "< 0.001") == (own.p_value < 0.001)


def test_differences_lie_on_an_axis_whose_middle_is_zero(folder: Path, page: Page) -> None:
    own = Comparison.load(folder).differences
    reach = 1.05 * max(abs(end) for d in own for end in (d.low, d.high))
    expected = [50 + 50 * d.mean / reach for d in own]
    dots = [dot["left"] for dot in styles(page, "dot")][2 * len(VALUES) :]
    assert dots == pytest.approx(expected, abs=0.006)


def test_findings_stand_above_the_losses_and_vetoes_apart(tmp_path: Path) -> None:
    made = fabricate(tmp_path, read(orders())).to_json()
    for run in made["facts"]["vae"]:
        run |= {"steps": 40, "foreseen_steps": 40, "checks": [], "distances": []}  # vetoes
    for run in made["facts"]["gan"]:
        run |= {"rate": 0.01}  # does not
    text = report_of(made, tmp_path)
    codes = [own.code for own in Comparison.load(tmp_path).findings]
    assert codes == ["PF201", "PF205"]
    top = text.split('id="losses"')[0]
    assert [top.count(code) for code in codes] == [2, 2], "the code, and its page in the docs"
    veto, note = (top.rindex("<li", 0, top.index(f">{code}<")) for code in codes)
    assert top[veto:].startswith('<li class="veto">')
    assert top[note:].startswith("<li>")


def test_costs_are_means_over_seeds(page: Page) -> None:
    shown = [text.strip() for _, text in page.row("vae")]
    if shown[1] != "10.0 s":
        rows = [[t.strip() for _, t in row] for row in page.rows]
        shown = next(row for row in rows if row[0] == "vae" and "10.0 s" in row)
    assert shown == ["vae", "10.0 s", "100", "6,400", "640", "1,234", "3 MiB"]


def test_commands_repeat_the_comparison(page: Page) -> None:
    assert "--models vae,gan --seeds 3 --budget '100 steps'" in page.text
    line = r"pf.fit('\S+/t.parquet', 'gan', budget='100 steps', seed=2, precision='float32')"
    assert re.search(line.replace("(", r"\(").replace(")", r"\)"), page.text)


def test_an_unfinished_comparison_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "comparison.json", {"digest": "0"})
    with pytest.raises(RunError, match="not finished"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("lacking", ["reading", "matters", "models"])
def test_a_comparison_of_an_earlier_version_is_refused(
    lacking: str, folder: Path, tmp_path: Path
) -> None:
    stored = read_json(folder / "comparison.json")
    write_json(tmp_path / "comparison.json", {n: v for n, v in stored.items() if n != lacking})
    (tmp_path / "runs").symlink_to(folder / "runs")
    with pytest.raises(RunError, match=f"another version.*{lacking}"):
        write_report(tmp_path)


BROWSER = shutil.which("chromium")
FLAGS = ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
         "disable-component-update", "disable-sync", "disable-quic", "virtual-time-budget=9000",
         "dump-dom")  # fmt: skip


UNBROKEN = "name_" * 20


def long_names(folder: Path) -> Dataset:
    """A table whose file and one of whose columns have a name without a space."""
    table = folder / f"{UNBROKEN}.parquet"
    orders().rename({"count": UNBROKEN}).write_parquet(table)
    return read(table)


def wide_images(_: Path) -> Dataset:
    """Images of classes with such a name."""
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 200)).astype(np.uint8)
    return read(x, labels=np.array(["a", UNBROKEN])[np.arange(60) % 2])


@pytest.mark.skipif(BROWSER is None, reason="needs the browser chromium")
@pytest.mark.parametrize("make", [long_names, wide_images])
def test_a_phone_does_not_scroll_the_page_sideways(
    make: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    fabricate(tmp_path / "made", make(tmp_path), PANELS, example_rows=True)
    tell = (
        "<script>onload = () => { const { scrollWidth, clientWidth } = document.documentElement;"
        "parent.postMessage(scrollWidth - clientWidth, '*') }</script></body>"
    )
    html = write_report(tmp_path / "made").read_text()
    (tmp_path / "page.html").write_text(tell.join(html.rsplit("</body>", 1)))
    (tmp_path / "phone.html").write_text(
        "<iframe src=page.html style='width: 400px; height: 800px; border: 0'></iframe>"
        "<script>onmessage = e => document.body.append(`hidden: ${e.data}`)</script>"
    )
    flags = [f"--{flag}" for flag in (*FLAGS, f"user-data-dir={tmp_path / 'user'}")]
    command = [str(BROWSER), *flags, (tmp_path / "phone.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.findall(r"hidden: (\d+)", shown) == ["0"]


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
    fabricate(tmp_path, data, example_rows=True)
    shown = [o["src"] for t, o in Page(write_report(tmp_path).read_text()).tags if t == "img"]
    assert len(shown) == 4  # real, both models, the floor
    grid = pixels(shown[0] or "")
    rows, _ = floor_rows(data, 40, torch.Generator().manual_seed(0))
    second = rows[1, 0].numpy().repeat(7, 0).repeat(7, 1)
    assert np.array_equal(grid[:56, 58:114, 0], second)
    assert np.all(grid[:56, 56:58, 3] == 0)


def cloud(d: int) -> Callable[[], Dataset]:
    return lambda: read(np.random.default_rng(0).normal(size=(60, d)))


@pytest.mark.parametrize("make", [cloud(2), cloud(5), lambda: read("ring")])
def test_arrays_are_scattered(tmp_path: Path, make: Callable[[], Dataset]) -> None:
    fabricate(tmp_path, make())
    plots = figures(Page(write_report(tmp_path).read_text()))
    clouds = [
        f for f in plots if f.data and f.data[-1].mode == "markers" and len(f.data[-1].x) == 40
    ]
    assert len(clouds) == 4


def test_the_privacy_panel_says_what_the_scorecards_say(folder: Path, tmp_path: Path) -> None:
    without = Page(write_report(folder).read_text())
    assert "privacy" not in without.ids
    made = fabricate(tmp_path, read(orders())).to_json()
    shares = {"vae": (0.01, 0.0, 0.0246, 0.3), "gan": (0.5, 0.45, 0.55, 0.001)}
    for model, (value, low, high, p) in shares.items():
        measurement = Measurement(
            "exact_matches", value, low, high, null=0.005, p_value=p, unit="share"
        )
        for card in made["cards"][model]["best"]:
            card["measures"]["exact_matches"] = measurement.to_json()
    text = report_of(made, tmp_path)
    page = Page(text)
    _, vae, gan, null = page.row("exact matchesgenerated")
    assert [kind for kind, _ in (vae, gan)] == ["", "alarm"]
    assert vae[1] == "1.0 %0 – 2.5"
    assert gan[1] == "50.0 %45.0 – 55.0"
    assert null[1] == "0.50 %"
    top, panel = text.split('<section id="privacy">')
    assert "PF401" in top
    assert "gan leaks training rows, by exact matches." in panel
    assert "vae leaks" not in page.text
    assert "privacy" in page.ids
    assert CAVEAT in page.text


def test_the_privacy_panel_shows_rates_and_groups_of_the_attacks(tmp_path: Path) -> None:
    made = fabricate(tmp_path, read(orders())).to_json()
    for model, found in (("vae", 0.0125), ("gan", 0.25)):
        extra: dict[str, Any] = {
            "true_positive_rate": {"0.1 %": found / 2, "1 %": found},
            "guessing": {"0.1 %": 0.001, "1 %": 0.011},
            "apart": {"outliers": {"auc": 0.5 + found, "low": 0.45, "high": 0.55 + found}},
        }
        measurement = Measurement("membership_inference", 0.5, 0.48, 0.52, null=0.5, extra=extra)
        for card in made["cards"][model]["best"]:
            card["measures"]["membership_inference"] = measurement.to_json()
    page = Page(report_of(made, tmp_path))
    row = page.row("found at 1 % false alarms")
    assert [text for _, text in row[1:]] == ["1.25 %", "25.00 %", "1.10 %"]
    assert page.row("found at 0.1 % false alarms")[2][1] == "12.50 %"
    assert page.row("outliers")[2][1] == "0.750.45 – 0.80"
    assert "a category that at most 1 %" not in page.text


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> pf.Comparison:
    """A real comparison, small."""
    out = tmp_path_factory.mktemp("tiny")
    rows = pf.read("ring").raw("train")[:600]
    return pf.compare(rows, ["vae", "gan"], seeds=2, budget="20 steps", out=out, width=16)


def test_the_report_of_a_real_comparison_is_whole(tiny: pf.Comparison) -> None:
    page = Page(tiny.report().read_text().replace(get_plotlyjs(), ""))
    assert page.ids >= SECTIONS
    attributes = [value or "" for _, own in page.tags for value in own.values()]
    for text in (page.text, *attributes, *page.scripts):
        assert not re.search(r"\b(None|nan|NaN|Infinity)\b", text)
    assert len(figures(page)) >= 10


@pytest.mark.usefixtures("few_codes")
def test_the_reports_python_lines_give_the_same_numbers(tmp_path: Path) -> None:
    options = {"gan": {"width": 24}}
    first = pf.compare(
        orders(200), ["vae", "gan"], seeds=[1], budget=20, out=tmp_path / "a", condition="kind",
        measures=["energy"], options=options, width=16, batch_size=32,
    )  # fmt: skip
    lines = reproduce.script(read_folder(first.folder)).replace("runs/a", str(tmp_path / "b"))
    names: dict[str, Any] = {}
    exec(lines, {"data": orders(200)}, names)
    assert names["result"].folder == tmp_path / "b"
    assert names["result"].frame().equals(first.frame())


@pytest.mark.parametrize(
    ("seeds", "flag", "argument"),
    [([0, 1, 2], "--seeds 3 ", "seeds=3,"), ([4, 1], "--seeds 4,1 ", "seeds=[4, 1],"),
     ([5], "--seeds 5, ", "seeds=[5],")],
)  # fmt: skip
def test_seeds_are_given_as_a_number_or_one_by_one(
    folder: Path, seeds: list[int], flag: str, argument: str
) -> None:
    contents = read_folder(folder)
    contents.comparison.seeds = seeds
    assert flag in reproduce.command(contents)
    assert argument in reproduce.script(contents)


def test_rows_of_a_table_are_shown_only_if_they_were_asked_for(
    folder: Path, page: Page, tmp_path: Path
) -> None:
    assert "--example-rows" in page.text
    assert not [own for tag, own in page.tags if own.get("class") == "raw"]
    fabricate(tmp_path, read(orders()), example_rows=True)
    shown = Page(write_report(tmp_path).read_text())
    tables = [own for tag, own in shown.tags if tag == "table" and own.get("class") == "raw"]
    assert len(tables) == 1 + len(MODELS)
    kept = json.loads((tmp_path / "samples" / "real.json").read_text())["examples"]
    assert kept in [[[text for _, text in row] for row in shown.rows[i : i + 8]]
                    for i in range(len(shown.rows))]  # fmt: skip
