"""The largest memory that a stretch of work needed, and what becomes of memory between steps."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

KEPT = 2**28  # freed bytes that the process keeps
LARGEST = 2**25  # of a block: larger ones come from the system each time
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers of them
ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "LD_PRELOAD", "GLIBC_TUNABLES")


def keep_freed() -> None:
    """Let the C library keep memory that a step frees, for the next one.

    glibc hands it back to the system as soon as a few megabytes are free, and gets it anew, page by
    page, a moment later: in the worst case an operation takes twenty times as long. Does nothing
    with another C library, nor where the user has decided on its memory.
    """
    if any(name in os.environ for name in ENVIRONMENT):
        return
    library = _c_library()
    with suppress(AttributeError):  # musl has no such thing
        library.mallopt(TRIM_THRESHOLD, KEPT)
        library.mallopt(MMAP_THRESHOLD, LARGEST)


def _hand_back() -> None:
    """Give the system what the C library keeps."""
    with suppress(AttributeError):
        _c_library().malloc_trim(0)


def _c_library() -> Any:
    """Return the C library that Python runs on; None where it is not to be had."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None


class PeakMemory:
    """Peak memory in bytes since construction: the device's on CUDA, the process's on the CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _hand_back()  # or what an earlier run has freed would count
            with suppress(OSError):  # Linux forgets the process's peak on request
                Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the peak in bytes; where it cannot be reset, that of the process so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with suppress(OSError):
            match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
            if match is not None:
                return int(match[1]) * 1024
        return _peak_of_process()


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows has none; 0 says "unknown"
        return 0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # macOS counts bytes
