"""The trace of the root of a product of two covariances, without a matrix root.

With F'F a covariance, tr (AB)^(1/2) is the nuclear norm of F_A F_B', the sum of its singular
values.
"""

from __future__ import annotations

import torch
from torch import Tensor

REGULAR = 1e-2  # smallest by largest pivot: above it, squared singular values are accurate enough


def regular(lower: Tensor) -> bool:
    """Return whether covariances with these Cholesky factors (..., d, d) are far from singular."""
    pivots = lower.diagonal(dim1=-2, dim2=-1)
    return bool((pivots.amin(-1) > REGULAR * pivots.amax(-1)).all())


def nuclear_norm(product: Tensor, *, regular: bool) -> Tensor:
    """Return the nuclear norm (...,) of the product (..., r, s) of two factors.

    Where both covariances are regular, it is computed from eigenvalues of the square, three times
    as fast. The root of an eigenvalue near zero would have only half the digits, so otherwise it is
    computed from singular values.
    """
    if not regular:
        singular: Tensor = torch.linalg.svdvals(product)
        return singular.sum(-1)
    unit = product.detach().abs().max()  # its square must not overflow
    eigenvalues: Tensor = torch.linalg.eigvalsh((product / unit) @ (product / unit).mT)
    return eigenvalues.clamp(min=0).sqrt().sum(-1) * unit
