"""How good the VAE's bound is: published numbers on binarised MNIST, exact ones, another library.

    python benchmarks/vae_mnist.py [--parts bound ppca pythae] [--models vae iwae] [--budget 9m]
                                   [--k 5] [--jobs 2] [--out-run RUN] [--start RUN]
                                   [--data ../shared/data] [--pythae PYTHON]

bound     MNIST binarised anew at every look, one stochastic layer (two layers of 200 tanh units
          each way, 50 latents): test -log p(x) by the importance-weighted bound with 5,000 codes,
          of a VAE, whose rate is annealed and whose encoder's gradient is by way of its
          codes alone (Roeder et al. 2017), and an IWAE with `--k` codes (Burda et al. 2016: 86.8
          for the VAE, 84.8 for the IWAE with 50, after 3,280 epochs; 84.9 for an IWAE that begins
          with the weights of the VAE, which `--start` takes from the run that `--out-run` keeps).
          Its gradients go through some of the codes and are doubly reparametrised. Each is trained
          for `--budget` on one core, `--jobs` of them at a time; `--images` of the 10,000 test
          images are looked at. Of the same decoders the bound and annealed importance sampling on
          `--annealed` images, and how far apart the bounds of bidirectional Monte Carlo are on
          images of the model itself;
ppca      a linear VAE: its ELBO, the exact log-likelihood of its decoder, and that of factor
          analysis (probabilistic PCA with a sigma for each column);
pythae    pythae's VAE and the same one here, alternating: images a second in the fastest epoch of
          each and over all epochs, and the losses of the first. `--pythae` is a Python that has it.

Parts are added to the file of results.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.decomposition import FactorAnalysis
from torch import Tensor, nn

import pushforward as pf
from pushforward.families.codes import kl
from pushforward.families.model import Terms, turn
from pushforward.measures import LatentDecoder, annealed_importance, importance_bound
from pushforward.models.iwae import IWAE
from pushforward.models.vae import VAE
from pushforward.nn.device import has_bfloat16
from pushforward.space import Space, values

Found = dict[str, Any]
Start = Callable[[int, int], nn.Linear]
LATENT, HIDDEN, CODES = 50, 200, 5000
ADAM = (0.9, 0.999)  # the papers' and pythae's averaging
RESAMPLE = 4  # of a row's codes, those that the IWAE's gradients go through
ANNEAL = 20_000  # steps over which the VAE's rate comes to count (Sonderby et al. 2016)
PYTHAE = {
    "digits": (64, 128, 16, 60),
    "mnist": (784, 512, 16, 8),
}  # columns, hidden, latent, epochs
RUNS = 5
CPU = torch.device("cpu")


class Layers(nn.Module):
    """Fully connected layers with one activation; a condition is not read."""

    def __init__(
        self, sizes: list[int], act: Callable[[], nn.Module], shape: tuple[int, ...], linear: Start
    ) -> None:
        super().__init__()
        self.shape = shape
        layers = ((linear(a, b), act()) for a, b in pairwise(sizes))
        self.body = nn.Sequential(*chain(*layers))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the last layer's features of rows x."""
        del c
        features: Tensor = self.body(x.flatten(1))
        return features.reshape(-1, *self.shape)


def glorot(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer that starts as Burda et al. 2016 have it (Glorot & Bengio 2010)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Tanh:
    """The networks of Burda et al. 2016 for one stochastic layer."""

    act: Callable[[], nn.Module] = nn.Tanh
    hidden: Sequence[int] = (HIDDEN, HIDDEN)
    linear: Start = staticmethod(glorot)

    def __init__(self, width: int, depth: int) -> None:
        del width, depth
        self.width = self.hidden[-1]

    def reader(self, space: Space, classes: int) -> nn.Module:
        """Return what encoders read with."""
        del classes
        return Layers([values(space), *self.hidden], self.act, (self.width,), self.linear)

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return what decoders write with."""
        del classes
        last = self.linear(self.width, outputs * values(space))
        shape = (outputs * space.shape[0], *space.shape[1:])
        features = Layers([latent, *self.hidden], self.act, (self.width,), self.linear)
        return Written(features, last, shape)


class Written(nn.Module):
    """A linear layer on features of a code, in the shape of the outputs."""

    def __init__(self, features: nn.Module, last: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.features, self.last, self.shape = features, last, shape

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the outputs of codes z."""
        written: Tensor = self.last(self.features(z, c))
        return written.reshape(-1, *self.shape)


def binarised(x: Tensor) -> Tensor:
    """Return pixels in [-1, 1] as draws of -1 and 1 with their means: whether uniforms are below.

    (`torch.bernoulli` takes three times as long, a fifth of a step.)
    """
    return (torch.empty_like(x).uniform_(-1, 1) < x).float().mul_(2).sub_(1)


class BinarisedVAE(VAE):
    """The VAE on pixels that are drawn anew at every look.

    The rate is log q(z|x) - log p(z) of the code that is drawn, and its gradient is by way of the
    code alone (Roeder et al. 2017): it has no noise where q is the posterior.
    """

    @turn("encoder", "decoder", "prior", betas=ADAM)
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Play the turn on drawn pixels."""
        x = binarised(x)
        q = self.encode(x, c)
        e = q.draw()
        rate = q.detach().log_prob(e) - self.prior.log_prob(e, c)
        return {"distortion": -self.decode(q.carry(e), c).log_prob(x), **self.rate(rate)}


class BinarisedIWAE(IWAE):
    """The IWAE on pixels that are drawn anew at every look; it may start as another run ended."""

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        start: Annotated[str, "The run of a model with the same networks."] = "",
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        if start:
            begun: Any = pf.load(start).model
            self.encoder.load_state_dict(begun.encoder.state_dict())
            self.decoder.load_state_dict(begun.decoder.state_dict())

    @turn("encoder", "decoder", "prior", betas=ADAM)
    def bound(self, x: Tensor, c: Tensor | None) -> Terms:
        """Play the turn on drawn pixels."""
        return super().bound(binarised(x), c)


# --- published numbers


def mnist(arguments: argparse.Namespace) -> tuple[pf.Dataset, np.ndarray]:
    """Return the 60,000 training images (1,000 of them validate), and the test images."""
    with np.load(arguments.data / "mnist.npz") as arrays:
        train, test = arrays["x_train"], arrays["x_test"]
    return pf.read(train, split=(59 / 60, 1 / 120, 1 / 120), seed=0), test


def trained(arguments: argparse.Namespace, name: str) -> pf.Fitted:
    torch.set_num_threads(1)
    data, _ = mnist(arguments)
    cls = BinarisedVAE if name == "vae" else BinarisedIWAE
    own: Found = {"beta": 1.0, "anneal": ANNEAL}
    if name == "iwae":
        own = {"k": arguments.k, "resample": RESAMPLE, "dreg": True, "start": arguments.start}
    shared: Found = {"networks": Tanh, "latent": LATENT, "likelihood": "bernoulli"}
    shared |= {"sampler": "prior", "batch_size": 100, "learning_rate": 1e-3, "seed": 0}
    shared |= {"out": arguments.out_run}
    return pf.fit(data, cls, budget=arguments.budget, device="cpu", **shared, **own)


def binary_decoder(fitted: pf.Fitted) -> LatentDecoder:
    """Return the decoder's logits, and the encoder, for rows of 0 and 1."""
    model: Any = fitted.model

    def encoder(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = model.encoder((2 * x - 1).reshape(-1, 1, 28, 28))
        return mean, log_var

    return LatentDecoder(model.decoder.trunk, LATENT, encoder=encoder, binary=True)


def binary_test(arguments: argparse.Namespace, n: int) -> Tensor:
    """Return n binarised test images as rows of 0 and 1, the same ones each time."""
    _, test = mnist(arguments)
    chosen = np.random.default_rng(0).permutation(len(test))[:n]  # in the file they lie by class
    share = torch.tensor(test[chosen]).flatten(1) / 255
    return torch.bernoulli(share, generator=torch.Generator().manual_seed(0))


def one_bound(arguments: argparse.Namespace, name: str) -> Found:
    start = time.perf_counter()
    fitted = trained(arguments, name)
    decoder, middle = binary_decoder(fitted), time.perf_counter()
    x = binary_test(arguments, arguments.images)
    way: Found = {"proposal": "encoder", "limit": None, "seed": 0}
    found = importance_bound(decoder, x, samples=CODES, **way)
    one = importance_bound(decoder, x, samples=1, **way)
    return {
        "-log p(x), nats": -found.value,
        "interval": [-(found.high or math.nan), -(found.low or math.nan)],
        "-ELBO, nats": -one.value,
        "effective codes": found.extra["effective_samples"],
        "test images": found.n,
        "reduced": f"{arguments.budget} on one core, one seed",
        "steps of 100": fitted.steps,
        "epochs": fitted.steps * 100 / 59_000,
        "training, s": middle - start,
        "measuring, s": time.perf_counter() - middle,
        "sandwich": sandwich(decoder, x[: arguments.annealed]),
    }


def sandwich(decoder: LatentDecoder, x: Tensor) -> Found:
    """Bound the same images by annealing, and the model's own from both sides."""
    start = time.perf_counter()
    annealed = annealed_importance(decoder, x, steps=500, chains=8, seed=0)
    weighted = importance_bound(decoder, x, samples=CODES, proposal="encoder", seed=0)
    found = {key: annealed.extra[key] for key in ("gap", "gap_error", "acceptance")}
    found |= {"-log p(x) by AIS": -annealed.value, "by the bound": -weighted.value}
    return found | {"test images": len(x), "s": time.perf_counter() - start}


def bound(arguments: argparse.Namespace) -> Found:
    found = Parallel(n_jobs=arguments.jobs)(
        delayed(one_bound)(arguments, name) for name in arguments.models
    )
    names = [name if name == "vae" else f"iwae, k = {arguments.k}" for name in arguments.models]
    return dict(zip(names, found, strict=True))


# --- exact ones


class Linear(Tanh):
    """No hidden layers: what reads and writes is linear. `width` is the number of columns."""

    def __init__(self, width: int, depth: int) -> None:
        del depth
        self.width = width

    def reader(self, space: Space, classes: int) -> nn.Module:
        """Return what encoders read with."""
        del space, classes
        return Layers([self.width], nn.Tanh, (self.width,), nn.Linear)

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return what decoders write with."""
        del outputs, classes
        return Written(
            Layers([latent], nn.Tanh, (latent,), nn.Linear),
            nn.Linear(latent, values(space)),
            space.shape,
        )


def ppca(arguments: argparse.Namespace) -> Found:
    """A linear VAE with a sigma for each column, and factor analysis, on rows of a known one."""
    del arguments
    rng, d, k = np.random.default_rng(0), 10, 3
    weights, sigma = rng.normal(size=(d, k)), rng.uniform(0.5, 1.5, size=d)
    rows = rng.normal(size=(6000, k)) @ weights.T + sigma * rng.normal(size=(6000, d))
    data = pf.read(rows)
    own: Found = {"networks": Linear, "width": d, "latent": k, "device": "cpu", "ema": 0.99}
    fitted = pf.fit(data, "vae", budget="20000 steps", learning_rate=3e-3, seed=0, **own)
    train, test = (
        data.schema.expand(data.schema.encode(data.raw(part))) for part in ("train", "test")
    )
    exact, factors = decoder_density(fitted.model), FactorAnalysis(k, tol=1e-8, max_iter=10_000)
    factors.fit(train.double().numpy())
    return {
        name: {
            "ELBO, nats": elbo(fitted.model, x),
            "log p(x) of its decoder": float(exact.log_prob(x.double()).mean()),
            "log p(x) of factor analysis": float(factors.score(x.double().numpy())),
            "rows": len(x),
        }
        for name, x in {"train": train, "test": test}.items()
    }


def decoder_density(model: Any) -> torch.distributions.MultivariateNormal:
    """Return N(b, W W' + diag sigma^2) of a linear decoder."""
    last = model.decoder.trunk.last
    weights, sigma = last.weight.double(), model.decoder.likelihood.log_sigma.exp().double()
    covariance = weights @ weights.T + torch.diag(sigma.flatten() ** 2)
    return torch.distributions.MultivariateNormal(last.bias.double(), covariance)


def elbo(model: Any, x: Tensor, draws: int = 200) -> float:
    torch.manual_seed(0)
    return -fmean(float(model.loss(x).mean()) for _ in range(draws))


# --- another library


class Relu(Tanh):
    """One hidden layer each way, which starts as torch has it."""

    act = nn.ReLU
    linear = nn.Linear

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.width, self.hidden = width, (width,)


class SquaredVAE(VAE):
    """Half the squared error of pixels in [0, 1], and the KL, as pythae's."""

    @turn("encoder", "decoder", betas=ADAM)
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower pythae's loss."""
        q = self.encode(x, c)
        z = q.rsample()
        error = (self.decoder.trunk(z, c).sigmoid() - (x + 1) / 2).flatten(1)
        return {"distortion": 0.5 * error.square().sum(1), "rate": kl(q, self.prior, z, c)}


def pythae(arguments: argparse.Namespace) -> Found:
    return {name: against(arguments, name) for name in PYTHAE}


def against(arguments: argparse.Namespace, name: str) -> Found:
    columns, hidden, latent, epochs = PYTHAE[name]
    rows = pixels(arguments, name)
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows)
        for _ in range(RUNS):
            theirs.append(peer(arguments.pythae, path, hidden, latent, epochs))
            ours.append(own(rows, hidden, latent, epochs))
    speed = {
        "pythae": [epochs * len(rows) / sum(run["seconds"]) for run in theirs],
        "pushforward": [run["images a second"] for run in ours],
    }
    ratios = [b / a for a, b in zip(speed["pythae"], speed["pushforward"], strict=True)]
    return {
        "network": f"{columns}-{hidden}-{latent}, batch 128, {epochs} epochs of {len(rows)} images",
        "images a second": {key: median(found) for key, found in speed.items()},
        "ratio": {"median": median(ratios), "all": ratios},
        "loss after each epoch, pythae": np.mean([run["loss"] for run in theirs], 0).tolist(),
        "loss at checks, pushforward": ours[0]["loss"],
    }


def pixels(arguments: argparse.Namespace, name: str) -> np.ndarray:
    """Return rows of pixels in [0, 1]."""
    if name == "digits":
        found = load_digits().data / 16
    else:
        with np.load(arguments.data / "mnist.npz") as arrays:
            found = arrays["x_train"][:20_000].reshape(20_000, -1) / 255
    return np.asarray(found, dtype=np.float32)


def peer(python: str, path: Path, hidden: int, latent: int, epochs: int) -> Found:
    script = Path(__file__).with_name("pythae_peer.py")
    command = [python, *map(str, (script, path, hidden, latent, epochs))]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: Found = json.loads(out.splitlines()[-1])
    return found


def own(rows: np.ndarray, hidden: int, latent: int, epochs: int) -> Found:
    """Return images a second of a whole `fit`, checks counted in, and the losses of its history.

    Every image is a training one, but the few that validate. The learning rate falls from half of
    the steps on, so that losses can be compared until there.
    """
    side, n = math.isqrt(rows.shape[1]), len(rows)
    data = pf.read(rows.reshape(n, side, side), split=(1 - 200 / n, 100 / n, 100 / n), range=(0, 1))
    steps = epochs * n // 128
    start = time.perf_counter()
    shared: Found = {"networks": Relu, "width": hidden, "latent": latent, "sampler": "prior"}
    shared |= {"learning_rate": 1e-3, "batch_size": 128, "likelihood": "unit-gaussian"}
    shared["precision"] = "bfloat16" if hidden >= 256 and has_bfloat16(CPU) else "float32"
    fitted = pf.fit(data, SquaredVAE, budget=f"{steps} steps", seed=0, device="cpu", **shared)
    seconds = time.perf_counter() - start
    loss = {
        f"{128 * record['step'] / n:.1f} epochs": sum(record["terms"].values())
        for record in fitted.history
    }
    return {"images a second": steps * 128 / seconds, "loss": loss}


PARTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "bound": bound,
    "ppca": ppca,
    "pythae": pythae,
}


def main() -> None:
    """Run the parts, print what they find, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--budget", default="9m")
    parser.add_argument("--models", nargs="+", choices=["vae", "iwae"], default=["vae", "iwae"])
    parser.add_argument("--jobs", type=int, default=2, help="bound: trainings side by side")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--out-run", help="bound: where the run of one model is kept")
    parser.add_argument("--start", default="", help="bound: the run that the IWAE begins with")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--annealed", type=int, default=50)
    parser.add_argument("--pythae", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/vae_mnist.json"))
    arguments = parser.parse_args()
    found: Found = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for part in arguments.parts:
        found[part] = found.get(part, {}) | PARTS[part](arguments)
        found[part]["machine"] = {"cores": os.cpu_count(), "torch": torch.__version__}
        print(part, json.dumps(found[part], indent=1), flush=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
