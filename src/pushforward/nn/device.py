"""Where to compute."""

from __future__ import annotations

import torch

from pushforward.errors import ModelError, PushforwardError, quoted

WITHOUT_FLOAT64 = "mps"  # a type of device; the encoded rows of a table are float64


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
        raise _refusal(name, error) from cause
    if device.type == WITHOUT_FLOAT64:
        raise _refusal(name, error)
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16: products take half the time."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(bool(able.get(feature)) for feature in ("avx512_bf16", "amx_bf16"))


def _refusal(name: object, error: type[PushforwardError]) -> PushforwardError:
    """Return the error for a device that cannot be used: what there is instead, in one line."""
    kind, count = str(name).partition(":")[0], torch.cuda.device_count()
    here = ", ".join(f"cuda:{i}" for i in range(count)) or "no NVIDIA GPU that PyTorch can use"
    why = f"this machine has {here}" if kind == "cuda" else "it must be cpu or cuda (an NVIDIA GPU)"
    return error(
        f"device {quoted(name)} is not available here: {why}; name 'cpu', or 'auto' for a GPU "
        "where there is one"
    )
