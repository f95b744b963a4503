"""A table's schema learned through noisy counts alone, for runs with differential privacy.

Every number that the schema takes from the rows is a count with Gaussian noise. Each question
(`NoisyCounts`) is a histogram: a row is in one of its bins, so that a row more or less changes one
count by 1, and the whole schema is so many Gaussian mechanisms of sensitivity 1. All else is drawn
from their answers. What is public: the columns' names, dtypes (with the categories that a dtype
names), kinds and forms of text.
"""

from pushforward.data.tables.private.counts import NoisyCounts
from pushforward.data.tables.private.refit import (
    PrivateTable,
    cell_shares,
    private_table,
    questions,
    require_private,
)

__all__ = [
    "NoisyCounts",
    "PrivateTable",
    "cell_shares",
    "private_table",
    "questions",
    "require_private",
]
