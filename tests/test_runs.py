"""A run's folder: whole, unchanged, without rows, and never executed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

import pushforward as pf
from pushforward.files import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("few_codes_here")

FILES = ["config.json", "schema.json", "weights.safetensors", "best.safetensors"]


@pytest.fixture(scope="module")
def finished(few_codes_here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    pf.fit("wine", "vae", budget=8, latent=2, width=16, out=out)
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy for each test, which may spoil it: training it anew would show no more."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(run: Path, name: str, keep: float) -> None:
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(pf.RunError):
        pf.load(run)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    if name == "weights.safetensors":
        assert pf.load(run).states["final"].keys() == pf.load(run).states["best"].keys()
        return
    with pytest.raises(pf.RunError, match=name):
        pf.load(run)


@pytest.mark.parametrize("name", ["weights.safetensors", "best.safetensors"])
def test_changed_weights_are_noticed(run: Path, name: str) -> None:
    data = bytearray((run / name).read_bytes())
    data[-3] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(pf.RunError, match="changed"):
        pf.load(run)


def test_changed_descriptions_are_noticed(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["identity"]["options"]["latent"] = 3
    original = (run / "config.json").read_text()
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(pf.RunError, match="changed"):
        pf.load(run)
    (run / "config.json").write_text(original)
    schema = (run / "schema.json").read_text()
    (run / "schema.json").write_text(schema.replace("alcohol", "alcohol2"))
    with pytest.raises(pf.RunError, match="changed"):
        pf.load(run)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(pf.RunError, match=r"thesis\.tex"):
        pf.fit("wine", "vae", budget=2, out=tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_runs_folder_is_left_alone(run: Path) -> None:
    with pytest.raises(pf.RunError, match="seed"):
        pf.fit("wine", "vae", budget=8, latent=2, width=16, seed=1, out=run)


def test_no_row_of_the_data_is_in_the_folder(tmp_path: Path) -> None:
    """Values that no two rows share must be in no file: names, and numbers with many digits."""
    n = 300
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(n, generator=generator, dtype=torch.float64).tolist()
    names = [f"person-{i:04d}-{int(v * 1e6)}" for i, v in enumerate(numbers)]
    frame = pl.DataFrame({"who": names, "x": numbers, "kind": ["a", "b"] * (n // 2)})
    pf.fit(frame, "gan", budget=5, latent=2, width=16, out=tmp_path / "run")
    text = b"".join(p.read_bytes() for p in (tmp_path / "run").iterdir())
    assert not any(name.encode() in text for name in names)
    ranked = sorted(numbers)[1:-1]  # the column's bounds are kept, as bounds
    assert not any(repr(value).encode() in text for value in ranked)


def test_tensors_keep_their_text_and_types(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b": torch.tensor(2.5), "c": torch.zeros(0, 2)}
    write_tensors(tmp_path / "t.safetensors", tensors, '{"é": 1}')
    found, text = read_tensors(tmp_path / "t.safetensors")
    assert text == '{"é": 1}'
    assert all(torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in tensors.items())


def test_what_is_printed_is_short() -> None:
    data = pf.read("wine")
    fitted = pf.fit(data, "vae", budget=8, width=8, depth=0)
    first = "Dataset 'wine': 178 rows (train 142, validation 18, test 18) of a table"
    assert repr(data).splitlines()[0] == first
    assert repr(fitted).startswith("Fitted vae(width=8, depth=0) on 'wine': 8 steps, best at ")


def test_a_file_is_no_folder_for_a_run(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("mine")
    with pytest.raises(pf.RunError, match=r"t\.csv is a file; name a folder$"):
        pf.fit("ring", budget="1 step", out=file)
    assert file.read_text() == "mine"
