"""A small convolutional network, trained without labels on the reference alone, or random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.random import isolated

SIZE = 64  # features of the last layer
WIDTH = 16  # channels of the first stage; each further one has twice as many
MAX_WIDTH = 128
SMALL_IMAGE = 16  # pixels a side up to which the first stage keeps the resolution
STEPS = 200  # at most
EPOCHS = 10  # at most: with more, a small set of images is memorised
BATCH = 128
LEARNING_RATE = 2e-3


class ConvolutionalNetwork(nn.Module):
    """Convolutions, strided down to at most 4 pixels a side, then one linear map.

    The features are the values of the linear map (content and position) and the mean of each stage
    over the image (texture: blur and noise show there first).
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        features, stride = WIDTH, 1 if max(height, width) <= SMALL_IMAGE else 2
        while max(height, width) > 4:
            convolution = nn.Conv2d(channels, features, 3, stride, padding=1)
            stages.append(nn.Sequential(convolution, nn.GroupNorm(8, features), nn.SiLU()))
            height, width = (height - 1) // stride + 1, (width - 1) // stride + 1
            channels, features, stride = features, min(2 * features, MAX_WIDTH), 2
        self.stages = nn.ModuleList(stages)
        self.last = nn.Linear(channels * height * width, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (n, d) of images (n, channels, height, width) in [-1, 1]."""
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean((2, 3)))
        return torch.cat([self.last(x.flatten(1)), *means], 1)


def train_on_symmetries(images: Tensor, seed: int) -> ConvolutionalNetwork:
    """Return a network trained to recognise how an image was rotated and mirrored.

    On MNIST and on 8x8 digits its features separated real images from blurred, noisy, mixed and cut
    ones better than pixels, random weights, a denoising autoencoder and contrastive learning.

    Reference:
        Gidaris, Singh & Komodakis 2018, "Unsupervised representation learning by predicting image
        rotations".
    """
    with isolated(images.device, seed):
        network = ConvolutionalNetwork(*images.shape[1:]).to(images.device)
        head = nn.Sequential(nn.SiLU(), nn.Linear(SIZE, len(symmetries(images[:1]))))
        head.to(images.device)
        steps = max(10, min(STEPS, EPOCHS * len(images) // BATCH))
        optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(steps):
            x, applied = _batch(images)
            loss = nn.functional.cross_entropy(head(network(x)[:, :SIZE]), applied)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.requires_grad_(False)


def random_network(shape: Sequence[int], seed: int) -> ConvolutionalNetwork:
    """Return a network for images (channels, height, width) with random weights of a seed.

    Reference:
        Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", who
        recommend random embeddings for images unlike those that a pretrained network knows.
    """
    with isolated(torch.device("cpu"), seed):
        return ConvolutionalNetwork(*shape).requires_grad_(False)


def symmetries(x: Tensor) -> list[Tensor]:
    """Return images in all orientations that keep their shape: 8 for squares, 4 for others."""
    mirrored = [x, x.flip(3)]
    if x.shape[2] != x.shape[3]:
        return [y for m in mirrored for y in (m, m.flip(2))]
    return [torch.rot90(m, quarter, (2, 3)) for m in mirrored for quarter in range(4)]


def _batch(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images, each in one of the orientations, and which one."""
    x = images[torch.randint(len(images), (BATCH,))]
    versions = symmetries(x)
    applied = torch.arange(BATCH, device=images.device) % len(versions)
    rows = [version[applied == i] for i, version in enumerate(versions)]
    return torch.cat(rows), applied.sort().values
