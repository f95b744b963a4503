"""What the loop costs: samples per second against a bare, hand-written PyTorch loop.

The model is the VAE that everyone writes first, 784-512-16 with ReLU and a Bernoulli decoder, on
MNIST, batch 128. Three ways to train it, in one process, alternating, each from a fresh start:

    ours          the library's loop (uint8 rows on the device, EMA off, fused Adam)
    bare          a hand-written loop over float rows on the device, torch's Adam
    bare, fused   the same with Adam(fused=True), the optimizer options that ours uses

    python benchmarks/overhead.py [--data ../shared/data/mnist.npz] [--rounds 7] [--steps 300]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import pushforward as pf
from pushforward.nn.sizes import BETAS_ON_IMAGES
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.space import Image
from pushforward.training.loop import Loop
from pushforward.training.settings import Settings

BATCH, HIDDEN, LATENT = 128, 512, 16


class MlpEncoder(nn.Module):
    """784-512-(16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, HIDDEN)
        self.f1, self.f2 = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        del c
        h = functional.relu(self.hidden(x.flatten(1)))
        return self.f1(h), self.f2(h)


class MlpTrunk(nn.Module):
    """16-512-784."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits as images."""
        del c
        logits: Tensor = self.body(z)
        return logits.view(-1, 1, 28, 28)


class Mlp:
    """The same networks for the library's VAE."""

    def __init__(self, width: int, depth: int) -> None:
        del depth
        self.width = width

    def reader(self, space: Image, classes: int) -> nn.Module:
        """Return 784-512, which the encoder's two heads follow."""
        del classes
        return First(math.prod(space.shape), self.width)

    def writer(self, space: Image, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return 16-512-784."""
        del space, latent, outputs, classes
        return MlpTrunk()


class First(nn.Module):
    """One layer with ReLU."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, width)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features."""
        del c
        return functional.relu(self.hidden(x.flatten(1)))


def ours(data: pf.Dataset, steps: int) -> float:
    """Return samples per second of the library's loop."""
    assert isinstance(data.schema.space, Image)
    torch.manual_seed(0)
    settings = Settings(f"{steps} steps", batch_size=BATCH, ema=0.0)
    options = {"latent": LATENT, "likelihood": "bernoulli", "networks": Mlp, "width": HIDDEN}
    model = build("vae", data.schema, options, 0, torch.device("cpu"))
    config = new_config(type(model), options, asdict(settings), data)
    loop = Loop(model, data, settings, None, config)
    return timed(loop.round, steps)


def bare(data: pf.Dataset, steps: int, *, fused: bool) -> float:
    """Return samples per second of the loop that people write."""
    torch.manual_seed(0)
    rows = data.subset("train")[0].flatten(1).float() / 255
    encoder, decoder = MlpEncoder(), MlpTrunk()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3, BETAS_ON_IMAGES, fused=fused or None)
    order, place = torch.randperm(len(rows)), 0

    def step() -> None:
        nonlocal order, place
        if place + BATCH > len(rows):
            order, place = torch.randperm(len(rows)), 0
        x = rows[order[place : place + BATCH]]
        place += BATCH
        mu, log_var = encoder(x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        logits = decoder(z).flatten(1)
        cross = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        loss = (cross + kl) / len(x)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return timed(step, steps)


def timed(step: Callable[[], None], steps: int) -> float:
    """Return samples per second after a warm-up."""
    for _ in range(20):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Alternate the three loops and print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data/mnist.npz")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/overhead.json"))
    arguments = parser.parse_args()
    data = pf.read(arguments.data, key="x_train" if arguments.data.endswith("npz") else None)
    speeds: dict[str, list[float]] = {"ours": [], "bare": [], "bare, fused": []}
    for _ in range(arguments.rounds):
        speeds["ours"].append(ours(data, arguments.steps))
        speeds["bare"].append(bare(data, arguments.steps, fused=False))
        speeds["bare, fused"].append(bare(data, arguments.steps, fused=True))
    ratios = {
        other: [a / b for a, b in zip(speeds["ours"], speeds[other], strict=True)]
        for other in ("bare", "bare, fused")
    }
    print(f"{'loop':12} {'samples/s':>10}   ours / it (median, min, max of {arguments.rounds})")
    for name, values in speeds.items():
        ratio = sorted(ratios.get(name, [1.0]))
        spread = f"{statistics.median(ratio):.2f}  ({ratio[0]:.2f} to {ratio[-1]:.2f})"
        print(f"{name:12} {statistics.median(values):10,.0f}   {spread}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"samples_per_second": speeds, "ratios": ratios, "torch": torch.__version__}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
