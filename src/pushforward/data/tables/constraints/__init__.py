"""What must hold in every row of a table, stated as text or as objects; generated rows satisfy it.

    pf.read("trips.csv", constraints=["start <= end", "0 <= age <= 120", "combine(city, state)"])

A constraint (`definitions`) states what must hold. Steps (`difference`, `combination`, `derived`)
transform a table that satisfies it to one without the constraint, which is modelled, and back;
`constraint_set` applies them in the order that `dependencies` finds. `parts` needs no constraint:
it splits a column whose values have structure that is finer than a bin. `relations` finds
constraints that the user has not stated.
"""

from pushforward.data.tables.constraints.clock import is_clock
from pushforward.data.tables.constraints.constraint_set import ConstraintSet
from pushforward.data.tables.constraints.definitions import (
    Bounds,
    Combination,
    Constraint,
    Derived,
    Inequality,
    Lookup,
    parse,
)
from pushforward.data.tables.constraints.parts import PartsStep, tested_rows
from pushforward.data.tables.constraints.relations import RelationFinder
from pushforward.data.tables.constraints.repeats import Repeat, find_repeats

__all__ = [
    "Bounds",
    "Combination",
    "Constraint",
    "ConstraintSet",
    "Derived",
    "Inequality",
    "Lookup",
    "PartsStep",
    "RelationFinder",
    "Repeat",
    "find_repeats",
    "is_clock",
    "parse",
    "tested_rows",
]
