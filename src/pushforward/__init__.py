"""Train VAEs and GANs on your own data, measure both with the same measures, know which to use.

import pushforward as pf

data = pf.read("adult.csv")
vae = pf.fit(data, "vae", budget="60s", seed=0)
fake = vae.sample(1000, seed=1)
result = pf.compare(data, ["vae", "gan"], seeds=3, budget="60s", out="runs/adult")
"""

from __future__ import annotations

from pushforward import measures
from pushforward.data import Dataset, Schema, read, write
from pushforward.data.tables import constraints
from pushforward.errors import DataError, MeasureError, ModelError, PushforwardError, RunError
from pushforward.families.model import Model, turn
from pushforward.measures import Measurement, Scorecard, measure
from pushforward.report import Comparison, compare
from pushforward.runs.fitted import Fitted, load
from pushforward.training.fit import fit

__all__ = [
    "Comparison",
    "DataError",
    "Dataset",
    "Fitted",
    "MeasureError",
    "Measurement",
    "Model",
    "ModelError",
    "PushforwardError",
    "RunError",
    "Schema",
    "Scorecard",
    "compare",
    "constraints",
    "fit",
    "load",
    "measure",
    "measures",
    "read",
    "turn",
    "write",
]
