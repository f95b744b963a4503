"""One call for any kind of data; what compares runs; scorecards; features."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import rich
import torch
from rich.console import Console
from sklearn import decomposition
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from pushforward.data import Dataset, read
from pushforward.data.schema import DataKind
from pushforward.errors import MeasureError
from pushforward.measures import (
    PCA,
    PRIVACY,
    Features,
    Identity,
    ImageStatistics,
    Measurement,
    Scorecard,
    Scorer,
    Standardised,
    energy,
    measure,
    mmd,
)
from pushforward.measures._registry import DEFAULT, MEASURES
from pushforward.measures._views import random_rows
from pushforward.measures.samples import _quadratic
from samples import digits, labelled

NEIGHBOURS = ["precision", "recall", "density", "coverage"]


SAMPLES: dict[DataKind, Any] = {
    "table": (labelled(120, 0), labelled(100, 1)),
    "image": (digits()[:120], digits()[120:220]),
    "array": tuple(np.random.default_rng(i).normal(size=(100 + i, 3)) for i in range(2)),
}


# --- measure ---


@pytest.mark.parametrize("kind", list(SAMPLES))
def test_measure_chooses_what_suits_the_data(kind: DataKind) -> None:
    card = measure(*SAMPLES[kind])
    *left_out, note = card.notes
    without = {said.split()[0] for said in left_out}
    assert without == ({"utility"} if kind == "table" else set()), "nothing is predictable here"
    assert list(card) == [name for name in DEFAULT[kind] if name not in without]
    assert str(len(MEASURES[kind])) in note.split(), "how many there are"
    for name, found in card.items():
        assert found.name == name
        assert np.isfinite(found.value)
        assert found.null is not None
        if name == "frechet":  # 100 images in 60 dimensions: no interval below 3 rows a column
            assert found.interval is None
            continue
        assert found.interval is not None
        assert found.interval[0] <= found.value <= found.interval[1]
        assert found.covers
        assert found.reading
        sizes = tuple(map(len, SAMPLES[kind]))
        assert (found.n, found.m) in {sizes, (min(sizes),) * 2}, "all rows, or equal sizes"
    assert json.loads(json.dumps(card.to_json())) == card.to_json()
    assert Scorecard.from_json(card.to_json()) == card


def test_names_of_measures_are_read_as_they_are_shown() -> None:
    real, fake = SAMPLES["table"]
    assert list(measure(real, fake, measures=["Column shapes", "pair-trends"])) == [
        "column_shapes",
        "pair_trends",
    ]
    assert "closest_record" not in measure(real[:60], fake[:60], measures=["all"])


def test_features_that_fail_are_told() -> None:
    x, y = SAMPLES["array"]
    with pytest.raises(MeasureError, match="features failed on rows of shape"):
        mmd(x[:, :2], y[:, :2], features=PCA.fit(x))
    with pytest.raises(MeasureError, match="must be a function of rows"):
        mmd(x, y, features="pca")  # type: ignore[arg-type]  # what a user may try


@pytest.mark.parametrize("kind", list(SAMPLES))
def test_only_what_was_asked_for_in_that_order(kind: DataKind) -> None:
    real, fake = SAMPLES[kind]
    card = measure(real, fake, measures=["coverage", "mmd", "coverage"])
    assert list(card) == ["coverage", "mmd"]
    assert list(measure(real, fake, measures="energy")) == ["energy"]
    with pytest.raises(MeasureError, match="name at least one measure"):
        measure(real, fake, measures=[])


@pytest.mark.parametrize("kind", list(SAMPLES))
def test_all_measures_of_a_kind_in_one_call(kind: DataKind) -> None:
    real, fake = SAMPLES[kind]
    card = measure(real, fake, train=real[:50], measures="all")
    left_out = {note.split()[0] for note in card.notes if " is left out: " in note}
    assert {*card, *left_out} == set(MEASURES[kind])
    allowed = {"array": {"histogram_js", "histogram_kl"}}  # for one or two columns, and not three
    allowed["table"] = set() if find_spec("xgboost") else {"classifier_test_xgboost"}
    assert left_out == allowed.get(kind, set())
    assert all(np.isfinite(found.value) for found in card.values())
    few = measure(real[:60], fake[:60], measures="all")  # their names are enough
    known = {*few, *(name for name in card if name in {"utility", "frechet"})}  # see above
    needed = {*PRIVACY, "memorisation", "authenticity"}
    assert set(card) - known == needed, "none knows of copies"


def test_copies_are_looked_for_where_training_rows_are_given() -> None:
    real, fake = SAMPLES["array"]
    train = np.random.default_rng(5).normal(size=(100, 3))
    assert tuple(measure(real, fake, train=train))[-3:] == PRIVACY
    share = [
        measure(real, y, train=train, measures="closest_record")["closest_record"].value
        for y in (train, fake)
    ]
    assert share[0] == 1.0
    # Wilson's interval of a share of one half of 100 reaches to 0.6.
    assert abs(share[1] - 0.5) < 0.15


def test_arrays_are_measured_by_z_scores_of_the_reference() -> None:
    real, fake = SAMPLES["array"]
    expected = Standardised.fit(real)
    found = measure(real, 100 * fake, measures=["energy"])["energy"]
    # Encoded rows are float32: seven digits.
    assert found.value == pytest.approx(
        energy(expected(real), expected(100 * fake)).value, rel=1e-5
    )
    by_train = measure(real, fake, train=10 * real, measures=["energy"])["energy"]
    assert by_train.value == pytest.approx(energy(real / 10, fake / 10).value, rel=0.3)


def test_measure_takes_paths_data_sets_and_other_containers(tmp_path: Path) -> None:
    real, fake = SAMPLES["table"]
    expected = measure(real, fake, measures=["column_shapes", "mmd"])
    real.write_csv(tmp_path / "real.csv")
    frames = [pd.DataFrame(t.to_dict(as_series=False)) for t in (real, fake)]
    tables: list[Any] = [(tmp_path / "real.csv", fake), (read(real), fake), frames]
    for given in tables:
        assert measure(*given, measures=["column_shapes", "mmd"]) == expected
    x, y = SAMPLES["array"]
    expected = measure(x, y, measures=["mmd"])
    for given in ((torch.from_numpy(x), y), (x.tolist(), y.tolist())):
        assert measure(*given, measures=["mmd"]) == expected
    encoded = measure(read(x), y, measures=["mmd"])["mmd"]  # float32 on the way
    assert encoded.value == pytest.approx(expected["mmd"].value, rel=1e-4)
    assert measure(x[:, 0], y[:, 0], measures=["mmd"]) == measure(
        x[:, :1], y[:, :1], measures=["mmd"]
    )


def test_generated_categories_and_gaps_that_are_new_count() -> None:
    real, fake = SAMPLES["table"]
    odd = fake.with_columns(b=pl.lit("new"), a=pl.when(pl.col("a") > 0).then(pl.col("a")))
    card = measure(real, odd)
    assert card["column_shapes"].extra["columns"]["b"] == 1.0
    assert card["energy"].p_value == 1 / 500


def test_identifiers_are_not_measured() -> None:
    real, fake = (
        t.with_columns(id=pl.Series([f"row-{seed}{i:05}" for i in range(len(t))]))
        for seed, t in enumerate(SAMPLES["table"])
    )
    card = measure(real, fake, target="label")
    assert set(card["pair_trends"].extra["worst"][0][:2]) <= {"a", "b", "label"}
    assert card["column_shapes"].extra["columns"]["id"] == 0.0, "of one form"
    assert card.notes[0] == "Left out, as identifiers: 'id'; column_shapes judges their form."
    assert card["utility"].extra["target"] == "label"


def test_training_rows_give_the_null_of_utility() -> None:
    real, fake = SAMPLES["table"]
    good, bad = labelled(100, 2), labelled(100, 2).with_columns(pl.col("label").shuffle(seed=0))
    nulls = [
        measure(real, fake, train=t, measures=["utility"], target="label")["utility"].null
        for t in (good, bad)
    ]
    assert nulls[0] is not None
    assert nulls[1] is not None
    assert nulls[0] > nulls[1] + 0.1


def test_what_samples_do_not_allow_is_left_out_and_told() -> None:
    real, fake = (x[:15] for x in SAMPLES["array"])
    card = measure(real, fake)
    assert "classifier_test" not in card
    assert card.notes[0].split()[0] == "classifier_test"
    assert "20" in card.notes[0].split()
    with pytest.raises(MeasureError, match="at least 20 rows"):
        measure(real, fake, measures=["classifier_test"])
    with pytest.raises(MeasureError, match="at least"):
        measure(real[:1], fake[:1])
    one = measure(*(t.select("a") for t in SAMPLES["table"]))
    left_out = [note.split()[0] for note in one.notes[:-1]]
    assert left_out == ["pair_trends", "pair_information", "utility"]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("array", "mdm", "no measure 'mdm' for data of kind array: did you mean 'mmd'"),
        ("array", "utility", "no measure 'utility' for data of kind array"),
        ("table", "utilities", "did you mean 'utility'"),
    ],
)
def test_unknown_measures_are_refused(kind: DataKind, name: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        measure(*SAMPLES[kind], measures=[name])


def test_samples_of_different_kinds_are_refused() -> None:
    with pytest.raises(MeasureError, match=r"all samples must be tables, or none.*real: DataFrame"):
        measure(labelled(20, 0), np.zeros((20, 3)))
    with pytest.raises(MeasureError, match="rows of one shape"):
        measure(np.zeros((20, 3)), np.zeros((20, 4)))
    with pytest.raises(MeasureError, match="lacks 'b'"):
        measure(labelled(20, 0), labelled(20, 0).drop("b"))


def test_measure_depends_on_its_seed_alone() -> None:
    real, fake = SAMPLES["image"]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = measure(real, fake, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert measure(real, fake, seed=1) == first
    assert measure(real, fake, seed=2) != first


# --- Scorer ---


def test_a_scorer_measures_encoded_rows() -> None:
    data = read(SAMPLES["array"][0])
    rows = data.rows
    scorer = Scorer(data, measures=["energy"])
    found = scorer.score((rows[:50], None), (rows[50:], None))["energy"]
    expected = energy(data.schema.features(rows[:50]), data.schema.features(rows[50:]))
    origin = found.extra["features"]
    extra = expected.extra | {"features": origin}
    assert found == replace(expected, aspect="joint structure", extra=extra)
    assert origin["name"] == "z-scores"
    other = Scorer(read(SAMPLES["array"][1]), measures=["energy"])
    again = other.score((rows[:50], None), (rows[50:], None))["energy"]
    assert again.extra["features"]["hash"] != origin["hash"], "another reference, other scales"


def test_a_scorer_fits_features_of_images_once_and_to_training_rows_alone() -> None:
    data = read(digits()[:200])
    scorer = Scorer(data, measures=["energy"])
    fitted = ImageStatistics.fit(data.schema.expand(data.subset("train")[0]))
    assert isinstance(scorer.feature_map.features, ImageStatistics)
    assert scorer.feature_map.features.digest == fitted.digest
    test = data.subset("test")
    card = scorer.score(test, test)
    assert card["energy"].extra["features"] == {"name": fitted.name, "hash": fitted.digest}


def conditioned() -> Dataset:
    return read(labelled(2000, 0), condition="label")


def test_a_generator_that_ignores_its_condition_is_found_out() -> None:
    data = conditioned()
    rows, labels = data.subset("train")
    assert labels is not None
    half = len(rows) // 2
    real, fake = (rows[:half], labels[:half]), (rows[half:], labels[half:])
    order = torch.randperm(len(fake[0]), generator=torch.Generator().manual_seed(0))
    blind = (fake[0], fake[1][order])
    scorer = Scorer(data, measures=["energy", "utility"])
    good, bad = scorer.score(real, fake), scorer.score(real, blind)
    assert good["energy"].p_value is not None
    assert good["energy"].p_value > 0.01
    assert bad["energy"].p_value == 1 / 500
    assert good["utility"].extra["target"] == "label"
    assert good["utility"].value > 0.75
    assert bad["utility"].value < 0.65


def test_training_rows_are_drawn_at_random() -> None:
    # In the order of the source the first rows may be of one kind: those of a sorted table are.
    data = read(np.arange(1000.0)[:, None])
    rows = data.subset("train")[0]
    rows_drawn = rows[random_rows(rows, 200, seed=0)]
    assert len(torch.unique(rows_drawn)) == 200
    assert torch.isin(rows_drawn, rows).all()
    # The mean of 200 of 800 z-scores has a standard error of sqrt((1 / 200) (1 - 1 / 4)) = 0.06.
    assert abs(float(rows_drawn.mean() - rows.mean())) < 4 * 0.06


def test_a_target_must_be_a_column_of_a_table() -> None:
    real, fake = SAMPLES["table"]
    assert measure(real, fake, measures="utility", target="b")["utility"].extra["target"] == "b"
    with pytest.raises(MeasureError, match=r"unknown target 'lable'; did you mean 'label'"):
        measure(real, fake, target="lable")
    with pytest.raises(MeasureError, match="unknown target 'c'"):
        Scorer(conditioned(), target="c")
    with pytest.raises(MeasureError, match="a column of a table; given 'b' for data of kind array"):
        measure(*SAMPLES["array"], target="b")


def test_the_target_of_a_scorer_takes_precedence_over_the_condition() -> None:
    data = conditioned()
    test, train = data.subset("test"), data.subset("train")
    for target, expected in ((None, "label"), ("b", "b")):
        scorer = Scorer(data, measures=["utility"], target=target)
        assert scorer.score(test, train)["utility"].extra["target"] == expected


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "c"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(MeasureError, match=f"device '{device}' is not available here"):
        measure(*SAMPLES["array"], device=device)


def test_the_device_of_a_scorer_is_chosen() -> None:
    data = read(SAMPLES["array"][0])
    assert Scorer(data).device == torch.device("cpu")
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    assert Scorer(data, device="auto").device == torch.device(gpu)


# --- scorecards ---


def card() -> Scorecard:
    made = Measurement("mmd", 0.25, 0.1, 0.4, "both", 0.0, 0.002, 10, 12, reading="<they> differ")
    return Scorecard({"mmd": made, "plain": Measurement("plain", 2.0)}, ["left out: x"])


def test_a_scorecard_is_a_mapping_and_a_frame() -> None:
    assert list(card()) == ["mmd", "plain"]
    assert len(card()) == 2
    assert float(card()["plain"]) == 2.0
    frame = card().frame()
    assert frame["measure"].to_list() == ["mmd", "plain"]
    assert frame["high"].to_list() == [0.4, None]
    assert frame.schema["n"] == pl.Int64
    assert Scorecard({}).frame().shape == (0, frame.width)


def test_a_scorecard_shows_itself() -> None:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(card())
    assert "no difference" in captured.get()
    assert "0.1 – 0.4" in captured.get()
    assert "left out: x" in captured.get()
    html = card()._repr_html_()
    assert "<td>&lt;they&gt; differ</td>" in html
    assert "<p>left out: x</p>" in html
    assert repr(card()).splitlines()[0] == (
        "mmd 0.25 [0.1, 0.4], no difference gives 0: <they> differ"
    )
    assert rich.protocol.is_renderable(card())


# --- features ---


def test_standardised_is_the_z_score() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(50, 3))
    x[:, 1] = 7.0
    z = Standardised.fit(x)(x)
    assert z.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert z.std(0, correction=0).tolist() == pytest.approx([1, 0, 1])


def test_pca_is_that_of_scikit_learn_up_to_signs() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    expected = decomposition.PCA(3).fit(x).transform(x)
    found = PCA.fit(x, 3)(x).numpy()
    signs = np.sign((expected * found).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-10)
    assert PCA.fit(x, 99)(x).shape == (60, 5)


def test_hashes_tell_features_apart() -> None:
    x, y = SAMPLES["array"]
    fitted: list[Features] = [Identity(), Standardised.fit(x), Standardised.fit(y), PCA.fit(x)]
    assert len({f.digest for f in fitted}) == len(fitted)
    assert Standardised.fit(x).digest == Standardised.fit(x.copy()).digest


def spoiled(images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Images as generators spoil them."""
    cut = images.clone()
    for i, (row, column) in enumerate(torch.randint(6, (len(images), 2), generator=rng)):
        cut[i, :, row : row + 2, column : column + 2] = -1
    return {
        "blurred": (images + avg_pool2d(pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)) / 2,
        "noisy": images + 0.15 * torch.randn(images.shape, generator=rng),
        "mixed": 0.75 * images + 0.25 * images.roll(1, 0),
        "cut": cut,
    }


def strength(x: Tensor, y: Tensor) -> float:
    """The energy distance, in standard deviations of random splits."""
    pooled = torch.cat([x, y]).double()
    kernel = -_quadratic.squared_distances(pooled, pooled).sqrt()
    found = _quadratic.discrepancy(kernel, len(x), 200, torch.Generator().manual_seed(0))
    return (found.value - float(found.permuted.mean())) / float(found.permuted.std())


def test_statistics_see_what_spoils_images_better_than_pixels_do() -> None:
    images = 2 * torch.from_numpy(digits())[:, None] - 1
    features = ImageStatistics.fit(images[:1000])
    real, other = images[1000:1300], images[1300:1600]
    assert abs(strength(features(real), features(other))) < 4
    for spoil in spoiled(other, torch.Generator().manual_seed(0)).values():
        by_features = strength(features(real), features(spoil))
        assert by_features > 1.5 * strength(real.flatten(1), spoil.flatten(1))


def test_statistics_do_not_know_the_images_that_they_are_fitted_to() -> None:
    # Fitted to 100 of them, they must not tell these from others; otherwise a real sample would
    # differ from itself.
    images = 2 * torch.from_numpy(digits())[:, None] - 1
    p_values = []
    for i in range(8):
        own, other = images[i * 200 : i * 200 + 100], images[i * 200 + 100 : i * 200 + 200]
        features = ImageStatistics.fit(own, seed=i)
        p_values.append(energy(features(own), features(other), permutations=99).p_value or 0.0)
    # Uniform p-values have a mean of 0.5 and a standard error of 0.29 / sqrt(8).
    assert np.mean(p_values) > 0.5 - 3 * 0.29 / 8**0.5


def test_pca_needs_rows_and_components() -> None:
    with pytest.raises(MeasureError, match="at least 2 rows and 1 component"):
        PCA.fit(torch.zeros(5, 2), 0)


def test_own_features_are_applied_to_rows_as_networks_see_them() -> None:
    real, fake = SAMPLES["image"]
    shapes: list[tuple[int, ...]] = []

    def means(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape[1:]))
        return x.mean((1, 2, 3))[:, None]

    found = measure(real, fake, features=means, measures=["mmd"])["mmd"]
    assert set(shapes) == {(1, 8, 8)}
    means_of = [torch.from_numpy(2 * x.mean((1, 2)) - 1) for x in (real, fake)]
    assert found.value == pytest.approx(mmd(*means_of).value, rel=1e-3, abs=1e-6)
