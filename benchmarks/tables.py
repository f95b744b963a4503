"""Adult: both families of ours beside CTGAN and TVAE, by the measures that people compare by.

    python benchmarks/tables.py [--seeds 5] [--fits vae=60s r3gan=180s vae=10s r3gan=30s]
                                [--peer-python PYTHON --epochs 300 --peer-seeds 1]

Trained on adult-train.csv (96 % of its rows; 3 % choose the checkpoint), measured with as many
generated rows as it has:

detection  `classifier_test_xgboost`: ROC AUC of XGBoost with its defaults, 3-fold, telling all
           training rows from as many generated ones, or the holdout from as many of them;
info       `pair_information`, the error of the normalised mutual information of pairs of columns,
           against the training rows;
shape      mean over columns of the KS distance (numbers of more than 10 values) or the total
           variation, against the training rows; real rows of the holdout are the reference;
trend      mean over pairs of |difference of Pearson correlations| / 2, or of the total variation of
           the joint table (numbers in 10 bins of equal width), against the training rows;
utility    ROC AUC on the holdout of gradient boosting trained on the generated rows;
copies     share of the generated rows that equal a training row, in excess of the holdout's;
closest    share of generated rows that are closer to a training than to a holdout row (1/2);
members    AUC of the strongest of eight attacks that tell training from holdout rows (1/2);
shape*, trend*  by the conventions of sdmetrics, which the published tables use.

Medians over seeds, with the smallest and the largest. CTGAN and TVAE run in a process of their own
under a Python in which `ctgan` is installed (its licence forbids some uses; it is never a
dependency of ours).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from table_sources import SPLIT, generated, parsed

import pushforward as pf

TARGET = "income"
SHOWN = {
    "detection": 3,
    "info": 4,
    "shape": 4,
    "trend": 4,
    "utility": 4,
    "copies": 4,
    "closest": 3,
    "members": 3,
}
SHOWN |= {"shape*": 4, "trend*": 4, "seconds": 0, "steps": 0}
PUBLISHED = """Published figures for Adult, by the conventions of sdmetrics:
shape* CTGAN 0.168, TVAE 0.142, TabSyn 0.0081; trend* CTGAN 0.202, TVAE 0.142, TabSyn 0.019."""

FITS = ["vae=60s", "r3gan=180s", "vae=10s", "r3gan=30s"]

Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, help="take only so many of either file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fits", nargs="*", default=FITS)
    parser.add_argument("--peer-python", help="a Python in which `ctgan` is installed")
    parser.add_argument("--peers", nargs="*", default=["TVAE", "CTGAN"])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--peer-seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tables.json"))
    arguments = parser.parse_args()
    train, holdout = (arguments.data / f"adult-{part}.csv" for part in ("train", "test"))
    judge = Judge(*(pl.read_csv(path, n_rows=arguments.rows) for path in (train, holdout)))
    found: dict[str, list[Row]] = {
        "the training rows": [judge(judge.train)],
        "the holdout": [judge.distances(judge.holdout)],
    }
    for seed in range(arguments.seeds):
        for what in arguments.fits:
            found.setdefault(what, []).append(ours(judge, what, seed))
            say(what, found[what][-1])
            keep(arguments.out, found)
    for seed in range(arguments.peer_seeds if arguments.peer_python else 0):
        for name in arguments.peers:
            what = f"{name}, {arguments.epochs} epochs"
            source = f"{name}={arguments.epochs}"
            rows, costs = generated(judge.train, source, seed, arguments.peer_python)
            run = judge(rows) | costs
            found.setdefault(what, []).append(run)
            say(what, run)
            keep(arguments.out, found)
    show(found)


def ours(judge: Judge, what: str, seed: int) -> Row:
    """Fit what `parsed` reads; the clock starts at a data frame."""
    model, options, budget = parsed(what)
    start = time.perf_counter()
    data = pf.read(judge.train, split=SPLIT)
    fitted = pf.fit(data, model, budget=budget, seed=seed, **options)
    seconds = time.perf_counter() - start
    fake = fitted.sample(len(judge.train), seed=seed)
    costs = {"seconds": seconds, "steps": fitted.steps}
    terms = next(record["terms"] for record in reversed(fitted.history) if record["terms"])
    return judge(fake) | costs | {k: terms[k] for k in terms if k.endswith("rate")}


class Judge:
    """The measures, of generated rows against the training rows and the holdout."""

    def __init__(self, train: pl.DataFrame, holdout: pl.DataFrame) -> None:
        self.train, self.holdout = train, holdout

    def __call__(self, fake: pl.DataFrame) -> Row:
        """Return every measure of generated rows (as many as there are training rows)."""
        fake = fake.select(self.train.columns)
        few = fake.head(len(self.holdout))
        privacy = ["exact_matches", "closest_record", "membership_inference"]
        card = pf.measure(self.holdout, few, train=self.train, measures=privacy)
        return self.distances(fake) | {
            "utility": utility(fake, self.holdout),
            "copies": card["exact_matches"].value - (card["exact_matches"].null or 0.0),
            "closest": card["closest_record"].value,
            "members": card["membership_inference"].value,
        }

    def distances(self, fake: pl.DataFrame) -> Row:
        """Return detection, information, shape and trend; the last two also as in sdmetrics."""
        measures = pf.measures
        told = measures.classifier_test(self.train, fake, classifier="xgboost", folds=3, limit=None)
        published = measures.pair_trends(self.train, fake, convention="sdmetrics")
        return {
            "detection": told.extra["auc"],
            "info": measures.pair_information(self.train, fake, permutations=0).value,
            "shape": measures.column_shapes(self.train, fake).value,
            "trend": measures.pair_trends(self.train, fake).value,
            "shape*": shape_of_sdmetrics(self.train, fake),
            "trend*": published.value,
        }


def shape_of_sdmetrics(real: pl.DataFrame, fake: pl.DataFrame) -> float:
    """Return the mean over columns of KS distance (all numbers) or total variation."""
    errors = []
    for name in real.columns:
        x, y = real[name], fake[name]
        if x.dtype.is_numeric():
            every = np.unique(np.concatenate([x.to_numpy(), y.to_numpy()]))
            below = [
                np.searchsorted(np.sort(s.to_numpy()), every, "right") / len(s) for s in (x, y)
            ]
            errors.append(float(np.abs(below[0] - below[1]).max()))
        else:
            shares = [dict(s.value_counts(normalize=True).iter_rows()) for s in (x, y)]
            keys = shares[0].keys() | shares[1].keys()
            errors.append(sum(abs(shares[0].get(k, 0) - shares[1].get(k, 0)) for k in keys) / 2)
    return statistics.fmean(errors)


def numbers(*frames: pl.DataFrame) -> tuple[list[Any], list[int]]:
    """Return tables as matrices, categories as codes, and which columns hold those."""
    whole = pl.concat(frames)
    texts = [i for i, c in enumerate(whole.columns) if whole[c].dtype == pl.String]
    coded = whole.with_columns(pl.col(pl.String).rank("dense") - 1).cast(pl.Float64).to_numpy()
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    return np.split(coded, ends), texts


def boosting(texts: list[int]) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(categorical_features=texts, random_state=0)


def utility(fake: pl.DataFrame, holdout: pl.DataFrame) -> float:
    sides, texts = numbers(fake.drop(TARGET), holdout.drop(TARGET))
    highest = holdout[TARGET].max()
    model = boosting(texts).fit(sides[0], fake[TARGET] == highest)
    return float(roc_auc_score(holdout[TARGET] == highest, model.predict_proba(sides[1])[:, 1]))


def say(what: str, row: Row) -> None:
    shown = "  ".join(f"{k} {row[k]:.{digits}f}" for k, digits in SHOWN.items() if k in row)
    print(f"{what}: {shown}", file=sys.stderr, flush=True)


def keep(path: Path, found: dict[str, list[Row]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def show(found: dict[str, list[Row]]) -> None:
    print(f"{'':22}" + "".join(f"{name:>11}" for name in SHOWN))
    for what, rows in found.items():
        for label, summary in summaries(what, rows):
            cells = (cell(rows, name, digits, summary) for name, digits in SHOWN.items())
            print(f"{label:22}" + "".join(f"{text:>11}" for text in cells))
    print(PUBLISHED)


def summaries(what: str, rows: list[Row]) -> Iterator[tuple[str, Callable[[list[float]], float]]]:
    """Yield the lines of a table: the training rows and the holdout, or median and range."""
    yield what, statistics.median
    if len(rows) > 1:
        yield "  smallest", min
        yield "  largest", max


def cell(rows: list[Row], name: str, digits: int, summary: Callable[[list[float]], float]) -> str:
    values = [row[name] for row in rows if name in row]
    return f"{summary(values):.{digits}f}" if values else ""


if __name__ == "__main__":
    main()
