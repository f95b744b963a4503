"""Columns with thousands of categories: embeddings in, factorised logits out."""

from __future__ import annotations

import torch

from pushforward.nn.segments import Segments
from pushforward.nn.trunks import (
    EMBEDDING,
    WIDE,
    ReadCells,
    VectorReader,
    VectorWriter,
    WriteCells,
    stretches,
)
from pushforward.space import Cells

SPACE = Cells((3, 5, WIDE + 1, 2, 2, 4000, 4000))


def test_narrow_neighbours_share_a_piece() -> None:
    assert stretches(SPACE) == [(8, False), (257, True), (4, False), (4000, True), (4000, True)]


def test_a_row_is_the_sum_of_its_categories_embeddings() -> None:
    torch.manual_seed(0)
    first = ReadCells(SPACE, 16)
    cells = torch.stack([torch.randint(k, (9,)) for k in SPACE.sizes], 1)
    x = Segments(SPACE.sizes).one_hot(cells)
    at = (cells + Segments(SPACE.sizes).first).tolist()
    basis = torch.eye(sum(SPACE.sizes))
    for row, entries in zip(x, at, strict=True):
        single = sum((first(basis[i][None]) - first.bias for i in entries), first.bias)
        torch.testing.assert_close(first(row[None]), single, rtol=1e-4, atol=1e-5)


def test_logits_of_a_wide_column_have_the_rank_of_an_embedding() -> None:
    torch.manual_seed(0)
    last = WriteCells(SPACE, 64)
    h = torch.randn(300, 64)
    parts = torch.split(last(h) - last(torch.zeros(1, 64)), list(SPACE.sizes), 1)
    ranks = [int(torch.linalg.matrix_rank(p.double(), rtol=1e-5)) for p in parts]
    assert ranks == [3, 5, EMBEDDING, 2, 2, EMBEDDING, EMBEDDING]


def test_only_tables_with_wide_columns_take_the_detour() -> None:
    for space, wide in ((SPACE, True), (Cells((WIDE, 3)), False)):
        reader, writer = VectorReader(space, 0, 32, 1), VectorWriter(space, 8, 1, 0, 32, 1)
        assert isinstance(reader.first, ReadCells) == wide
        assert isinstance(writer.rest[-1], WriteCells) == wide
        rows = torch.zeros(4, sum(space.sizes))
        assert reader(rows).shape == (4, 32)
        assert writer(torch.zeros(4, 8)).shape == rows.shape
