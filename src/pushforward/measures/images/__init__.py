"""What only images have: artefacts that networks leave in them."""

from pushforward.measures.images.artefacts import ARTEFACTS, Artefact, artefacts

__all__ = ["ARTEFACTS", "Artefact", "artefacts"]
