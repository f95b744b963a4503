"""Pictures for the eye: interpolations, reconstructions, nearest training rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp
from torch import Tensor

import pushforward as pf
from comparisons import MODELS, Page, fabricate
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.gallery import PAIRS, STEPS, WAYS, Gallery, interpolations
from pushforward.comparison.gallery import reconstructions as reconstructed
from pushforward.comparison.references import LabelledRows
from pushforward.comparison.samples import KeptSamples
from pushforward.data import Dataset
from pushforward.data.schema import DataKind
from pushforward.families.model import Model
from pushforward.files import read_tensors
from pushforward.measures import Scorer
from pushforward.models import all_models
from pushforward.models.vae import VAE
from pushforward.models.vq_vae import VQVAE
from pushforward.nn.priors import ContinuousPrior, Mixture, Normal, Uniform, arc
from pushforward.random import isolated
from pushforward.report import pictures, write_report
from pushforward.report.folder import read_folder
from pushforward.runs.fitted import build
from pushforward.sampling.blocks import one_hot
from pushforward.space import Vector
from pushforward.testing import example_data
from test_report import pixels

CPU = torch.device("cpu")
LINE = torch.linspace(0, 1, 5)[:, None]


def draws(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def tiny(name: str, data: Dataset) -> Model:
    """A model as it is before training."""
    options = {
        n: v for n, v in {"latent": 4, "width": 16}.items() if n in all_models()[name].options()
    }
    return build(name, data.schema, options, 0, CPU).eval()


# --- the way between two codes


def test_an_arc_turns_evenly_and_its_length_goes_linearly() -> None:
    a, b = draws(2, 6, 0).double()
    way = arc(a[None], b[None], LINE.double())
    on_sphere = geometric_slerp(
        (a / a.norm()).numpy(), (b / b.norm()).numpy(), LINE[:, 0].double().numpy()
    )
    lengths = torch.lerp(a.norm(), b.norm(), LINE.double())
    torch.testing.assert_close(way, torch.from_numpy(on_sphere) * lengths, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([2.0], [-1.0]),
        ([1.0, 2.0], [-2.0, -4.0]),
        ([1.0, 2.0], [3.0, 6.0]),
    ],
)
def test_where_no_arc_is_the_shortest_the_way_is_straight(a: list[float], b: list[float]) -> None:
    way = arc(torch.tensor([a]), torch.tensor([b]), LINE)
    torch.testing.assert_close(way, torch.lerp(torch.tensor([a]), torch.tensor([b]), LINE))


@pytest.mark.parametrize("prior", [Normal(200), Uniform(200)])
def test_codes_on_an_arc_are_as_long_as_draws(prior: ContinuousPrior) -> None:
    """|e|^2 / d has mean 1 and variance 2 / d; half way on a straight line its mean is 1/2.

    Half way on the arc the length is that mean of two: the square is 1/(4 d) smaller. Its standard
    error over 500 is at most sqrt(2 / 200 / 500) = 0.0045.
    """
    middle = prior.between(draws(500, 200, 0), draws(500, 200, 1), 3)[:, 1]
    assert middle.square().mean().item() == pytest.approx(1, abs=0.02)


def test_the_way_between_codes_of_a_learned_prior_is_straight() -> None:
    a, b = draws(3, 4, 0), draws(3, 4, 1)
    way = Mixture(4).between(a, b, 5)
    for k in range(5):
        torch.testing.assert_close(way[:, k], a + k / 4 * (b - a))


@pytest.mark.parametrize("condition", [None, "label"])
@pytest.mark.parametrize("name", all_models())
def test_the_ends_of_a_way_are_the_images_of_the_two_codes(
    name: str, condition: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = example_data("image", condition)
    model = tiny(name, data)
    source = model.source
    if not isinstance(source, ContinuousPrior):
        assert interpolations(model, data.schema, seed=0) == {}
        return
    codes = [draws(WAYS, source.latent, seed) for seed in (0, 1)]
    given = iter(codes)
    monkeypatch.setattr(source, "draw", lambda *_: next(given))
    made = interpolations(model, data.schema, seed=0)
    assert made["ways"].shape == (WAYS, STEPS["image"], 3, 8, 9)
    assert bool(made["arcs"]) == source.standard
    labels = made.get("way_labels")
    assert (labels is None) == (condition is None)
    c = None if labels is None else one_hot(labels, 2, CPU)
    for end, e in zip((0, -1), codes, strict=True):
        expected = data.schema.quantise(model.mean(source.carry(e), c))
        # one grey level: a batch of another size rounds otherwise
        assert (made["ways"][:, end].int() - expected.int()).abs().max() <= 1


def test_interpolations_depend_on_the_seed_alone() -> None:
    data = example_data("image", None)
    model = tiny("gan", data)
    before = torch.get_rng_state()
    first, again, other = (interpolations(model, data.schema, s)["ways"] for s in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)
    assert torch.get_rng_state().equal(before)


# --- reconstructions


@pytest.mark.parametrize("kind", ["table", "image", "array"])
@pytest.mark.parametrize("condition", [None, "label"])
@pytest.mark.parametrize("name", all_models())
def test_a_reconstruction_is_a_row_or_there_is_none(
    name: str, condition: str | None, kind: DataKind
) -> None:
    data = example_data(kind, condition)
    model = tiny(name, data)
    rows, labels = data.subset("test")
    c = None if labels is None else one_hot(labels, model.classes, CPU)
    with isolated(CPU, 0), torch.no_grad():
        x = model.reconstruct(data.schema.expand(rows), c)
    assert (x is None) == (not hasattr(model, "encoder"))
    if x is not None:
        assert x.shape == (len(rows), *data.schema.space.shape)
        assert bool(x.isfinite().all())


def test_a_vae_reconstructs_from_the_mean_of_the_code() -> None:
    torch.manual_seed(0)
    model, x = VAE(Vector(3), latent=2, width=8, prior="uniform"), draws(5, 3, 0)
    mu, _ = model.encoder(x)
    z = 2 * 3**0.5 * (torch.distributions.Normal(0.0, 1.0).cdf(mu) - 0.5)
    torch.testing.assert_close(model.reconstruct(x), model.decoder(z).mean())


def test_a_vq_vae_reconstructs_from_the_nearest_vectors() -> None:
    torch.manual_seed(0)
    model, x = VQVAE(Vector(3), levels=7, code_size=2, positions=4, width=8), draws(5, 3, 0)
    z_e, vectors = model.encoder(x).detach(), model.codebook.scaled.detach()
    k = torch.tensor(
        [[min(range(7), key=lambda j: float((z - vectors[j]).norm())) for z in row] for row in z_e]
    )
    torch.testing.assert_close(model.reconstruct(x), model.decode(k).mean())


def test_a_model_without_an_encoder_has_no_reconstructions() -> None:
    data = example_data("image", None)
    assert reconstructed(tiny("gan", data), data.schema, data.subset("test")) == {}
    made = reconstructed(tiny("vae", data), data.schema, data.subset("test"))
    assert made["originals"].equal(data.subset("test")[0])
    assert made["reconstructions"].shape == made["originals"].shape
    assert made["reconstructions"].dtype == made["originals"].dtype


# --- nearest training rows


def flat(x: Any) -> Tensor:
    return torch.as_tensor(x).flatten(1)


def naive(queries: Tensor, reference: Tensor) -> tuple[list[float], list[int]]:
    """Distances to the nearest row, and which it is, by a double loop."""
    found = [
        min((float((q - r).norm()), i) for i, r in enumerate(reference)) for q in queries.double()
    ]
    return [d for d, _ in found], [i for _, i in found]


@pytest.mark.parametrize("kind", ["table", "image", "array"])
def test_the_nearest_training_row_is_that_of_a_double_loop(kind: DataKind) -> None:
    data = example_data(kind, None)
    scorer = Scorer(data, features=flat, measures=["energy"])
    rows = data.subset("test")[0]
    distance, nearest = scorer.nearest_training_rows((rows, None))
    training = data.subset("train")[0]
    expected, index = naive(*(data.schema.expand(r).flatten(1).double() for r in (rows, training)))
    assert distance.tolist() == pytest.approx(expected, rel=1e-6)
    if len(set(expected)) == len(expected):  # cells of a table tie
        torch.testing.assert_close(nearest, training[index], equal_nan=True)


def test_with_a_condition_the_nearest_row_is_of_the_same_class_where_the_spread_says_so() -> None:
    data = example_data("image", "label")
    scorer = Scorer(data, features=flat, measures=["energy"])
    rows, labels = data.subset("test")
    assert labels is not None
    distance, _ = scorer.nearest_training_rows((rows, labels))
    other, _ = scorer.nearest_training_rows((rows, 1 - labels))
    assert bool((other > distance).all()), "a label that is not a row's own moves it away"


def gallery(data: Dataset, *, example_rows: bool = True) -> Gallery:
    scorer = Scorer(data, features=flat, measures=["energy"])
    return Gallery(data.schema, data.subset("test"), example_rows, lambda: scorer)


def test_copies_come_first_beside_the_rows_that_they_copy() -> None:
    data = example_data("image", None)
    training, test = data.subset("train")[0], data.subset("test")[0]
    near = training[7].int().add(1).clamp(max=255).to(torch.uint8)
    fake = torch.cat([test, near[None], training[3:4]])
    made = gallery(data).copies((fake, None))
    assert made["suspects"][:2].equal(fake[[-1, -2]])
    assert made["nearest"][:2].equal(training[[3, 7]])
    forms = [data.schema.expand(r).flatten(1) for r in (fake, training, test)]
    distances, index = naive(forms[0], forms[1].double())
    typical = float(np.quantile(naive(forms[2], forms[1].double())[0], 0.5, method="lower"))
    order = sorted(range(len(fake)), key=distances.__getitem__)[:PAIRS]
    assert made["closeness"].tolist() == pytest.approx(
        [distances[i] / typical for i in order], rel=1e-5
    )
    assert made["nearest"].equal(training[[index[i] for i in order]])
    assert made["closeness"][0] == 0


def test_where_test_rows_are_training_rows_no_copy_is_near() -> None:
    images = (
        np.random.default_rng(0).integers(0, 256, (2, 8, 8)).astype(np.uint8)[np.arange(60) % 2]
    )
    data = pf.read(images)
    new = data.subset("test")[0][:3].flip(-1)
    closeness = gallery(data).copies((torch.cat([data.rows[:2], new]), None))["closeness"]
    assert closeness.tolist() == [0, 0, *[float("inf")] * 3]


def test_rows_without_finite_features_have_no_neighbours() -> None:
    data = pf.read(np.random.default_rng(0).random((60, 8, 8)))
    fake = torch.full((5, 1, 8, 8), float("nan"))
    assert gallery(data).copies((fake, None)) == {}


# --- what is kept, and what the page shows of it


def kept(
    data: Dataset, folder: Path, names: tuple[str, ...] = MODELS, *, ask: bool
) -> dict[str, dict[str, Tensor]]:
    """Fabricate a comparison's folder with the pictures of models, and return its samples."""
    fabricate(folder, data, example_rows=ask)
    files, own = ComparisonFolder(folder), gallery(data, example_rows=ask)
    samples = KeptSamples(data, files, data.subset("test"), ask)
    samples.keep("real", lambda: data.subset("test"), None, own.copies)
    for name in MODELS:
        model = tiny(dict(zip(MODELS, names, strict=True))[name], data)
        samples.keep(name, lambda: data.subset("validation"), None, made_by(own, model))
    return {path.stem: read_tensors(path)[0] for path in (folder / "samples").glob("*.safetensors")}


def made_by(own: Gallery, model: Model) -> Callable[[Any], dict[str, Tensor]]:
    return lambda rows: own.of_model(model, rows, 0)


def shown(folder: Path) -> tuple[str, list[str]]:
    """The text of the samples' section, and the sources of all images in it."""
    html = write_report(folder).read_text()
    section = html.split('<section id="samples">')[1].split("</section>")[0]
    page = Page(section)
    return page.text, [own["src"] or "" for tag, own in page.tags if tag == "img"]


REAL_TENSORS = {"originals", "reconstructions", "suspects", "nearest", "closeness"}


def test_real_images_are_kept_only_if_they_were_asked_for(tmp_path: Path) -> None:
    data = example_data("image", None)
    asked = kept(data, tmp_path / "asked", ask=True)
    assert asked["vae"].keys() >= REAL_TENSORS
    assert REAL_TENSORS & asked["gan"].keys() == {"suspects", "nearest", "closeness"}
    assert asked["real"].keys() == {"rows", "suspects", "nearest", "closeness"}
    text, images = shown(tmp_path / "asked")
    assert "Reconstructions" in text
    assert "Without an encoder there is none: gan" in text
    assert "--example-rows" not in text
    # grids, ways, a traversal, reconstructions, nearest
    assert len(images) == 4 + 2 + 1 + PAIRS + 3 * PAIRS
    plain = kept(data, tmp_path / "plain", ask=False)
    assert "real" not in plain
    assert not any(REAL_TENSORS & own.keys() for own in plain.values())
    text, images = shown(tmp_path / "plain")
    assert "--example-rows" in text
    assert "Reconstructions" not in text
    assert len(images) == 3 + 2 + 1


def test_a_sample_is_drawn_again_only_if_something_has_changed(tmp_path: Path) -> None:
    data = example_data("image", None)
    drawn: list[str] = []

    def keep(origin: str | None, *, ask: bool = False) -> int:
        samples = KeptSamples(data, ComparisonFolder(tmp_path), data.subset("test"), ask)

        def draw() -> LabelledRows:
            drawn.append("once more")
            return data.subset("test")

        samples.keep("vae", draw, origin)
        return len(drawn)

    counts = [keep("a"), keep("a"), keep("b"), keep("b", ask=True), keep("b", ask=True), keep("b")]
    assert counts == [1, 1, 2, 3, 3, 4]
    assert [keep(None), keep(None)] == [5, 6]


def test_models_without_a_way_between_codes_are_named(tmp_path: Path) -> None:
    kept(example_data("image", "label"), tmp_path, ("vq-vae", "gan"), ask=False)
    text, images = shown(tmp_path)  # the first is called vae here, and is none
    assert "Not shown where the prior is not continuous: vae." in text
    assert len(images) == 3 + 1


def channels(c: int, height: int, width: int) -> Dataset:
    """Images with c channels."""
    rng = np.random.default_rng(0)
    return pf.read(rng.integers(0, 256, (80, height, width, c)).astype(np.uint8), kind="images")


def visible(row: Tensor) -> np.ndarray[Any, Any]:
    """An image (c, h, w) as it is shown: grey, RGB, RGBA; of bands the first three or one."""
    image = row.movedim(0, -1).numpy()
    if image.shape[2] == 4:
        return image
    return image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, 2)


@pytest.mark.parametrize(
    ("data", "factor"),
    [(channels(1, 8, 8), 7), (channels(2, 8, 30), 4), (channels(3, 60, 16), 2),
     (channels(4, 9, 20), 4), (channels(5, 32, 32), 2), (channels(3, 70, 64), 1)],
    ids=["grey", "2 bands", "RGB", "RGBA", "5 bands", "large"],
)  # fmt: skip
def test_pictures_decode_to_the_pixels_that_they_show(
    data: Dataset, factor: int, tmp_path: Path
) -> None:
    """Bands each have a range of their own, 0 to 255 here, but for the ends of random pixels."""
    vae, contents = kept(data, tmp_path, ask=True)["vae"], read_folder(tmp_path)
    _, height, width = data.schema.space.shape
    ways = pixels(pictures.interpolations(contents)[0].source)
    for k, way in enumerate(vae["ways"]):
        for j, row in enumerate(way):
            assert_shows(ways, row, factor, k * (height * factor + 2), j * (width * factor + 2))
    pairs = zip(vae["originals"], vae["reconstructions"], strict=True)
    shown = [pixels(pair.source) for pair in pictures.reconstructions(contents)[0].pairs]
    for image, (left, right) in zip(shown, pairs, strict=True):
        assert image.shape[:2] == (height * factor, 2 * width * factor + 2)
        assert_shows(image, left, factor, 0, 0)
        assert_shows(image, right, factor, 0, width * factor + 2)


def assert_shows(
    picture: np.ndarray[Any, Any], row: Tensor, factor: int, top: int, left: int
) -> None:
    """Every pixel of an image is a square of its own colour."""
    image = visible(row)
    height, width, depth = image.shape
    part = picture[top : top + height * factor, left : left + width * factor]
    large = image[np.arange(height * factor) // factor][:, np.arange(width * factor) // factor]
    assert np.abs(part[..., :depth].astype(int) - large.astype(int)).max() <= 1  # of bands' ranges
    if depth == 3 and part.shape[2] == 4:
        assert (part[..., 3] == 255).all()


def test_the_numbers_at_pairs_are_their_closeness(tmp_path: Path) -> None:
    data = example_data("image", None)
    samples = kept(data, tmp_path, ask=True)
    text, _ = shown(tmp_path)
    section = text.split("Nearest training images")[1]
    parts = [
        section.split(end)[-1].split()[:PAIRS] for end in ("real (test rows)", " vae ", " gan ")
    ]
    for name, numbers in zip(("real", "vae", "gan"), parts, strict=True):
        assert [float(n) for n in numbers] == pytest.approx(
            samples[name]["closeness"].tolist(), rel=0.06
        )
    for a, b in pairwise(samples["vae"]["closeness"].tolist()):
        assert a <= b
