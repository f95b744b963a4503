"""Features: maps from rows to the vectors that are measured, fitted to the reference alone.

Measures take them as `features=`. Their name and hash go into the `extra` of a measurement: two
measurements are comparable only if both agree.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import matrix


class Features(ABC):
    """A fixed map from rows to vectors. Subclasses hold tensors only."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name."""

    @abstractmethod
    def __call__(self, x: Any) -> Tensor:
        """Return the features (n, d) of rows (n, ...)."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """Return all fitted tensors."""

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the name and the fitted tensors."""
        sha = hashlib.sha256(self.name.encode())
        for tensor in self.tensors():
            sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()[:16]


def beside_class(view: Tensor, labels: Tensor | None, classes: int, spread: float) -> Tensor:
    """Return vectors (n, d) with each row's class appended, as `spread` times a one-hot vector.

    With labels a measure also sees whether a generated row belongs to the class that it claims.
    Both samples need the same spread, that of the real rows.
    """
    if labels is None:
        return view
    hot = torch.nn.functional.one_hot(labels.to(view.device), classes).to(view)
    return torch.cat([view, spread * hot], 1)


def spread_of(view: Tensor) -> float:
    """Return sqrt(tr Cov) of vectors (n, d): the typical distance of two rows by sqrt(2)."""
    return float(view.var(0).sum().sqrt())


class Identity(Features):
    """The values themselves, flattened."""

    @property
    def name(self) -> str:
        """Always the same."""
        return "identity"

    def __call__(self, x: Any) -> Tensor:
        """Return the rows as a matrix."""
        return matrix(x, "the sample")

    def tensors(self) -> list[Tensor]:
        """Nothing is fitted."""
        return []


@dataclass(frozen=True)
class Standardised(Features):
    """Each column with the reference's mean 0 and standard deviation 1.

    Args:
        mean: of the reference's columns (d,).
        scale: their standard deviations, 1 for a constant (d,).
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, reference: Any) -> Standardised:
        """Take mean and scale from the reference (n, ...)."""
        x = matrix(reference, "the reference").double()
        spread = x.std(0, correction=0)
        constant = spread <= 1e-12 * (1 + x.abs().amax(0))
        return cls(x.mean(0), torch.where(constant, 1.0, spread))

    @property
    def name(self) -> str:
        """Always the same."""
        return "standardised"

    def __call__(self, x: Any) -> Tensor:
        """Return the z-scores (n, d)."""
        rows = matrix(x, "the sample").double()
        return (rows - self.mean.to(rows)) / self.scale.to(rows)

    def tensors(self) -> list[Tensor]:
        """Return mean and scale."""
        return [self.mean, self.scale]


@dataclass(frozen=True)
class PCA(Features):
    """The coordinates along the reference's principal axes.

    Args:
        mean: of the reference (d,).
        axes: orthonormal, the widest first (components, d).
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, reference: Any, components: int = 64) -> PCA:
        """Take the axes from the reference (n, ...), at most min(n, d) of them.

        Raises:
            MeasureError: for fewer than 2 rows or no component.
        """
        x = matrix(reference, "the reference").double()
        if components < 1 or len(x) < 2:
            raise MeasureError(
                f"PCA needs at least 2 rows and 1 component; given {len(x)} and {components}"
            )
        mean = x.mean(0)
        axes = torch.linalg.svd(x - mean, full_matrices=False).Vh[:components]
        # The sign of an axis is arbitrary; fix it, so that the hash is the same everywhere.
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        return cls(mean, axes * largest.sign())

    @property
    def name(self) -> str:
        """How many components."""
        return f"pca-{len(self.axes)}"

    def __call__(self, x: Any) -> Tensor:
        """Return the coordinates (n, components)."""
        rows = matrix(x, "the sample").double()
        return (rows - self.mean.to(rows)) @ self.axes.mT.to(rows)

    def tensors(self) -> list[Tensor]:
        """Return mean and axes."""
        return [self.mean, self.axes]


def in_chunks(network: Callable[[Tensor], Tensor], images: Tensor, size: int = 1024) -> Tensor:
    """Return a network's features of images, `size` of them at a time and without gradients."""
    with torch.no_grad():
        return torch.cat([network(part) for part in torch.split(images, size)])
