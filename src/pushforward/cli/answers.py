"""The commands about rows that a user has: `impute`, `predict` and `log-prob`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.parameters import (
    AsJson,
    Checkpoint,
    Device,
    OwnModel,
    OwnNetworks,
    Run,
    existing_data,
    named_checkpoint,
    one_of,
    print_json,
    write_rows,
)

if TYPE_CHECKING:
    from pushforward.runs import Fitted
    from pushforward.sampling.answers import How

Rows = Annotated[
    str,
    typer.Argument(metavar="FILE", help="File of the rows.", callback=existing_data),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="File to write: .csv, .tsv or .parquet.")]
Seed = Annotated[int, typer.Option(help="Random seed of the codes.")]


def impute(
    run: Run,
    frame: Rows,
    target: Out,
    how: Annotated[
        str,
        typer.Option(
            help="What is filled in: a draw from the model's own distribution, or the most likely "
            "category and the median of a number.",
            callback=one_of("draw", "most likely"),
        ),
    ] = "draw",
    seed: Annotated[
        int | None, typer.Option(help="Random seed: the same one gives the same rows.")
    ] = None,
    checkpoint: Checkpoint = "best",
    model: OwnModel = None,
    networks: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Fill in the missing cells of FILE, given the rest of each row."""
    fitted = _load(run, device, model, networks)
    kind: How = "draw" if how == "draw" else "most likely"
    point = named_checkpoint(checkpoint)
    filled = fitted.impute(_read(frame), seed=seed, how=kind, checkpoint=point)
    write_rows(filled, target, fitted.schema)


def predict(
    run: Run,
    frame: Rows,
    target: Annotated[str, typer.Option(help="Column to predict.")],
    out: Out,
    seed: Seed = 0,
    checkpoint: Checkpoint = "best",
    model: OwnModel = None,
    networks: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Write the probability of each value of a column, given the rest of each row of FILE."""
    fitted = _load(run, device, model, networks)
    point = named_checkpoint(checkpoint)
    write_rows(fitted.predict_proba(_read(frame), target, seed=seed, checkpoint=point), out)


def log_prob(
    run: Run,
    frame: Rows,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="File to write log2 of each row's probability to. By default none."
        ),
    ] = None,
    codes: Annotated[int, typer.Option(help="Codes of each row: more give a tighter bound.")] = 16,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip",
            help="Count numbers beyond those of the training rows as the nearest of these.",
        ),
    ] = False,
    seed: Seed = 0,
    checkpoint: Checkpoint = "best",
    model: OwnModel = None,
    networks: OwnNetworks = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say how many bits a row of FILE takes under the model: an upper bound."""
    import polars as pl
    import torch

    from pushforward.sampling.likelihood import HeldOutBits

    fitted = _load(run, device, model, networks)
    point = named_checkpoint(checkpoint)
    found = fitted.log_prob(_read(frame), seed=seed, codes=codes, clip=clip, checkpoint=point)
    bits = HeldOutBits.of(torch.from_numpy(found))
    if target is not None:
        write_rows(pl.DataFrame({"log_prob": found}), target)
    if as_json:
        print_json({"bits": bits.value, "error": bits.error, "rows": bits.rows})
    else:
        typer.echo(str(bits))


def _load(run: Path, device: str, model: str | None, networks: str | None) -> Fitted:
    from pushforward.runs import load

    return load(run, device=device, model=model, networks=networks)


def _read(path: str) -> Any:
    from pushforward.data import read_raw

    return read_raw(path)
