"""Likelihood of rows under any generator or decoder, by one protocol for all.

A GAN has no density and that of a VAE is bounded by its own encoder, so they cannot be compared
directly. Both map codes to rows: with Gaussian noise around these, both have the density
p(x) = E_{z ~ p(z)} N(x; g(z), sigma^2 I), which these measures bound (Wu et al. 2017). sigma
belongs to the model that is measured: it is given, or chosen for each model on rows of its own.
Rows of 0 and 1 have Bernoullis in place of N (`LatentDecoder(..., binary=True)`), and no sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError, nearest
from pushforward.measures.likelihood import _annealing, _proposals
from pushforward.measures.likelihood._annealing import Schedule, log_mean
from pushforward.measures.likelihood.decoder import (
    JointDensity,
    LatentDecoder,
    joint_density,
)
from pushforward.measures.measurement import Measurement

ProposalName = Literal["encoder", "mode", "prior"]
SIGMA_ROWS = 100  # rows for choosing sigma, at most
SIGMA_SHARE = 5  # one of five rows is for choosing sigma
MIN_EFFECTIVE = 5.0  # effective codes per row
TIGHT_GAP = 1.0  # nats between the bounds
NO_SIGMA = "rows of a binary decoder have no observation noise: leave sigma out"


def observation_noise(decoder: LatentDecoder, x: Any, *, seed: int = 0) -> float:
    r"""Return the sigma under which rows are most likely, for the measures of likelihood.

    $$\hat\sigma = \arg\max_\sigma \frac1n \sum_i \log \frac1K \sum_k
    \frac{p(z_{ik})\, N(x_i; g(z_{ik}), \sigma^2 I)}{q(z_{ik} | x_i)}$$

    It maximises the importance bound by expectation-maximisation, with q around each row's most
    likely code. Pass validation rows: the bound of the rows that sigma was chosen on is too high.

    Args:
        decoder: what is measured.
        x: rows, as for `importance_bound`; at most 100 of them are used.
        seed: of codes and left-out rows.

    Returns:
        sigma, in units of the rows as the decoder gives them.

    Raises:
        MeasureError: as for `importance_bound`, and when the decoder reconstructs all rows exactly.

    Reference:
        Wu et al. 2017, "On the quantitative analysis of decoder-based generative models".
    """
    whole = joint_density(decoder, x, 1.0)
    if decoder.binary:
        raise MeasureError(NO_SIGMA)
    rows = _shuffled(whole.n, seed)[:SIGMA_ROWS]
    return _proposals.fitted_sigma(replace(whole, x=whole.x[rows]), seed)


def importance_bound(
    decoder: LatentDecoder,
    x: Any,
    *,
    sigma: float | None = None,
    samples: int = 500,
    proposal: ProposalName = "mode",
    each: bool = False,
    limit: int | None = 1000,
    seed: int = 0,
) -> Measurement:
    r"""Importance-weighted lower bound of the mean log-likelihood of rows under a decoder.

    $$\frac1n \sum_i \log \frac1K \sum_{k=1}^{K}
    \frac{p(z_{ik})\, N(x_i; g(z_{ik}), \sigma^2 I)}{q(z_{ik} | x_i)}$$

    with K codes z drawn from q(z | x) for each of n rows. In expectation it is at most log p(x),
    and approaches it with growing K. For K = 1 it is the ELBO.

    Args:
        decoder: what is measured: `fitted.decoder()`, or `LatentDecoder(network, latent)`.
        x: the rows: tensor, array or numeric frame (n, ...); for a fitted model as its data.
        sigma: standard deviation of the observation noise. None: chosen as by `observation_noise`
            on a random fifth of the rows (at most 100), which are then left out; a binary decoder
            has none.
        samples: K, the number of codes drawn for each row.
        proposal: the distribution q of the codes: `"mode"` (a Gaussian around the row's most likely
            code, with the curvature there), `"encoder"` (the model's own q(z|x)) or `"prior"`.
        each: whether `extra` lists every row's value (`each`) and index (`rows`).
        limit: maximum rows (None: all); the rest is left out at random.
        seed: of codes and left-out rows.

    Returns:
        The bound in nats per row, of the density of the rows as the decoder gives them. The
        interval (Student's) is for its expectation over rows and codes at this K. There is no null.
        `extra`: `sigma`; `effective_samples` (1 / sum of squared weights, median over rows: near 1
        the bound is loose); `monte_carlo_error` (of the codes alone); `nats_per_dimension` and
        `bits_per_dimension` (minus log2 p); `constant_decoder` (these rows under one Gaussian
        N(mean, s^2 I), as for a decoder that ignores its code).

    Raises:
        MeasureError: for a decoder that fails, is random, gives rows of another width or numbers
            that are not finite; for sigma that is not positive, fewer than 10 rows without sigma,
            samples below 1, NaN or infinity, and a missing encoder.

    Sees:
        Above all, rows that the model cannot generate: a missing mode costs more the farther it
        lies from the generated rows, in units of sigma. So it is a measure of coverage.

    Misses:
        The quality of samples; the two may disagree, and a model that copies its training rows is
        noticed only on held-out ones. Much depends on sigma: compare models at the best sigma of
        each, on the same rows. Only `effective_samples` distinguishes a loose bound from a bad
        model. For rows of few grey values, the density grows without limit as sigma falls.

    Null:
        None. `constant_decoder` is the value of a decoder that ignores its code. No model exceeds
        minus the entropy of the data, which for data of the model itself is the exact value.

    Cost:
        about n (K + 8 latent) calls of the decoder; memory of 2^22 numbers per call. A decoder
        16-128-784, 100 rows, K = 500: 0.6 s; choosing sigma for it: 1 s.

    Reference:
        Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders"; Wu et al. 2017.
    """
    if samples < 1:
        raise MeasureError(f"samples must be at least 1, and is {samples}")
    if proposal not in PROPOSALS:
        raise MeasureError(f"unknown proposal {proposal!r}; {nearest(proposal, PROPOSALS)}")
    given = _rows(decoder, x, sigma, limit, seed)
    if proposal == "mode" and decoder.binary:
        raise MeasureError('a binary decoder takes proposal="encoder" or "prior", not "mode"')
    rng = decoder.generator(seed)
    # Filled in place: small results kept between large temporaries leave holes in the heap, which
    # grew by 6 MB a row.
    log_w = torch.empty(given.joint.n, samples, dtype=torch.float64, device=decoder.device)
    at = 0
    for part in given.joint.parts(max(samples, 2 * decoder.latent)):
        log_w[at : at + part.n] = PROPOSALS[proposal](part, samples, rng)
        at += part.n
    measurement = _measured("importance_bound", log_w, given, each)
    effective = measurement.extra["effective_samples"]
    few = effective < MIN_EFFECTIVE < samples
    loose = f"; few effective codes ({effective:.1f} of {samples}): loose" if few else ""
    return replace(
        measurement,
        reading=measurement.reading + loose,
        extra={**measurement.extra, "samples": samples, "proposal": proposal},
    )


def annealed_importance(
    decoder: LatentDecoder,
    x: Any,
    *,
    sigma: float | None = None,
    steps: int = 200,
    chains: int = 8,
    leapfrog: int = 10,
    simulated: int = 20,
    each: bool = False,
    limit: int | None = 100,
    seed: int = 0,
) -> Measurement:
    r"""Mean log-likelihood of rows under a decoder, by annealed importance sampling.

    $$\frac1n \sum_i \log \frac1K \sum_{k=1}^{K} \prod_{t=1}^{T}
    N(x_i; g(z_{ik, t-1}), \sigma^2 I)^{\beta_t - \beta_{t-1}}$$

    Each of K chains goes from the prior to the posterior of its row along p(z) N(x; g(z), sigma^2
    I)^beta, by one Hamiltonian transition at each of T temperatures. A pilot run sets the step
    sizes, for 65 % acceptance, and spaces the temperatures so that all steps are equally hard. Then
    both are fixed, so that the weights are unbiased for p(x) and the value is a lower bound in
    expectation. (For 784 columns and 16 latent dimensions the gap at T = 200 was 9 nats, and 86
    with the usual sigmoid schedule.)

    Args:
        decoder: what is measured: `fitted.decoder()`, or `LatentDecoder(network, latent)`.
        x: the rows: tensor, array or numeric frame (n, ...); for a fitted model as its data.
        sigma: standard deviation of the observation noise. None: chosen as by `observation_noise`
            on a random fifth of the rows (at most 100), which are then left out; a binary decoder
            has none.
        steps: T, the number of temperatures.
        chains: K, the number of chains per row.
        leapfrog: leapfrog steps per transition.
        simulated: number of rows drawn from the model itself, whose likelihood is bounded from both
            sides; with 0 there is no such check.
        each: whether `extra` lists every row's value (`each`) and index (`rows`).
        limit: maximum rows (None: all); the rest is left out at random.
        seed: of chains, simulated and left-out rows.

    Returns:
        The estimate in nats per row, of the density of the rows as the decoder gives them. The
        interval (Student's) is for its expectation over rows and chains at this length. `extra` is
        as for `importance_bound`, with the `acceptance` rate, and for the simulated rows the mean
        `lower` and `upper` bound, their difference `gap` and its standard error `gap_error`. A gap
        below 1 nat is tight: on rows like the model's own, the value is at most that far below the
        truth.

    Raises:
        MeasureError: as for `importance_bound`; for a decoder without a gradient; for steps, chains
            or leapfrog below 1, or simulated below 0 or equal to 1.

    Sees:
        What `importance_bound` sees, also where posteriors are curved or have several modes, which
        one Gaussian q does not fit.

    Misses:
        What `importance_bound` misses. The gap is that of simulated rows: the error may be larger
        for rows that the model hardly generates.

    Null:
        None. `constant_decoder` is the value of a decoder that ignores its code. No model exceeds
        minus the entropy of the data, which for data of the model itself is the exact value.

    Cost:
        (n + 2 simulated) K T leapfrog calls of the decoder with their gradients, and 62 K leapfrog
        for the pilot run of each row; memory of 2^22 numbers per call. A decoder 16-128-784, 100
        rows: 19 s. Convolutions on 8x8 pixels, 20 rows, K = 4, T = 100, 10 simulated: 42 s.

    Reference:
        Wu et al. 2017, "On the quantitative analysis of decoder-based generative models"; Neal
        2001, "Annealed importance sampling"; Grosse, Ghahramani & Adams 2015, "Sandwiching the
        marginal likelihood using bidirectional Monte Carlo".
    """
    if min(steps, chains, leapfrog) < 1:
        raise MeasureError(
            f"steps, chains and leapfrog must be at least 1; given {steps=}, {chains=}, {leapfrog=}"
        )
    if simulated < 0 or simulated == 1:
        raise MeasureError(f"simulated must be 0 or at least 2, and is {simulated}")
    schedule = Schedule(steps, chains, leapfrog)
    given = _rows(decoder, x, sigma, limit, seed)
    rng = decoder.generator(seed)
    log_w, accepted = _annealing.forward(given.joint, schedule, rng)
    measurement = _measured("annealed_importance", log_w, given, each)
    diagnostics = {"steps": steps, "chains": chains, "leapfrog": leapfrog, "acceptance": accepted}
    diagnostics |= _gap(given.joint, simulated, schedule, rng) if simulated else {}
    return replace(
        measurement,
        reading=measurement.reading + _tightness(diagnostics),
        extra={**measurement.extra, **diagnostics},
    )


@dataclass(frozen=True)
class _Given:
    """The rows that are measured, their indices in the data, and `extra` about sigma."""

    joint: JointDensity
    rows: Tensor
    extra: dict[str, Any]


def _rows(
    decoder: LatentDecoder, x: Any, sigma: float | None, limit: int | None, seed: int
) -> _Given:
    """Return at most `limit` rows, and sigma chosen on others unless it is given."""
    whole = joint_density(decoder, x, 1.0 if sigma is None else sigma)
    rows = _shuffled(whole.n, seed)
    extra: dict[str, Any] = {}
    if decoder.binary:
        if sigma is not None:
            raise MeasureError(NO_SIGMA)
    elif sigma is None:
        if whole.n < 2 * SIGMA_SHARE:
            raise MeasureError(
                f"choosing sigma takes a fifth of at least {2 * SIGMA_SHARE} rows, and {whole.n} "
                "were given; pass sigma, e.g. observation_noise(decoder, validation)"
            )
        chooses = min(SIGMA_ROWS, whole.n // SIGMA_SHARE)
        sigma = _proposals.fitted_sigma(replace(whole, x=whole.x[rows[:chooses]]), seed)
        rows, extra = rows[chooses:], {"rows_for_sigma": chooses}
    if limit is not None and len(rows) > limit:
        rows, extra = rows[:limit], {**extra, "given": whole.n}
    rows = rows.sort().values
    joint = replace(whole, x=whole.x[rows], sigma=whole.sigma if sigma is None else sigma)
    return _Given(joint, rows, extra if decoder.binary else {"sigma": sigma, **extra})


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _by_mode(part: JointDensity, k: int, rng: torch.Generator) -> Tensor:
    start = _proposals.nearest_draws(part, rng)
    return _weighted(part, *_proposals.laplace(part, start).draw(k, rng))


def _by_encoder(part: JointDensity, k: int, rng: torch.Generator) -> Tensor:
    return _weighted(part, *_proposals.encoded(part).draw(k, rng))


@torch.no_grad()
def _by_prior(part: JointDensity, k: int, rng: torch.Generator) -> Tensor:
    """Return log p(x|z) itself: p(z) and q(z) cancel."""
    e = part.decoder.draw(part.n * k, rng)
    return part.log_likelihood(e.reshape(part.n, k, part.decoder.latent))


@torch.no_grad()
def _weighted(part: JointDensity, e: Tensor, log_q: Tensor) -> Tensor:
    """Return log p(x, e) - log q(e|x), (n, k)."""
    return part.log_prior(e) + part.log_likelihood(e) - log_q


PROPOSALS = {"encoder": _by_encoder, "mode": _by_mode, "prior": _by_prior}


def _measured(name: str, log_w: Tensor, given: _Given, each: bool) -> Measurement:
    values = log_mean(log_w)
    if not values.isfinite().all():
        raise MeasureError("the decoder gave NaN or infinity for some codes")
    value, d, k = float(values.mean()), given.joint.d, log_w.shape[1]
    half = _half_width(values)
    per_row = 1 / log_w.softmax(1).square().sum(1)
    excess = (1 / per_row - 1 / k).clamp(min=0)  # not below 0 by rounding
    floor = given.joint.constant()
    listed = {"each": values.tolist(), "rows": given.rows.tolist()} if each else {}
    return Measurement(
        name,
        value,
        low=None if half is None else value - half,
        high=None if half is None else value + half,
        covers="" if half is None else "rows and codes",
        n=given.joint.n,
        better="higher",
        unit="nats",
        reading=_reading(given, floor),
        extra={
            **given.extra,
            "effective_samples": float(per_row.median()),
            "monte_carlo_error": float(excess.sum().sqrt()) / len(values),
            "nats_per_dimension": value / d,
            "bits_per_dimension": -value / (d * math.log(2)),
            "constant_decoder": floor,
            **listed,
        },
    )


def _half_width(values: Tensor) -> float | None:
    """Return half of Student's 95 % interval of the mean of independent rows; None for one row."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * values.std() / math.sqrt(n)) if n > 1 else None


def _reading(given: _Given, floor: float | None) -> str:
    rows = "1 row, no interval" if given.joint.n == 1 else f"{given.joint.n:,} rows"
    rows += f" of {given.extra['given']:,}" if "given" in given.extra else ""
    chosen = f", chosen on {n} other rows" if (n := given.extra.get("rows_for_sigma")) else ""
    constant = "" if floor is None else f"; a constant decoder gives {floor:.4g}"
    noise = "" if given.joint.decoder.binary else f" at sigma {given.joint.sigma:.3g}{chosen}"
    return f"log-likelihood of {rows}{noise}{constant}"


def _gap(joint: JointDensity, n: int, schedule: Schedule, rng: torch.Generator) -> dict[str, Any]:
    lower, upper = _annealing.sandwich(joint, n, schedule, rng)
    gaps = upper - lower
    return {
        "simulated": n,
        "lower": float(lower.mean()),
        "upper": float(upper.mean()),
        "gap": float(gaps.mean()),
        "gap_error": float(gaps.std()) / math.sqrt(n),
    }


def _tightness(diagnostics: dict[str, Any]) -> str:
    if "gap" not in diagnostics:
        return ""
    verdict = "tight" if diagnostics["gap"] < TIGHT_GAP else "loose, use more steps"
    return f"; bounds of simulated rows differ by {diagnostics['gap']:.2g} nats: {verdict}"
