"""Adult, the whole comparison, and how near each model's columns come to the training rows.

    python benchmarks/adult.py [--data ../shared/data/adult-train.csv] [--budget 60s] [--seeds 2]

Shape is the mean over columns of the KS distance (numeric) or total variation (others), trend the
mean over pairs of the difference of association; both against the training rows, on as many
generated rows, for the checkpoint that validation chose. The same two for the held-out test rows
say what real rows give. Runs that are in the folder already are reused.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pushforward as pf


def main() -> None:
    """Compare, then measure each run against the training rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="../shared/data/adult-train.csv")
    parser.add_argument("--models", default="vae,r3gan")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folder", default="runs/adult")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/adult.json"))
    arguments = parser.parse_args()
    start = time.perf_counter()
    data, models = pf.read(arguments.data), arguments.models.split(",")
    result = pf.compare(
        data, models, seeds=arguments.seeds, budget=arguments.budget, out=arguments.folder
    )
    print(f"comparison: {time.perf_counter() - start:.0f} s (0 where runs are reused)")
    print(result.recommendation)
    train = data.raw("train")
    rows = {"held-out real rows": measured(train, data.raw("test"))}
    for model in models:
        for seed in result.seeds:
            run = pf.load(Path(arguments.folder) / "runs" / f"{model}-{seed}")
            card = result.cards[model]["best"][list(result.seeds).index(seed)]
            rows[f"{model}, seed {seed}"] = {
                **{name: card[name].value for name in ("classifier_test", "utility")},
                "utility of real rows": card["utility"].null or float("nan"),
                "steps": run.config["steps"],
                "seconds": run.history[-1]["cost"]["seconds"],
                **measured(train, run.sample(len(train), seed=seed)),
            }
    shown = {
        "shape": ".4f",
        "trend": ".4f",
        "steps": "",
        "classifier_test": ".3f",
        "utility": ".3f",
    }
    print(f"{'':22}" + "".join(f"{name:>16}" for name in shown))
    for name, row in rows.items():
        cells = [format(row[k], form) if k in row else "" for k, form in shown.items()]
        print(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


def measured(real: object, fake: object) -> dict[str, float]:
    """Return shape and trend error of generated rows against real ones."""
    return {
        "shape": pf.measures.column_shapes(real, fake).value,
        "trend": pf.measures.pair_trends(real, fake).value,
    }


if __name__ == "__main__":
    main()
