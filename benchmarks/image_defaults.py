"""What each default of images is worth: each is changed alone, and the rest stays as it is.

    python benchmarks/image_defaults.py [--data ../shared/data] [--only digits mnist] [--seeds 1]

Runs are as long in images that are seen: a batch of 128 makes half of the steps of one of 64. They
are measured against validation rows. Changed are

torch's betas    Adam averages squared gradients over 1,000 steps, not 20;
torch's start    layers begin as torch draws them, without `keep_variance`;
no clip          a generator's pixels are linear, and clipped only when they become bytes;
gamma x 20       the gradient penalty counts the pixels' variance as that of a table's columns;
gamma x 4, / 20  something between, and less;
all codes        those that the critic would not accept, too;
no tone          images are shown as the critic saw them;
batch 128        instead of 64;
rate / 3, x 2    of learning;
width 16, 64     instead of 32, with the learning rates that follow.

Shown are energy, accuracy of the classifier, recall and coverage; of a VAE the nats in the code and
its loss on validation rows; and the seconds of CPU time that training took. A run that diverges has
none of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import torch
from torch import nn

import pushforward as pf
from pushforward.comparison.facts import facts_of
from pushforward.comparison.references import first_rows
from pushforward.errors import DivergedError
from pushforward.measures import Scorer
from pushforward.nn import roles, sizes, trunks
from pushforward.nn.tone import ToneCurve
from pushforward.sampling.request import SampleRequest
from pushforward.training import turn_optimizer

STEPS = {"digits": 900, "mnist": 1400}
BATCH, WIDTH, GAMMA = 64, 32, 0.2
RATES = {"vae": 0.01, "gan": 0.003}  # at that width
BETAS, START, CLIP, TONE = "torch's betas", "torch's start", "no clip", "no tone"
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    BETAS: {},
    START: {},
    CLIP: {},
    "gamma x 20": {"gamma": 20 * GAMMA},
    "gamma x 4": {"gamma": 4 * GAMMA},
    "gamma / 20": {"gamma": GAMMA / 20},
    "all codes": {"accept": 1.0},
    TONE: {},
    "batch 128": {"batch_size": 2 * BATCH},
    "rate / 3": {"rate": 1 / 3},
    "rate x 2": {"rate": 2},
    "width 16": {"width": 16},
    "width 64": {"width": 64},
}
OF_VAE = (BETAS,)  # games have their own
OF_GAN = (CLIP, TONE, "gamma x 20", "gamma x 4", "gamma / 20", "all codes")
SHOWN = ["energy", "classifier_test", "recall", "coverage"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*STEPS])
    parser.add_argument("--cases", nargs="*", default=[*CASES])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/image_defaults.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        data = pf.read(name if name == "digits" else arguments.data / f"{name}.npz")
        scorer = Scorer(data, measures=SHOWN)
        steps = max(2, round(arguments.scale * STEPS[name]))
        for model in ("vae", "gan"):
            for case in arguments.cases:
                if case in (OF_GAN if model == "vae" else OF_VAE):
                    continue
                runs = [run(data, scorer, model, case, steps, s) for s in range(arguments.seeds)]
                row = {k: round(fmean(r[k] for r in runs if k in r), 3) for k in runs[0]}
                known[f"{name}, {model}: {case}"] = row
                print(f"{name:7} {model} {case:14} {row}", flush=True)
                arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def run(
    data: Any, scorer: Scorer, model: str, case: str, steps: int, seed: int
) -> dict[str, float]:
    """Train once, and return what is measured."""
    given = {"width": WIDTH, "batch_size": BATCH} | CASES[case]
    if "rate" in given:
        given["learning_rate"] = given.pop("rate") * RATES[model]
    budget, start = f"{steps * BATCH // given['batch_size']} steps", time.process_time()
    with without(case):
        try:
            fitted = pf.fit(data, model, budget=budget, seed=seed, **given)
        except DivergedError:
            return {"diverged": 1.0}
        seconds = time.process_time() - start
        real = first_rows(data.subset("validation"), 1000)
        fake = SampleRequest(fitted.network(), fitted.schema, len(real[0]), seed).draw()
    card = scorer.score(real, fake, seed=0, strict=False)
    found = {m: card[m].value for m in SHOWN if m in card} | {"CPU seconds": seconds}
    if model == "vae":
        loss = min(r["chosen_by"] for r in fitted.history if "chosen_by" in r)
        found |= {"nats": facts_of(fitted).rate or 0.0, "loss": loss}
    return found


@contextmanager
def without(case: str) -> Iterator[None]:
    """Leave out what a case is about."""
    if case == BETAS:
        with mock.patch.object(turn_optimizer, "adam_betas", return_value=sizes.BETAS):
            yield
    elif case == START:
        with mock.patch.object(trunks, "keep_variance"):
            yield
    elif case == CLIP:
        with mock.patch.object(roles, "Clip", nn.Identity):
            yield
    elif case == TONE:
        with mock.patch.object(ToneCurve, "fit"):
            yield
    else:
        yield


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
