"""The anatomy of codes, against independent references; what it shows of runs that went wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal as NormalDistribution
from torch.distributions import kl_divergence

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.comparison.facts import facts_of
from pushforward.comparison.findings import CHECKS, Evidence
from pushforward.comparison.gallery import STEPS, traversals
from pushforward.comparison.traversal import DEVIATIONS, TRAVERSED
from pushforward.families.anatomy import Anatomy, density
from pushforward.families.codes import Code
from pushforward.families.encoders import WithCodes
from pushforward.families.panels import Panel
from pushforward.measures import mmd
from pushforward.nn.priors import Normal
from pushforward.report.anatomy import _level, draw
from pushforward.report.figures import Figure

N = 400
SPREADS = (0.8, 0.05, 0.0, 0.2)  # of the means: 0.05^2 < 0.01 < 0.2^2


def codes(seed: int = 0, shift: float = 0.0, n: int = N) -> Anatomy:
    """Codes whose aggregate is N(0, I), but for the shift of the last dimension."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        spread = torch.tensor(SPREADS)
        mean = spread * torch.randn(n, 4) + torch.tensor([0, 0, 0, shift])
        q = Code(mean, (1 - spread**2).log().expand(n, 4))
        return Anatomy(
            q.mean,
            q.drawn()[1],
            Normal(4),
            None,
            q.draw(),
            torch.randn(n, 4),
            torch.full((n,), 3.0),
        )


def facts(panels: list[Panel]) -> dict[str, float]:
    return {name: value for panel in panels for name, value in panel.facts.items()}


def named(panels: list[Panel], title: str) -> Panel:
    return next(panel for panel in panels if panel.title == title)


def test_the_rate_of_each_dimension_is_its_kl_and_the_busiest_comes_first() -> None:
    anatomy = codes()
    panel = named(panels := anatomy.panels(), "Rate of each latent dimension")
    code = anatomy.code
    assert code is not None
    own = NormalDistribution(code.mean, code.sigma)
    expected = kl_divergence(own, NormalDistribution(0.0, 1.0)).mean(0)
    assert panel.x == ["z0", "z3", "z1", "z2"]
    assert panel.series["rate"] == pytest.approx(expected[[0, 3, 1, 2]].tolist(), abs=1e-5)
    assert facts(panels)["rate"] == pytest.approx(float(expected.sum()), abs=1e-4)
    assert facts(panels)["distortion"] == 3


def test_a_dimension_is_active_where_the_variance_of_its_mean_is_above_a_hundredth() -> None:
    assert facts(codes().panels())["active"] == 2
    assert facts(codes().panels())["dimensions"] == 4


def test_the_noise_of_each_dimension_is_shown_with_its_range() -> None:
    anatomy = codes()
    assert anatomy.code is not None
    log_var = anatomy.code.log_var.clone()
    log_var[:, 0] = torch.linspace(-4, -2, N)
    changed = replace(anatomy, code=Code(anatomy.centre, log_var))
    panel = named(changed.panels(), "Noise level of each latent dimension")
    sigma = np.exp(0.5 * np.linspace(-4, -2, N))
    assert [values[0] for values in panel.series.values()] == pytest.approx(
        [sigma.mean(), *np.quantile(sigma, [0.05, 0.95])], rel=1e-4
    )


def test_the_aggregate_is_compared_with_the_prior_in_all_dimensions_and_in_each() -> None:
    shifted = codes(shift=0.6)
    panels = shifted.panels()
    expected = mmd(shifted.expected, shifted.e, seed=0)
    assert facts(panels)["mmd"] == expected.value
    assert facts(panels)["p_value"] == expected.p_value
    assert facts(panels)["dimensions_off"] == 1
    bars = named(panels, "Aggregate posterior against the prior, by dimension")
    distance = stats.ks_2samp(shifted.expected[:, 3], shifted.e[:, 3]).statistic
    assert bars.x[0] == "z3"
    assert bars.series["distance"][0] == pytest.approx(distance)


def test_no_dimension_is_off_where_the_aggregate_is_the_prior() -> None:
    """By Holm's correction any is in at most 5 % of 40 cases: 2, and 3 sqrt(40 0.05 0.95) more."""
    off = [facts(codes(seed, n=80).panels())["dimensions_off"] > 0 for seed in range(40)]
    assert sum(off) <= 2 + 3 * math.sqrt(40 * 0.05 * 0.95)


def test_a_deterministic_encoder_has_no_rate_and_no_noise() -> None:
    anatomy = codes()
    q = Code(anatomy.centre, torch.full((N, 4), -torch.inf))
    points = replace(anatomy, code=q.drawn()[1])
    panels = points.panels()
    assert not {"rate", "active", "sigma"} & facts(panels).keys()
    assert not any("each latent dimension" in panel.title for panel in panels)


def test_the_density_is_that_of_a_normal_kernel_at_each_point() -> None:
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 2])
    grid = torch.linspace(-12, 12, 97)
    found = density(points, grid)
    h = points.std(0) * 30 ** (-1 / 6)
    place = torch.tensor([float(grid[50]), float(grid[43])])
    terms = [NormalDistribution(p, h).log_prob(place).sum().exp() for p in points]
    assert float(found[43, 50]) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-4)
    assert float(found.sum()) * 0.25**2 == pytest.approx(1, abs=1e-3)


def test_the_map_has_the_classes_that_have_enough_rows_and_the_prior() -> None:
    sizes = [N - 29, 20, 9]
    of_class = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    c = torch.nn.functional.one_hot(of_class, 4).float()
    anatomy = replace(codes(), c=c)
    panel = named(anatomy.panels(), "Map of the codes")
    assert list(panel.series) == ["class 0", "class 1", "prior"]
    known = panel.with_classes(["cat", "dog", "bird", "cow"])
    assert list(known.series) == ["cat", "dog", "prior"]


def test_the_maps_axes_are_those_along_which_the_means_vary_most() -> None:
    panel = named(codes().panels(), "Map of the codes")
    rows, places = np.array(panel.series["rows"]), np.array(panel.x)
    variances = [np.average(places**2, weights=rows.sum(axis)) for axis in (0, 1)]
    # Smoothed by Scott's rule, n^(-1/3) of the variance; no narrower than one step of the grid.
    wide = 0.8**2 * (1 + N ** (-1 / 3))
    narrow = 0.2**2 + max(0.2**2 * N ** (-1 / 3), (places[1] - places[0]) ** 2)
    # A variance of 400 rows has a standard error of sqrt(2 / 400) = 7 %.
    assert variances == pytest.approx([wide, narrow], rel=0.25)


def test_lines_of_a_map_enclose_their_share_of_the_density() -> None:
    grid = np.linspace(-4, 4, 81)
    normal = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2)) / (2 * math.pi)
    # Half of the standard normal's draws in the plane lie within the radius sqrt(2 log 2).
    assert _level(normal, 0.5) == pytest.approx(0.5 / (2 * math.pi), rel=0.02)


def test_a_map_is_drawn_with_a_line_a_group_and_a_name_at_each() -> None:
    panel = named(codes().panels(), "Map of the codes")
    alone = draw(panel, "vae")
    assert isinstance(alone, Figure)
    assert len(alone.traces) == 5, "four shares of the rows, half of the prior"
    two = replace(panel, series={"<b>": panel.series["rows"], "b": panel.series["rows"]})
    drawn = draw(two, "vae")
    assert isinstance(drawn, Figure)
    assert [t["text"] for t in drawn.traces if t["type"] == "scatter"] == [["&lt;b&gt;"], ["b"]]


# --- runs ---


def evidence(**runs: pf.Fitted) -> Evidence:
    told = {model: [facts_of(run)] for model, run in runs.items()}
    return Evidence(list(runs), 1, {}, told, {}, {}, {}, {})


def ring(model: str = "vae", steps: int = 150, **options: Any) -> pf.Fitted:
    return pf.fit("ring", model, budget=f"{steps} steps", width=32, latent=4, **options)


@pytest.mark.parametrize("model", ["vae", "direct-vae"])
def test_a_code_that_is_too_dear_collapses_and_is_said(model: str) -> None:
    """direct-vae has no rate in its loss: its codes are measured on validation rows."""
    (finding,) = CHECKS["PF205"](evidence(a=ring(model, beta=1e4), b=ring(model, beta=0.1)))
    assert finding.model == "a"
    assert "0 of its 4 dimensions are active" in finding.evidence


def test_without_the_kl_the_noise_vanishes() -> None:
    with_it, without = (facts(ring(steps=300, beta=beta).panels) for beta in (0.1, 0.0))
    assert without["sigma"] < 0.5 * with_it["sigma"]


def test_a_conditional_run_is_inspected_by_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array(["left", "right"])[np.arange(600) % 2]
    x = np.random.default_rng(0).normal(size=(600, 3))
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    options: dict[str, Any] = {"latent": 3, "width": 16, "out": tmp_path / "run"}
    pf.fit(tmp_path / "d.npz", "vae", condition="label", budget="50 steps", **options)
    assert run_command(["inspect", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("The code in numbers", "Map of the codes", "left"))
    assert pf.load(tmp_path / "run").panels[0].facts["dimensions"] == 3


def test_a_model_without_codes_has_no_panels_of_codes() -> None:
    titles = {panel.title for panel in ring("gan", 20).panels}
    assert "What the critic sees" in titles
    assert not {panel.title for panel in codes().panels()} & titles


def test_a_traversal_moves_one_dimension_through_its_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = pf.fit("digits", "vae", budget="30 steps", latent=8, width=16, condition="label")
    rows = pf.read("digits", condition="label").subset("test")
    model = fitted.network()
    seen: list[Tensor] = []
    assert isinstance(model, WithCodes)
    decode = model.mean

    def noted(z: Tensor, c: Tensor | None = None) -> Tensor:
        seen.append(z)
        return decode(z, c)

    monkeypatch.setattr(model, "mean", noted)
    kept = traversals(model, fitted.schema, rows, 0)
    z = seen[0].reshape(TRAVERSED, STEPS["image"], 8)
    assert rows[1] is not None
    c = torch.nn.functional.one_hot(rows[1], 10).float()
    q = model.encode(fitted.schema.expand(rows[0]), c)
    assert isinstance(q, Code)
    centre, spread = q.mean.mean(0), (q.mean.var(0) + (q.sigma**2).mean(0)).sqrt()
    assert kept["traversed"].tolist() == q.mean.var(0).argsort(descending=True)[:6].tolist()
    for moved, d in zip(z, kept["traversed"], strict=True):
        ends = torch.stack([centre[d] - DEVIATIONS * spread[d], centre[d] + DEVIATIONS * spread[d]])
        # ends by the standard deviation of one draw of each of n codes, 1 / sqrt(2 n) of it
        error = 4 / math.sqrt(2 * len(rows[0]))
        torch.testing.assert_close(
            moved[[0, -1], d], ends, rtol=0, atol=2 * error * float(spread[d])
        )
        others = [j for j in range(8) if j != d]
        assert (moved[:, others] == moved[0, others]).all()
    assert (z[0, 0, z[0, 0] != z[1, 0]].numel()) == 2, "all start from one code"
    assert traversals(pf.fit("digits", "gan", budget=2).model, fitted.schema, rows, 0) == {}


def test_a_larger_beta_lowers_the_rate_and_raises_the_distortion(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": "150 steps", "latent": 2, "width": 32}
    curve = pf.rate_distortion("ring", "vae", betas=(30, 0.1), out=tmp_path, **options)
    assert [point.beta for point in curve.points] == [0.1, 30]
    cheap, dear = curve.points
    assert cheap.rate > dear.rate + 1
    assert cheap.distortion < dear.distortion - 1
    frame = curve.frame()
    assert frame["bound"][0] == pytest.approx(cheap.rate + cheap.distortion)
    assert {p.name for p in tmp_path.iterdir()} == {"beta-0.1", "beta-30"}
    again = pf.rate_distortion("ring", "vae", betas=(0.1,), out=tmp_path, **options)
    assert again.points == (cheap,), "a finished run is reused"
    assert list(curve.figure().data[0].x) == [cheap.rate, dear.rate]


def test_a_curve_needs_a_rate_and_weights() -> None:
    with pytest.raises(pf.ModelError, match="has no rate that a beta weighs"):
        pf.rate_distortion("ring", "direct-vae", budget=1)
    with pytest.raises(pf.ModelError, match="at least one weight"):
        pf.rate_distortion("ring", "vae", betas=(), budget=1)
