"""One contract for every model and every kind of data: a new file in `models/` is tested here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import pushforward as pf
from pushforward.models import all_models
from pushforward.space import Vector

N = 240


def table(rng: np.random.Generator) -> pd.DataFrame:
    age = rng.normal(40, 10, N).round(1)
    age[::17] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "children": rng.poisson(1.0, N),
            "city": rng.choice(["Bonn", "Köln"], N),
            "kind": rng.choice(["a", "b"], N),
        }
    )


def raw(kind: str, folder: Path) -> Any:
    """Data of one kind, with two classes."""
    rng = np.random.default_rng(0)
    if kind == "table":
        return table(rng)
    shape = {"image": (N, 8, 9, 3), "array": (N, 3)}[kind]
    labels = np.arange(N) % 2
    x = rng.normal(size=shape) + 2 * labels.reshape(-1, *(1,) * (len(shape) - 1))
    if kind == "image":
        x = (x * 40 + 100).clip(0, 255).astype(np.uint8)
    np.savez(folder / "data.npz", x=x, y=labels)
    return folder / "data.npz"


CONDITION = {"table": "kind", "image": "label", "array": "label"}
CLASS = {"table": "a", "image": 1, "array": 1}


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
    else:
        np.testing.assert_array_equal(a, b)


SAMPLE = """
import sys, pushforward as pf
from pathlib import Path
folder, target, condition = sys.argv[1:]
fitted = pf.load(folder, device="cpu")
pf.write(fitted.sample(70, seed=5, condition=condition or None), target)
"""


@pytest.mark.parametrize("condition", [False, True], ids=["free", "conditioned"])
@pytest.mark.parametrize("kind", ["table", "image", "array"])
@pytest.mark.parametrize("name", all_models())
def test_a_model_fits_samples_conditions_saves_and_loads(
    name: str, kind: str, condition: bool, tmp_path: Path
) -> None:
    data = pf.read(raw(kind, tmp_path), condition=CONDITION[kind] if condition else None)
    fitted = pf.fit(data, name, budget="12 steps", batch_size=32, latent=4, width=32, seed=1)
    given = data.raw("train")

    # samples come in the data's own form, the same for the same seed, others for another
    fake = fitted.sample(70, seed=5)
    assert type(fake) is type(given)
    assert fake.shape == (70, *given.shape[1:])
    if kind == "table":
        assert list(fake.dtypes) == list(given.dtypes)
        assert set(fake["city"]) <= {"Bonn", "Köln"}
        assert fake["age"].min() >= given["age"].min() - 1e-9
        assert np.allclose(fake["age"].dropna() * 10, (fake["age"].dropna() * 10).round())
    else:
        assert fake.dtype == given.dtype
        assert np.isfinite(fake.astype(float)).all()
    assert_same(fake, fitted.sample(70, seed=5))
    assert not np.array_equal(np.asarray(fake), np.asarray(fitted.sample(70, seed=6)))

    # a condition is kept to, and one that is not known is refused
    wanted = CLASS[kind] if condition else None
    if condition:
        chosen, info = fitted.sample(70, seed=5, condition=wanted, return_info=True)
        classes = list(chosen["kind"]) if kind == "table" else info.labels
        assert classes == [wanted] * 70
        with pytest.raises(pf.ModelError, match="no class 'zebra'"):
            fitted.sample(3, condition="zebra")
    else:
        with pytest.raises(pf.ModelError, match="without a condition"):
            fitted.sample(3, condition="a")

    # saved and loaded it gives the same samples, also in a new process
    fitted.save(tmp_path / "run")
    again = pf.load(tmp_path / "run").sample(70, seed=5, condition=wanted)
    assert_same(fitted.sample(70, seed=5, condition=wanted), again)
    if condition:
        target = tmp_path / ("fake.parquet" if kind == "table" else "fake.npy")
        arguments = [str(tmp_path / "run"), str(target), str(wanted)]
        subprocess.run([sys.executable, "-c", SAMPLE, *arguments], check=True)
        assert_file_holds(target, again)


def assert_file_holds(path: Path, wanted: Any) -> None:
    if path.suffix == ".npy":
        np.testing.assert_array_equal(np.load(path), wanted)
        return
    back = pl.read_parquet(path)
    for column in wanted.columns:
        mine = wanted[column].astype(object).where(wanted[column].notna(), None).to_list()
        theirs = back[column].fill_nan(None) if back[column].dtype.is_float() else back[column]
        assert theirs.to_list() == mine


def priors(name: str) -> list[str]:
    """The priors that a model takes: a mixture only where a turn moves it."""
    model = all_models()[name]
    if "prior" not in model.options():
        return []
    moved = {p for turn in model(Vector(2)).turns() for p in turn.players}
    return ["normal", "uniform", *(["mixture"] if "prior" in moved else [])]


@pytest.mark.parametrize(("name", "prior"), [(n, p) for n in all_models() for p in priors(n)])
def test_every_prior_trains_every_model(name: str, prior: str) -> None:
    fitted = pf.fit("ring", name, budget="12 steps", prior=prior, latent=2, width=16)
    assert np.isfinite(fitted.sample(20, seed=0)).all()
    assert all(panel.title and panel.series for panel in fitted.panels)


def test_a_mixture_that_no_turn_moves_is_refused() -> None:
    with pytest.raises(pf.ModelError, match="moves its prior"):
        pf.fit("ring", "direct-vae", budget=1, prior="mixture")


@pytest.mark.parametrize("name", all_models())
def test_a_conditioned_model_learns_the_class(name: str, tmp_path: Path) -> None:
    """Two classes that lie 4 standard deviations apart: samples must fall to the right side."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(600, 2)) + 4 * labels[:, None], y=labels)
    data = pf.read(tmp_path / "d.npz", condition="label")
    fitted = pf.fit(data, name, budget="400 steps", batch_size=128, latent=2, width=64, seed=0)
    for label in (0, 1):
        side = fitted.sample(300, seed=0, condition=label).mean(1) > 2
        assert (side == bool(label)).mean() > 0.9


def test_an_unknown_model_or_option_names_the_nearest() -> None:
    with pytest.raises(pf.ModelError, match="did you mean 'r3gan'"):
        pf.fit("ring", "r3gam", budget=1)
    with pytest.raises(pf.ModelError, match="did you mean 'beta'"):
        pf.fit("ring", "vae", budget=1, betta=2.0)
