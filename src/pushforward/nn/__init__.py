"""Networks and the distributions that they parametrise, built for the data at hand."""

from pushforward.nn.roles import Critic, Encoder, Generator, latent_size, together, trunk_size
from pushforward.nn.trunks import Reader, Writer

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
