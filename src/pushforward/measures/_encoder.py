"""A small convolutional encoder, trained without labels on the reference alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

SIZE = 64  # features
NOISE = 0.5  # standard deviation, for pixels in [-1, 1]
STEPS = 400
BATCH = 128
RATE = 2e-3


class Encoder(nn.Module):
    """Strided convolutions down to at most 4 pixels a side, then one linear map (n, SIZE)."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        wide = 32
        while max(height, width) > 4:
            layers += [nn.Conv2d(channels, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.SiLU()]
            channels, wide = wide, min(2 * wide, 128)
            height, width = (height + 1) // 2, (width + 1) // 2
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * height * width, SIZE)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images (n, channels, height, width) in [-1, 1]."""
        features: Tensor = self.layers(x)
        return features


def train(images: Tensor, seed: int) -> Encoder:
    """Return an encoder of these images: what it keeps is enough to take noise off them.

    Reference:
        Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        shape = images.shape[1:]
        encoder = Encoder(*shape)
        decoder = nn.Sequential(nn.Linear(SIZE, 256), nn.SiLU(), nn.Linear(256, shape.numel()))
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
        for _ in range(STEPS):
            x = images[torch.randint(len(images), (BATCH,))]
            noisy = x + NOISE * torch.randn_like(x)
            loss = mse_loss(decoder(encoder(noisy)), x.flatten(1))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return encoder.requires_grad_(False)
