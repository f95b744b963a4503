"""Differential privacy of a fit: the accountant, clipping, coins, and an audit that could fail."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta, norm
from torch import Tensor, nn
from torch.nn.functional import linear

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import Dataset, read
from pushforward.errors import DataError, ModelError, PushforwardError, RunError
from pushforward.families.model import Model, Terms, turn
from pushforward.families.priors import WithPrior
from pushforward.random import generator, isolated
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.space import Space, values
from pushforward.training.private.accounting import (
    Gaussian,
    gaussian_delta,
    gaussian_noise,
    schema_noise,
    spent,
    training_noise,
)
from pushforward.training.private.batches import PoissonBatches
from pushforward.training.private.guarantee import Guarantee
from pushforward.training.private.loop import PrivateLoop
from pushforward.training.private.row_gradients import (
    UNBOUND,
    Factored,
    RowGradients,
    WrittenDown,
    row_gradients,
)
from pushforward.training.private.turn_optimizer import PrivateTurnOptimizer
from pushforward.training.settings import Settings

pytest.importorskip("opacus")

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"latent": 2, "width": 8, "depth": 1}
ASKED = Guarantee(3.0, 1e-5)


# --- the accountant


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("noise", [0.5, 2.0, 20.0])
def test_the_delta_of_one_gaussian_is_the_hockey_stick(epsilon: float, noise: float) -> None:
    """Delta = int max(0, p - e^epsilon q), densities p of N(1, noise^2) and q of N(0, noise^2)."""

    def excess(t: float) -> float:
        return max(0.0, norm.pdf(t, 1, noise) - math.exp(epsilon) * norm.pdf(t, 0, noise))

    kink = epsilon * noise**2 + 0.5  # where the two are equal
    whole, error = quad(excess, kink, kink + 40 * noise, limit=200)
    assert gaussian_delta(epsilon, noise) == pytest.approx(whole, abs=1e-10 + 2 * error)


def test_the_accountant_bounds_the_closed_form_of_one_gaussian_closely() -> None:
    for epsilon in (0.3, 1.0, 3.0):
        noise = gaussian_noise(epsilon, ASKED.composed)
        assert gaussian_delta(epsilon, noise) == pytest.approx(ASKED.composed, rel=1e-6)
        found = spent(ASKED, [Gaussian(noise, 1.0, 1)])
        assert epsilon <= found <= 1.2 * epsilon  # Renyi's is an upper bound


def test_histograms_with_root_k_times_the_noise_are_one() -> None:
    one = spent(ASKED, [Gaussian(7.0, 1.0, 1)])
    assert spent(ASKED, [Gaussian(7.0 * math.sqrt(40), 1.0, 40)]) == pytest.approx(one, rel=1e-9)
    assert schema_noise(ASKED, 40) == pytest.approx(schema_noise(ASKED, 1) * math.sqrt(40))


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha")  # of what bounds its grid
@pytest.mark.parametrize(("rate", "times"), [(0.02, 600), (0.1, 100)])
def test_the_accountant_is_near_and_above_that_of_loss_variables(rate: float, times: int) -> None:
    """Gopi et al. 2021, by numerical convolution: nearly exact, and nothing alike."""
    from opacus.accountants import PRVAccountant

    schema = Gaussian(30.0, 1.0, 40)
    training = Gaussian(training_noise(ASKED, schema, rate, times), rate, times)
    reference = PRVAccountant()
    # its loss variables divide by 1 - rate
    reference.history = [(p.noise, min(p.rate, 1 - 1e-9), p.times) for p in (schema, training)]
    near = reference.get_epsilon(ASKED.composed, eps_error=0.05)
    found = spent(ASKED, [schema, training])
    assert found == pytest.approx(ASKED.epsilon, rel=1e-3)
    assert found <= ASKED.epsilon
    assert 0.8 * found <= near <= found + 0.05


def test_more_of_anything_needs_more_noise() -> None:
    schema = Gaussian(30.0, 1.0, 40)
    usual = training_noise(ASKED, schema, 0.02, 500)
    assert training_noise(ASKED, schema, 0.04, 500) > usual
    assert training_noise(ASKED, schema, 0.02, 1000) > usual
    assert training_noise(ASKED, Gaussian(15.0, 1.0, 40), 0.02, 500) > usual
    assert training_noise(Guarantee(1.0, 1e-5), schema, 0.02, 500) > usual
    with pytest.raises(ModelError, match="no noise gives"):
        training_noise(Guarantee(0.05, 1e-5), schema, 0.02, 500)


# --- gradients of rows


class Net(nn.Module):
    """Layers, and weights of other kinds."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(size, 5), nn.Linear(5, 5), nn.Linear(5, 1)
        self.scale = nn.Parameter(torch.tensor([1.5, -0.5, 0.3, 1.0, 2.0]))
        self.masked = nn.Parameter(torch.randn(5, 5))


class Layers(WithPrior):
    """A model without chance, whose player uses a weight in every way that there is."""

    averaged = ("net",)

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, latent=1, **shared)
        self.net = Net(values(space))
        self.register_buffer("mask", torch.ones(5, 5).tril(), persistent=False)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z.new_zeros((len(z), *self.space.shape))

    @turn("net")
    def lower(self, x: Tensor, c: Tensor | None) -> Terms:
        h = torch.tanh(self.net.first(x))
        h = torch.tanh(self.net.again(h) * self.net.scale)
        h = torch.tanh(self.net.again(h))  # a second time
        masked = self.net.masked
        h = h + linear(h, masked * self.get_buffer("mask")) + h @ masked
        return {"fit": self.net.last(h)[:, 0].square(), "small": 0.1 * h.square().sum(1)}


def tiny(rows: int = 40, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, rows)
    frame = {"a": x.astype(str), "b": ((x + rng.integers(0, 2, rows)) % 4).astype(str)}
    data = read(pl.DataFrame(frame), relations=False)
    return replace(data, splits={**data.splits, "train": torch.arange(rows)})


@pytest.fixture(scope="module")
def layers() -> tuple[Model, Tensor]:
    data = tiny()
    with isolated(CPU, 0):
        return build(Layers, data.schema, {}, 0, CPU), data.schema.expand(data.rows)


def naive(model: Model, x: Tensor, bound: float) -> list[Tensor]:
    """Return the clipped sum, by a loop over rows and autograd."""
    players = list(model.player("net").parameters())
    total = [torch.zeros_like(p) for p in players]
    for row in x:
        loss = sum(t.sum() for t in model.lower(row[None], None).values())  # type: ignore[operator]
        own = torch.autograd.grad(torch.as_tensor(loss), players)
        norm_of_all = math.sqrt(sum(float(g.square().sum()) for g in own))
        for summed, g in zip(total, own, strict=True):
            summed.add_(g * min(1.0, bound / norm_of_all))
    return total


@pytest.mark.parametrize("bound", [0.05, 1.0, UNBOUND])
def test_clipped_sums_are_those_of_a_loop_over_rows(
    layers: tuple[Model, Tensor], bound: float
) -> None:
    model, x = layers
    own = WrittenDown(model, model.turns()[0], "lower")
    for found, expected in zip(
        own.carried(own.sums(x, None, bound)), naive(model, x, bound), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_factors_give_the_same_gradient_and_never_longer_rows(layers: tuple[Model, Tensor]) -> None:
    model, x = layers
    own = Factored(model, model.turns()[0], "lower")
    found = own.carried(own.sums(x, None, UNBOUND))
    assert len(own.matrices) == 5  # three layers, one of them twice; the masked weight in two forms
    assert own.direct == ["model.net.scale"]
    for gradient, expected in zip(found, naive(model, x, UNBOUND), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    for row in x[:8]:
        free, clipped = (own.sums(row[None], None, bound) for bound in (UNBOUND, 0.1))
        length = math.sqrt(sum(float(s.square().sum()) for s in free))
        shorter = math.sqrt(sum(float(s.square().sum()) for s in clipped))
        assert shorter == pytest.approx(min(length, 0.1), rel=1e-4)


@pytest.mark.parametrize("kind", [WrittenDown, Factored])
def test_a_row_more_moves_the_sum_by_no_more_than_the_bound(
    layers: tuple[Model, Tensor], kind: type[RowGradients]
) -> None:
    model, x = layers
    broken = x[:1] * math.inf  # whatever the row, nan included
    for row in (x[:1], 1e6 * x[:1], broken):
        own = kind(model, model.turns()[0], "lower")
        with_it = own.sums(torch.cat([row, x[1:]]), None, 0.5)
        without = own.sums(x[1:], None, 0.5)
        apart = sum(float((a - b).square().sum()) for a, b in zip(with_it, without, strict=True))
        assert math.sqrt(apart) <= 0.5 * (1 + 1e-3)


class Cancelling(Layers):
    """Two uses of a weight whose gradients nearly cancel: 1e4 x and -1e4 (1 + 1e-4) x."""

    @turn("net")
    def lower(self, x: Tensor, c: Tensor | None) -> Terms:
        first, second = (self.net.first(rows)[:, 0] for rows in (x, x * (1 + 1e-4)))
        return {"apart": 1e4 * (first - second)}


def test_gradients_that_nearly_cancel_are_as_long_as_they_are() -> None:
    data = tiny()
    model = build(Cancelling, data.schema, {}, 0, CPU)
    own = Factored(model, model.turns()[0], "lower")
    (weight, _) = own.sums(data.schema.expand(data.rows[:1]), None, UNBOUND)
    # |x| = sqrt(2), one of each of two columns; rounding of 1e4 x to 24 bits is 1e-3 at most
    assert float(weight.norm()) == pytest.approx(math.sqrt(2), rel=5e-3)
    (weight, _) = own.sums(data.schema.expand(data.rows[:1]), None, 0.5)
    assert float(weight.norm()) == pytest.approx(0.5, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "play", "kind", "options"),
    [
        ("vae", "elbo", Factored, {}),
        ("gan", "compare", Factored, {"gamma": 0.0}),
        ("r3gan", "measure", WrittenDown, {}),  # slopes of slopes
        ("r3gan", "close_in", Factored, {}),
    ],
)
def test_both_ways_agree_on_the_librarys_models(
    name: str, play: str, kind: type[RowGradients], options: dict[str, Any]
) -> None:
    data = read("wine", relations=False)
    model = build(name, data.schema, {**SMALL, **options}, 0, CPU)
    with isolated(CPU, 1), torch.no_grad():
        for weight in model.parameters():  # none at 0, where a gradient could not be missed
            weight.add_(0.05 * torch.randn_like(weight))
    x = data.schema.expand(data.rows[:12])
    found = next(t for t in model.turns() if play in (t.name, t.between))
    assert type(row_gradients(model, found, play, x, None)) is kind
    if kind is Factored:
        ways = [way(model, found, play) for way in (WrittenDown, Factored)]
        sums = []
        for way in ways:
            with isolated(CPU, 3):
                sums.append(way.carried(way.sums(x, None, UNBOUND)))
        scale = max(float(g.abs().max()) for g in sums[0])
        for one, other in zip(*sums, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * scale)


# --- coins and noise


def test_each_row_is_in_a_batch_by_a_coin_of_its_own() -> None:
    data, rate, times = tiny(200), 0.3, 400
    batches = PoissonBatches(data, 60, rate, CPU, 0, generator(5))
    batches.expand = lambda rows: rows
    batches.rows = torch.arange(200)[:, None]
    seen = torch.zeros(times, 200)
    for k in range(times):
        seen[k, batches()[0][:, 0]] = 1
    sizes = seen.sum(1)
    # binomial: errors of the mean and of the variance over the batches, 5 of them allowed
    assert abs(float(sizes.mean()) - 60) < 5 * math.sqrt(42 / times)
    assert abs(float(sizes.var()) - 42) < 5 * 42 * math.sqrt(2 / times)
    assert float((seen.mean(0) - rate).abs().max()) < 5 * math.sqrt(rate * (1 - rate) / times)
    together = float((seen[:, 0] * seen[:, 1]).mean())
    assert abs(together - rate**2) < 5 * math.sqrt(rate**2 / times)


# --- an audit


class Shares(WithPrior):
    """The logits of a table's cells: the gradient of a row is its cells' shares minus the row."""

    averaged = ("net",)
    selection = "loss"  # so that its learning rate follows from the rows

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, latent=1, **shared)
        self.net = nn.Linear(1, values(space), bias=False)
        nn.init.zeros_(self.net.weight)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.net(z.new_ones(len(z), 1))).sigmoid()

    @turn("net")
    def lower(self, x: Tensor, c: Tensor | None) -> Terms:
        return {"distance": (self.net(x.new_ones(len(x), 1)) - 3 * x).square().sum(1)}


def audited(trials: int, *, noisy: bool) -> float:
    """Return a lower bound on epsilon (at 95 %) of two steps on tables with and without a canary.

    The attacker knows all other rows and sees the optimizer's state, which the guarantee covers.
    Half of the trials fix the threshold, the other half judge it (Jagielski et al. 2020; the bounds
    of both rates are Clopper & Pearson's).
    """
    guarantee, rows, steps = Guarantee(2.0, 1e-2), 12, 2
    data = tiny(rows)
    canary = data.rows[:1]
    tables = [data, _only(data, data.rows[1:])]
    loops = [_loop(table, guarantee, rows, steps, batch_size=rows) for table in tables]
    direction = data.schema.expand(canary)[0]
    scores = []
    for loop in loops:
        (optimizer,) = loop.optimizers
        assert isinstance(optimizer, PrivateTurnOptimizer)
        optimizer.noise *= noisy
        start = {name: t.clone() for name, t in loop.model.state_dict().items()}
        empty = optimizer.optimizer.state_dict()
        own = []
        for _ in range(trials):
            loop.model.load_state_dict(start)
            optimizer.optimizer.load_state_dict(empty)
            loop.step = 0
            for _ in range(steps):
                loop.round()
            state = optimizer.optimizer.state[optimizer.parameters[0]]
            own.append(-float(state["exp_avg"][:, 0] @ direction))
        scores.append(np.array(own))
    with_it, without = scores
    half = trials // 2
    chosen = max(
        np.quantile(without[:half], np.linspace(0.5, 1, 40)),
        key=lambda t: _bound(with_it[:half], without[:half], t, guarantee.delta),
    )
    return _bound(with_it[half:], without[half:], chosen, guarantee.delta)


def _bound(with_it: Any, without: Any, threshold: float, delta: float) -> float:
    hits, alarms, n = (
        int((with_it > threshold).sum()),
        int((without > threshold).sum()),
        len(without),
    )
    least = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    most = beta.ppf(0.975, alarms + 1, n - alarms) if alarms < n else 1.0
    return math.log(max(least - delta, 1e-12) / most)


def _only(data: Dataset, rows: Tensor) -> Dataset:
    from dataclasses import replace

    return replace(data, rows=rows, splits={**data.splits, "train": torch.arange(len(rows))})


def _loop(
    data: Dataset, guarantee: Guarantee, rows: int, steps: int, batch_size: int | None
) -> PrivateLoop:
    """Return a loop that is ready to play; with `rows` a batch there is nothing to hide in."""
    settings = Settings(budget=steps, ema=0.0, batch_size=batch_size)
    model = build(Shares, data.schema, {}, 0, CPU)
    config = new_config(Shares, {}, vars(settings), data)
    almost_nothing = Gaussian(1e4, 1.0, 1)
    loop = PrivateLoop(
        model, data, settings, config, guarantee, almost_nothing, rows, generator(11)
    )
    loop._prepare()
    return loop


def test_an_audit_does_not_contradict_the_claim_and_without_noise_it_does() -> None:
    assert audited(250, noisy=True) <= 2.0
    # all of 60 canaries are told and no other: the bound is log((0.940 - delta) / 0.060), about 2.7
    assert audited(120, noisy=False) > 2.0


def test_the_true_number_of_rows_moves_no_learning_rate() -> None:
    rates = set()
    for rows in (20_000, 20_001):  # a table of so many has its own learning rate
        data = tiny()
        data = _only(data, data.rows[torch.zeros(rows, dtype=torch.int64)])
        loop = _loop(data, Guarantee(2.0, 1e-5), 20_500, 1, batch_size=20_500)
        rates |= {optimizer.learning_rate for optimizer in loop.optimizers}
    assert len(rates) == 1


def test_a_private_batch_holds_four_times_as_many_rows_as_another() -> None:
    loop = _loop(tiny(), Guarantee(2.0, 1e-5), 20_000, 1, batch_size=None)
    assert loop.rate * 20_000 == pytest.approx(4 * 256)


# --- a whole fit


def people(rows: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    age = rng.integers(18, 90, rows)
    return pl.DataFrame(
        {
            "age": age,
            "job": rng.choice(["x", "y"], rows),
            "rich": np.where(age + rng.normal(0, 20, rows) > 60, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def private_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("private") / "run"
    pf.fit(people(), "vae", epsilon=3, delta=1e-5, budget="3 steps", out=out, **SMALL)
    return out


def test_a_folder_says_what_was_spent_and_holds_nothing_else_of_the_rows(private_run: Path) -> None:
    config = json.loads((private_run / "config.json").read_text())
    record = config["privacy"]
    assert (record["epsilon"], record["delta"]) == (3.0, 1e-5)
    assert 2.9 < record["spent"] <= 3.0
    parts = [
        Gaussian(record["schema"]["noise"], 1.0, record["schema"]["histograms"]),
        Gaussian(
            record["training"]["noise_multiplier"],
            record["training"]["sampling_rate"],
            record["training"]["steps"],
        ),
    ]
    assert parts[1].times == 3
    assert spent(Guarantee(3.0, 1e-5), parts) == pytest.approx(record["spent"])
    assert config["identity"]["data"] == "private"  # no hash of the rows
    assert not list(private_run.glob("state*"))
    history = (private_run / "history.jsonl").read_text()
    for told in ("validation", "chosen_by", "critic", "peak_memory", "distortion"):
        assert told not in history
    assert json.loads((private_run / "anatomy.json").read_text()) == []
    fitted = pf.load(private_run)
    assert fitted.sample(5, seed=0).columns == people().columns


def test_a_note_says_when_noise_is_large_beside_the_rows(private_run: Path) -> None:
    assert "rows are few beside the noise" in pf.load(private_run).notes[0]  # of 480 rows
    many = pf.fit(people(20_000), "vae", epsilon=3, delta=1e-6, budget="1 steps", **SMALL)
    assert many.notes == []


def test_inspect_shows_it(private_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["inspect", str(private_run)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for shown in ("epsilon 3, delta 1e-05", "noise multiplier", "3 sums of gradients", "Opacus"):
        assert shown in printed


def test_only_training_rows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    whole = Dataset.subset
    data = read(people(), relations=False)

    def subset(self: Dataset, name: Any) -> Any:
        asked.append(name if self is data else f"private {name}")
        return whole(self, name)

    monkeypatch.setattr(Dataset, "subset", subset)
    pf.fit(data, "vae", epsilon=3, budget="2 steps", **SMALL)
    assert [name for name in asked if not name.startswith("private")] == ["train"]


def test_coins_and_noise_are_nobodys_seed() -> None:
    data = read(people(), relations=False)
    runs = [pf.fit(data, "vae", epsilon=3, budget="2 steps", seed=0, **SMALL) for _ in range(2)]
    assert runs[0].config["schema"] != runs[1].config["schema"]


def test_a_gan_is_accounted_for_by_the_turns_that_read_rows() -> None:
    data = read(people(), relations=False, condition="rich")
    for model, sums in (("vae", 6), ("gan", 6), ("r3gan", 12), ("wgan", 30)):
        fitted = pf.fit(data, model, epsilon=5, budget="6 steps", **SMALL)
        assert fitted.config["privacy"]["training"]["steps"] == sums
        assert set(fitted.sample(40, seed=0, condition="yes")["rich"]) == {"yes"}
        terms = {name for record in fitted.history for name in record["terms"]}
        assert terms <= {"close_in.fool"}


def test_a_budget_in_seconds_is_fixed_before_the_first_row() -> None:
    fitted = pf.fit(people(), "vae", epsilon=3, budget="0.5s", **SMALL)
    (stage,) = fitted.config["schedule"]
    assert stage["foreseen"] == fitted.config["privacy"]["training"]["steps"] >= 4


REFUSED: dict[str, tuple[Callable[[Path], dict[str, Any]], type[PushforwardError], str]] = {
    "zero": (lambda _: {"epsilon": 0}, ModelError, "epsilon must be a positive number"),
    "negative": (lambda _: {"epsilon": -1.0}, ModelError, "got -1.0"),
    "nan": (lambda _: {"epsilon": math.nan}, ModelError, "got nan"),
    "infinite": (lambda _: {"epsilon": math.inf}, ModelError, "leave it out"),
    "text": (lambda _: {"epsilon": "3"}, ModelError, "got '3'"),
    "truth": (lambda _: {"epsilon": True}, ModelError, "got True"),
    "delta alone": (lambda _: {"delta": 1e-5}, ModelError, "needs epsilon="),
    "delta 0": (lambda _: {"epsilon": 3, "delta": 0}, ModelError, "delta must be"),
    "delta 1": (lambda _: {"epsilon": 3, "delta": 1}, ModelError, "delta must be"),
    "large delta": (lambda _: {"epsilon": 3, "delta": 0.01}, ModelError, "below 1 / rows"),
    "patience": (lambda _: {"epsilon": 3, "patience": 2}, ModelError, "patience="),
    "bfloat16": (lambda _: {"epsilon": 3, "precision": "bfloat16"}, ModelError, "precision="),
    "more": (lambda p: {"epsilon": 3, "more": "2 steps", "out": p}, (RunError), "no run"),
    "mmd": (lambda _: {"epsilon": 3, "model": "wae-mmd"}, ModelError, "compares the rows"),
    "packs": (lambda _: {"epsilon": 3, "model": "gan", "pack": 2}, ModelError, r"\(pack\)"),
    "levels": (lambda _: {"epsilon": 3, "model": "gan", "lecam": 0.1}, ModelError, "'level_x'"),
    "features": (
        lambda _: {"epsilon": 3, "model": "gan", "feature_matching": 1.0},
        ModelError,
        "compares the rows",
    ),
    "sampler": (lambda _: {"epsilon": 3, "model": "rae"}, ModelError, "sampler"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_covered_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    keywords, kind, message = REFUSED[case]
    given: dict[str, Any] = {"budget": "2 steps", **SMALL} | keywords(tmp_path)
    model = given.pop("model", "vae")
    with pytest.raises(kind, match=message) as raised:
        pf.fit(people(200), model, **given)
    assert "\n" not in str(raised.value)


def test_a_private_run_is_not_repeated_and_not_trained_on(private_run: Path) -> None:
    extras: list[dict[str, Any]] = [{}, {"more": "2 steps"}]
    for extra in extras:
        with pytest.raises(PushforwardError, match="spend") as raised:
            pf.fit(people(), "vae", epsilon=3, budget="3 steps", out=private_run, **SMALL, **extra)
        assert "\n" not in str(raised.value)
    with pytest.raises(PushforwardError):  # nor without privacy
        pf.fit(people(), out=private_run, more="2 steps")


def test_images_and_comparisons_are_refused() -> None:
    with pytest.raises(DataError, match="epsilon= is for tables"):
        pf.fit("digits", "vae", epsilon=3, budget="2 steps")
    with pytest.raises(ModelError, match="epsilon"):
        pf.compare(people(), ["vae"], seeds=1, budget="2 steps", epsilon=3)


def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", "wine", "--out", str(tmp_path / "run"), "--budget", "2"]
    assert run_command([*command, "--epsilon", "0"]) == 2
    error = capsys.readouterr().err.strip()
    assert "epsilon must be a positive number" in error
    assert len(error.splitlines()) <= 2
    assert run_command([*command, "--epsilon", "9", "--delta", "1e-5", "--width", "8"]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["privacy"]["epsilon"] == 9


def test_without_opacus_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"pip install 'pushforward\[private\]'"):
        Guarantee.of(3, None)
