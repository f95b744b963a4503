"""Where lines start: the t regression, against SciPy, and what becomes of it in the lines."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
import pytest
import torch
from scipy import optimize, stats

import pushforward as pf
from pushforward.data.numeric import Floats
from pushforward.nn import line_starts
from pushforward.nn.likelihoods import Autoregressive
from pushforward.nn.line_starts import NU, RIDGE, start_lines, t_regression
from pushforward.nn.relations import Relations

N = 600


def test_the_regression_is_the_most_likely_one() -> None:
    """By SciPy: the line given the scale, and the scale of what is left of it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3))
    y = 1.5 + x @ [2.0, 0.0, -1.0] + 0.3 * rng.standard_t(2, N)
    y[:30] += 20.0  # off the line
    found = t_regression(torch.from_numpy(x), torch.from_numpy(y), rounds=200)

    def loss(p: Floats) -> float:
        error = (y - p[0] - x @ p[1:]) / found.sigma
        ridge = RIDGE * (p[1:] ** 2).sum() / (2 * found.sigma**2)
        return float(ridge - stats.t(NU).logpdf(error).sum())

    best = optimize.minimize(loss, np.zeros(4), tol=1e-12).x
    assert [found.a, *found.b.tolist()] == pytest.approx(best.tolist(), abs=1e-4)
    rest = y - found.a - x @ found.b.numpy()
    assert found.sigma == pytest.approx(stats.t.fit(rest, fdf=NU, floc=0)[2], rel=1e-3)
    few = t_regression(torch.from_numpy(x), torch.from_numpy(y))
    assert [few.a, *few.b.tolist()] == pytest.approx(best.tolist(), abs=0.02)
    constant = t_regression(torch.from_numpy(x[:, :0]), torch.full((N,), 3.0).double())
    assert constant.a == pytest.approx(3.0, abs=1e-12)


def started(frame: pl.DataFrame) -> tuple[Autoregressive, torch.Tensor]:
    data = pf.read(frame, relations=False)
    torch.manual_seed(0)
    head = Autoregressive(data.schema.space)  # type: ignore[arg-type]  # cells of a table
    x = data.schema.expand(data.rows)
    head.begin(x)
    return head, x


def centres(head: Autoregressive, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """m and s of all numbers, in each coordinate, before the hidden units say anything."""
    every = [cast(Relations, own) for own in head.relations]
    places = torch.cat([own.places(x) for own in every], 1)
    silent = torch.zeros(len(every[0].width), len(x), head.units)
    with torch.no_grad():
        told = [x @ own.steps() + places @ own.slopes().flatten(0, 1) for own in every]
        return [own.lines(t, silent) for t, own in zip(told, every, strict=True)]


def test_lines_start_at_what_a_number_is_given_those_before_it() -> None:
    """y = 2 x + 3 (kind) + noise, z = exp(x): near to their lines; w, of its own, starts wide."""
    rng = np.random.default_rng(0)
    x, kind, w = rng.normal(size=4000), rng.choice(["a", "b"], 4000), rng.normal(size=4000)
    y = 2 * x + 3 * (kind == "b") + 0.05 * rng.standard_t(3, 4000)
    z = np.exp(x)
    x = pl.Series(x).set(pl.Series(rng.random(4000) < 0.05), None)  # type: ignore[assignment]
    frame = pl.DataFrame({"kind": kind, "x": x, "w": w, "y": y, "z": z})
    head, rows = started(frame)
    known = torch.from_numpy(frame["x"].is_not_null().to_numpy())
    every = [cast(Relations, own) for own in head.relations]
    assert len(every) == 3
    numbers = ["x", "w", "y", "z"]
    for coordinate, ((m, s), own) in enumerate(zip(centres(head, rows), every, strict=True)):
        t = own.places(rows)
        assert bool((s[:, numbers.index("w")] == 3.0).all())  # wide
        if coordinate == 1:  # values: standardised, of a deviation of 2.5
            apart = (t - m)[known, numbers.index("y")].abs().median()
            assert float(apart) < 0.1 / 2.5
            assert float(s[0, numbers.index("y")]) < 0.3
        if coordinate == 2:  # log z is x, up to the widths of cells and digits
            assert float((t - m)[known, numbers.index("z")].abs().median()) < 0.05


def test_few_rows_and_tables_without_numbers_start_wide() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    for frame in (
        pl.DataFrame({"x": x, "y": 2 * x}),
        pl.DataFrame({"a": rng.choice(["u", "v"], 300), "b": rng.choice(["u", "v"], 300)}),
    ):
        head, _ = started(frame)
        for own in head.relations:
            assert not bool(cast(Relations, own).slope.any())


def test_private_training_looks_at_no_row_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do games, whose critics are to teach the chain."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pl.DataFrame({"x": x, "y": 2 * x + rng.normal(size=400)})
    called = []
    monkeypatch.setattr(line_starts, "_start", lambda *_: called.append(1))
    pf.fit(frame, "vae", budget="1 steps", epsilon=5.0, width=8, seed=0)
    pf.fit(frame, "r3gan", budget="1 steps", chain=True, width=8, seed=0)
    assert not called
    pf.fit(frame, "vae", budget="1 steps", width=8, seed=0)
    assert called


def test_no_relations_no_lines() -> None:
    start_lines([], torch.zeros(1, 1))
