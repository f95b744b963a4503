"""A run's folder, and the fitted model in it."""

from pushforward.runs.fitted import Fitted, build, load
from pushforward.runs.folder import Checkpoint, Folder

__all__ = ["Checkpoint", "Fitted", "Folder", "build", "load"]
