"""The benchmarks run, in a reduced form; no test asserts a time."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config

from comparisons import RING
from read_tables import ADULT, SHARED

ROOT = Path(__file__).parents[1]
MNIST = SHARED / "mnist.npz"


def run(name: str, out: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", [name, *arguments, "--out", str(out)])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as Python does with a script's folder
    runpy.run_path(str(ROOT / "benchmarks" / name), run_name="__main__")
    return json.loads(out.read_text())


@pytest.mark.shared("mnist.npz")
def test_overhead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with np.load(MNIST) as stored:
        np.savez(tmp_path / "few.npz", x_train=stored["x_train"][:2000])
    quick = ("--data", str(tmp_path / "few.npz"), "--rounds", "1", "--steps", "3")
    result = run("overhead.py", tmp_path / "o.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert set(result["ratios"]) == {"bare", "bare, fused"}
    assert all(r > 0 for ratios in result["ratios"].values() for r in ratios)


@pytest.mark.shared("adult-train.csv")
def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 steps of the VAE: the columns are raked, the rest is far from trained."""
    pytest.importorskip("xgboost")
    quick = ("--data", str(ADULT.parent), "--seeds", "1", "--fits", "vae=60", "--rows", "4000")
    result = run("tables.py", tmp_path / "t.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    (real,), (held_out,), (model,) = result.values()
    # KS of 3,257 against 4,000 rows of one distribution has a mean of 0.87 / sqrt(1795) = 0.021
    assert held_out["shape"] < 0.04
    assert model["shape"] < 0.04
    assert held_out["trend"] < model["trend"] < 0.2
    assert held_out["info"] < 0.02 < model["info"] < 0.28
    # the AUC of 3,257 rows on either side has a standard error of 0.007
    assert real["detection"] < held_out["detection"] < 0.55 < model["detection"]
    assert abs(model["members"] - 0.5) < 0.06


@pytest.mark.shared("adult-train.csv")
def test_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 steps: what is predicted and filled in is better than nothing."""
    quick = ("--data", str(ADULT.parent), "--budget", "60 steps", "--rows", "100")
    result = run("answers.py", tmp_path / "a.json", monkeypatch, *quick, "--train", "3000")
    assert isinstance(result, dict)
    assert result["predict"]["vae"]["auc"] > 0.6  # of 100 rows, whose error is 0.06
    assert set(result["impute"]) == {
        *("vae, draw", "vae, most likely", "mean and mode", "median and mode")
    }
    assert 20 < result["bits"]["bits a row"] < 45


@pytest.mark.shared("flights-train.csv")
def test_relations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 3 steps what is computed holds, what is left to the model does not."""
    fits = ("--fits", "vae=3steps")
    quick = ("--data", str(ADULT.parent), "--tables", "flights", "--rows", "1500", *fits)
    result = run("relations.py", tmp_path / "r.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    held = result["flights"]
    assert set(held) == {"train", "holdout", "cart", "vae=3steps"}
    assert all(rate == 1 for rate in held["train"].values())
    computed = [f"{name} of time_hour" for name in ("month", "day", "hour")]
    computed += ["hour = sched_dep_time // 100", "dep_time = sched + delay", "clock numbers"]
    assert all(held["vae=3steps"][name] == 1 for name in computed)
    assert held["vae=3steps"]["route of the carrier"] < 0.5 < held["cart"]["route of the carrier"]


def test_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the cells alone, rows of 40 steps are told from real ones; redrawn ones hardly are."""
    pytest.importorskip("xgboost")
    fits = ("independent", "vae=40steps")
    quick = ("--tables", "swirl", "--fits", *fits, "--rows", "1000", "--parts")
    result = run("detection.py", tmp_path / "d.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    (alone,), (model,) = result.values()
    assert model["information"] < alone["information"]
    assert 0.1 < model["peak memory, GiB"] < 8
    # the AUC of 1,000 rows on either side has a standard error of 0.013
    assert 0.55 < model["cells"] < 0.99
    assert model["redrawn"] < model["detection"] - 0.03
    assert 0 < model["information"] < 0.5
    assert sum(model["gain"].values()) == pytest.approx(1, abs=1e-3)


def test_table_gans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 steps on a table with a rare target: rows are told from real ones, and of some use."""
    pytest.importorskip("xgboost")
    fits = ("r3gan=80steps", "r3gan:chain=True=80steps")
    quick = ("--tables", "fraud", "--rows", "1000", "--scale", "0.25", "--only", *fits)
    result = run("table_gans.py", tmp_path / "g.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert set(result) == {f"fraud {fit}" for fit in fits}
    for (found,) in result.values():
        assert found["steps"] == 20
        # the AUC of 1,000 rows on either side has a standard error of 0.013
        assert 0.55 < found["detection"] <= 1
        assert 0 < found["information"] < 0.5


def test_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A knob of random numbers: the best trial is as good as the defaults, or seems better."""
    np.save(tmp_path / "ring.npy", RING)
    quick = ("--models", "vae", "--studies", "1", "--fits", "8", "--steps", "0.1")
    data = ("--data", str(tmp_path / "ring.npy"))
    result = run("tuning.py", tmp_path / "t.json", monkeypatch, *quick, *data)
    assert isinstance(result, dict)
    assert result["null, vae"]["seems"]["gain"] >= 0
    assert np.isfinite(result["null, vae"]["is"]["gain"])
    shares = result["pruner, vae"]
    assert list(shares) == [f"{k}0%" for k in range(1, 11)]
    assert all(0 <= share["best stopped"] <= 1 for share in shares.values())
    assert shares["100%"]["correlation"] > 0.7  # of the last check and the one that was chosen


def test_peers_give_the_same_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark stops where a value differs from the peer's."""
    quick = ("--rounds", "1", "--scale", "0.02", "--memory", "300", "--data", str(ADULT))
    result = run("measures.py", tmp_path / "m.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert {
        found["peer"] for found in result.values() if isinstance(found, dict) and "peer" in found
    } >= {"prdc", "geomloss", "scipy.linalg.sqrtm", "geomloss, scaling 0.9", "POT, ot.solve"}
    assert result["peak memory, GB"]["300"] > 0.05


def test_coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--only", "energy, d = 1, none", "--repetitions", "40")
    result = run("coverage.py", tmp_path / "c.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert result["cases"]["energy, d = 1, none"]["covered"] >= 0.825


def test_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--only", "wine", "--seeds", "1", "--scale", "0.02")
    result = run("checkpoints.py", tmp_path / "p.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert set(result) == {"wine, vae", "wine, gan"}
    for found in result.values():
        assert {"last", "distance, lowest", "distance, paired"} <= set(found["ratios"])
        assert min(found["ratios"].values()) >= 1  # the oracle has the lowest distances


def test_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At equal time, k = 1 is the reference: its ratios are 1."""
    quick = ("--only", "wine", "--models", "gan", "--seeds", "1", "--scale", "0.01", "--laps", "0")
    result = run("lazy.py", tmp_path / "l.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert set(result) == {"wine, gan"}
    for found in result.values():
        assert set(found["ratios"]) == {"1", "4", "8", "16"}
        assert all(value == [1, 1, 1] for value in found["ratios"]["1"].values())


def test_augment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--only", "digits", "--seeds", "1", "--scale", "0.02")
    result = run("augment.py", tmp_path / "a.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert "digits, none, p = 1.0" in result
    for found in result.values():
        assert found["steps"] == 8
        assert all(0 <= value <= 1 for value in (found["runs"][0]["recall"],))


def test_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spelling, and what follows from the columns themselves, needs no training."""
    quick = ("--files", "visits", "--budget", "2 steps", "--rows", "200")
    result = run("made_up.py", tmp_path / "u.json", monkeypatch, *quick)
    assert isinstance(result, list)
    (found,) = result
    assert (found["impossible"], found["spelling"]) == (0, 1.0)
    pairs = found["correlations"]
    assert [*pairs] == ["minutes, fee"]
    # fee = 3 m L, L lognormal(0, 0.2), so corr^2 = Var m / (E m^2 exp(0.04) - (E m)^2) = 0.909:
    # m is gamma(2, 10), doubled with p = 0.377; 0.04 are four standard errors of 200 rows
    assert pairs["minutes, fee"]["real"] == pytest.approx(0.953, abs=0.04)


def test_disturbances_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spoils an image is seen by what should see it, and new real images are not."""
    spoilt = ("Gaussian fit", "blur", "pixel noise", "shuffled patches")
    quick = ("--sets", "digits", "--features", "image-statistics", "--repeats", "3")
    out = tmp_path / "d.json"
    result = run("disturbances.py", out, monkeypatch, *quick, "--only", *spoilt)
    assert isinstance(result, dict)
    found = result["digits"]["image-statistics"]
    names = {"energy", "frechet", "classifier_test", "precision", "density", "coverage"}
    assert all(of[name] >= 0.95 for of in found["correlations"].values() for name in names)
    none = {name: curve[0] for name, curve in found["values"]["blur"].items()}
    # In one split, the AUC of 100 held-out images on either side has a standard error of
    # 0.29 / sqrt(50) = 0.041; each real image is covered with a chance of 1 - (1 / 2)^5 = 0.969,
    # give or take 0.017.
    assert abs(none["classifier_test"] - 0.5) < 3 * 0.041
    assert none["coverage"] > 0.969 - 4 * 0.017
    assert min(found["p-values of real against real"]) > 0.01
    gaussian = {name: curve[-1] for name, curve in found["values"]["Gaussian fit"].items()}
    assert gaussian["classifier_test"] >= 0.95
    assert gaussian["coverage"] <= 0.5


@pytest.mark.shared("cifar10")
def test_a_gaussian_fit_of_photographs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ("--sets", "cifar10", "--features", "image-statistics", "--repeats", "1")
    one = ("--only", "Gaussian fit", "--data", str(SHARED))
    result = run("disturbances.py", tmp_path / "g.json", monkeypatch, *quick, *one)
    assert isinstance(result, dict)
    curves = result["cifar10"]["image-statistics"]["values"]["Gaussian fit"]
    # 250 held-out images on either side: 3 standard errors of 0.5 are 3 * 0.026
    assert abs(curves["classifier_test"][0] - 0.5) < 3 * 0.026
    assert curves["classifier_test"][-1] >= 0.95
    assert curves["coverage"][-1] <= 0.5


@pytest.fixture(scope="module")
def decisions() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "decisions.py"))


@pytest.fixture(scope="module")
def pools(decisions: dict[str, Any]) -> dict[str, Any]:
    """The scorecards that the benchmark measured."""
    stored = decisions["read_pools"](ROOT / "benchmarks" / "results" / "decision-pools.json")
    assert set(stored) == set(decisions["MAKERS"])
    return dict(stored)


def test_equal_models_are_recommended_in_at_most_five_percent(
    decisions: dict[str, Any], pools: dict[str, Any]
) -> None:
    """50 comparisons of each pool, its vetoes lifted; at most 5 %, plus 3 binomial errors."""
    found = [
        decisions["unvetoed"](cards, pool.references) is not None
        for pool in pools.values()
        for models in (2, 3)
        for cards in decisions["splits"](next(iter(pool.groups.values())), models, 5, 25)
    ]
    assert np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(found))


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [("ring", "longer", "base"), ("Adult, 5,000 rows", "longer", "base"),
     ("known ring", "truth", "shrunk"), ("known Gaussian", "truth", "less correlated")],
)  # fmt: skip
def test_a_better_model_is_recommended_in_four_of_five(
    decisions: dict[str, Any], pools: dict[str, Any], name: str, better: str, worse: str
) -> None:
    """20 comparisons with 5 seeds: at least 80 %, less 3 binomial errors, and never the other."""
    drawn = decisions["pairs"](pools[name], better, worse, 5, 20)
    named = [decisions["unvetoed"](cards, pools[name].references) for cards in drawn]
    assert named.count(better) / 20 >= 0.8 - 3 * np.sqrt(0.8 * 0.2 / 20)
    assert worse not in named


def test_a_copier_is_never_recommended(decisions: dict[str, Any], pools: dict[str, Any]) -> None:
    for pool in pools.values():
        first = next(iter(pool.groups))
        for cards in decisions["pairs"](pool, "copies", first, 5, 5):
            assert decisions["ours"](cards, pool.references) != "copies"
            assert decisions["copies_found"](cards, pool.references)


def test_test_rows_are_no_reason_for_a_winner(decisions: dict[str, Any]) -> None:
    """Two equally good generators: what looks at seeds alone names one of them, nearly always."""
    (found,) = decisions["by_symmetry"](6).values()
    assert found["ours"][0] == 0
    assert found["seeds only"][0] >= 0.5


def test_image_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--data", "digits", "--laps", "2", "--steps", "1", "--budget", "1s")
    result = run("image_steps.py", tmp_path / "i.json", monkeypatch, *quick)
    assert isinstance(result, dict)
    assert set(result) == {"digits vae, width 16", "digits gan, width 16"}
    assert all(found["times as fast"] > 0 for found in result.values())


def test_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduling on this machine, and the queues: they bound nothing at 100 workers."""
    quick = ("--engines", "processes", "--only", "digits", "--scale", "0.05")
    run("many.py", tmp_path / "m.json", monkeypatch, *quick, "--parts", "overhead")
    with parallel_config(backend="sequential"):  # the parts' other times need no second pool
        result = run("many.py", tmp_path / "m.json", monkeypatch, *quick, "--parts", "simulation")
    assert isinstance(result, dict)
    assert result["overhead"]["processes"]["overhead of each, s"] > 0
    small = result["simulation"]["1,000 fits on 100 workers, which share a folder"]
    # ten fits one after the other, of 0.9 to 1.1 times the mean: 1,000 of them fill 100 workers
    # but for the last, which end up to a fit apart
    assert 0.8 < small["efficiency"] <= 1
    large = result["simulation"]["10,000 fits on 1,000 workers, which send their files"]
    assert large["network is busy"] > 10 * small["network is busy"]
