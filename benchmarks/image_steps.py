"""A step on images beside a bare PyTorch loop as people write it, alternating in one run.

    python benchmarks/image_steps.py [--data ../shared/data/mnist.npz] [--laps 15] [--steps 5]
                                     [--widths 32 64 128]

Both train the same networks on the same data with the same batch size. The bare loop is float32,
channels first, `DataLoader`, `torch.optim.Adam` as it comes, R1 by `autograd.grad` at every step,
and `loss.backward()` through both players; ours is the library's loop with its defaults, a moving
average of the weights included. Shown are medians over laps of milliseconds a step, and their
ratio with the quartiles over laps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

import pushforward as pf
from pushforward.families.model import Model
from pushforward.models.gan import GAN
from pushforward.models.vae import VAE
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.threads import threads, training_threads
from pushforward.training.loop import Loop
from pushforward.training.memory import keep_freed
from pushforward.training.settings import Settings
from pushforward.training.sized import sized

Step = Callable[[], None]
MODELS: tuple[type[Model], ...] = (VAE, GAN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", nargs="*", default=["digits", "../shared/data/mnist.npz"])
    parser.add_argument("--budget", default="60s", help="that the networks' size follows from")
    parser.add_argument("--widths", type=int, nargs="*", default=[], help="instead of the dial's")
    parser.add_argument("--laps", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/image_steps.json"))
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name in arguments.data:
        data = pf.read(name)
        for model, width in product(MODELS, arguments.widths or [None]):
            ours, bare, about = both(data, model, arguments.budget, width)
            row = compared(ours, bare, arguments.laps, arguments.steps)
            found[f"{data.name} {model.name}, width {about['width']}"] = row | about
            shown = "  ".join(f"{key} {value}" for key, value in (row | about).items())
            print(f"{data.name:12} {model.name:5} {shown}", flush=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def both(
    data: Any, cls: type[Model], budget: str, width: int | None
) -> tuple[Step, Step, dict[str, Any]]:
    """Return a step of ours, a bare step of the same networks, and the networks' sizes."""
    settings, device = Settings(budget=budget), torch.device("cpu")
    given: dict[str, Any] = {} if width is None else {"width": width}
    options = sized(cls, given, settings, data, device)
    config = new_config(cls, options, {"budget": "1000000 steps"}, data)
    loop = Loop(build(cls, data.schema, options, 0, device), data, settings, None, config)
    model: Any = build(cls, data.schema, options, 0, device)
    model.to(memory_format=torch.contiguous_format)
    rows = data.schema.expand(data.subset("train")[0])
    loader = DataLoader(TensorDataset(rows), loop.batches.size, shuffle=True, drop_last=True)
    bare = (bare_vae if cls is VAE else bare_gan)(model, endless(loader))
    return loop.round, bare, {key: options[key] for key in ("width", "depth", "latent")}


def endless(loader: DataLoader[Any]) -> Iterator[Tensor]:
    while True:
        for (x,) in loader:
            yield x


def bare_vae(model: Any, batches: Iterator[Tensor]) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step() -> None:
        x = next(batches)
        mean, log_var = model.encoder(x)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        rate = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(1)
        loss = (rate - model.decoder(z).log_prob(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def bare_gan(model: Any, batches: Iterator[Tensor]) -> Step:
    critic: nn.Module = model.critic
    generator: nn.Module = model.generator
    of_critic = torch.optim.Adam(critic.parameters(), 1e-3, (0.0, 0.99))
    of_generator = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.99))

    def step() -> None:
        x = next(batches).requires_grad_()
        z = torch.randn(len(x), model.prior.latent)
        fake, real = critic(generator(z).detach()), critic(x)
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        r1 = model.gamma / 2 * slope.square().flatten(1).sum(1)
        loss = (softplus(-real) + softplus(fake) + r1).mean()
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        fool = softplus(-critic(generator(torch.randn_like(z)))).mean()
        of_generator.zero_grad()
        fool.backward()
        of_generator.step()

    return step


def compared(ours: Step, bare: Step, laps: int, steps: int) -> dict[str, Any]:
    """Return the medians over laps that alternate, and the quartiles of their ratio."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    keep_freed()  # as in a run; for both sides
    with threads(training_threads()):
        for lap in range(laps + 1):  # the first warms up
            for name, step in (("ours", ours), ("bare", bare)):
                start = time.perf_counter()
                for _ in range(steps):
                    step()
                if lap:
                    times[name].append(1000 * (time.perf_counter() - start) / steps)
    ratios = [b / a for a, b in zip(times["ours"], times["bare"], strict=True)]
    low, middle, high = (round(q, 2) for q in statistics.quantiles(ratios, n=4))
    medians = {f"{name}, ms": round(statistics.median(found), 1) for name, found in times.items()}
    return medians | {"times as fast": middle, "quartiles": [low, high]}


if __name__ == "__main__":
    main()
