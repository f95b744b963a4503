"""Sums and softmax by segment, in groups of columns, against a loop over the columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from pushforward.nn.segments import GROUP, Segments, gumbel_like

MANY = tuple(1 + i % 3 for i in range(2 * GROUP + 5))  # three groups, sizes 1 to 3
COLUMNS = st.lists(st.integers(1, 6), min_size=1, max_size=2 * GROUP + 5)


def logits(*shape: int, scale: float = 3.0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape) + shape[-1])
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def loop_softmax(sizes: tuple[int, ...], x: Tensor) -> Tensor:
    return torch.cat([part.softmax(-1) for part in x.split(sizes, -1)], -1)


def loop_logsumexp(sizes: tuple[int, ...], x: Tensor) -> Tensor:
    return torch.stack([part.logsumexp(-1) for part in x.split(sizes, -1)], -1)


def penalty(soft: Tensor, lse: Tensor) -> Tensor:
    """A scalar in which every value has a weight of its own."""
    weight = torch.linspace(-1, 2, soft.shape[-1]).to(soft)
    return (soft.square() * weight).sum() + lse.square().sum()


@settings(max_examples=40, deadline=None)
@given(COLUMNS)
def test_values_and_gradients_are_those_of_a_loop_over_columns(columns: list[int]) -> None:
    sizes = tuple(columns)
    segments, x = Segments(sizes), logits(3, sum(sizes)).requires_grad_()
    soft, lse = segments.softmax(x), segments.logsumexp(x)
    torch.testing.assert_close(soft, loop_softmax(sizes, x), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(lse, loop_logsumexp(sizes, x), rtol=1e-12, atol=1e-14)
    (ours,) = torch.autograd.grad(penalty(soft, lse), x)
    (theirs,) = torch.autograd.grad(penalty(loop_softmax(sizes, x), loop_logsumexp(sizes, x)), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(COLUMNS)
def test_sums_and_broadcasts_are_those_of_a_loop_over_columns(columns: list[int]) -> None:
    segments, rows = Segments(columns), logits(3, sum(columns), dtype=torch.float32)
    each = logits(3, len(columns), dtype=torch.float32)
    parts = rows.split(columns, 1)
    torch.testing.assert_close(segments.sums(rows), torch.stack([p.sum(1) for p in parts], 1))
    expected = each.repeat_interleave(torch.tensor(columns), 1)
    assert torch.equal(segments.broadcast(each), expected)
    assert torch.equal(segments.maxima(rows), torch.stack([p.amax(1) for p in parts], 1))


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "soft_and_hard"])
def test_first_and_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    sizes = MANY[: GROUP + 3]
    segments, x = Segments(sizes), logits(1, sum(sizes), scale=1.0).requires_grad_()

    def values(x: Tensor) -> Tensor:
        result: Any = getattr(segments, name)(x)
        return torch.as_tensor(result[0] if name == "soft_and_hard" else result)

    assert torch.autograd.gradcheck(values, x)
    assert torch.autograd.gradgradcheck(values, x)


def test_a_gradient_penalty_through_softmax_is_that_of_a_loop() -> None:
    """As R1 takes it: the gradient of a squared gradient, by torch.func, also vectorised."""
    segments, x = Segments(MANY), logits(4, 2, sum(MANY))

    def ours(x: Tensor) -> Tensor:
        return penalty(segments.softmax(x), segments.logsumexp(x))

    def theirs(x: Tensor) -> Tensor:
        return penalty(loop_softmax(MANY, x), loop_logsumexp(MANY, x))

    def twice(f: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.stack([grad(lambda x: grad(f)(x).square().sum())(part) for part in x])

    torch.testing.assert_close(twice(ours), twice(theirs), rtol=1e-9, atol=1e-11)
    together = vmap(grad(lambda x: grad(ours)(x).square().sum()))(x)
    torch.testing.assert_close(together, twice(theirs), rtol=1e-9, atol=1e-11)


def test_soft_and_hard_are_the_softmax_and_the_largest_entry_of_each_segment() -> None:
    x = logits(5, sum(MANY), dtype=torch.float32)
    soft, hard = Segments(MANY).soft_and_hard(x)
    torch.testing.assert_close(soft, loop_softmax(MANY, x))
    winners = [part == part.amax(1, keepdim=True) for part in x.split(MANY, 1)]
    assert torch.equal(hard, torch.cat(winners, 1).float())


def test_gumbel_noise_has_the_moments_of_the_gumbel_distribution() -> None:
    torch.manual_seed(0)
    noise = gumbel_like(torch.empty(200_000))
    # mean: Euler's constant, standard deviation: pi / sqrt(6); 4.5 standard errors
    assert float(noise.mean()) == pytest.approx(0.577216, abs=4.5 * 1.2825 / 200_000**0.5)
    assert float(noise.std()) == pytest.approx(1.282550, rel=0.02)


def test_the_probability_of_what_is_allowed_is_that_of_a_loop() -> None:
    x = logits(6, sum(MANY), scale=1.0, dtype=torch.float32)
    allowed = 0.9 + 0.1 * torch.rand(sum(MANY), generator=torch.Generator().manual_seed(2))
    entry, chance = Segments(MANY).draw(x, allowed)
    parts = (loop_softmax(MANY, x.double()) * allowed).split(MANY, 1)
    torch.testing.assert_close(
        chance, torch.stack([p.sum(1) for p in parts], 1).prod(1), rtol=1e-5, atol=0
    )
    assert bool(((entry >= 0) & (entry < torch.tensor(MANY))).all())


def test_half_precision_is_summed_in_single_precision() -> None:
    segments, x = Segments(MANY), logits(4, sum(MANY), scale=30.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        soft, lse = segments.softmax(x), segments.logsumexp(x)
        _, hard = segments.soft_and_hard(x)
    torch.testing.assert_close(lse, loop_logsumexp(MANY, x.double()).float())
    torch.testing.assert_close(soft, loop_softmax(MANY, x.double()).float(), rtol=1e-4, atol=1e-7)
    assert bool((segments.sums(hard) >= 1).all())


@pytest.mark.parametrize("columns", [1, 15, GROUP])
def test_up_to_a_group_of_columns_is_one_product(columns: int) -> None:
    segments, rows = Segments(MANY[:columns]), logits(64, sum(MANY[:columns]), dtype=torch.float32)
    dense = torch.block_diag(*[torch.ones(k, 1) for k in MANY[:columns]])
    assert torch.equal(segments.sums(rows), rows @ dense)


def test_memory_is_linear_in_the_cells() -> None:
    def size(columns: int) -> int:
        return sum(buffer.nbytes for buffer in Segments((65,) * columns).buffers())

    assert size(2000) < 20e6
    assert size(4000) == 2 * size(2000)


@pytest.mark.cuda
def test_a_gpu_has_the_values_and_gradients_of_a_cpu() -> None:
    segments, x = Segments(MANY), logits(4, sum(MANY), dtype=torch.float32)

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        soft, lse = segments.to(x.device).softmax(x), segments.logsumexp(x)
        return lse.cpu(), torch.autograd.grad(penalty(soft, lse), x)[0].cpu()

    torch.testing.assert_close(both(x.cuda().requires_grad_()), both(x.requires_grad_()))
