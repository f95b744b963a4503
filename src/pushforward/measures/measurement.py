"""A number between two distributions, with all that is needed to interpret it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, Literal

import polars as pl
from rich.table import Table
from rich.text import Text

SHOWN = ("measure", "value", "95 % interval", "no difference", "p", "reading")
SCHEMA: dict[str, type[pl.DataType]] = {
    "measure": pl.String,
    **dict.fromkeys(("value", "low", "high", "null", "p_value"), pl.Float64),
    **dict.fromkeys(("n", "m"), pl.Int64),
    **dict.fromkeys(("unit", "better", "covers", "reading"), pl.String),
}

Better = Literal["lower", "higher", "null"]


@dataclass(frozen=True)
class Measurement:
    """One value between a real and a generated sample, with its uncertainty.

    Args:
        name: the measure, e.g. `"mmd"`.
        value: the estimate.
        low: lower end of the interval (95 %), or None where none is sound.
        high: upper end of the interval, or None.
        covers: what randomness the interval covers, e.g. `"both samples"`.
        null: the expected value for two samples of the same distribution at these sizes.
        p_value: of a permutation test of "no difference", or None where none is sound.
        n: size of the real sample.
        m: size of the generated sample.
        better: `"lower"`, `"higher"`, or `"null"` when the best value is the null itself.
        unit: `"nats"`, `"share"`, ... or empty.
        reading: one line of plain words.
        vote: what a comparison goes by instead of the value: an estimate without the bias of the
            sizes, or one that does not saturate. None where that is the value itself.
        aspect: what it looks at, see `pushforward.measures.aspects`; a scorer sets it. Empty for
            measures that have no vote.
        extra: further named numbers, e.g. `{"auc": 0.71}`; JSON-serialisable.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    covers: str = ""
    null: float | None = None
    p_value: float | None = None
    n: int = 0
    m: int = 0
    better: Better = "lower"
    unit: str = ""
    reading: str = ""
    vote: float | None = None
    aspect: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Rebuild a measurement from `to_json`."""
        return cls(**data)

    @property
    def voting_value(self) -> float:
        """What a comparison goes by: `vote`, or the value."""
        return self.value if self.vote is None else self.vote

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def rows_used(self) -> str:
        """How many of the given rows were used, in words; empty where all were."""
        given = self.extra.get("given")
        if not isinstance(given, list):
            return ""
        real, fake = given
        if (self.n, real) == (self.m, fake):
            return f"{self.n:,} of {real:,} rows a side"
        return f"{self.n:,} of {real:,} real and {self.m:,} of {fake:,} generated rows"

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        interval = "" if self.interval is None else f" [{self.low:.4g}, {self.high:.4g}]"
        null = "" if self.null is None else f", no difference gives {self.null:.4g}"
        rows_used = f"; on {self.rows_used}" if self.rows_used else ""
        return f"{self.name} {self.value:.4g}{interval}{null}: {self.reading}{rows_used}"


class Scorecard(Mapping[str, Measurement]):
    """The measurements of one pair of samples, by name, in the order in which they were made.

    It prints as a table in a terminal (`rich.print(card)`) and in a notebook.

    Args:
        measurements: by name.
        notes: on the choice of measures, and what was left out.
        row_noise: by measure, draws of the error that the chance of the real rows brings; see
            `Scorer.row_noise`.
    """

    def __init__(
        self,
        measurements: Mapping[str, Measurement],
        notes: Iterable[str] = (),
        row_noise: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self._measurements = dict(measurements)
        self.notes = tuple(notes)
        self.row_noise = {name: tuple(draws) for name, draws in (row_noise or {}).items()}

    def __getitem__(self, name: str) -> Measurement:
        return self._measurements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._measurements)

    def __len__(self) -> int:
        return len(self._measurements)

    def frame(self) -> pl.DataFrame:
        """Return a Polars frame with one row for each measurement (without `extra`)."""
        rows = [{**asdict(m), "measure": name} for name, m in self.items()]
        columns = {column: [row[column] for row in rows] for column in SCHEMA}
        return pl.DataFrame(columns, schema=SCHEMA)

    def __rich__(self) -> Table:
        notes = [*self._rows_used(), *self.notes]
        caption = Text("\n".join(notes)) if notes else None
        table = Table(*SHOWN, caption=caption, caption_justify="left")
        for row in self._shown():
            table.add_row(*map(Text, row))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in SHOWN)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
            for row in self._shown()
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self._rows_used(), *self.notes))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def __repr__(self) -> str:
        return "\n".join([*(str(m) for m in self.values()), *self.notes])

    def _shown(self) -> Iterator[list[str]]:
        for name, m in self.items():
            interval = "" if m.interval is None else f"{_short(m.low)} – {_short(m.high)}"
            numbers = [_short(m.value), interval, _short(m.null), _short(m.p_value)]
            yield [name.replace("_", " "), *numbers, m.reading]

    def _rows_used(self) -> Iterator[str]:
        """Yield which measurements used a part of the rows, grouped by how many."""
        for rows_used in dict.fromkeys(m.rows_used for m in self.values() if m.rows_used):
            names = [n.replace("_", " ") for n, m in self.items() if m.rows_used == rows_used]
            yield f"On {rows_used}: {', '.join(names)}."

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values: `measures` by name, `notes`, `row_noise` if any."""
        plain = {name: m.to_json() for name, m in self.items()}
        noise = {"row_noise": self.row_noise} if self.row_noise else {}
        return {"measures": plain, "notes": list(self.notes), **noise}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scorecard:
        """Rebuild a scorecard from `to_json`."""
        measured = {name: Measurement.from_json(m) for name, m in data["measures"].items()}
        return cls(measured, data["notes"], data.get("row_noise"))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
