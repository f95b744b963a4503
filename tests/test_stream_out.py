"""Samples that stream into files: the same rows in any chunks, whole or not at all."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import forked
import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import read_raw
from pushforward.data.tables.distinct_strings import DistinctStrings, permute
from pushforward.data.write import write_stream
from pushforward.runs.fitted import Fitted
from pushforward.sampling.balanced import even
from pushforward.sampling.blocks import BLOCK, CELLS, CHUNK, block_size
from pushforward.sampling.request import SampleRequest
from pushforward.sampling.streams import regrouped
from side_by_side import wait_until

pytestmark = pytest.mark.usefixtures("few_codes")


def frame(n: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": [f"EMP-{i * 7919 % 100_000:05d}" for i in range(n)],
            "price": rng.gamma(2.0, size=n).round(2),
            "kind": rng.choice(["a", "b, c", 'say "d"'], n),
            "seldom": [1.5 if i % 40 == 0 else None for i in range(n)],
            "never": pl.Series([None] * n, dtype=pl.String),
        }
    )


def trained(data: Any, **options: Any) -> Fitted:
    return pf.fit(pf.read(data, **options), "vae", budget="3 steps", latent=2, width=16, seed=0)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return trained(frame())


N = BLOCK + 1000


@pytest.mark.parametrize("chunk", [700, BLOCK, N, 10 * N])
def test_chunks_hold_the_rows_of_one_sample(fitted: Fitted, chunk: int) -> None:
    whole = fitted.sample(N, seed=3)
    parts = list(fitted.stream(N, chunk=chunk, seed=3))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    assert all(part.schema == whole.schema for part in parts)
    assert pl.concat(parts).equals(whole)
    assert whole["id"].n_unique() == N


@pytest.mark.parametrize("asked", [{"where": {"kind": "a"}}, {"balance": "kind"}])
def test_conditions_and_balances_stream_too(fitted: Fitted, asked: dict[str, Any]) -> None:
    whole = fitted.sample(N, seed=3, **asked)
    assert pl.concat(fitted.stream(N, chunk=700, seed=3, **asked)).equals(whole)


def test_a_stream_minds_neither_the_users_random_state_nor_other_samples(fitted: Fitted) -> None:
    stream = fitted.stream(N, chunk=4000, seed=3)
    parts, state = [next(stream)], torch.get_rng_state()
    fitted.sample(10, seed=0, checkpoint="final")
    parts += list(stream)
    assert torch.equal(torch.get_rng_state(), state)
    assert pl.concat(parts).equals(fitted.sample(N, seed=3))


def test_data_of_every_make_stream() -> None:
    table = pd.DataFrame(frame()[:, 1:3].to_dict(as_series=False))
    parts = list(trained(table).stream(30, chunk=20, seed=0))
    assert [type(part) for part in parts] == [pd.DataFrame] * 2
    points = trained("ring")
    assert [part.shape for part in points.stream(30, chunk=20, seed=0)] == [(20, 2), (10, 2)]
    with pytest.raises(pf.ModelError, match="a chunk must hold at least 1 row"):
        next(points.stream(30, chunk=0))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("make", ["polars", "pandas"])
def test_a_stream_writes_what_a_sample_holds(tmp_path: Path, ending: str, make: str) -> None:
    table = frame()
    fitted = trained(table if make == "polars" else pd.DataFrame(table.to_dict(as_series=False)))
    one, other = tmp_path / f"one.{ending}", tmp_path / "deep" / f"other.{ending}"
    pf.write(fitted.sample(700, seed=1), one, schema=fitted.schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pushforward.sampling.request.CHUNK", 300)
        assert SampleRequest(fitted.network(), fitted.schema, 700, 1).write(other) == other
    if ending == "parquet":
        a, b = pl.read_parquet(one), pl.read_parquet(other)
        assert a.drop("never").equals(b.drop("never"))
        assert b["never"].null_count() == 700
    else:
        assert one.read_bytes() == other.read_bytes()
    assert len(read_raw(other)) == 700
    assert [p.name for p in other.parent.iterdir()] == [other.name]


def test_a_matrix_streams_too(tmp_path: Path) -> None:
    fitted = trained("ring")
    path = SampleRequest(fitted.network(), fitted.schema, 50, 1).write(tmp_path / "m.csv")
    np.testing.assert_allclose(pl.read_csv(path).to_numpy(), fitted.sample(50, seed=1))


def failing() -> Iterator[pl.DataFrame]:
    yield pl.DataFrame({"a": [1, 2]})
    raise pf.ModelError("the well is dry")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_fails_on_the_way_leaves_the_old_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text("precious")
    with pytest.raises(pf.ModelError, match=r"^the well is dry$"):
        write_stream(failing(), path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "precious"


LIMITED = """
import resource, signal, sys
import polars as pl
from pushforward.data.write import write_stream
from pushforward.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
parts = (pl.select(a=pl.int_range(k * 65536, (k + 1) * 65536)) for k in range(9))
try:
    write_stream(parts, sys.argv[1])
except RunError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_disk_that_fills_up(tmp_path: Path, ending: str) -> None:
    """A limit of the file's size fails where a full disk would: in the midst of writing."""
    path = tmp_path / f"t.{ending}"
    path.write_text("precious")
    done = forked.ended("-c", LIMITED, path)
    assert done.status == 0
    assert "cannot write" in done.stdout
    assert "what was there before is untouched" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "precious"


ENDLESS = """
import itertools, sys
import polars as pl
from pushforward.data.write import write_stream
write_stream((pl.select(a=pl.int_range(65536)) for _ in itertools.count()), sys.argv[1])
"""


def test_a_killed_stream_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with forked.running("-c", ENDLESS, path) as command:
        partial = tmp_path / f".t.csv.{command.pid}.partial"
        wait_until(lambda: partial.exists() and partial.stat().st_size > 0)
        command.send(signal.SIGKILL)
        command.wait()
    assert partial.exists()
    assert not path.exists()


def test_the_command_line_streams_and_tells_the_hit_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(frame()).save(tmp_path / "run")
    target = tmp_path / "t.csv"
    command = ["sample", str(tmp_path / "run"), "-n", "300", "--seed", "1", "-o", str(target)]
    assert run_command([*command, "--where", "kind=b, c", "--where", "price>=0.5"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "300 samples" in printed
    assert "hit rate 0." in printed
    rows = pl.read_csv(target)
    assert set(rows["kind"]) == {"b, c"}
    assert rows["price"].min() >= 0.5  # type: ignore[operator]
    assert run_command([*command, "--balance", "kind"]) == 0
    assert pl.read_csv(target)["kind"].value_counts()["count"].to_list() == [100] * 3
    assert run_command([*command, "--where", "kind=e"]) == 2
    assert "no category 'e'" in " ".join(capsys.readouterr().err.split())


# --- parts


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_regrouping_keeps_every_row_in_order(sizes: list[int], chunk: int) -> None:
    total = sum(sizes)
    rows = torch.arange(total).split(sizes)
    source = ((part, part * 2) for part in rows)
    lengths = [min(chunk, total - start) for start in range(0, total, chunk)]
    parts = list(regrouped(source, [chunk] * (len(lengths) + 3)))
    assert [len(part) for part, _ in parts] == lengths
    for column, scale in ((0, 1), (1, 2)):
        found = [value for part in parts for value in part[column].tolist()]  # type: ignore[union-attr]
        assert found == [scale * k for k in range(total)]


def test_even_shares() -> None:
    assert even(7, 3) == [3, 2, 2]
    assert even(2, 3) == [1, 1, 0]


# --- identifiers


@given(st.integers(1, 3000), st.integers(0, 2**62))
@settings(max_examples=50, deadline=None)
def test_a_permutation_reaches_everything_once(size: int, key: int) -> None:
    found = permute(np.arange(size, dtype=np.uint64), size, key)
    assert sorted(found.tolist()) == list(range(size))


SERIES = DistinctStrings(("ab", "xyz", "0123456789"), (0.0, 0.2, 0.8), pl.String(), 5)


def test_a_pattern_is_used_up_before_longer_texts_come() -> None:
    """Two letters: 6 texts; three: 60; then longer ones, the widest alphabet repeated."""
    texts = SERIES.strings(0, 5000)
    assert len(set(texts)) == 5000
    assert {len(t) for t in texts[:66]} == {2, 3}
    assert sum(len(t) == 2 for t in texts) == 6
    assert sum(len(t) == 3 for t in texts) == 60
    assert all(t[0] in "ab" and t[1] in "xyz" for t in texts)


@pytest.mark.parametrize("cuts", [[0, 30], [0, 7, 40], [3, 2000]])
def test_texts_do_not_depend_on_the_chunks(cuts: list[int]) -> None:
    whole = SERIES.strings(0, 3000)
    ends = [*cuts[1:], 3000]
    found = [t for a, b in zip(cuts, ends, strict=True) for t in SERIES.strings(a, b - a)]
    assert found == whole[cuts[0] :]


def test_lengths_are_as_frequent_as_they_were() -> None:
    series = DistinctStrings(
        (*["0123456789abcdef"] * 32,), (*[0.0] * 7, 0.25, *[0.0] * 23, 0.75), pl.String(), 1
    )
    texts = series.strings(10**9, 20_000)
    share = np.mean([len(t) == 8 for t in texts])
    assert len(set(texts)) == 20_000
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)
    letters = np.array([list(t) for t in texts if len(t) == 32])
    for column in letters.T:  # every position varies: 16 letters, each about equally frequent
        counts = np.unique(column, return_counts=True)[1]
        assert len(counts) == 16
        assert abs(counts / len(letters) - 1 / 16).max() < 5 * np.sqrt(1 / 16 / len(letters))


@pytest.mark.parametrize(("dtype", "fit"), [(pl.Int8(), 128), (pl.UInt8(), 256)])
def test_whole_numbers_stay_within_their_type(dtype: pl.DataType, fit: int) -> None:
    series = DistinctStrings(("123456789", "0123456789", "0123456789"), (0.1, 0.5, 0.4), dtype, 1)
    texts = series.strings(0, fit - 1)
    assert sorted(map(int, texts)) == list(range(1, fit))
    with pytest.raises(pf.DataError, match=f"only {fit - 1} fit"):
        series.strings(0, fit)


def test_wide_integers_are_distinct() -> None:
    series = DistinctStrings(("123456789", *["0123456789"] * 18), (*[0.0] * 18, 1.0), pl.Int64(), 1)
    numbers = pl.Series(series.strings(10**15, 1000)).cast(pl.Int64)
    assert numbers.n_unique() == 1000
    assert numbers.min() >= 10**18  # type: ignore[operator]


def test_wide_tables_are_generated_in_smaller_blocks() -> None:
    many = [f"level {i % 400}" for i in range(800)]
    wide = pf.read(pl.DataFrame({f"c{i}": many for i in range(4)})).schema
    assert wide.space.shape == (1600,)
    assert block_size(wide) == CELLS // 1600 < BLOCK
    assert block_size(pf.read(frame()).schema) == BLOCK
    assert block_size(pf.read("digits").schema) == CHUNK
