"""How scikit-learn's models are fitted here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MULTITHREADED_ROWS = 100_000  # rows from which several threads pay


@contextmanager
def sklearn_context(rows: int) -> Iterator[None]:
    """Fit and predict within this context: without news of a last step, and on one thread.

    Boosted trees on a few thousand rows gain nothing from threads, and OpenMP's wait for each other
    by spinning: beside another busy process that was a thousand times as slow.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    limit = 1 if rows < MULTITHREADED_ROWS else None
    with warnings.catch_warnings(), threadpool_limits(limit, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
