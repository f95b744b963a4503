"""The doctor: what layers give, which units are silent, how far each moves; and its alarm."""

from __future__ import annotations

import io
import math
from functools import cache
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import pushforward as pf
from pushforward.cli.console import anatomy_tables, print_alarms
from pushforward.comparison.facts import RunFacts, facts_of
from pushforward.measures import coverage
from pushforward.models.gan import GAN
from pushforward.random import isolated
from pushforward.report.anatomy import draw
from pushforward.report.figures import Figure
from pushforward.runs import Fitted
from pushforward.runs.course import ALARMS, Course
from pushforward.runs.fitted import build
from pushforward.sampling.blocks import imagine
from pushforward.space import Image, Space, Vector
from pushforward.training.doctor import Doctor
from pushforward.training.selection import BESIDE, Validation
from pushforward.training.turn_optimizer import TurnOptimizer

SMALL: dict[str, Any] = {"width": 16, "batch_size": 32}
UNITS = 16


class Plain:
    """Networks of one hidden layer of ReLUs, whose first biases start at `bias`."""

    bias = 0.0
    gain = 1.0

    def __init__(self, width: int, depth: int) -> None:
        self.width = width

    def reader(self, space: Space, classes: int) -> nn.Module:
        return Net(space.shape[0], self.width, None, self.bias, self.gain)

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        return Net(latent, self.width, outputs * space.shape[0], self.bias, self.gain)


class Dead(Plain):
    bias = -100.0


class Loud(Plain):
    gain = 1e6


class Net(nn.Module):
    def __init__(
        self, size: int, width: int, outputs: int | None, bias: float, gain: float
    ) -> None:
        super().__init__()
        self.first, self.rectifier = nn.Linear(size, width), nn.ReLU(inplace=True)
        self.last = nn.Linear(width, outputs or width)
        with torch.no_grad():
            self.first.bias.add_(bias)
            self.first.weight.mul_(gain)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.last(self.rectifier(self.first(x))))


@cache
def trained(networks: type[Plain] | None = None) -> Fitted:
    return pf.fit("ring", "gan", budget=40, networks=networks, **SMALL)


def last_layers(fitted: Fitted) -> dict[str, list[float | None]]:
    layers: dict[str, list[float | None]] = [r for r in fitted.history if "layers" in r][-1][
        "layers"
    ]
    return layers


def alarm(fitted: Fitted) -> str | None:
    return ALARMS["PF215"](Course.of(fitted.history, fitted.model))


# --- what is heard


def test_what_is_heard_of_a_round_is_that_of_its_turns_written_by_hand() -> None:
    """Three rows twice through the critic: root mean square and silent units of both together."""
    torch.manual_seed(0)
    model: Any = GAN(Vector(2), latent=2, networks=Plain, width=UNITS)
    with torch.no_grad():
        model.critic.trunk.first.bias[:4] = -50.0  # these are never active
        model.critic.trunk.first.bias[4:] = 50.0
    x, y = torch.randn(2, 3, 2)
    doctor = Doctor(model)
    with doctor.listening():
        model.critic(x), model.critic(y)
    found = doctor.layers([])["layers"]
    size, silent, update = found["critic.trunk.first"]
    both = model.critic.trunk.first(torch.cat([x, y])).detach()
    assert size == pytest.approx(float(both.square().mean().sqrt()), rel=5e-3)  # three digits
    assert (silent, update) == (4 / UNITS, None)
    assert found["critic.head"][1] is None, "no rectifier is behind it"
    model.critic(x)
    assert doctor.layers([])["layers"] == found, "outside of the block nothing is heard"


def test_a_unit_of_a_map_is_a_channel() -> None:
    model: Any = GAN(Image(1, 8, 8, 17), width=UNITS, latent=2)
    with torch.no_grad():
        for layer in model.critic.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.bias.copy_(torch.where(torch.arange(len(layer.bias)) < 2, -99.0, 99.0))
    doctor = Doctor(model)
    with doctor.listening():
        model.critic(torch.zeros(5, 1, 8, 8))
    silent = {n: v[1] for n, v in doctor.layers([])["layers"].items() if ".first" in n}
    channels = model.critic.trunk.map.first.out_channels
    assert silent == {"critic.trunk.map.first": pytest.approx(2 / channels, abs=1e-3)}


def test_the_update_of_a_layer_is_that_of_its_weights_alone() -> None:
    schema = pf.read("ring").schema
    model = build("vae", schema, {"latent": 2, "width": UNITS}, 0, torch.device("cpu"))
    player = TurnOptimizer(model, model.turns()[0], None)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    player.step(pf.read("ring").subset("train")[0][:64], None, 1.0, None)
    after = dict(model.named_parameters())
    updates = player.layer_updates()
    for layer in ("encoder.trunk.first", "encoder.f2", "decoder.trunk.first"):
        names = [f"{layer}.weight", f"{layer}.bias"]
        old, new = (
            torch.cat([own[n].detach().flatten() for n in names]) for own in (before, after)
        )
        assert updates[layer] == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-4)


@pytest.mark.parametrize("options", [{"spectral_norm": True}, {"unroll": 1}, {"gamma": 0.2}])
def test_layers_are_heard_whatever_a_turn_does_with_them(options: dict[str, Any]) -> None:
    """Normalised weights, and critics that are called within a gradient of their own."""
    layers = last_layers(pf.fit("ring", "gan", budget=10, **options, **SMALL))
    assert {"generator.trunk.first", "critic.trunk.first", "critic.head"} <= layers.keys()
    assert not any("parametrizations" in name for name in layers)
    for size, _, update in layers.values():
        assert size is not None
        assert size > 0
        assert update is not None


def test_a_doctor_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = trained()
    monkeypatch.setattr("pushforward.training.loop.Loop._checks_next", lambda _: False)
    second = pf.fit("ring", "gan", budget=40, **SMALL)
    for name, weight in first.states["final"].items():
        assert torch.equal(weight, second.states["final"][name])


# --- the alarm


def test_a_run_that_is_well_has_no_sick_layer() -> None:
    for networks in (None, Plain):
        assert alarm(trained(networks)) is None


def test_a_layer_whose_units_are_all_silent_is_dead() -> None:
    seen = alarm(trained(Dead))
    assert seen is not None
    assert seen.startswith("at step 40 no unit of ")
    assert "trunk.first was active for any row" in seen
    assert last_layers(trained(Dead))["critic.trunk.first"][1] == 1


def test_a_layer_that_explodes_says_how_far() -> None:
    seen = alarm(trained(Loud))
    assert seen is not None
    assert "has grown to" in seen
    shown = Console(file=io.StringIO(), width=200, record=True)
    print_alarms(trained(Loud), shown)
    assert "note: PF215: at step 40" in shown.export_text()


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ({"a": [900.0, 0.99, 0.0], "b": [1.0, 0.0, 0.1]}, None),
        ({"a": [1.0, 1.0, 0.002], "b": [1.0, 0.0, 0.1]}, None),  # it learns on, by a leaky unit
        ({"a": [1.0, 1.0, None], "b": [1.0, 0.0, 0.1]}, None),  # its turn has not begun
        ({"a": [1.0, 1.0, 0.0], "b": [1.0, 0.0, 0.1]}, "no unit of a was active"),
        ({"a": [0.0, None, 0.0], "b": [1.0, 0.0, 0.1]}, "no unit of a was active"),
        ({"a": [2000.0, 0.0, 0.1], "b": [1e4, 0.0, 0.1]}, "what a gave has grown to 2,000"),
    ],
)
def test_what_is_sick(layers: dict[str, list[float | None]], found: str | None) -> None:
    record = {"step": 10, "terms": {}, "validation": 1.0, "layers": layers}
    course = Course.of([record], trained().model)
    seen = ALARMS["PF215"](course)
    assert seen is None if found is None else found in str(seen)
    assert ("1 more of its layers" in str(seen)) is (course.sizes["b"] > 1000)


def test_facts_keep_what_the_alarm_needs() -> None:
    facts = facts_of(trained(Dead))
    again = RunFacts.from_json(facts.to_json())
    assert again == facts
    assert ALARMS["PF215"](again) is not None


# --- what is shown


def test_layers_are_drawn_and_inspected() -> None:
    drawn = {panel.title: panel for panel in trained().panels}
    for title in ("What layers give", "Silent units", "Updates by layer"):
        panel = drawn[title]
        figure = draw(panel, "gan")
        assert isinstance(figure, Figure)
        (trace,) = figure.traces
        assert len(trace["z"]) == len(panel.series)
        assert len(trace["z"][0]) == len(panel.x) == 10
        assert panel.figure().data[0].z is not None
    shown = Console(file=io.StringIO(), width=160, record=True)
    for table in anatomy_tables(trained()):
        shown.print(table)
    text = shown.export_text()
    assert "critic.trunk.first" in text
    assert "step 40" in text


def test_colours_of_sizes_go_by_orders_of_magnitude() -> None:
    panel = next(p for p in trained().panels if p.title == "What layers give")
    values, colours = next(iter(panel.series.values())), panel.colours()[0]
    assert colours == [pytest.approx(math.log10(v)) for v in values]


def test_measures_by_hand_stand_beside_the_critics() -> None:
    """Those of the library itself, on the same rows and lines each time."""
    fitted, data = trained(), pf.read("ring")
    reading = Validation(data, 0).distance(fitted.model)
    with isolated(torch.device("cpu"), 0), torch.no_grad():
        rows = imagine(fitted.model, data.schema, len(data.subset("validation")[0][:1000]), None)
    real, seen = (data.schema.features(r)[:BESIDE] for r in (data.subset("validation")[0], rows))
    assert reading.beside["coverage"] == pytest.approx(coverage(real, seen, splits=0).value)
    exact = pf.measures.sliced_wasserstein(real, seen, projections=512, permutations=0).value
    # over lines of the plane W^2 varies by its mean at most: of 32, a standard error of 1/sqrt(32)
    assert reading.beside["sliced_w2"] == pytest.approx(exact, rel=0.3)
    titles = [panel.title for panel in fitted.panels]
    assert "Beside it: coverage" in titles
    assert "Beside it: sliced Wasserstein distance" in titles
    assert not any("beside" in r for r in pf.fit("ring", "vae", budget=2, **SMALL).history)


def test_every_player_of_a_hybrid_is_heard() -> None:
    data = pf.read("ring")
    model = build("aae", data.schema, {"latent": 2, "width": UNITS}, 0, torch.device("cpu"))
    optimizers = [TurnOptimizer(model, turn, None) for turn in model.turns()]
    doctor = Doctor(model)
    with doctor.listening():
        for optimizer in optimizers:
            optimizer.step(data.subset("train")[0][:32], None, 1.0, None)
    layers = doctor.layers(optimizers)["layers"]
    heard = {name.partition(".")[0] for name, (size, _, _) in layers.items() if size}
    assert heard == {"encoder", "decoder", "critic"}
