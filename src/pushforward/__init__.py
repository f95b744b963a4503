"""Train VAEs and GANs on your own data, measure both with the same measures, know which to use.

import pushforward as pf

data = pf.read("adult.csv")
vae = pf.fit(data, "vae", budget="60s", seed=0)
fake = vae.sample(1000, seed=1)
result = pf.compare(data, ["vae", "gan"], seeds=3, budget="60s", out="runs/adult")
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pushforward import threads as _threads  # noqa: F401 - before torch: how its threads wait

if TYPE_CHECKING:  # what type checkers and editors see; at run time `_HOMES` says the same
    from pushforward import measures as measures
    from pushforward import testing as testing
    from pushforward.data import Dataset as Dataset
    from pushforward.data import Schema as Schema
    from pushforward.data import read as read
    from pushforward.data import write as write
    from pushforward.data.tables import constraints as constraints
    from pushforward.errors import DataError as DataError
    from pushforward.errors import MeasureError as MeasureError
    from pushforward.errors import ModelError as ModelError
    from pushforward.errors import PushforwardError as PushforwardError
    from pushforward.errors import RunError as RunError
    from pushforward.families.model import Model as Model
    from pushforward.families.model import turn as turn
    from pushforward.measures import Measurement as Measurement
    from pushforward.measures import Scorecard as Scorecard
    from pushforward.measures import measure as measure
    from pushforward.report import Comparison as Comparison
    from pushforward.report import compare as compare
    from pushforward.runs.fitted import Fitted as Fitted
    from pushforward.runs.fitted import load as load
    from pushforward.training.curve import rate_distortion as rate_distortion
    from pushforward.training.fit import fit as fit

    __version__: str

# Where the public names are. A module is imported when a name of it is first used: torch, SciPy and
# Polars take seconds, which neither `import pushforward` nor `pushforward --help` should.
_HOMES = {
    "report": ("Comparison", "compare"),
    "data": ("Dataset", "Schema", "read", "write"),
    "errors": ("DataError", "MeasureError", "ModelError", "PushforwardError", "RunError"),
    "families.model": ("Model", "turn"),
    "measures": ("Measurement", "Scorecard", "measure"),
    "runs.fitted": ("Fitted", "load"),
    "training.curve": ("rate_distortion",),
    "training.fit": ("fit",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = {
    "constraints": "data.tables.constraints",
    "measures": "measures",
    "testing": "testing",
}

__all__ = sorted([*_HOME, *_MODULES])  # noqa: PLE0605 - the names of `_HOMES`, once

logging.getLogger(__name__).addHandler(logging.NullHandler())

if not TYPE_CHECKING:  # for a type checker every name would be there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used (PEP 562)."""
        if name == "__version__":
            value = import_module("importlib.metadata").version(__name__)
        elif name in _MODULES:
            value = import_module(f"{__name__}.{_MODULES[name]}")
        elif name in _HOME:
            value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        else:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*__all__, "__version__"])
