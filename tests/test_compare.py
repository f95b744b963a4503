"""A comparison: equal conditions, kept runs, a folder of its own, ceiling and floor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch import Tensor

import pushforward as pf
from comparisons import CEILING, FLOOR, MODELS, RING, SEEDS, VALUES, Page, fabricate, orders
from pushforward.comparison import result as results
from pushforward.comparison.compare import compare, find_models, list_seeds, share_options
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.losses import WORST
from pushforward.comparison.references import floor_rows, gaussian_draws
from pushforward.comparison.result import Comparison
from pushforward.files import digest, read_tensors
from pushforward.measures import Measurement
from pushforward.models.gan import GAN

QUICK: dict[str, Any] = {"budget": 12, "latent": 4, "width": 32}
TWO = ["energy", "coverage"]  # measures that take little time


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compare") / "ring"
    return pf.compare(RING, ["vae", GAN], seeds=2, out=out, measures=TWO, **QUICK)


def stages(*args: Any, **keywords: Any) -> list[str]:
    """Compare, and return the stages that were announced."""
    seen: list[str] = []

    def progress(stage: str, record: Mapping[str, Any]) -> None:
        seen.append(stage)

    pf.compare(*args, progress=progress, **keywords)
    return list(dict.fromkeys(seen))


def weights(folder: Path) -> dict[str, str]:
    """Return a hash of each run's final weights."""
    files = folder.glob("runs/*/weights.safetensors")
    return {path.parent.name: digest(read_tensors(path)[0], "") for path in files}


def stamps(folder: Path) -> dict[str, int]:
    """Return when each run's final weights were written."""
    files = folder.glob("runs/*/weights.safetensors")
    return {path.parent.name: path.stat().st_mtime_ns for path in files}


def test_everything_is_there(compared: Comparison) -> None:
    assert {m: len(c["best"]) for m, c in compared.cards.items()} == {"vae": 2, "gan": 2}
    assert set(compared.ceiling) == set(compared.floor) == set(compared.cards["vae"]["final"][0])
    assert compared.recommendation.sentence


def test_all_runs_share_split_batch_budget_and_trunk(compared: Comparison) -> None:
    configs = [json.loads(p.read_text()) for p in (compared.folder / "runs").glob("*/config.json")]
    assert len(configs) == 4
    assert len({c["identity"]["data"] for c in configs}) == 1
    assert len({json.dumps(c["schedule"]) for c in configs}) == 1
    settings = [{**c["identity"]["settings"], "seed": 0} for c in configs]
    assert all(s == settings[0] for s in settings)
    decoder = pf.load(compared.folder / "runs" / "vae-0").model.get_submodule("decoder.trunk")
    generator = pf.load(compared.folder / "runs" / "gan-0").model.get_submodule("generator.trunk")
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (decoder, generator)]
    assert shapes[0] == shapes[1]


def test_the_ceiling_is_better_than_the_floor(compared: Comparison) -> None:
    """Eight Gaussians on a ring are far from a single Gaussian, by energy."""
    floor, ceiling = compared.floor["energy"], compared.ceiling["energy"]
    assert floor.p_value is not None
    assert floor.p_value < 0.02 < (ceiling.p_value or 0)
    assert floor.value > 5 * abs(ceiling.value)


def test_a_comparison_is_loaded_as_it_was(compared: Comparison) -> None:
    assert Comparison.load(compared.folder).to_json() == compared.to_json()


def test_a_finished_comparison_is_neither_trained_nor_measured_again(compared: Comparison) -> None:
    before = stamps(compared.folder)
    assert stages(RING, ["vae", "gan"], seeds=2, out=compared.folder, measures=TWO, **QUICK) == []
    assert stamps(compared.folder) == before


def test_more_seeds_reuse_the_runs(compared: Comparison) -> None:
    before = stamps(compared.folder)
    arguments: dict[str, Any] = {"out": compared.folder, "measures": TWO, **QUICK}
    again = stages(RING, ["vae", "gan"], seeds=[2, 1, 0], **arguments)
    assert not [stage for stage in again if "seed 0" in stage or "seed 1" in stage]
    assert {"vae, seed 2", "gan, seed 2"} <= set(again)
    after = stamps(compared.folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2
    assert Comparison.load(compared.folder).seeds == [2, 1, 0]


def test_the_sample_is_that_of_the_first_seed(compared: Comparison) -> None:
    path = ComparisonFolder(compared.folder).sample("vae")
    for seed in (1, 0):
        seeds = [seed, 1 - seed]
        pf.compare(RING, ["vae"], seeds=seeds, out=compared.folder, measures=TWO, **QUICK)
        fitted = pf.load(compared.folder / "runs" / f"vae-{seed}")
        kept = fitted.schema.decode(read_tensors(path)[0]["rows"])
        np.testing.assert_array_equal(kept, fitted.sample(240, seed=seed))  # as many as test rows


def test_a_lost_run_is_made_again(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, "measures": ["energy"], **QUICK}
    first = pf.compare(RING, ["vae"], **arguments)
    before = weights(tmp_path)
    for path in (tmp_path / "runs" / "vae-0").iterdir():
        path.unlink()
    again = pf.compare(RING, ["vae"], **arguments)
    assert weights(tmp_path) == before
    assert again.to_json() == first.to_json()


def test_a_folder_of_other_data_is_refused(compared: Comparison) -> None:
    with pytest.raises(pf.RunError, match="other data"):
        pf.compare("grid", ["vae"], seeds=1, out=compared.folder, budget=5)
    with pytest.raises(pf.RunError, match="another run"):
        pf.compare(RING, ["vae"], seeds=1, out=compared.folder, budget=5)


# Seeds and models.


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(2, [0, 1]), ([3, 1], [3, 1]), (np.arange(2), [0, 1]), (np.int64(1), [0]), (range(2), [0, 1])],
)
def test_seeds_are_a_number_or_a_sequence(seeds: Any, expected: list[int]) -> None:
    assert list_seeds(seeds) == expected


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1, 0], "3", [0.5], 2.5, None, ["a"]])
def test_other_seeds_are_refused(seeds: Any) -> None:
    with pytest.raises(pf.ModelError, match="seeds must"):
        list_seeds(seeds)


def test_seed_is_not_taken_for_seeds(tmp_path: Path) -> None:
    with pytest.raises(pf.ModelError, match=r"seeds=\[3\]"):
        pf.compare(RING, ["vae"], seed=3, out=tmp_path, budget=5)


@pytest.mark.parametrize("models", ["vae,gan", "vae", GAN])
def test_models_must_be_a_list(models: Any) -> None:
    with pytest.raises(pf.ModelError, match=r"must be a list, such as \["):
        find_models(models)


@pytest.mark.parametrize("models", [["vae", "vae"], ["gan", GAN], []])
def test_each_model_is_named_once(models: Any) -> None:
    with pytest.raises(pf.ModelError, match="each model once"):
        find_models(models)


@pytest.mark.parametrize("models", [["vea"], [object], [3], ["vae", None]])
def test_what_is_no_model_is_refused(models: Any) -> None:
    with pytest.raises(pf.ModelError):
        find_models(models)


class Shifted(GAN):
    """A user's own model: a GAN whose samples are shifted."""

    name: ClassVar[str] = "shifted"

    def __init__(
        self, *args: Any, shift: Annotated[float, "Added to each value."] = 5.0, **shared: Any
    ) -> None:
        super().__init__(*args, **shared)
        self.shift = shift

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().generate(z, c) + self.shift


def test_a_users_own_class_is_compared(tmp_path: Path) -> None:
    result = pf.compare(
        RING, ["gan", Shifted], seeds=2, out=tmp_path, measures=["energy"], shift=100.0, **QUICK
    )
    assert result.models == ["gan", "shifted"]
    energy = [[c["energy"].value for c in result.cards[m]["best"]] for m in result.models]
    assert min(energy[1]) > 10 * max(energy[0])
    assert f"['gan', '{__name__}:Shifted']" in Page(result.report().read_text()).text


LABELLED: dict[str, Any] = {
    "models": {"plain": "vae", "mixed": "vae"},
    "options": {"mixed": {"sampler": "mixture"}},
}


def test_one_model_is_compared_under_several_options(tmp_path: Path) -> None:
    """Labels are what everything is called; the networks of both are the same."""
    quick: dict[str, Any] = {"seeds": 1, "out": tmp_path, "measures": ["energy"], "trials": 2}
    seen = stages("ring", **LABELLED, **quick, **QUICK)
    assert {"plain, seed 0", "mixed, seed 0", "mixed, trial 2 of 2"} <= set(seen)
    result = Comparison.load(tmp_path)
    assert result.models == list(result.cards) == ["plain", "mixed"]
    assert list(result.tuning) == ["plain", "mixed"]
    assert result.cards["plain"]["best"][0] != result.cards["mixed"]["best"][0]
    runs = [pf.load(tmp_path / "runs" / f"{label}-0") for label in result.models]
    assert [run.config["identity"]["model"] for run in runs] == ["vae", "vae"]
    states = [run.states["final"] for run in runs]
    for name, weight in states[0].items():
        assert torch.equal(weight, states[1][name])
    page = Page(result.report().read_text()).text
    assert "{'plain': 'vae', 'mixed': 'vae'}" in page
    assert "--models plain=vae,mixed=vae" in page
    assert "'mixed': {" in page
    assert stages("ring", **LABELLED, **quick, **QUICK) == []  # all is kept


def test_a_label_stays_with_its_options(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"seeds": 1, "out": tmp_path, "measures": ["energy"], **QUICK}
    pf.compare(RING, {"mine": "vae"}, **quick)
    with pytest.raises(pf.RunError, match="another run: model is 'vae' there and 'gan' here"):
        pf.compare(RING, {"mine": "gan"}, **quick)
    with pytest.raises(pf.RunError, match="sampler is at its default there and 'kernel' here"):
        pf.compare(RING, {"mine": "vae"}, options={"mine": {"sampler": "kernel"}}, **quick)


@pytest.mark.parametrize("label", ["", "a b", "a/b", "../up", "floor", 3, None])
def test_what_cannot_name_a_folder_is_no_label(label: Any) -> None:
    with pytest.raises(pf.ModelError, match="cannot be called"):
        find_models({label: "vae"})


def test_options_of_a_label_are_checked() -> None:
    classes = find_models({"one": "vae", "two": "vae"})
    with pytest.raises(pf.ModelError, match="did you mean 'sampler'"):
        share_options(classes, {}, {"two": {"samplr": "flow"}})
    with pytest.raises(pf.ModelError, match=r"'vae', which is not compared: .*'one'"):
        share_options(classes, {}, {"vae": {"sampler": "flow"}})


def test_a_reference_is_no_models_name() -> None:
    with pytest.raises(pf.ModelError, match="'floor'"):
        find_models([type("Floor", (Shifted,), {"name": "floor"})])


def test_options_go_to_the_models_that_have_them() -> None:
    options = share_options(
        find_models(["vae", GAN]), {"beta": 2.0, "latent": 3}, {"gan": {"latent": 4}}
    )
    assert options == {"vae": {"beta": 2.0, "latent": 3}, "gan": {"latent": 4}}


@pytest.mark.parametrize(
    ("shared", "own", "words"),
    [
        ({"gama": 1.0}, {}, "did you mean 'gamma'"),
        ({}, {"vea": {}}, "did you mean 'vae'"),
        ({}, {"gan": {"gama": 1.0}}, "did you mean 'gamma'"),
        ({"latent": "many"}, {}, "latent"),
    ],
)
def test_an_option_must_fit_a_model(
    shared: dict[str, Any], own: dict[str, dict[str, Any]], words: str
) -> None:
    with pytest.raises(pf.ModelError, match=words):
        share_options(find_models(["vae", "gan"]), shared, own)


def test_nothing_is_made_before_the_arguments_are_checked(tmp_path: Path) -> None:
    data = pf.read(orders(), condition="kind")
    for wrong in ({"budget": "soon"}, {"seeds": -1}, {"gama": 1.0}, {"condition": "kind"}):
        with pytest.raises(pf.PushforwardError):
            pf.compare(data, ["vae"], out=tmp_path / "out", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_condition_beside_a_dataset_is_refused() -> None:
    with pytest.raises(pf.DataError, match="condition="):
        pf.compare(pf.read(orders()), ["vae"], condition="kind", budget=5)


# The measures.


def doubled(x: Tensor) -> Tensor:
    return 2 * x.flatten(1)


def test_measures_target_and_features_are_chosen(tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"measures": ["column_shapes", "utility"], "target": "count"}
    result = pf.compare(orders(300), ["vae"], seeds=1, out=tmp_path, **chosen, **QUICK)
    card = result.cards["vae"]["best"][0]
    assert list(card) == list(result.floor) == ["column_shapes", "utility"]
    assert card["utility"].extra["target"] == "count"
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert {name: stored[name] for name in chosen} == chosen
    page = Page(result.report().read_text())
    assert "column shapes, utility" in page.text
    assert "measures=['column_shapes', 'utility'], target='count'" in page.text


def test_other_measures_are_measured_on_the_same_runs(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, **QUICK}
    first = pf.compare(RING, ["vae"], measures=["energy"], **arguments)
    before = stamps(tmp_path)
    second = pf.compare(RING, ["vae"], measures=["mmd"], **arguments)
    assert list(second.cards["vae"]["best"][0]) == list(second.ceiling) == ["mmd"]
    assert stamps(tmp_path) == before
    third = pf.compare(RING, ["vae"], measures=["energy"], **arguments)
    assert third.to_json() == first.to_json()


def first_mean(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    return Measurement("first_mean", float((x[:, 0].mean() - y[:, 0].mean()).abs()), null=0.0)


def test_a_measure_that_becomes_a_default_is_measured_on_the_same_runs(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, **QUICK}
    few = np.random.default_rng(0).normal(size=(300, 2))  # for a score by all measures
    first = pf.compare(few, ["vae"], **arguments)
    pf.measures.register(first_mean, kinds=["array"], default=True)
    second = pf.compare(few, ["vae"], **arguments)
    assert set(second.ceiling) == {*first.ceiling, "first_mean"}
    assert list(second.cards["vae"]["best"][0]) == list(second.ceiling)


def test_own_functions_are_measured_anew_and_the_librarys_are_recognised(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, **QUICK}
    own = pf.compare(RING, ["vae"], measures=(m for m in [first_mean]), **arguments)
    assert list(own.ceiling) == ["first_mean"]
    assert "vae, seed 0: measuring" in stages(RING, ["vae"], measures=first_mean, **arguments)
    pf.compare(RING, ["vae"], measures="energy", **arguments)
    assert stages(RING, ["vae"], measures=[pf.measures.energy], **arguments) == []


def test_features_are_measured_with_and_recognised_by_their_digest(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, "measures": ["energy"], **QUICK}
    plain = pf.compare(RING, ["vae"], **arguments).ceiling["energy"].value
    wide = pf.compare(RING, ["vae"], features=doubled, **arguments)
    assert wide.ceiling["energy"].value != plain
    assert "vae, seed 0: measuring" in stages(RING, ["vae"], features=doubled, **arguments)
    known = pf.measures.PCA.fit(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), 1)
    pf.compare(RING, ["vae"], features=known, **arguments)
    assert stages(RING, ["vae"], features=known, **arguments) == []


def test_a_wrong_measure_fails_before_training(tmp_path: Path) -> None:
    with pytest.raises(pf.MeasureError, match="did you mean 'energy'"):
        pf.compare(RING, ["vae"], seeds=1, out=tmp_path, measures=["enrgy"], **QUICK)
    assert not (tmp_path / "runs").exists()


@pytest.mark.cuda
def test_a_comparison_on_cuda_agrees_with_the_cpu_on_the_references(tmp_path: Path) -> None:
    on_cpu, on_cuda = (
        pf.compare(
            RING, ["vae", "gan"], seeds=2, out=tmp_path / device, measures=TWO, device=device,
            **QUICK,
        )
        for device in ("cpu", "cuda")
    )  # fmt: skip
    for name in TWO:
        assert on_cuda.floor[name].value == pytest.approx(on_cpu.floor[name].value, rel=1e-3)
    assert on_cuda.report().exists()


# What a comparison shows.


def test_the_frame_is_tidy(tmp_path: Path) -> None:
    result = fabricate(tmp_path, pf.read(orders()))
    frame = result.frame()
    rows = len(MODELS) * len(SEEDS) * 2 * len(VALUES) + 2 * len(VALUES)
    assert frame.height == rows
    assert frame.select("model", "seed", "checkpoint", "measure").is_unique().all()
    for name, by_model in VALUES.items():
        for model, values in by_model.items():
            own = frame.filter(
                pl.col("measure") == name, pl.col("model") == model, pl.col("checkpoint") == "best"
            )
            assert own.sort("seed")["value"].to_list() == list(values)
    floor = frame.filter(pl.col("model") == "floor", pl.col("measure") == "energy")
    columns = ("value", "null", "seed", "checkpoint")
    assert floor.select(columns).row(0) == (0.5, 0.0, None, None)
    assert {"low", "high", "p_value", "n", "m"} <= set(frame.columns)


def test_a_notebook_shows_the_terminals_table(tmp_path: Path) -> None:
    result = fabricate(tmp_path, pf.read(orders()))
    page = Page(result._repr_html_())
    assert page.text.startswith(result.recommendation.sentence)
    shown = [[text for _, text in row] for row in page.rows]
    assert shown == [result.table.head, *result.table.rows()]
    energy = next(row for row in shown if row[0].strip().startswith("energy"))
    means = [fmean(VALUES["energy"][model]) for model in MODELS]
    losses = [(mean - CEILING["energy"]) / (FLOOR["energy"] - CEILING["energy"]) for mean in means]
    cells = [text.rstrip(")").split(" (") for text in energy[1:3]]
    assert [float(mean) for mean, _ in cells] == pytest.approx(means, rel=0.01)
    assert [float(loss) for _, loss in cells] == pytest.approx(losses, abs=0.005)
    assert energy[3:] == ["0.01", "0.5"]


def test_a_measure_that_some_lack_is_a_dash_and_the_worst_loss(tmp_path: Path) -> None:
    result = fabricate(tmp_path, pf.read(orders()))
    for card in result.cards["vae"]["best"]:
        del card._measurements["mmd"]
    result = replace(result)  # which decides again
    row = next(row for row in result.table.rows() if row[0].strip().startswith("mmd"))
    assert row[1] == "– (4.00)"


def test_a_comparison_prints_in_a_line(compared: Comparison) -> None:
    assert repr(compared).count("\n") == 0
    assert "vae, gan" in repr(compared)


def test_without_a_renderer_a_report_is_refused(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results.Comparison, "renderer", None)
    with pytest.raises(pf.RunError, match=r"pushforward\.report"):
        compared.report()


def test_the_public_compare_is_the_comparisons_own() -> None:
    assert pf.compare is compare
    assert pf.Comparison is Comparison


# The references.


def test_gaussian_draws_have_the_mean_and_the_covariance() -> None:
    x = (
        torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
        @ torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.5]]).double()
    )
    draws = gaussian_draws(x.float(), 200_000, torch.Generator().manual_seed(1)).double()
    deviations = x.std(0)
    error = 4 * float(deviations.max()) / np.sqrt(200_000)
    torch.testing.assert_close(draws.mean(0), x.mean(0), atol=error, rtol=0)
    # standard errors: s / sqrt(n) of a mean, at most sqrt(2 / n) s^2 of a covariance
    bound = 4 * np.sqrt(2) * float(deviations.max()) ** 2 / np.sqrt(200_000)
    torch.testing.assert_close(torch.cov(draws.T), torch.cov(x.T), atol=bound, rtol=0)


def test_the_gaussian_floor_has_the_datas_mean_and_covariance() -> None:
    data = pf.read("moons")
    rows, _ = floor_rows(data, 20_000, torch.Generator().manual_seed(0))
    x, y = rows.double().numpy(), data.subset("train")[0][:5000].double().numpy()
    # standard errors at n = 20,000: s / sqrt(n) of means, sqrt(2) s^2 / sqrt(n) of variances
    np.testing.assert_allclose(x.mean(0), y.mean(0), atol=4 / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(x.T), np.cov(y.T), atol=4 * np.sqrt(2 / 20_000))


def test_the_table_floor_keeps_marginals_and_breaks_pairs() -> None:
    data = pf.read("breast-cancer")
    fake = data.schema.decode(floor_rows(data, 500, torch.Generator().manual_seed(0))[0])
    real = data.raw("train")
    assert pf.measures.column_shapes(real, fake).value < 0.1
    correlation = np.corrcoef(fake["mean radius"], fake["mean area"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(500)
    assert np.corrcoef(real["mean radius"], real["mean area"])[0, 1] > 0.9


# What fails in one model counts against it.


class Dull(GAN):
    """Generates one point alone."""

    name: ClassVar[str] = "dull"

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return 0 * super().generate(z, c)


def ratio_of_spreads(x: Tensor, y: Tensor, *, seed: int = 0) -> Measurement:
    if float(y.std()) < 1e-6:
        raise pf.MeasureError("the generated rows are all the same")
    return Measurement("ratio_of_spreads", float((y.std(0) / x.std(0)).log().abs().sum()), null=0)


def test_a_measure_that_fails_on_one_models_samples_counts_against_that_model(
    tmp_path: Path,
) -> None:
    chosen: list[Any] = ["energy", ratio_of_spreads]
    result = pf.compare(RING, ["gan", Dull], seeds=3, out=tmp_path, measures=chosen, **QUICK)
    assert "PF103" in {f.code for f in result.findings if f.model == "dull"}
    assert "PF103" not in {f.code for f in result.findings if f.model == "gan"}
    lost = {x.model: x.mean for x in result.losses if x.measure == "ratio_of_spreads"}
    assert lost["dull"] == WORST
    again = pf.Comparison.load(tmp_path)
    assert again.to_json() == result.to_json()
    notes = [card.notes for card in again.cards["dull"]["best"]]
    assert all("all the same" in own[-1] for own in notes), "the reason stays"


def test_a_measure_that_fails_on_real_rows_fails_before_training(tmp_path: Path) -> None:
    with pytest.raises(pf.MeasureError, match="a histogram takes"):
        pf.compare(
            np.random.default_rng(0).normal(size=(300, 3)),
            ["vae"],
            out=tmp_path,
            measures=["histogram_js"],
            **QUICK,
        )
    assert not list((tmp_path / "runs").glob("*/weights.safetensors"))


def test_seeds_that_are_added_later_are_measured_as_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scorecard of another version is made again, so that old and new are never mixed."""
    arguments: dict[str, Any] = {"out": tmp_path, "measures": ["energy"], **QUICK}
    first = pf.compare(RING, ["vae"], seeds=1, **arguments)
    assert "vae, seed 0: measuring" not in stages(RING, ["vae"], seeds=2, **arguments)
    monkeypatch.setattr("pushforward.comparison.bench.version", lambda _: "99")
    seen = stages(RING, ["vae"], seeds=2, **arguments)
    assert {"vae, seed 0: measuring", "vae, seed 1: measuring", "measuring the references"} <= {
        *seen
    }
    again = pf.Comparison.load(tmp_path)
    assert again.cards["vae"]["best"][0].to_json() == first.cards["vae"]["best"][0].to_json()


def test_findings_can_be_ignored(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seeds": 1, "out": tmp_path, "measures": ["energy"], **QUICK}
    first = pf.compare(RING, ["vae", "gan"], **arguments)
    assert {"PF101", "PF201"} <= {finding.code for finding in first.findings}
    second = pf.compare(RING, ["vae", "gan"], ignore=["pf201", "PF101"], **arguments)
    assert not {"PF101", "PF201"} & {finding.code for finding in second.findings}
    with pytest.raises(pf.ModelError, match=r"no finding has the code 'PF999'"):
        pf.compare(RING, ["vae"], ignore=["PF999"], **arguments)


@pytest.mark.parametrize("words", [False, True])
def test_a_table_whose_index_says_something_is_compared(words: bool, tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 200
    index = rng.choice(["a", "b", "c"], n) if words else [f"r{i}" for i in range(n)]
    frame = pd.DataFrame(
        {"v": rng.random(n), "c": rng.choice(["x", "y"], n)}, index=pd.Index(index, name="key")
    )
    out = tmp_path / "out"
    shapes = {"measures": ["column_shapes"]}
    pf.compare(frame, ["vae"], seeds=1, out=out, **QUICK | {"budget": 3} | shapes)
    cards = json.loads((out / "runs" / "vae-0" / "scorecard.json").read_text())["cards"]
    columns = cards["best"]["measures"]["column_shapes"]["extra"]["columns"]
    assert set(columns) == ({"v", "c", "key"} if words else {"v", "c"})
