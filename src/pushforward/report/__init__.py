"""A comparison as one HTML file that needs no network.

`Comparison.report` is below this package and imports nothing of it: the renderer is installed here,
so take `compare` and `Comparison` from here (as `pushforward` does) to have reports.
"""

from __future__ import annotations

from pushforward.comparison.compare import compare, set_up
from pushforward.comparison.result import Comparison
from pushforward.report.page import write_report

Comparison.renderer = write_report

__all__ = ["Comparison", "compare", "set_up", "write_report"]
