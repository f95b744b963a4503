"""What codes tell of the measure in latent space: rate, noise, aggregate posterior, a map.

All in the prior's normal coordinates e, in which a code is q(e|x) = N(mean, sigma^2). A dimension
is *active* where the mean says something of the row: its variance over the rows is above 0.01
(Burda et al. 2016). The *aggregate posterior* is sum_x q(e|x) p(x); where it is the prior, draws of
the prior are codes that the decoder knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.families.codes import Code, kl
from pushforward.families.panels import CLASS, Panel
from pushforward.measures import Measurement
from pushforward.measures._intervals import holm
from pushforward.measures.closed_form import gaussian_rate_by_dimension
from pushforward.measures.samples import mmd
from pushforward.nn.priors import ContinuousPrior

ACTIVE = 0.01
LEVEL = 0.05
GRID = 32  # places on each axis of the map
FEWEST = 10  # rows of a class that has a density of its own on the map
CLASSES = 12  # that have one, at most: those with most rows


@dataclass(frozen=True)
class Anatomy:
    """The codes of rows, beside draws of the prior.

    Args:
        centre: where each row's code is (n, latent).
        code: the codes' distributions where they are Gaussians, else None.
        prior: from which they are to be.
        c: the rows' conditions, one-hot, or None.
        e: a draw of each code (n, latent).
        expected: as many draws of the prior.
        distortion: -log p(x|e) of each row (n,), in nats; None for a model without a decoder.
        independent: whether the values of a row are independent given its code.
    """

    centre: Tensor
    code: Code | None
    prior: ContinuousPrior
    c: Tensor | None
    e: Tensor
    expected: Tensor
    distortion: Tensor | None = None
    independent: bool = True

    def panels(self) -> list[Panel]:
        """Return all panels, the numbers first."""
        distance = mmd(self.expected, self.e, seed=0)
        noise = [] if self.code is None else [_rates(self.code), _noise(self.code)]
        return [
            self._numbers(distance),
            *noise,
            *self._aggregate(),
            *([self._map()] if self._has_a_plane else []),
        ]

    def _numbers(self, distance: Measurement) -> Panel:
        """Return the totals; findings read them."""
        facts = {"dimensions": float(self.prior.latent), "mmd": distance.value}
        if self.code is not None:
            rate = kl(self.code, self.prior, self.e, self.c)
            facts |= {"rate": float(rate.mean()), "active": float(active(self.code).sum())}
            facts |= {"sigma": float(self.code.sigma.mean())}
        if self.distortion is not None:
            facts |= {"distortion": float(self.distortion.mean())}
        if distance.p_value is not None:
            facts |= {"p_value": distance.p_value}
        rows = {TEXTS[name]: _text(name, facts) for name in TEXTS if name in facts}
        return Panel(
            "The code in numbers", "table", {"value": list(rows.values())}, list(rows), "what",
            note=self._note(facts) if {"rate", "distortion"} <= facts.keys() else "", facts=facts,
        )  # fmt: skip

    def _note(self, facts: dict[str, float]) -> str:
        note = "Means over the rows. Rate and distortion together are -ELBO, a bound on -log p(x)."
        if self.independent:
            return note
        total = facts["rate"] + facts["distortion"]
        return (
            f"{note} The likelihood is autoregressive, each value given the code and those before "
            f"it: what values say of each other need not be in the code, which carries "
            f"{facts['rate']:.2g} of {total:.3g} nats."
        )

    def _aggregate(self) -> list[Panel]:
        """Return the aggregate posterior beside the prior, dimension by dimension and in one."""
        from scipy.stats import ks_2samp

        pairs = zip(self.expected.T.tolist(), self.e.T.tolist(), strict=True)
        tests = [ks_2samp(a, b, method="asymp") for a, b in pairs]
        distance = torch.tensor([float(t.statistic) for t in tests])
        corrected = torch.tensor(holm([float(t.pvalue) for t in tests]))
        order = distance.argsort(descending=True)
        differ, worst = int((corrected <= LEVEL).sum()), int(order[0])
        centre, spread = float(self.e[:, worst].mean()), float(self.e[:, worst].std())
        return [
            Panel(
                "Aggregate posterior against the prior, by dimension",
                "bars",
                {"distance": distance[order].tolist()},
                _names(order),
                "latent dimension",
                "Kolmogorov-Smirnov distance",
                f"The largest difference of the two distribution functions. {differ} of "
                f"{len(order)} dimensions differ from the prior (5 %, by Holm's correction). "
                f"z{worst} differs most: mean {centre:.2f}, standard deviation {spread:.2f}.",
                facts={"dimensions_off": float(differ)},
            ),
            Panel(
                "Aggregate posterior against the prior",
                "histogram",
                {
                    "prior": self.expected[:, worst].tolist(),
                    "aggregate posterior": self.e[:, worst].tolist(),
                },
                x_title=f"z{worst}, the dimension that differs most",
                y_title="share",
                note="Where they differ, draws of the prior reach codes that the decoder never "
                "saw; a sampler draws from the aggregate instead.",
            ),
        ]

    @property
    def _has_a_plane(self) -> bool:
        """Whether the means lie in a plane at least, and are no single point."""
        n, latent = self.centre.shape
        return latent > 1 and n >= FEWEST and float(self.centre.var(0).sum()) > 1e-9

    def _map(self) -> Panel:
        """Return the density of the means on their first two principal axes, class by class."""
        _, sizes, axes = torch.linalg.svd(self.centre - self.centre.mean(0), full_matrices=False)
        shares = (sizes.square() / sizes.square().sum()).tolist()
        flat, expected = self.centre @ axes[:2].T, self.expected @ axes[:2].T
        half = 1.1 * float(torch.cat([flat, expected]).abs().flatten().quantile(0.995))
        grid = torch.linspace(-half, half, GRID, dtype=flat.dtype, device=flat.device)
        densities = {name: density(flat[own], grid) for name, own in self._groups().items()}
        densities |= {"prior": density(expected, grid)}
        return Panel(
            "Map of the codes",
            "map",
            {name: _rounded(values) for name, values in densities.items()},
            [round(place, 4) for place in grid.tolist()],
            f"first principal axis ({shares[0]:.0%} of the variance)",
            f"second ({shares[1]:.0%})",
            "Lines enclose half of the rows of a class (of rows without classes: from a quarter to "
            "95 %), by a smoothed density of the means of their codes. The dashed one encloses "
            "half of the prior's draws.",
        )

    def _groups(self) -> dict[str, Tensor]:
        """Return which rows have a density: those of each class with enough of them, or all."""
        if self.c is None:
            return {"rows": torch.ones(len(self.e), dtype=torch.bool, device=self.e.device)}
        of_class = self.c > 0
        counts = of_class.sum(0)
        largest = counts.argsort(descending=True, stable=True)[:CLASSES].sort().values.tolist()
        return {CLASS.format(k): of_class[:, k] for k in largest if counts[k] >= FEWEST}


def active(code: Code) -> Tensor:
    """Return which dimensions say something of the row, (latent,)."""
    return code.mean.var(0) > ACTIVE


def _by_rate(code: Code) -> tuple[Tensor, Tensor]:
    """Return the rate of each dimension, busiest first, and the order that this is."""
    return gaussian_rate_by_dimension(code.mean, code.log_var).mean(0).sort(descending=True)


def _rates(code: Code) -> Panel:
    rate, order = _by_rate(code)
    return Panel(
        "Rate of each latent dimension",
        "bars",
        {"rate": rate.tolist()},
        _names(order),
        "latent dimension",
        "rate (nats)",
        f"KL(q(z|x) || N(0, I)), {float(rate.sum()):.1f} nats in all. {int(active(code).sum())} of "
        f"{len(order)} dimensions are active: the variance of their mean over the rows is above "
        f"{ACTIVE}. A dimension at 0 carries nothing.",
    )


def _noise(code: Code) -> Panel:
    _, order = _by_rate(code)
    sigma = code.sigma[:, order]
    shares = torch.tensor([0.05, 0.95], dtype=sigma.dtype, device=sigma.device)
    low, high = sigma.quantile(shares, 0).tolist()
    return Panel(
        "Noise level of each latent dimension",
        "lines",
        {"mean of sigma": sigma.mean(0).tolist(), "5 % of rows": low, "95 % of rows": high},
        _names(order),
        "latent dimension",
        "sigma",
        "1 is the prior's own noise; near 0 a code is almost a point. What keeps it up is what the "
        "loss pays for little noise, the KL's -log sigma^2: without it noise only harms "
        "reconstruction, and sigma goes to 0.",
    )


TEXTS = {
    "rate": "rate: nats in a code",
    "distortion": "distortion: nats that a row needs beside its code",
    "active": "active dimensions",
    "sigma": "mean noise level sigma",
    "mmd": "aggregate posterior against the prior: squared MMD",
    "p_value": "p-value of no difference",
}


def _text(name: str, facts: dict[str, float]) -> str:
    if name == "active":
        return f"{facts[name]:.0f} of {facts['dimensions']:.0f}"
    return f"{facts[name]:.4g}"


def _names(order: Tensor) -> list[str]:
    return [f"z{j}" for j in order.tolist()]


def _rounded(values: Tensor) -> list[list[float]]:
    return [[round(v, 5) for v in row] for row in values.tolist()]


def density(points: Tensor, grid: Tensor) -> Tensor:
    """Return the kernel density of points (n, 2) on a grid (g,) of both axes: (g, g), y first.

    1/n sum_i prod_j N(grid_j; point_ij, h_j^2), with Scott's bandwidths h_j = s_j n^(-1/6), and at
    least one step of the grid, which could not show less.
    """
    step = float(grid[1] - grid[0])
    h = (points.std(0) * len(points) ** (-1 / 6)).clamp(min=step)
    x, y = (((grid[:, None] - points[:, j]) / h[j]).square().mul(-0.5).exp() for j in (0, 1))
    total: Tensor = y @ x.T / (len(points) * 2 * math.pi * h.prod())
    return total
