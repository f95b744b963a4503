"""The first rows of a table, which a folder holds only if the user asked for example rows."""

from __future__ import annotations

from collections.abc import Mapping

from pushforward.comparison.folder import REAL
from pushforward.comparison.summaries import TableSummary
from pushforward.report.figures import TextTable

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
