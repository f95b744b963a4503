"""A comparison: equal conditions, kept runs, a folder of its own, ceiling and floor."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.comparison.compare import Comparison, baseline
from pushforward.files import read_tensors

QUICK = {"budget": 30, "latent": 4, "width": 32}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compare") / "ring"
    return pf.compare("ring", ["vae", "gan"], seeds=2, out=out, **QUICK)  # type: ignore[arg-type]  # keywords


def test_everything_is_there(compared: Comparison) -> None:
    assert {m: len(c["best"]) for m, c in compared.cards.items()} == {"vae": 2, "gan": 2}
    assert set(compared.ceiling) == set(compared.floor) == set(compared.cards["vae"]["final"][0])
    assert compared.recommendation.sentence


def test_all_runs_share_split_batch_budget_and_trunk(compared: Comparison) -> None:
    configs = [json.loads(p.read_text()) for p in (compared.folder / "runs").glob("*/config.json")]
    assert len({c["identity"]["data"] for c in configs}) == 1
    assert len({c["steps"] for c in configs}) == 1
    settings = [{**c["identity"]["settings"], "seed": 0} for c in configs]
    assert all(s == settings[0] for s in settings)
    decoder = pf.load(compared.folder / "runs" / "vae-0").model.get_submodule("decoder.trunk")
    generator = pf.load(compared.folder / "runs" / "gan-0").model.get_submodule("generator.trunk")
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (decoder, generator)]
    assert shapes[0] == shapes[1]


def test_the_ceiling_is_better_than_the_floor(compared: Comparison) -> None:
    """Eight Gaussians on a ring are no single Gaussian: energy must tell by far."""
    floor, ceiling = compared.floor["energy"], compared.ceiling["energy"]
    assert floor.p_value is not None
    assert floor.p_value < 0.02 < (ceiling.p_value or 0)
    assert floor.value > 5 * abs(ceiling.value)


def test_a_comparison_is_loaded_as_it_was(compared: Comparison) -> None:
    again = Comparison.load(compared.folder)
    assert again.to_json() == compared.to_json()


def test_runs_are_reused_and_a_lost_one_is_made_again(compared: Comparison) -> None:
    kept = compared.folder / "runs" / "vae-0" / "weights.safetensors"
    lost = compared.folder / "runs" / "gan-1"
    before, stamp = read_tensors(lost / "weights.safetensors")[0], kept.stat().st_mtime_ns
    shutil.rmtree(lost)
    again = pf.compare("ring", ["vae", "gan"], seeds=2, out=compared.folder, **QUICK)  # type: ignore[arg-type]  # keywords
    assert kept.stat().st_mtime_ns == stamp
    after = read_tensors(lost / "weights.safetensors")[0]
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert again.to_json() == compared.to_json()


def test_a_folder_of_other_data_is_refused(compared: Comparison) -> None:
    with pytest.raises(pf.RunError, match="other data"):
        pf.compare("grid", ["vae"], seeds=1, out=compared.folder, budget=5)
    with pytest.raises(pf.RunError, match="another run"):
        pf.compare("ring", ["vae"], seeds=1, out=compared.folder, budget=5)


def test_an_option_must_fit_a_model() -> None:
    with pytest.raises(pf.ModelError, match="did you mean 'gamma'"):
        pf.compare("ring", ["vae", "gan"], seeds=1, budget=5, gama=1.0)


def test_the_gaussian_floor_has_the_datas_mean_and_covariance() -> None:
    data = pf.read("moons")
    rows, _ = baseline(data, 20_000, torch.Generator().manual_seed(0))
    x, y = rows.double().numpy(), data.subset("train")[0][:5000].double().numpy()
    # standard errors at n = 20,000: s / sqrt(n) of means, sqrt(2) s^2 / sqrt(n) of variances
    np.testing.assert_allclose(x.mean(0), y.mean(0), atol=4 / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(x.T), np.cov(y.T), atol=4 * np.sqrt(2 / 20_000))


def test_the_table_floor_keeps_marginals_and_breaks_pairs() -> None:
    data = pf.read("breast-cancer")
    fake = data.schema.decode(baseline(data, 500, torch.Generator().manual_seed(0))[0])
    real = data.raw("train")
    assert pf.measures.column_shapes(real, fake).value < 0.1
    correlation = np.corrcoef(fake["mean radius"], fake["mean area"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(500)
    assert np.corrcoef(real["mean radius"], real["mean area"])[0, 1] > 0.9
