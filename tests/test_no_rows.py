"""A comparison's folder holds no rows: every file is searched for values that only one row has.

What a file may hold of single rows is documented (docs/folder.md): the smallest and the largest
value of a column (as its bounds), the names of categories, and combinations of training rows.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from plotly.offline import get_plotlyjs

import pushforward as pf
from pushforward.data import Dataset, TableSchema
from pushforward.files import read_tensors

ROWS = 400
MODELS = ("vae", "gan")
CONSTRAINTS = ["opened <= closed", "owed = 2 * lent", "combine(job, town)"]
UNIQUE = ("name", "born", "pay", "price", "account", "opened", "closed", "lent", "owed")
COMPARED = ("opened", "closed")  # the bounds of all rows are kept, too
Floats = NDArray[np.float64]


def people() -> pl.DataFrame:
    """A table in which almost every value of nine columns identifies one person."""
    rng = np.random.default_rng(0)
    opened, lent = rng.integers(10**6, 10**9, ROWS), (1e6 * rng.random(ROWS)).round(2)
    pay = np.exp(rng.normal(10, 1, ROWS))
    born = [datetime(1950, 1, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 2**30, ROWS)]
    return pl.DataFrame(
        {
            "name": [f"person-{i:05d}-{v:.0f}" for i, v in enumerate(1e6 * rng.random(ROWS))],
            "pay": pay,
            "price": (1e4 * rng.random(ROWS)).round(2),
            "account": rng.integers(10**6, 10**9, ROWS),
            "born": born,
            "job": rng.choice(["nurse", "baker", "smith"], ROWS),
            "town": rng.choice(["Ulm", "Bonn", "Graz", "Bern"], ROWS),
            "member": rng.random(ROWS) < 0.3,
            "opened": opened,
            "closed": opened + rng.integers(0, 10**8, ROWS),
            "lent": lent,
            "owed": (2 * lent).round(2),
        }
    ).with_columns(pay=pl.when(pl.col("town") != "Ulm").then("pay"))


@dataclass(frozen=True)
class Saved:
    """A comparison's folder, and what must not be in it."""

    data: Dataset
    frame: pl.DataFrame
    folder: Path

    @property
    def files(self) -> list[Path]:
        """All files: of the runs, the samples, the measurements, the report."""
        return sorted(p for p in self.folder.rglob("*") if p.is_file())

    @property
    def single(self) -> Floats:
        """Encoded numbers of one row alone, without the extremes of the training rows."""
        schema = self.data.schema
        assert isinstance(schema, TableSchema)
        both = (self.data.rows, self.data.subset("train")[0])
        names = [schema.columns[i].name for i in schema.numeric_columns]
        columns = zip(names, *(schema.numeric(rows).numpy().T for rows in both), strict=True)
        return np.concatenate(
            [_alone(all_, trained, *[all_] * (n in COMPARED)) for n, all_, trained in columns]
        )

    @property
    def texts(self) -> set[str]:
        """Names, numbers and times of single rows, as people and programs write them."""
        frame = self.frame.with_columns(pl.col("born").dt.to_string("iso"))
        written = {
            text for name in UNIQUE for text in frame[name].cast(pl.String).drop_nulls().sort()
        }
        trained = frame[self.data.splits["train"].tolist()]
        bounded = [*trained.iter_columns(), *(frame[name] for name in COMPARED)]
        bounds = {str(end) for c in bounded for end in (c.min(), c.max())}
        # 6 characters are no coincidence in a file of digits; fewer may be.
        return {text for text in written - bounds if len(text) >= 6}


def _alone(values: Floats, *bounded: Floats) -> Floats:
    """Return the values that are there once, but for the smallest and largest bounded ones."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    alone = distinct[counts == 1]
    return np.setdiff1d(alone, [end(some) for some in bounded for end in (np.nanmin, np.nanmax)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    frame = people()
    data = pf.read(frame, constraints=CONSTRAINTS)
    out = tmp_path_factory.mktemp("rows") / "out"
    compared(data, out).report()
    return Saved(data, frame, out)


def compared(data: Dataset, out: Path, *, example_rows: bool = False) -> pf.Comparison:
    measures = ["column_shapes", "closest_record", "exact_matches", "membership_inference"]
    return pf.compare(
        data, MODELS, seeds=1, out=out, budget=24, measures=measures, example_rows=example_rows,
        latent=4, width=16,
    )  # fmt: skip


def numbers_in(path: Path) -> Iterator[Floats]:
    """Yield every list of numbers and every tensor of a file."""
    if path.suffix == ".safetensors":
        tensors, text = read_tensors(path)
        yield from (t.double().numpy() for t in tensors.values())
        parsed = [json.loads(text)] if text.startswith(("{", "[")) else []
    else:
        parsed = [json.loads(line) for line in _documents(path)]
    for document in parsed:
        yield from _lists(document)


def _documents(path: Path) -> list[str]:
    text = path.read_text()
    if path.suffix == ".html":
        return re.findall(r'<script type="application/json" class="figure">(.*?)</script>', text)
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _lists(value: Any) -> Iterator[Floats]:
    """Yield the numbers of a JSON value: each list by itself, and single ones."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _lists(inner)
    elif isinstance(value, list):
        flat = [v for v in value if isinstance(v, int | float)]
        yield np.array(flat, dtype=np.float64)
        for inner in value:
            yield from _lists(inner) if isinstance(inner, dict | list) else ()
    elif isinstance(value, int | float):
        yield np.array([value], dtype=np.float64)


def test_what_is_searched_for_would_be_found(saved: Saved, tmp_path: Path) -> None:
    assert len(saved.single) > 3 * ROWS
    assert len(saved.texts) > 8 * ROWS
    expected = {"config.json", "schema.json", "anatomy.json", "history.jsonl", "scorecard.json"}
    expected |= {f"{n}.safetensors" for n in ("weights", "best", "state")}
    expected |= {"comparison.json", "references.json", "report.html", "real.json", "vae.json"}
    assert expected <= {p.name for p in saved.files}
    shutil.copytree(saved.folder, tmp_path / "out")
    asked = compared(saved.data, tmp_path / "out", example_rows=True)
    real, page = tmp_path / "out/samples/real.json", asked.report()
    given_back = tmp_path / "out/samples/vae.safetensors"
    assert "originals" in read_tensors(given_back)[0]
    assert leaked_texts(saved, real) and leaked_texts(saved, page)  # noqa: PT018
    compared(saved.data, tmp_path / "out")
    assert not leaked_texts(saved, real), "they go when they are not asked for"
    assert read_tensors(given_back)[0].keys() == {"moves", "levels", "traversed"}


def test_no_number_of_a_single_row_is_in_a_file(saved: Saved) -> None:
    rounded = np.unique(saved.single.astype(np.float32)).astype(np.float64)
    secrets = np.concatenate([saved.single, rounded])
    for path in saved.files:
        for values in numbers_in(path):
            leaked = values[np.isin(values, secrets)]
            assert not len(leaked), f"{path.name} holds {leaked[:3]}"


def test_no_text_of_a_single_row_is_in_a_file(saved: Saved) -> None:
    for path in saved.files:
        leaked = leaked_texts(saved, path)
        assert not leaked, f"{path.name} holds {leaked[:3]}"


def leaked_texts(saved: Saved, path: Path) -> list[str]:
    raw = path.read_bytes().replace(get_plotlyjs().encode(), b"")
    return [text for text in saved.texts if text.encode() in raw]


def test_no_number_of_a_single_row_is_in_a_files_bytes(saved: Saved) -> None:
    whole = saved.single[saved.single == np.trunc(saved.single)]
    secrets = {np.float64: saved.single, np.float32: saved.single, np.int64: whole}
    for path in saved.files:
        if path.suffix != ".safetensors":
            continue
        raw = path.read_bytes()[8:]  # safetensors begin with the length of their header
        for kind, numbers in secrets.items():
            held = np.frombuffer(raw[: len(raw) // 8 * 8], kind)
            with np.errstate(invalid="ignore"):
                assert not np.isin(held, numbers.astype(kind)).any(), f"{path.name}, {kind}"


def test_no_whole_row_is_in_a_file(saved: Saved) -> None:
    """Neither as encoded nor as the networks see it, nor the common values of one in a list."""
    rows = saved.data.rows
    forms = [rows, saved.data.schema.expand(rows).double(), saved.data.schema.features(rows)]
    known = {form.shape[1]: {row.tobytes() for row in _plain(form)} for form in forms}
    for path in saved.files:
        for values in numbers_in(path):
            for width, own in known.items():
                if values.ndim and values.shape[-1] % width == 0 and values.size:
                    held = _plain(torch.from_numpy(values).reshape(-1, width))
                    assert not any(row.tobytes() in own for row in held), path.name


def _plain(rows: torch.Tensor) -> Floats:
    return np.ascontiguousarray(np.nan_to_num(rows.double().numpy(), nan=-1e300))


def test_no_index_of_the_training_rows_is_in_a_file(saved: Saved) -> None:
    """No list of different whole numbers below the number of rows, as long as a part of them."""
    for path in saved.files:
        for values in numbers_in(path):
            flat = values.ravel()
            whole = flat[(flat == np.rint(flat)) & (flat >= 0) & (flat < ROWS)]
            different = len(np.unique(whole))
            assert different < ROWS // 4 or different < len(whole) / 2, path.name


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A comparison on images of noise: no two are alike, and none is in between."""
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8)).astype(np.uint8)
    data, out = pf.read(images), tmp_path_factory.mktemp("images") / "out"
    compared_images(data, out, MODELS)
    return data, out


def compared_images(
    data: Dataset, out: Path, models: Sequence[str], *, example_rows: bool = False
) -> None:
    pf.compare(
        data, models, seeds=1, out=out, budget=12, measures=["closest_record"], latent=4, width=16,
        features=pf.measures.Identity(), example_rows=example_rows,
    ).report()  # fmt: skip


def real_images_in(data: Dataset, folder: Path) -> dict[str, int]:
    """Count in each file of a folder the user's images: in bytes, numbers and pictures."""
    rows = data.rows.flatten(1).numpy()
    forms = [rows, data.schema.expand(data.rows).flatten(1).numpy(), rows.astype(np.float64)]
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        bytes_ = b"".join([raw, *_shown(path)])
        held = [np.ascontiguousarray(v) for v in numbers_in(path)] if _has_numbers(path) else []
        bytes_ += b"".join(v.tobytes() for v in held)
        found[path.name] = sum(any(form[i].tobytes() in bytes_ for form in forms)
                               for i in range(len(rows)))  # fmt: skip
    return {name: count for name, count in found.items() if count}


def _has_numbers(path: Path) -> bool:
    return path.suffix in {".json", ".jsonl", ".safetensors", ".html"}


def _shown(path: Path) -> Iterator[bytes]:
    """Yield the pixels of every image in a page's pictures, one of 7 x 7 alike for each."""
    pictures = (
        re.findall(r'"data:image/png;base64,(.*?)"', path.read_text())
        if (path.suffix == ".html")
        else []
    )
    for picture in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))[..., 0]
        for top in range(0, pixels.shape[0], 58):
            for left in range(0, pixels.shape[1], 58):
                yield np.ascontiguousarray(
                    pixels[top : top + 56 : 7, left : left + 56 : 7]
                ).tobytes()


def test_no_image_of_the_users_is_in_a_file(pictured: tuple[Dataset, Path]) -> None:
    data, folder = pictured
    assert real_images_in(data, folder) == {}
    held = {p.name for p in (folder / "samples").iterdir()}
    assert held == {"vae.safetensors", "gan.safetensors", "floor.safetensors"}


def test_images_come_and_go_as_they_are_asked_for(
    pictured: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, folder = pictured
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    compared_images(data, out, MODELS, example_rows=True)
    found = real_images_in(data, out)
    test = len(data.splits["test"])
    assert found.keys() == {"real.safetensors", "vae.safetensors", "gan.safetensors", "report.html"}
    assert found["real.safetensors"] > test, "the test images, and training images near them"
    assert found["vae.safetensors"] > found["gan.safetensors"] > 0, "the vae also has originals"
    assert found["report.html"] > test
    compared_images(data, out, MODELS[:1])
    assert real_images_in(data, out) == {}, "not of a model that is compared no more, either"


def stored(frame: pl.DataFrame, **reading: Any) -> str:
    """Return a table's schema and notes as the files hold them."""
    data = pf.read(frame, **reading)
    return json.dumps([data.schema.to_json(), *data.notes], ensure_ascii=False)


def test_only_combinations_of_training_rows_are_stored() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.integers(0, 40, 400), "b": rng.integers(0, 4, 400)})
    data = pf.read(frame.with_columns(x=rng.normal(size=400)), constraints="combine(a, b)")
    (step,) = data.schema.to_json()["constraint_set"]["steps"]
    held = {tuple(row) for row in step["table"]}
    assert held == set(frame[data.splits["train"].tolist()].rows())
    assert held < set(frame.rows()), "else nothing is tested"


def test_combinations_that_identify_rows_are_refused() -> None:
    with pytest.raises(pf.DataError, match=r"320 of 320 training rows .* of their own"):
        pf.read(people(), constraints="combine(account, price)")
    with pytest.raises(pf.DataError, match="rare='name' stores no rare category"):
        pf.read(people(), constraints="combine(job, town)", rare="name")


def test_a_rare_category_is_not_stored_on_request() -> None:
    frame = people().with_columns(town=pl.Series(["Xanadu", *people()["town"][1:]]))
    assert "Xanadu" in stored(frame), "documented: every category is"
    assert "Xanadu" not in stored(frame, rare="name")


@pytest.mark.parametrize("strange", ["x.y_z-q@foo.bar.com", "Žluťoučký kůň 9", "Иванов Пётр"])
def test_an_identifier_unlike_the_others_is_not_spelled(strange: str) -> None:
    names = [strange, *(f"person-{i}" for i in range(1000, 1399))]
    schema = pf.read(people().with_columns(name=pl.Series(names))).schema.to_json()
    (identifier,) = schema["identifiers"]
    foreign = set(strange) - set("0123456789abcdefghijklmnopqrstuvwxyz-")
    assert not foreign & set(json.dumps(identifier["forms"], ensure_ascii=False)) - set(
        ' .,_"[]{}:'
    )
    assert all(len(alphabet) != 1 for alphabet in identifier["alphabets"][12:])


@pytest.mark.parametrize("text", ["1,234", "03/04/2024", "Ann Other 7"])
def test_notes_quote_no_value(text: str) -> None:
    values = {
        "1,234": [f"{i},{i}" for i in range(100, 300)],
        "03/04/2024": [f"{1 + i % 12:02d}/{1 + i % 11:02d}/2024" for i in range(200)],
        "Ann Other 7": [f"Ann{i} Other {i}" for i in range(200)],
    }[text]
    notes = pf.read(pl.DataFrame({"what": values, "x": range(200)})).notes
    assert any(note.startswith("check:") for note in notes)
    assert not [value for value in values for note in notes if value in note]
