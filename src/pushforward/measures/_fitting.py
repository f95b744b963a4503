"""The context in which scikit-learn's models are fitted and applied."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MULTITHREADED_ROWS = 100_000  # from here on several threads are faster


@contextmanager
def sklearn_context(rows: int) -> Iterator[None]:
    """Fit and predict within this context: without convergence warnings, and on one thread.

    Boosted trees on a few thousand rows gain nothing from threads, and OpenMP's threads wait for
    each other by spinning: next to another busy process that was a thousand times slower.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    limit = 1 if rows < MULTITHREADED_ROWS else None
    with warnings.catch_warnings(), threadpool_limits(limit, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
