"""What must hold in every row of a table: said in words or by classes, kept by construction.

    pf.read("trips.csv", constraints=["start <= end", "0 <= age <= 120", "combine(city, state)"])

A statement (`statements`) says what must hold; the steps (`gap`, `joint`, `derived`) carry a table
that obeys it to one that is free of it, which is modelled, and back; `rules` puts them in order.
"""

from pushforward.data.tables.constraints.rules import Rules
from pushforward.data.tables.constraints.statements import (
    Bounds,
    Combination,
    Derived,
    Inequality,
    Statement,
    parse,
)

__all__ = ["Bounds", "Combination", "Derived", "Inequality", "Rules", "Statement", "parse"]
