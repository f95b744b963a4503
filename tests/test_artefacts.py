"""Artefacts: put into real images they are found, by their own name; real images have none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from pushforward.comparison.findings import CHECKS, Evidence
from pushforward.errors import MeasureError
from pushforward.measures import Scorecard, artefacts, measure
from pushforward.measures._registry import ARTEFACTS as NAMES
from pushforward.measures.images import ARTEFACTS, _statistics
from samples import digits

CODES = {"colour_shift": "PF303", "grid_pattern": "PF304", "blur": "PF305"}
CODES |= {"corner_spots": "PF306", "droplets": "PF307"}
N = 150


def scenes(n: int, seed: int, side: int = 32, channels: int = 3) -> Tensor:
    """Images with the spectrum of natural ones: amplitudes that fall as 1/f, random phases."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.fft.rfft2(torch.randn(n, channels, side, side, generator=generator))
    f = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side))
    fields = torch.fft.irfft2(noise / f.clamp(min=1 / side), s=(side, side))
    common = fields.mean(1, keepdim=True)  # colours go together
    images: Tensor = 0.35 * (0.3 * fields + common) / common.std()
    return images.clamp(-1, 1)


def handwriting(n: int, seed: int) -> Tensor:
    """Digits of 8 x 8 pixels, in the middle of 16 x 16."""
    rows = np.random.default_rng(seed).permutation(1797)[:n]
    return pad(2 * torch.from_numpy(digits()[rows])[:, None] - 1, (4, 4, 4, 4), value=-1.0)


def tinted(x: Tensor) -> Tensor:
    return (x + torch.tensor([0.25, 0, -0.25])[:, None, None][: x.shape[1]]).clamp(-1, 1)


def gridded(x: Tensor) -> Tensor:
    wave = 0.12 * torch.cos(torch.arange(x.shape[3]) * math.pi)
    return (x + wave).clamp(-1, 1)


def softened(x: Tensor) -> Tensor:
    """Each pixel with its neighbours, 1 : 2 : 1 along both axes."""
    kernel = torch.tensor([1.0, 2, 1]) / 4
    weight = (kernel[:, None] * kernel).expand(x.shape[1], 1, 3, 3)
    return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), weight, groups=x.shape[1])


def cornered(x: Tensor) -> Tensor:
    spoiled, s = x.clone(), x.shape[3] // 8
    spoiled[..., :s, -s:] = 0.8
    return spoiled


def dropped(x: Tensor) -> Tensor:
    """A spot of 3 x 3 white pixels in a dark field, elsewhere in every image."""
    spoiled, generator = x.clone(), torch.Generator().manual_seed(0)
    places = torch.randint(5, x.shape[3] - 8, (len(x), 2), generator=generator).tolist()
    for image, (top, left) in zip(spoiled, places, strict=True):
        image[:, top - 2 : top + 5, left - 2 : left + 5] = image.amin()
        image[:, top : top + 3, left : left + 3] = 1.0
    return spoiled


SPOILT: dict[str, Callable[[Tensor], Tensor]] = {
    "colour_shift": tinted,
    "grid_pattern": gridded,
    "blur": softened,
    "corner_spots": cornered,
    "droplets": dropped,
}


def found(*cards: Scorecard) -> set[str]:
    """The codes of the findings on the images of one model."""
    evidence = Evidence(["a"], len(cards), {"a": cards}, {}, {}, {}, {}, {})
    codes = [code for code in CODES.values() if list(CHECKS[code](evidence))]
    return set(codes)


@pytest.mark.parametrize("name", SPOILT)
def test_an_artefact_in_real_images_is_found_by_its_name_alone(name: str) -> None:
    pool = scenes(2 * N, 0)
    card = artefacts(pool[:N], SPOILT[name](pool[N:]))
    assert found(card) == {CODES[name]}, card


@pytest.mark.parametrize("name", SPOILT)
def test_an_artefact_is_found_in_images_of_few_pixels_and_one_colour(name: str) -> None:
    """There a spot of 3 x 3 pixels is also a change of brightness and of the spectrum."""
    pool = handwriting(2 * N, 0)
    card = artefacts(pool[:N], SPOILT[name](pool[N:]))
    assert CODES[name] in found(card), card


@pytest.mark.parametrize("images", [scenes, handwriting])
def test_real_images_beside_real_ones_have_none(images: Callable[[int, int], Tensor]) -> None:
    """Findings need a p-value that is corrected for all five, so 5 % at most have one by chance.

    That none of 6 has one has a probability of 0.74 even so; values must also matter, and 0.5 is
    4.3 standard errors, sqrt(2 / 150), for three of them.
    """
    for seed in range(6):
        pool = images(2 * N, seed + 1)
        assert found(artefacts(pool[:N], pool[N:], seed=seed)) == set()


def test_p_values_of_real_images_beside_real_ones_are_uniform() -> None:
    """The share of p-values below 0.3 in 60 tests: 0.3 with a standard error of 0.06; 3.5 of them.

    The five of one pair are not independent, hence one of each pair.
    """
    p = []
    for seed in range(60):
        pool = scenes(60, seed, side=16)
        card = artefacts(pool[:30], pool[30:], permutations=99, seed=seed)
        p.append(card[NAMES[seed % 5]].p_value)
    share = np.mean([value is not None and value <= 0.3 for value in p])
    assert abs(share - 0.3) < 3.5 * math.sqrt(0.3 * 0.7 / 60)


def test_most_seeds_must_show_it() -> None:
    pool = scenes(2 * N, 0)
    clean, spoilt = artefacts(pool[:N], pool[N:]), artefacts(pool[:N], gridded(pool[N:]))
    assert found(clean, spoilt) == set()
    assert found(clean, spoilt, spoilt) == {"PF304"}


def test_the_null_is_what_real_images_show_beside_real_ones() -> None:
    """Over many pairs of samples the mean value is the mean null; both within 4 standard errors."""
    cards = []
    for seed in range(40):
        pool = scenes(80, seed, side=16)
        cards.append(artefacts(pool[:40], pool[40:], permutations=0, seed=seed))
    for name in NAMES:
        values = np.array([card[name].value for card in cards])
        nulls = np.array([card[name].null for card in cards], dtype=float)
        assert abs(values.mean() - nulls.mean()) < 4 * values.std() / math.sqrt(40), name


def test_a_colour_shift_is_in_standard_deviations_of_the_real_images() -> None:
    pool = 0.5 * scenes(2 * N, 3, channels=1)
    shifted = artefacts(pool[:N], pool[:N] + 0.2)["colour_shift"]
    spread = math.hypot(float(pool[:N].mean((1, 2, 3)).std()), 16 / 255)
    assert shifted.value == pytest.approx(0.2 / spread, rel=1e-4)
    darker = artefacts(pool[:N], pool[:N] - 0.2)["colour_shift"]
    assert darker.value == pytest.approx(shifted.value, rel=1e-4)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_is_measured_by_the_power_of_its_period(period: int) -> None:
    """White noise of variance v and a wave of amplitude a: windowed lines have the power v W and
    (a/2)^2 S^2 at the period (a^2 S^2 at Nyquist), with the window's sums S and W of squares."""
    side, a, v = 64, 0.2, 0.01
    generator = torch.Generator().manual_seed(0)
    noise = math.sqrt(v) * torch.randn(200, 1, side, side, generator=generator)
    wave = a * torch.cos(2 * math.pi * torch.arange(side) / period)
    before, after = (_statistics.grids(x)[:, :3].mean(0) for x in (noise, noise + wave))
    window = torch.hann_window(side)
    power = (a if period == 2 else a / 2) ** 2 * float(window.sum()) ** 2
    floor = float(window.square().sum())
    ground = floor * (v + _statistics.GREY_LEVEL**2)
    expected = math.log1p(power / ground)
    place = (2, 4, 8).index(period)
    assert float((after - before)[place]) == pytest.approx(expected, abs=0.05)
    others = [i for i in range(3) if i != place]
    assert (after - before)[others].abs().max() < 0.05


def test_softness_is_the_ratio_of_the_energies_of_differences() -> None:
    """Of white noise of variance v: 2 v at full size, 2 v / 4 at half; so log(1/4)."""
    x = 0.2 * torch.randn(50, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    # The standard error of a log ratio of means of some thousand squares is about 0.01 an image.
    assert float(_statistics.softness(x).mean()) == pytest.approx(math.log(1 / 4), abs=0.02)


def test_a_spot_is_known_by_its_contrast_to_the_ring_around_it() -> None:
    x = torch.full((3, 1, 16, 16), -0.2)
    x[0, 0, 6:9, 6:9] = 0.5
    x[1, 0, 6:9, :] = 0.5  # a stroke goes on, and is no spot
    x[2, 0, 6:9, 6:9] = -0.9
    assert _statistics.spots(x)[:, 0].tolist() == pytest.approx([0.7, 0, 0.7], abs=1e-6)


def test_corners_are_compared_with_what_lies_beside_them() -> None:
    x = torch.zeros(1, 1, 16, 16) + torch.linspace(-0.1, 0.1, 16)[:, None]
    x[0, 0, -2:, :2] += 0.4
    slope = 0.2 / 15  # the rows beside are 2 rows further in: one step of two halves
    expected = [-slope, 0.4 + slope, -slope, slope]
    assert _statistics.corners(x)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_scorecard_of_images_has_them_and_others_do_not() -> None:
    assert {artefact.name for artefact in ARTEFACTS} == set(NAMES) == set(CODES)
    images = (255 * digits()[:80]).astype(np.uint8)
    card = measure(images[:40], images[40:])
    assert set(NAMES) <= set(card)
    assert all(card[name].aspect == "" for name in NAMES), "they have no vote"
    rows = np.random.default_rng(0).normal(size=(80, 3))
    assert not set(NAMES) & set(measure(rows[:40], rows[40:]))


@pytest.mark.parametrize(
    ("shape", "other"),
    [((20, 1, 7, 9), None), ((7, 1, 8, 8), None), ((20, 1, 8, 8), (20, 3, 8, 8))],
)
def test_what_is_no_pair_of_batches_of_images_is_refused(
    shape: tuple[int, ...], other: tuple[int, ...] | None
) -> None:
    with pytest.raises(MeasureError, match=r"images \(n, channels|images of one shape"):
        artefacts(torch.zeros(shape), torch.zeros(other or shape))
    with pytest.raises(MeasureError, match="NaN or infinity"):
        artefacts(torch.zeros(20, 1, 8, 8), torch.full((20, 1, 8, 8), torch.nan))


def test_images_that_are_all_alike_are_measured() -> None:
    card = artefacts(torch.zeros(20, 1, 9, 9), torch.zeros(20, 1, 9, 9))
    assert all(m.value == 0 and m.p_value == 1 for m in card.values())
