"""The commands about samples: `sample` and `measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pushforward.cli.parameters import (
    AsJson,
    Checkpoint,
    Crop,
    Device,
    Kind,
    OwnModel,
    OwnNetworks,
    PixelRange,
    Resize,
    Run,
    existing_data,
    known_measures,
    named_checkpoint,
    print_json,
    write_rows,
)


def sample(
    run: Run,
    target: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .csv, .tsv, .parquet, .npz or .npy. Without an ending, a new "
            "or empty folder of images.",
        ),
    ],
    n: Annotated[int | None, typer.Option("-n", help="Number of samples. By default 1000.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed: the same one gives the same samples.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Class to generate, if the run was trained with --condition.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition on a column of a table: column=value, column=low..high, column>=low "
            "or column<=high. Repeatable.",
        ),
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="Column whose categories are generated equally often.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Rows of a table with some of its columns: each is continued from its known "
            "cells, in place of -n samples.",
            callback=existing_data,
        ),
    ] = None,
    checkpoint: Checkpoint = "best",
    model: OwnModel = None,
    networks: OwnNetworks = None,
    device: Device = "auto",
) -> None:
    """Generate samples with a trained model.

    They have the form of the data that it was trained on. Tables are written in chunks, so they can
    be larger than the memory.
    """
    from pushforward.runs import load
    from pushforward.sampling.request import SampleRequest, where_from_texts

    fitted = load(run, device=device, model=model, networks=networks)
    if given is not None:
        from pushforward.data import read_raw

        asked: dict[str, Any] = {"n": n, "condition": condition, "balance": balance}
        asked |= {"where": where or None}
        rows = fitted.sample(
            given=read_raw(given), seed=seed, checkpoint=named_checkpoint(checkpoint), **asked
        )
        write_rows(rows, target, fitted.schema)
        return
    n = 1000 if n is None else n
    network = fitted.network(named_checkpoint(checkpoint))
    conditions = where_from_texts(where or [], fitted.schema)
    request = SampleRequest(network, fitted.schema, n, seed, condition, conditions, balance)
    typer.echo(f"{n} samples: {request.write(target)}")
    for line in (*([request.hits] if request.hits else []), *request.doubts):
        typer.echo(str(line))


def measure(
    real: Annotated[
        str,
        typer.Argument(
            metavar="REAL",
            help="Real samples: a file, a folder or a built-in data set.",
            callback=existing_data,
        ),
    ],
    fake: Annotated[
        str,
        typer.Argument(
            metavar="FAKE", help="Generated samples: a file or a folder.", callback=existing_data
        ),
    ],
    train: Annotated[
        str | None,
        typer.Option(
            help="Training samples, for the measures that need them.", callback=existing_data
        ),
    ] = None,
    measures: Annotated[
        str | None,
        typer.Option(
            help="Measures to use, separated by commas, or all. By default those for the data."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Column that the measure utility predicts. By default the last one."),
    ] = None,
    kind: Kind = None,
    pixel_range: PixelRange = None,
    resize: Resize = None,
    crop: Crop = False,
    seed: Annotated[int, typer.Option(help="Random seed of subsamples and permutations.")] = 0,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure how far FAKE is from REAL.

    The samples may come from any generator.
    """
    chosen = known_measures(measures)

    from pushforward.cli.console import out
    from pushforward.measures import measure as run

    values = {"kind": kind, "range": pixel_range}
    paths = (real, fake, train)
    rows = [None if path is None else _rows(path, values, resize, crop) for path in paths]
    card = run(
        rows[0],
        rows[1],
        train=rows[2],
        measures=chosen,
        target=target,
        seed=seed,
        device=device,
    )
    if as_json:
        print_json(card.to_json())
    else:
        out.print(card)


def _rows(path: str, values: dict[str, Any], resize: str | None, crop: bool) -> Any:
    """Return the rows of a source, read as the options of `measure` say.

    What was noticed in reading a folder of images is printed.
    """
    from pushforward.cli.console import print_note
    from pushforward.data import read, read_raw
    from pushforward.data.image_files import Resizing
    from pushforward.data.sources import load_source

    if Path(path).is_dir():
        source = load_source(path, resizing=Resizing.parse(resize, crop))
        rows = source.data
        for remark in source.notes:
            print_note(f"{path}: {remark}")
    else:
        rows = read_raw(path)
    given = {name: value for name, value in values.items() if value is not None}
    return read(rows, **given) if given else rows
