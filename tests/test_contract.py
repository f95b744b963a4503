"""One contract for every model and every kind of data: a new file in `models/` is tested here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

import forked
import pushforward as pf
from pushforward import testing
from pushforward.data import Dataset
from pushforward.families.model import Model
from pushforward.models import all_models
from pushforward.runs import Fitted
from pushforward.space import Vector
from pushforward.testing import check_model, example_data

pytestmark = pytest.mark.usefixtures("few_codes")


def small(name: str, **options: int) -> dict[str, Any]:
    """Those of the options that the model has."""
    return {n: v for n, v in options.items() if n in all_models()[name].options()}


@pytest.mark.parametrize("kind", ["table", "image", "array"])
@pytest.mark.parametrize("name", all_models())
def test_a_model_keeps_the_contract(
    name: str, kind: Literal["table", "image", "array"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of one seed are compared on arrays, and on all data under a condition."""
    if kind != "array":
        unconditioned: list[Fitted] = []

        def fit_once(data: Dataset, cls: type[Model], **run: Any) -> Fitted:
            if data.schema.condition is not None:
                return pf.fit(data, cls, **run)
            if not unconditioned:
                unconditioned.append(pf.fit(data, cls, **run))
            return unconditioned[0]

        monkeypatch.setattr(testing, "fit", fit_once)
    check_model(name, (kind,))


@pytest.mark.parametrize("name", [n for n, m in all_models().items() if "augment" in m.options()])
def test_a_critic_keeps_the_contract_with_all_its_options(name: str) -> None:
    given = small(name, penalty_every=3, pack=2, consistency=1, lecam=1, unroll=1)
    given |= small(name, feature_matching=1, spectral_norm=True, projection=True, transport=1)
    given |= {"augment_target": 0.6} if "augment_target" in all_models()[name].options() else {}
    check_model(name, ("image",), augment="color,translation,cutout,flip", augment_p=0.5, **given)


@pytest.mark.parametrize("name", ["gan", "r3gan"])
def test_a_generator_of_columns_in_turn_keeps_the_contract(name: str) -> None:
    check_model(name, ("table",), chain=True)


SAMPLE = """
import sys, pushforward as pf
folder, target, condition = sys.argv[1:]
pf.write(pf.load(folder, device="cpu").sample(70, seed=5, condition=condition), target)
"""


@pytest.mark.parametrize(
    ("name", "kind"), [("vae", "table"), ("gan", "array"), ("vq-vae", "image")]
)
def test_a_new_process_gives_the_same_samples(
    name: str, kind: Literal["table", "image", "array"], tmp_path: Path
) -> None:
    data = example_data(kind, "label")
    run = tmp_path / "run"
    fitted = pf.fit(data, name, budget="12 steps", batch_size=32, out=run, **small(name, latent=4))
    target = tmp_path / ("fake.parquet" if kind == "table" else "fake.npy")
    assert forked.ended("-c", SAMPLE, run, target, "1").status == 0
    here = fitted.sample(70, seed=5, condition="1")
    if kind == "table":
        assert pl.read_parquet(target).equals(here)
    else:
        np.testing.assert_array_equal(np.load(target), here)


def priors(name: str) -> list[str]:
    """The priors that a model takes: one that is learned only where a turn moves it.

    With its default it has kept the contract.
    """
    model = all_models()[name]
    if "prior" not in model.options():
        return []
    moved = {p for turn in model(Vector(2)).turns() for p in turn.players}
    taken = ["normal", "uniform", *(["mixture", "flow"] if "prior" in moved else [])]
    return [prior for prior in taken if prior != model.options()["prior"].default]


@pytest.mark.parametrize(("name", "prior"), [(n, p) for n in all_models() for p in priors(n)])
def test_every_prior_trains_every_model(name: str, prior: str) -> None:
    data = example_data("array", None)
    options: dict[str, Any] = {"prior": prior, "latent": 2, "width": 16}
    fitted = pf.fit(data, name, budget="4 steps", batch_size=32, **options)
    assert np.isfinite(fitted.sample(20, seed=0)).all()
    assert all(panel.title and panel.series for panel in fitted.panels)


def test_a_mixture_that_no_turn_moves_is_refused() -> None:
    with pytest.raises(pf.ModelError, match="moves its prior"):
        pf.fit("ring", "direct-vae", budget=1, prior="mixture")


@pytest.mark.parametrize("name", all_models())
def test_a_conditioned_model_learns_the_class(name: str, tmp_path: Path) -> None:
    """Two classes that lie 8 standard deviations apart: samples must fall to the right side.

    A high rate, without the average, which lags, shows it in 60 steps: at least 97 % on each side.
    Who does not hear the condition has the same samples of both: the two shares add up to 1.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(600, 2)) + 8 * labels[:, None], y=labels)
    data = pf.read(tmp_path / "d.npz", condition="label")
    quick: dict[str, Any] = {"budget": "60 steps", "batch_size": 64, "learning_rate": 0.01}
    fitted = pf.fit(data, name, seed=0, ema=0, **quick, **small(name, latent=2, width=64))
    for label in (0, 1):
        side = fitted.sample(300, seed=0, condition=label).mean(1) > 4
        assert (side == bool(label)).mean() > 0.9


def test_an_unknown_model_or_option_names_the_nearest() -> None:
    with pytest.raises(pf.ModelError, match="did you mean 'r3gan'"):
        pf.fit("ring", "r3gam", budget=1)
    with pytest.raises(pf.ModelError, match="did you mean 'beta'"):
        pf.fit("ring", "vae", budget=1, betta=2.0)
