"""Networks and the distributions that they parametrise, built for the data at hand."""

from pushforward.nn.roles import Critic, Encoder, Generator, together
from pushforward.nn.trunks import Networks, Trunks

__all__ = ["Critic", "Encoder", "Generator", "Networks", "Trunks", "together"]
