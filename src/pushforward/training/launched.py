"""Whether torchrun started this process with others, read from what it sets; imports no torch."""

from __future__ import annotations

import os

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> bool:
    """Whether there are other processes of the same command."""
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def leads() -> bool:
    """Whether this is the first process, or the only one."""
    return not launched() or os.environ["RANK"] == "0"
