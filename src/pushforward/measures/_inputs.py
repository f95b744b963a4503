"""Two samples of any container as two valid matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pushforward.errors import MeasureError

FeatureFunction = Callable[[Any], Tensor]
MAX_MAGNITUDE = 1e150  # the squares of larger values overflow


@dataclass(frozen=True)
class Pair:
    """Two samples of the same width: `x` (n, d) is the real one, `y` (m, d) the generated one.

    `extra` (features, rows left out) goes into the measurement.
    """

    x: Tensor
    y: Tensor
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """The number of real rows."""
        return len(self.x)

    @property
    def m(self) -> int:
        """The number of generated rows."""
        return len(self.y)

    @property
    def pooled(self) -> Tensor:
        """All rows (n + m, d), the real ones first."""
        return torch.cat([self.x, self.y])


def pair(
    x: Any,
    y: Any,
    *,
    min_rows: int = 2,
    limit: int | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
) -> Pair:
    """Return both samples as matrices of one width, dtype and device.

    Args:
        x: the real sample: tensor, array or numeric data frame; rows of any shape are flattened.
        y: the generated sample.
        min_rows: minimum rows of each sample.
        limit: maximum rows of each sample; the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the choice of rows.
        dtype: of the result; None keeps the wider of the two.

    Raises:
        MeasureError: for different widths, too few rows, NaN or infinity, and a limit below
            `min_rows`.
    """
    extra: dict[str, Any] = {}
    if features is not None:
        x, y = (_featured(features, side) for side in (x, y))
        extra["features"] = feature_identity(features)
    x, y = matrix(x, "the real sample"), matrix(y, "the generated sample")
    if x.shape[1] != y.shape[1]:
        raise MeasureError(
            f"both samples need the same columns: the real one has {x.shape[1]}, the generated "
            f"one {y.shape[1]}"
        )
    if min(len(x), len(y)) < min_rows:
        raise MeasureError(
            f"this measure needs at least {min_rows} rows on each side, and was given {len(x)} "
            f"real and {len(y)} generated ones"
        )
    if limit is not None and limit < min_rows:
        raise MeasureError(f"limit must leave the {min_rows} rows that are needed, and is {limit}")
    if limit is not None and max(len(x), len(y)) > limit:
        extra["given"] = [len(x), len(y)]
        rng = torch.Generator().manual_seed(seed)
        x, y = subsample(x, limit, rng), subsample(y, limit, rng)
    dtype = dtype or torch.promote_types(x.dtype, y.dtype)
    return Pair(x.to(dtype), y.to(x.device, dtype), extra)


def require_features(features: Any) -> None:
    """Raise MeasureError for features that are neither None nor a function."""
    if features is not None and not callable(features):
        raise MeasureError(
            f"features must be a function of rows, e.g. PCA.fit(real), and is {features!r}"
        )


def _featured(features: FeatureFunction, rows: Any) -> Tensor:
    require_features(features)
    try:
        return features(rows)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        what = str(error).splitlines()[0]
        raise MeasureError(f"features failed on rows of shape {np.shape(rows)}: {what}") from error


def require_at_least(minimum: int, **options: int | None) -> None:
    """Raise MeasureError for an option that is below `minimum`; None passes."""
    for name, value in options.items():
        if value is not None and value < minimum:
            raise MeasureError(f"{name} must be at least {minimum}, and is {value}")


def feature_identity(features: FeatureFunction) -> dict[str, str]:
    """Return the name and hash of features; measurements are comparable only if both agree."""
    name = getattr(features, "name", getattr(features, "__name__", "custom"))
    return {"name": str(name), "hash": getattr(features, "digest", "")}


def subsample(x: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Return at most `limit` rows of `x`, chosen without replacement."""
    if len(x) <= limit:
        return x
    return x[torch.randperm(len(x), generator=generator)[:limit].to(x.device)]


def matrix(x: Any, name: str) -> Tensor:
    """Return a sample as a finite float matrix (n, d); MeasureError where it is not one."""
    values = _tensor(x, name)
    values = values.reshape(len(values), -1) if values.ndim and len(values) else values
    if values.ndim != 2 or values.shape[1] == 0:
        raise MeasureError(f"{name} needs rows and columns, and has shape {tuple(values.shape)}")
    if len(values):
        _require_finite(values, name)
    return values


def _require_finite(values: Tensor, name: str) -> None:
    low, high = values.aminmax()  # one pass, and NaN comes through
    largest = float(torch.maximum(-low, high))
    if not largest < torch.inf:
        bad = ~values.isfinite().all(1)
        raise MeasureError(
            f"{name} has NaN or infinity in {int(bad.sum())} of {len(values)} rows, the first is "
            f"row {int(bad.nonzero()[0])}; drop or fill them first"
        )
    if largest > MAX_MAGNITUDE:
        raise MeasureError(
            f"{name} has values beyond {MAX_MAGNITUDE:g}, whose squares overflow; rescale"
        )


def _tensor(x: Any, name: str) -> Tensor:
    if isinstance(x, Distribution):
        raise MeasureError(
            f"{name} is a density; this measure takes samples: pass .sample((n,)), or compare "
            "two densities by kl, jeffreys or frechet_gaussian"
        )
    if isinstance(x, Tensor):
        return x.detach() if x.is_floating_point() else x.detach().double()
    array = _array(x, name)
    if array.dtype.kind not in "biuf":
        raise MeasureError(
            f"{name} needs numbers, and holds {array.dtype}; `measure` encodes tables and images"
        )
    return torch.from_numpy(array.astype(np.float32 if array.itemsize < 4 else np.float64))


def _array(x: Any, name: str) -> np.ndarray[Any, Any]:
    frame = nw.from_native(x, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return _plain(x, name)
    other = [c for c, kind in frame.schema.items() if not (kind.is_numeric() or kind == nw.Boolean)]
    if other:
        raise MeasureError(
            f"{name} has columns that are not numbers ({', '.join(other[:5])}); `measure` encodes "
            "tables"
        )
    return frame.to_numpy()


def _plain(x: Any, name: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(x)
    except ValueError:
        raise MeasureError(f"{name} needs rows of equal length") from None
