"""Networks by role, built for the data at hand."""

from pushforward.networks.roles import (
    Critic,
    Encoder,
    Generator,
    latent_size,
    together,
    trunk_size,
)
from pushforward.networks.trunks import Reader, Writer

__all__ = [
    "Critic",
    "Encoder",
    "Generator",
    "Reader",
    "Writer",
    "latent_size",
    "together",
    "trunk_size",
]
