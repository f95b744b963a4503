"""Statements 3, 4 and 5: each sample's Gaussian code, without the KL and with it."""

from __future__ import annotations

import torch
from torch import Tensor

import pushforward as pf
from pushforward.families.codes import Code
from pushforward.families.model import Model
from pushforward.models.vae import VAE
from pushforward.random import isolated
from pushforward.runs.fitted import build
from pushforward.training.settings import Settings
from statements import figures as draw
from statements.common import (
    CPU,
    SIZES,
    Row,
    Scale,
    Shown,
    codes,
    data,
    drawn,
    imagined,
    rows,
    score,
    sigma,
    trained,
    watched,
)


def own_code(scale: Scale) -> Shown:
    """Each sample has its own Gaussian code N(f1(x), exp f2(x)); z = mu + sigma * eps."""
    model = plane(scale, 1.0)
    x, digits = rows("digits", "train"), labels()
    chosen = [int((digits == digit).nonzero()[0]) for digit in range(8)]
    q = codes(model, x)
    table = [_code_row(q, int(digits[i]), i) for i in chosen]
    figure = draw.ellipses(q.mean, sigma(q), digits, chosen, x[chosen, 0])
    spread = {f"{share:.0%}": float(sigma(q).quantile(share)) for share in (0.05, 0.5, 0.95)}
    return Shown(table, (0,), figure, {"draws": 10_000, "sigma by quantile": spread})


def plane(scale: Scale, beta: float) -> Model:
    """Return a VAE of digits with codes in the plane, from two separate encoders."""
    own = {"latent": 2, "separate_encoders": True, "beta": beta}
    return trained("digits", "vae", scale.plane, 0, scale.learning_rate, **own)


def labels() -> Tensor:
    """Return which digit each training row shows; the models are not told."""
    found = pf.read("digits", condition="label").subset("train")[1]
    assert found is not None
    return found


def _code_row(q: Code, digit: int, i: int) -> Row:
    """Compare one code with the moments of 10,000 draws of mu + sigma * eps."""
    many = Code(q.mean[i].expand(10_000, -1), q.log_var[i].expand(10_000, -1))
    z = drawn(many, seed=i)
    return {
        "digit": digit,
        "f1(x)": q.mean[i].tolist(),
        "mean of z": z.mean(0).tolist(),
        "exp(f2(x) / 2)": sigma(q)[i].tolist(),
        "standard deviation of z": z.std(0).tolist(),
    }


def no_kl(scale: Scale) -> Shown:
    """Reconstruction alone drives sigma to 0, and sampling from the prior fails."""
    runs = {beta: [_sigma_run(scale, beta, seed) for seed in scale.seeds] for beta in (0.0, 1.0)}
    table = [_sigma_row(beta, [last for _, last, _ in found]) for beta, found in runs.items()]
    strips = {f"β = {beta:g}, z ~ N(0, I)": found[0][2][:10, 0] for beta, found in runs.items()}
    strips["the data"] = rows("digits")[:10, 0]
    curves = {beta: [curve for curve, _, _ in found] for beta, found in runs.items()}
    return Shown(table, scale.seeds, draw.sigmas(curves, strips), {"steps": scale.digits})


def _sigma_run(scale: Scale, beta: float, seed: int) -> tuple[list[tuple[int, float]], Row, Tensor]:
    """Train with weight beta on the KL; return sigma against steps, the end's scores, samples."""
    options = {**SIZES["digits"], "beta": beta}
    model = build("vae", data("digits").schema, options, seed, CPU)
    settings = Settings(scale.digits, seed=seed, learning_rate=scale.learning_rate, ema=0.0)
    x, curve = rows("digits"), []
    for step, seen in watched(model, "digits", settings, max(1, scale.digits // 30)):
        q = codes(seen, x)
        curve.append((step, float(sigma(q).mean())))
    return curve, _ends(model, q, curve[-1][1]), imagined(model)


def _ends(model: Model, q: Code, level: float) -> Row:
    """Return sigma, the noise's share of the codes' variance, and both scores of the decoder."""
    assert isinstance(model, VAE)
    noise, signal = sigma(q).square().mean(0), q.mean.var(0)
    with torch.no_grad():
        again = pf.measures.energy(rows("digits"), model.generate(drawn(q)), permutations=1)
    return {
        "mean sigma": level,
        "share of noise in z": float((noise / (noise + signal)).mean()),
        "energy, z of held-out rows": again.value,
        "energy, z of the prior": score(model, "digits").value,
    }


def _sigma_row(beta: float, ends: list[Row]) -> Row:
    loss = "reconstruction + KL" if beta else "reconstruction alone"
    return {"loss": loss} | {key: [end[key] for end in ends] for key in ends[0]}


def aggregate(scale: Scale) -> Shown:
    """If every p(Z|X) is near N(0, I), then so is p(Z) = sum_X p(Z|X) p(X)."""
    betas = (0.0, 1.0, 10.0)
    q = {beta: codes(plane(scale, beta), rows("digits", "train")) for beta in betas}
    with isolated(CPU, 6):
        prior = torch.randn_like(q[0.0].mean)
    table = [_aggregate_row(beta, code, prior, scale.permutations) for beta, code in q.items()]
    clouds = {beta: drawn(code) for beta, code in q.items()}
    figure = draw.aggregates(clouds, labels(), table)
    return Shown(table, (0,), figure, {"rows": len(prior)})


def _aggregate_row(beta: float, q: Code, prior: Tensor, permutations: int) -> Row:
    found = pf.measures.mmd(prior, drawn(q), permutations=permutations, seed=0)
    return {
        "β": beta,
        "mean KL of a code (nats)": float(pf.measures.gaussian_rate(q.mean, q.log_var).mean()),
        "MMD² of p(Z)": found.value,
        "95 %": list(found.interval or ()),
        "p": found.p_value,
    }
