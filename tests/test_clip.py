"""Clipping through which a network can learn."""

from __future__ import annotations

import torch
from torch.func import grad, vmap

from pushforward.nn.clip import clip


def test_a_gradient_flows_inside_and_back_inside() -> None:
    x = torch.tensor([-1.5, -1.5, -1.0, 0.3, 0.3, 1.0, 1.5, 1.5], dtype=torch.float64)
    weight = torch.tensor([2.0, -2.0, 2.0, 3.0, -3.0, -2.0, 2.0, -2.0], dtype=torch.float64)
    known = x.clone().requires_grad_()
    y = clip(known)
    torch.testing.assert_close(y.detach(), x.clamp(-1, 1))
    (slope,) = torch.autograd.grad((weight * y).sum(), known)
    expected = []
    for value, w in zip(x.tolist(), weight.tolist(), strict=True):
        after = value - 1e-3 * w  # a small step down the slope
        expected.append(w if abs(value) <= 1 or abs(after) < abs(value) else 0.0)
    assert slope.tolist() == expected


def test_what_is_outside_comes_back_when_the_target_does_and_does_not_wander_off() -> None:
    x = torch.tensor([0.5, 0.5], requires_grad=True)
    for target in (torch.tensor([-1.0, 1.0]), torch.tensor([0.2, -0.4])):
        for _ in range(300):
            (slope,) = torch.autograd.grad((clip(x) - target).square().sum(), x)
            x = (x - 0.05 * slope).detach().requires_grad_()
        torch.testing.assert_close(clip(x.detach()), target, rtol=0, atol=1e-3)
    assert float(x.detach().abs().max()) <= 1


def test_it_can_be_differentiated_by_functional_transforms() -> None:
    x = torch.tensor([[-2.0, 0.5], [0.1, 2.0]])
    slopes = vmap(grad(lambda row: (clip(row) * row).sum()))(x)
    # d/dx of clip(x) x: 2 x inside; outside clip(x), and x too where that leads back
    torch.testing.assert_close(slopes, torch.tensor([[-1.0 - 0.0, 1.0], [0.2, 1.0]]) + _back(x))


def _back(x: torch.Tensor) -> torch.Tensor:
    """What flows through clip outside: x itself, of the sign of x, so a step leads inside."""
    return torch.where(x.abs() > 1, x, torch.zeros_like(x))
