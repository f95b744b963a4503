"""The loop of a run with differential privacy: what it does not account for, it does not look at.

No validation rows, so no choice of a checkpoint: the result is the moving average at the end. No
terms of turns that read rows in its history. Raking asks for the noisy shares of the schema. The
coins of batches and the noise come from entropy that is not kept, so that nobody draws them again:
two runs of one seed differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.data.tables.private import cell_shares
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import ModelError
from pushforward.families.model import Batch, Model
from pushforward.families.panels import Panel
from pushforward.nn.sizes import size_of
from pushforward.runs.fitted import Fitted, State
from pushforward.runs.folder import Json
from pushforward.training.loop import Loop, Progress
from pushforward.training.plan import phase, record_due
from pushforward.training.private.accounting import Gaussian, Spending, training_noise
from pushforward.training.private.batches import PoissonBatches
from pushforward.training.private.guarantee import Guarantee
from pushforward.training.private.turn_optimizer import PrivateTurnOptimizer
from pushforward.training.settings import Settings
from pushforward.training.turn_optimizer import TurnOptimizer

CLIP = 1.0  # norm of a row's gradient; Adam does not see the scale of gradients
LARGER = 4  # times as many rows a batch as without noise, which is the same for a sum of any rows
TRIED = 32  # public rows on which turns are tried
TIMED = 3  # rehearsals of a turn


class PrivateLoop(Loop):
    """Plays a game on training rows of which it learns no more than the guarantee says.

    Args:
        guarantee: what is asked for.
        schema: the noisy histograms that the schema of `data` took.
        size: about how many training rows there are, a noisy count.
        secret: the source of coins and noise.
    """

    optimizer_kind: ClassVar[type[TurnOptimizer]] = PrivateTurnOptimizer

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: Settings,
        config: Json,
        guarantee: Guarantee,
        schema: Gaussian,
        size: int,
        secret: torch.Generator,
        progress: Progress | None = None,
    ) -> None:
        self.guarantee, self.schema, self.size, self.secret = guarantee, schema, size, secret
        self.clip = settings.clip_grad_norm or CLIP
        _require_no_fit_to_codes(model)
        settings = replace(settings, clip_grad_norm=None, precision="float32")
        super().__init__(model, data, settings, None, config, progress)

    def _training_rows(self) -> int:
        """Return the noisy count: the true one is nobody's to know."""
        return self.size

    def _batches(self) -> PoissonBatches:
        """Return batches by coins."""
        wanted = self.settings.batch_size or LARGER * size_of(self.data.schema.space).batch_size
        self.rate = min(1.0, wanted / self.size)
        return PoissonBatches(
            self.data,
            max(1, round(self.rate * self.size)),
            self.rate,
            self.device,
            self.model.classes,
            self.secret,
        )

    def _begin(self) -> None:
        """Start at random: no row is looked at."""

    def _play(self) -> None:
        """Fix the steps and the noise, then play."""
        self._prepare()
        super()._play()

    def _prepare(self) -> None:
        """Try the turns on public rows, fix the steps, and find the noise that they need."""
        assert isinstance(self.batches, PoissonBatches)
        x, c = self.batches.public(TRIED)
        turns = [o for o in self.optimizers if isinstance(o, PrivateTurnOptimizer)]
        for optimizer in turns:
            optimizer.try_on(x, c, self.secret)
        if self.total is None:
            left = self.plan.budget.amount - self.elapsed()
            self.plan.fix(max(4, int(left / self._seconds_of_a_round())))
        times = self._sums()
        if times == 0:
            raise ModelError(
                f"no turn of {self.model.name!r} draws rows: there is no privacy to keep"
            )
        noise = training_noise(self.guarantee, self.schema, self.rate, times)
        for optimizer in turns:
            optimizer.expected = self.rate * self.size
            optimizer.noise, optimizer.bound = noise, self.clip
        part = Gaussian(noise, self.rate, times)
        spending = Spending.of(self.guarantee, self.schema, part, self.clip, self.size)
        self.config["privacy"] = spending.to_json()

    def _sums(self) -> int:
        """Return how many sums over rows the planned steps take."""
        length = self.total or 0
        total = 0
        for turn in (o.turn for o in self.optimizers if o.turn.data):
            begin, end = phase(turn, length)
            due = (turn.due(position) is not None for position in range(begin, min(end, length)))
            total += turn.repeat * sum(due)
        return total

    def _seconds_of_a_round(self) -> float:
        """Return what the average round takes, by rehearsals on public rows."""
        assert isinstance(self.batches, PoissonBatches)
        x, c = self.batches.public(self.batches.size)
        spent = 0.0
        for optimizer in self.optimizers:
            turn = optimizer.turn
            rows: Tensor | int = x if turn.data else self.batches.own
            plays = [(turn.name, 1)] + [(turn.between, turn.every - 1)] * bool(turn.between)
            for play, weight in plays:
                if play is not None and weight:
                    own = _timed(partial(optimizer.rehearse, rows, c, play))
                    spent += own * turn.repeat * weight / turn.every
        return spent

    def _checks_next(self) -> bool:
        """Whether something looks at what rows make of the layers: never."""
        return False

    def _log(self) -> None:
        """Write a record when it is due, of what no row is behind but through noise."""
        if record_due(self.position, self.total):
            self._record(None)
        self._keep_time(self.total or 0)

    def anatomy(self, model: Model) -> list[Panel]:
        """Return nothing: a model tells of its measure on rows."""
        del model
        return []

    def cost(self) -> Json:
        """Return what a run took, but for its memory, which tells the number of rows."""
        return {name: value for name, value in super().cost().items() if name != "peak_memory"}

    def settled(self, weights: State) -> State:
        """Return weights after raking to the noisy shares of the schema."""
        model = self.average.model
        model.load_state_dict(weights)
        model.settle(self._in_the_mean())
        return {name: t.clone() for name, t in model.state_dict().items()}

    def _in_the_mean(self) -> Iterable[Batch]:
        """Return as many rows as there are about, each the mean of all as the schema knows it."""
        assert isinstance(self.data.schema, TableSchema)
        assert isinstance(self.batches, PoissonBatches)
        x = cell_shares(self.data.schema).to(self.device).expand(self.size, -1)
        shares = self.batches.shares
        return [(x, None if shares is None else shares.to(self.device).expand(self.size, -1))]

    def _finish(self) -> Fitted:
        """Return the moving average at the end, as both checkpoints."""
        self._check_finite_weights()
        final = self.settled(self.average.weights())
        return self._result({"best": final, "final": final})

    def _kept(self) -> str:
        return "nothing of it is kept"


def _require_no_fit_to_codes(model: Model) -> None:
    """Raise ModelError for a model that fits something to the codes of all rows at its end."""
    fitted = [name for name in model.settled if getattr(model, name, None) is not None]
    if fitted:
        msg = f"epsilon= cannot train {model.name!r} with a {fitted[0]}: it is fitted to the codes"
        raise ModelError(
            f"{msg} of all rows, without noise; take sampler='prior', or another model"
        )


def _timed(work: Callable[[], None]) -> float:
    """Return the seconds of some work, done before to warm up."""
    work()
    seconds = []
    for _ in range(TIMED):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return max(median(seconds), math.ulp(1.0))
