"""Epochs of pythae's VAE on rows of pixels, in a process of its own.

    python benchmarks/pythae_peer.py ROWS.npy HIDDEN LATENT EPOCHS

Runs under any Python in which `pythae` is installed (it need not be ours); prints JSON: the seconds
and the mean loss of each epoch.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from typing import Any


def main() -> None:
    import numpy as np
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from torch import nn

    path, hidden, latent, epochs = sys.argv[1], *map(int, sys.argv[2:5])
    rows = np.load(path)
    logging.disable()

    class Encoder(BaseEncoder):  # type: ignore[misc]  # pythae has no types
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.body = nn.Sequential(nn.Linear(rows.shape[1], hidden), nn.ReLU())
            self.mean, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

        def forward(self, x: Any) -> Any:
            h = self.body(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            last = nn.Linear(hidden, rows.shape[1])
            self.body = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), last, nn.Sigmoid())

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=self.body(z))

    class Timed(BaseTrainer):  # type: ignore[misc]
        def train_step(self, epoch: int) -> Any:
            start = time.perf_counter()
            loss = BaseTrainer.train_step(self, epoch)
            found["seconds"].append(time.perf_counter() - start)
            found["loss"].append(float(loss))
            return loss

    found: dict[str, list[float]] = {"seconds": [], "loss": []}
    config = VAEConfig(
        input_dim=(rows.shape[1],),
        latent_dim=latent,
        reconstruction_loss="mse",
        uses_default_encoder=False,
        uses_default_decoder=False,
    )
    with tempfile.TemporaryDirectory() as out:
        settings = BaseTrainerConfig(
            output_dir=out,
            num_epochs=epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=128,
            optimizer_cls="Adam",
            no_cuda=True,
        )
        model = VAE(config, encoder=Encoder(), decoder=Decoder())
        data = BaseDataset(torch.from_numpy(rows), torch.ones(len(rows)))
        Timed(model=model, train_dataset=data, training_config=settings).train()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
