"""What is kept of each source for the report: summaries of tables, some images and points.

Of tables and images no real row is kept unless the user asks for example rows. What is kept of
arrays are test rows and generated ones, never training rows. What a model makes of codes (see
`Gallery`) lies beside its sample.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from pushforward.comparison.folder import REAL, ComparisonFolder
from pushforward.comparison.references import LabelledRows, first_rows
from pushforward.comparison.summaries import EXAMPLE_ROWS, summarise
from pushforward.data import Dataset, TableSchema
from pushforward.files import read_json, read_tensors, read_text, write_json, write_tensors

POINTS = 2000  # points in the plane that are kept, at most
OTHER_ROWS = 100  # ... images, and rows of other arrays
WITHOUT_EXAMPLES = '"example_rows": false'  # what samples without a real image say of themselves
GRID = 120  # the true density in the plane is evaluated on GRID x GRID points


@dataclass(frozen=True)
class KeptSamples:
    """What the report shows of each source.

    Args:
        data: the data set.
        folder: of the comparison.
        test: the test rows that are measured.
        example_rows: whether the first rows of tables, and real images, are kept.
    """

    data: Dataset
    folder: ComparisonFolder
    test: LabelledRows
    example_rows: bool = False

    def keep(
        self,
        source: str,
        draw: Callable[[], LabelledRows],
        origin: str | None = "",
        pictures: Callable[[LabelledRows], dict[str, Tensor]] | None = None,
    ) -> None:
        """Keep a sample of a source, unless one of the same origin is there.

        Args:
            source: real, a model, the floor.
            draw: gives the rows; called only if they are needed.
            origin: identifies what generated them; None where that cannot be said.
            pictures: gives what else is kept, from all the rows.
        """
        rows = cache(draw)
        if self._is_table:
            self._keep_summary(source, rows, f"{version('pushforward')} {origin}")
        if source == REAL and self._may_ask and not self.example_rows:
            self._forget_real_rows()
        elif not self._is_table or (source != REAL and pictures is not None):
            self._keep_tensors(source, rows, origin, pictures)

    def _forget_real_rows(self) -> None:
        """Delete tensors that hold real rows, also those of models that are compared no more."""
        for path in self.folder.sample(REAL).parent.glob("*.safetensors"):
            if WITHOUT_EXAMPLES not in read_text(path):
                path.unlink()

    @property
    def _is_table(self) -> bool:
        return self.data.schema.kind == "table"

    @property
    def _may_ask(self) -> bool:
        """Whether it is the user who says if real rows are kept."""
        return self.data.schema.kind != "array"

    def _keep_tensors(
        self,
        source: str,
        draw: Callable[[], LabelledRows],
        origin: str | None,
        pictures: Callable[[LabelledRows], dict[str, Tensor]] | None,
    ) -> None:
        known = {"version": version("pushforward"), "origin": origin}
        text = json.dumps(known | {"example_rows": self.example_rows and self._may_ask})
        if origin is not None and _has_text(self.folder.sample(source), text):
            return
        rows = draw()
        tensors = self._tensors(rows) | ({} if pictures is None else pictures(rows))
        if source == REAL and self.data.log_density is not None and _in_the_plane(self.data):
            tensors |= true_density(self.data, tensors["rows"])
        write_tensors(self.folder.sample(source), tensors, text)

    def _keep_summary(self, source: str, draw: Callable[[], LabelledRows], origin: str) -> None:
        path = self.folder.summary(source)
        stored = {"origin": origin, "example_rows": self.example_rows}
        known = read_json(path) if path.exists() else {}
        if all(known.get(name) == value for name, value in stored.items()):
            return
        examples = EXAMPLE_ROWS if self.example_rows else 0
        summary = summarise(self._frame(draw()), self._real, examples)
        write_json(path, stored | summary.to_json())

    @cached_property
    def _real(self) -> pl.DataFrame:
        return self._frame(self.test)

    def _frame(self, rows: LabelledRows) -> pl.DataFrame:
        assert isinstance(self.data.schema, TableSchema)
        return self.data.schema.frame(*rows, torch.Generator().manual_seed(0))

    def _tensors(self, rows: LabelledRows) -> dict[str, Tensor]:
        """Return the first rows; of a table, none."""
        if self._is_table:
            return {}
        kept, labels = first_rows(rows, POINTS if _in_the_plane(self.data) else OTHER_ROWS)
        return {"rows": kept} | ({} if labels is None else {"labels": labels})


def _has_text(path: Path, text: str) -> bool:
    """Whether a file holds a sample of which this is said."""
    return path.exists() and read_tensors(path)[1] == text


def true_density(data: Dataset, rows: Tensor) -> dict[str, Tensor]:
    """Return the true density of points in the plane, on a grid around encoded rows (n, 2)."""
    assert data.log_density is not None
    raw = torch.as_tensor(data.schema.decode(rows)).double()
    low, high = raw.amin(0), raw.amax(0)
    margin = 0.08 * (high - low)
    x, y = (
        torch.linspace(float(low[i] - margin[i]), float(high[i] + margin[i]), GRID).double()
        for i in range(2)
    )
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    density = data.log_density(points).exp().reshape(GRID, GRID)
    return {"density": density, "density_x": x, "density_y": y}


def _in_the_plane(data: Dataset) -> bool:
    return data.schema.kind == "array" and data.schema.space.shape == (2,)
