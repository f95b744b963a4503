"""A run's folder, and the fitted model in it."""

from pushforward.runs.fitted import Fitted, build, choose_device, load
from pushforward.runs.folder import Checkpoint, Folder

__all__ = ["Checkpoint", "Fitted", "Folder", "build", "choose_device", "load"]
