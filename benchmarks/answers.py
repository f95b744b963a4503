"""What a fitted VAE answers about Adult's test rows, beside what is usually done.

    python benchmarks/answers.py [--budget "300 steps"] [--rows 2000] [--holes 0.2] [--seed 0]

predict   accuracy and ROC AUC of `predict_proba` for the income, beside a logistic regression on
          the training rows (numbers standardised, categories one-hot);
impute    of a share of all cells, taken out at random: the error of numbers (mean |difference| in
          standard deviations of the column, and its root mean square) and the share of categories
          that are right, by draws and by the most likely values, beside mean, median and mode;
bits      bits a row of the test rows;
given     the p-value of TARP for rows continued from all columns but age and hours;
rows / s  of each.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pandas as pd
import polars as pl
from polars import selectors
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import pushforward as pf
from pushforward.sampling.answers import How

TARGET, POSITIVE = "income", ">50K"
CONTINUED = ["age", "hours-per-week"]
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--budget", default="300 steps")
    parser.add_argument("--rows", type=int, default=2000, help="test rows")
    parser.add_argument("--train", type=int, help="training rows, at most")
    parser.add_argument("--holes", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/answers.json"))
    given = parser.parse_args()
    train = pl.read_csv(given.data / "adult-train.csv")[: given.train]
    test = pl.read_csv(given.data / "adult-test.csv")[: given.rows]
    fitted = pf.fit(pf.read(train), "vae", budget=given.budget, seed=given.seed)
    found = {
        "predict": predict(fitted, train, test),
        "impute": impute(fitted, train, test, given.holes, given.seed),
        "bits": bits(fitted, test),
        "given": continued(fitted, test, given.seed),
    }
    print(json.dumps(found, indent=1))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")


def timed(rows: int, work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work gives, and how many rows a second it did."""
    start = time.perf_counter()
    value = work()
    return value, rows / (time.perf_counter() - start)


def predict(fitted: pf.Fitted, train: pl.DataFrame, test: pl.DataFrame) -> dict[str, Any]:
    truth = (test[TARGET] == POSITIVE).to_numpy()
    chances, speed = timed(len(test), lambda: fitted.predict_proba(test, TARGET)[POSITIVE])
    own = {**scores(truth, chances.to_numpy()), "rows / s": speed}
    x, new = (pd.DataFrame(own.drop(TARGET).to_dict(as_series=False)) for own in (train, test))
    numbers = [name for name in x if x[name].dtype.kind in "iuf"]
    ready = make_column_transformer(
        (StandardScaler(), numbers),
        remainder=OneHotEncoder(handle_unknown="ignore"),
    )
    logistic = make_pipeline(ready, LogisticRegression(max_iter=1000))
    logistic.fit(x, (train[TARGET] == POSITIVE).to_numpy())
    p = logistic.predict_proba(new)[:, 1]
    return {"vae": own, "logistic regression on real rows": scores(truth, p)}


def scores(truth: np.ndarray[Any, Any], p: np.ndarray[Any, Any]) -> dict[str, float]:
    return {
        "accuracy": float(((p > 0.5) == truth).mean()),
        "auc": float(roc_auc_score(truth, p)),
    }


def impute(
    fitted: pf.Fitted, train: pl.DataFrame, test: pl.DataFrame, share: float, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    lost = {name: pl.Series(rng.random(len(test)) < share) for name in test.columns}
    empty = {name: pl.lit(None, test[name].dtype) for name in test.columns}
    holes = test.with_columns(
        pl.when(gone).then(empty[name]).otherwise(pl.col(name)).alias(name)
        for name, gone in lost.items()
    )
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows whose known cells are rare
        for how in get_args(How):
            filled, speed = timed(len(test), partial(fitted.impute, holes, how=how, seed=seed))
            found[f"vae, {how}"] = {**errors(test, filled, lost, train), "rows / s": speed}
    numbers = {name for name in test.columns if test[name].dtype.is_numeric()}
    for name, of_numbers in {
        "mean and mode": pl.Series.mean,
        "median and mode": pl.Series.median,
    }.items():
        filled = holes.with_columns(
            pl.col(c).cast(pl.Float64).fill_null(of_numbers(train[c]))
            if c in numbers
            else pl.col(c).fill_null(train[c].mode().sort()[0])
            for c in test.columns
        )
        found[name] = errors(test, filled, lost, train)
    return found


def spread(values: pl.Series) -> float:
    return float(values.to_numpy().std())


def errors(
    test: pl.DataFrame, filled: pl.DataFrame, lost: dict[str, pl.Series], train: pl.DataFrame
) -> dict[str, float]:
    """Return mean errors over columns, of the cells that were lost."""
    absolute, square, right = [], [], []
    for name, gone in lost.items():
        truth, guess = test[name].filter(gone), filled[name].filter(gone)
        if test[name].dtype.is_numeric():
            apart = ((guess - truth) / spread(train[name])).to_numpy()
            absolute.append(float(np.abs(apart).mean()))
            square.append(float(np.sqrt((apart**2).mean())))
        else:
            right.append(float((guess == truth).to_numpy().mean()))
    return {
        "numbers, mean |difference|": float(np.mean(absolute)),
        "numbers, root mean square": float(np.mean(square)),
        "categories right": float(np.mean(right)),
    }


def bits(fitted: pf.Fitted, test: pl.DataFrame) -> dict[str, float]:
    log_p, speed = timed(len(test), lambda: fitted.log_prob(test, clip=True))
    error = float(log_p.std()) / len(log_p) ** 0.5
    return {"bits a row": -float(log_p.mean()), "error": error, "rows / s": speed}


def continued(fitted: pf.Fitted, test: pl.DataFrame, seed: int, draws: int = 5) -> dict[str, float]:
    """Judge draws of two numbers given all else, and draws of their marginal in their place."""
    every = test.drop(CONTINUED).select(pl.all().repeat_by(draws).explode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn, speed = timed(len(every), lambda: fitted.sample(given=every, seed=seed))
    context = test.drop(CONTINUED).to_dummies(selectors.string()).cast(pl.Float64)
    x, y = test.select(CONTINUED), drawn.select(CONTINUED)
    right = pf.measures.tarp(x, y, given=context, seed=seed)
    wrong = pf.measures.tarp(x, y.sample(len(y), shuffle=True, seed=seed), given=context, seed=seed)
    return {
        "tarp": right.value,
        "null": right.null or 0.0,
        "p": right.p_value or 0.0,
        "p of the marginal": wrong.p_value or 0.0,
        "rows / s": speed,
    }


if __name__ == "__main__":
    main()
