"""Where the numbers of a training may go besides the run's folder: MLflow, TensorBoard, wandb, ...

Five methods, as in sbi; docs/trackers.md has adapters of a few lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Tracker(Protocol):
    """What `fit` and `compare` tell while they train."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Take the model's name, its options and the settings, once, before the first step."""

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Take one number at a step."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take the terms of each turn, named `turn.term`, and what was read on validation rows."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Take a plotly figure: what the model tells about its own measure, at the end."""

    def flush(self) -> None:
        """Write what is still held back."""
