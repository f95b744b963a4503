"""The Vendi score: the entropy of a kernel's spectrum, and the influence of each row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """The entropy (nats) of the eigenvalues of K/n, and its influence (n,), centred."""

    entropy: float
    influence: Tensor

    @property
    def variance(self) -> float:
        """The variance of the entropy over the sample, to first order."""
        return float(self.influence.var() / len(self.influence))


def of_kernel(kernel: Tensor) -> Spectrum:
    """Return the spectrum of a kernel matrix (n, n) with ones on the diagonal."""
    eigenvalues, vectors = torch.linalg.eigh(kernel / len(kernel))
    eigenvalues = eigenvalues.clamp(min=0)
    # The k-th eigenfunction at row i, squared, times the eigenvalue: rows sum to 1 over k.
    return _spectrum(eigenvalues, len(kernel) * vectors.square() * eigenvalues)


def of_rows(rows: Tensor) -> Spectrum:
    """Return the spectrum of the kernel <a, b> of unit rows (n, d), from d x d where that is less.

    K = Z Z' and Z'Z have the same positive eigenvalues.
    """
    n, d = rows.shape
    if n < d:
        return of_kernel(rows @ rows.mT)
    eigenvalues, vectors = torch.linalg.eigh(rows.mT @ rows / n)
    return _spectrum(eigenvalues.clamp(min=0), (rows @ vectors).square())


def _spectrum(eigenvalues: Tensor, parts: Tensor) -> Spectrum:
    """Return the entropy and its derivative by each row's weight: -<phi, log(rho) phi>, centred."""
    entropy = -torch.xlogy(eigenvalues, eigenvalues).sum()
    each = -(parts @ eigenvalues.clamp(min=1e-300).log())
    return Spectrum(float(entropy), each - each.mean())
