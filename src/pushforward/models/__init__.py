"""The models: one variant a file. A new file in this folder is found without being named."""

from pushforward.models.registry import all_models, find

__all__ = ["all_models", "find"]
