"""A comparison as one HTML file that needs no network."""

from __future__ import annotations

from pushforward.report.page import write_report

__all__ = ["write_report"]
