"""What `compare --features NAME` names: a map from rows to the vectors that measures compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pushforward.errors import MeasureError, nearest

if TYPE_CHECKING:
    from pushforward.data import Dataset
    from pushforward.measures import Features

FITTED = {
    "standardised": "Standardised",
    "pca": "PCA",
    "image-statistics": "ImageStatistics",
}
PRETRAINED = {"inception-v3": "InceptionV3", "dinov2": "DINOv2"}
NAMES = ("identity", *FITTED, *PRETRAINED)
MAX_ROWS = 10_000  # training rows that features are fitted to


def check_features(text: str | None) -> str | None:
    """Return the text `NAME` or `NAME:WEIGHTS`; MeasureError for an unknown name or no file."""
    name, colon, weights = (text or NAMES[0]).partition(":")
    if name not in NAMES:
        msg = f"unknown features {name!r}: {nearest(name, NAMES)}"
        raise MeasureError(msg)
    if colon and name not in PRETRAINED:
        msg = f"only {' and '.join(PRETRAINED)} take a file of weights, got {text!r}"
        raise MeasureError(msg)
    if colon and not Path(weights).expanduser().is_file():
        msg = f"no such file: {weights}"
        raise MeasureError(msg)
    return text


def make_features(text: str, data: Dataset) -> Features:
    """Return the features, fitted to training rows where they are not pretrained."""
    from pushforward import measures

    name, _, weights = text.partition(":")
    if name in PRETRAINED:
        pretrained: Features = getattr(measures, PRETRAINED[name])(weights or None)
        return pretrained
    if name == "identity":
        return measures.Identity()
    rows = data.schema.expand(data.subset("train")[0][:MAX_ROWS])
    fitted: Features = getattr(measures, FITTED[name]).fit(rows)
    return fitted
