"""A number between two distributions, with everything that is needed to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher", "null"]


@dataclass(frozen=True)
class Measurement:
    """One value between a real and a generated sample, and what it is worth.

    Args:
        name: the measure, e.g. `"mmd"`.
        value: the estimate.
        low: lower end of the interval (95 %), or None where none is sound.
        high: upper end of the interval, or None.
        covers: what randomness the interval covers, e.g. `"both samples"`.
        null: what two samples of one distribution give at these sizes, in expectation.
        p_value: of a permutation test of "no difference", or None where none is sound.
        n: size of the real sample.
        m: size of the generated sample.
        better: `"lower"`, `"higher"`, or `"null"` when the best value is the null itself.
        unit: `"nats"`, `"share"`, ... or empty.
        reading: one line for a person.
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
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Rebuild a measurement from `to_json`."""
        return cls(**data)

    def __float__(self) -> float:
        return self.value


class Scorecard(Mapping[str, Measurement]):
    """The measurements of one pair of samples, by name, in the order in which they were made."""

    def __init__(self, measurements: Mapping[str, Measurement]) -> None:
        self._measurements = dict(measurements)

    def __getitem__(self, name: str) -> Measurement:
        return self._measurements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._measurements)

    def __len__(self) -> int:
        return len(self._measurements)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return {name: m.to_json() for name, m in self.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scorecard:
        """Rebuild a scorecard from `to_json`."""
        return cls({name: Measurement.from_json(m) for name, m in data.items()})
