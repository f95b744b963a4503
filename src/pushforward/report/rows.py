"""Rows of a table, which a folder holds only if the user asked for example rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pushforward.comparison.folder import REAL
from pushforward.comparison.summaries import TableSummary, as_text
from pushforward.data import TableSchema
from pushforward.report.figures import TextTable
from pushforward.report.folder import FolderContents
from pushforward.report.numbers import share

COLUMNS = 30


def example_rows(summaries: Mapping[str, TableSummary]) -> list[TextTable]:
    """Return the rows that were kept of the real table and of every model's."""
    return [
        _text_table("real (test rows)" if name == REAL else name, summary)
        for name, summary in summaries.items()
        if summary.examples
    ]


def _text_table(title: str, summary: TableSummary) -> TextTable:
    names = summary.names[:COLUMNS]
    hidden = len(summary.names) - len(names)
    note = f"{hidden} more columns are not shown" if hidden else ""
    return TextTable(names, [r[:COLUMNS] for r in summary.examples], title, note, named=False)


def reconstructions(contents: FolderContents) -> list[TextTable]:
    """Return test rows and, where it differs, what each model that encodes makes of their codes."""
    found = []
    for model, (own, given) in contents.tensors("originals", "reconstructions"):
        labels = contents.samples[model].tensors.get("original_labels")
        names, rows = _texts(contents, own, labels)
        pairs = [
            list(zip(*both, strict=True))
            for both in zip(rows, _texts(contents, given, labels)[1], strict=True)
        ]
        cells = [pair for row in pairs for pair in row]
        alike = share(sum(a == b for a, b in cells) / max(len(cells), 1))
        shown = [[a if a == b else f"{a} → {b}" for a, b in row][:COLUMNS] for row in pairs]
        note = f"value → what the code gives back, where they differ; {alike} of the cells agree"
        found.append(TextTable(names[:COLUMNS], shown, model, note, named=False))
    return found


def _texts(
    contents: FolderContents, rows: Tensor, labels: Tensor | None
) -> tuple[list[str], list[list[str]]]:
    """Return the columns that are not generated anew, and rows as texts."""
    schema = contents.schema
    assert isinstance(schema, TableSchema)
    frame = schema.frame(rows, labels, torch.Generator().manual_seed(0))
    frame = frame.drop([identifier.name for identifier in schema.identifiers], strict=False)
    return frame.columns, [[as_text(value) for value in row] for row in frame.rows()]
