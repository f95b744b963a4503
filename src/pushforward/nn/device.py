"""Where to compute."""

from __future__ import annotations

import torch

from pushforward.errors import ModelError, PushforwardError


def choose_device(
    name: str | torch.device, error: type[PushforwardError] = ModelError
) -> torch.device:
    """Return the device of that name; "auto" picks CUDA, then CPU.

    `error` is raised for one that is unknown, or not available here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as cause:
        why = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise error(f"device {str(name)!r} is not available here: {why}") from cause
    return device
