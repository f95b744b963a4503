"""The metadata of SDV: kinds and time formats of columns, clear errors for what does not fit."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import pushforward as pf
from pushforward.data import TableSchema
from pushforward.data.tables.metadata import read_metadata
from pushforward.errors import DataError

HOTEL: dict[str, Any] = {  # laid out as the example of SDV's documentation
    "METADATA_SPEC_VERSION": "SINGLE_TABLE_V1",
    "primary_key": "guest_email",
    "alternate_keys": ["card"],
    "columns": {
        "guest_email": {"sdtype": "email", "pii": True},
        "has_rewards": {"sdtype": "boolean"},
        "room_type": {"sdtype": "categorical"},
        "amenities_fee": {"sdtype": "numerical", "computer_representation": "Float"},
        "checkin_date": {"sdtype": "datetime", "datetime_format": "%d %b %Y"},
        "floor": {"sdtype": "categorical"},
        "billing_address": {"sdtype": "address"},
        "card": {"sdtype": "credit_card_number", "pii": True},
        "city": {"sdtype": "city", "pii": False},
        "made": {"sdtype": "datetime", "datetime_format": "%Y%m%d"},
        "mystery": {"sdtype": "unknown", "pii": False},
        "visit": {"sdtype": "id", "regex_format": "V_[0-9]{3}"},
    },
    "column_relationships": [],
}


def hotel(n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    days = [date(2020, 1, 1 + int(d)) for d in rng.integers(0, 28, n)]
    return pl.DataFrame(
        {
            "guest_email": [f"{i}@x.org" for i in rng.permutation(n)],
            "has_rewards": rng.random(n) < 0.5,
            "room_type": rng.choice(["SUITE", "BASIC"], n),
            "amenities_fee": np.round(rng.random(n) * 40, 2),
            "checkin_date": [None if i % 9 == 8 else f"{d:%d %b %Y}" for i, d in enumerate(days)],
            "floor": rng.integers(0, 5, n),
            "billing_address": [f"{i % 7} Main St" for i in range(n)],
            "card": rng.integers(10**15, 10**16, n),
            "city": rng.choice(["Oslo", "Rome"], n),
            "made": [int(f"{d:%Y%m%d}") for d in days],
            "mystery": rng.normal(size=n),
            "visit": [f"V_{i:03d}" for i in rng.integers(0, 999, n)],
        }
    )


def without(key: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in HOTEL.items() if name != key} | changes


def test_kinds_and_time_formats_are_those_of_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(HOTEL))
    dataset = pf.read(hotel(), metadata=path)
    schema = dataset.schema
    assert isinstance(schema, TableSchema)
    assert {c.name: c.kind for c in schema.columns} == {
        **{"has_rewards": "categorical", "room_type": "categorical", "city": "categorical"},
        **{"amenities_fee": "numeric", "checkin_date": "numeric", "floor": "categorical"},
        **{"made": "numeric", "mystery": "numeric"},
    }
    assert {i.name for i in schema.identifiers} == {
        "guest_email",
        "billing_address",
        "card",
        "visit",
    }
    fake = dataset.raw("train")
    first = hotel()[dataset.splits["train"].tolist()]
    assert_frame_equal(fake.select("checkin_date"), first.select("checkin_date"))  # still text
    assert fake["made"].dt.strftime("%Y%m%d").cast(pl.Int64).equals(first["made"])
    assert dataset.raw("train")["visit"].str.contains(r"^V_\d{3}$").all()
    assert pf.read(hotel(), metadata=HOTEL).digest == dataset.digest


def test_dates_of_a_csv_file_are_written_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{d:02d}/2{d % 10}/1999 0{1 + d % 9}:30 PM,{1990 + d},{d}" for d in range(1, 13)]
    path.write_text("\n".join(["when,year,x", *rows, ""]))
    columns = {
        "when": {"sdtype": "datetime", "datetime_format": "%m/%d/%Y %I:%M %p"},
        "year": {"sdtype": "datetime", "datetime_format": "%Y"},
        "x": {"sdtype": "numerical"},
    }
    data = pf.read(path, metadata={"columns": columns})
    frame = data.schema.decode(data.rows)
    assert frame["when"][0] == datetime(1999, 1, 21, 14, 30)
    assert frame["year"][0] == date(1991, 1, 1)
    again = pf.write(frame, tmp_path / "u.csv", schema=data.schema)
    assert again.read_text() == path.read_text()


def test_all_versions_of_the_format_say_the_same() -> None:
    expected = read_metadata(HOTEL)
    newer = {"METADATA_SPEC_VERSION": "V1", "tables": {"guests": without("METADATA_SPEC_VERSION")}}
    assert read_metadata(newer) == expected
    old = {
        "fields": {
            "guest_email": {"type": "id", "subtype": "string", "regex": "[a-z]+"},
            "age": {"type": "numerical", "subtype": "integer"},
            "checkin": {"type": "datetime", "format": "%Y-%m-%d"},
            "name": {"type": "categorical", "pii": True, "pii_category": "name"},
            "kind": {"type": "categorical"},
        },
        "primary_key": "guest_email",
    }
    assert read_metadata(old).kinds == {
        **{"guest_email": "identifier", "age": "numeric", "checkin": "datetime"},
        **{"name": "identifier", "kind": "categorical"},
    }
    assert read_metadata(old).time_formats == {"checkin": "%Y-%m-%d"}
    assert read_metadata({"tables": {"one": old}}) == read_metadata(old)


def test_the_demonstration_of_sdmetrics_is_read() -> None:
    demos = pytest.importorskip("sdmetrics.demos")
    real, _, metadata = demos.load_single_table_demo()
    dataset = pf.read(real, metadata=metadata)
    schema = dataset.schema
    assert isinstance(schema, TableSchema)
    columns = [*schema.columns, *schema.constraint_set.codecs.values()]  # with those of parts
    kinds: dict[str, str] = {c.name: c.kind for c in columns if c.name in schema.column_names}
    kinds |= {i.name: "id" for i in schema.identifiers}
    numeric = {"numerical": "numeric", "datetime": "numeric", "id": "id"}
    assert kinds == {
        name: numeric.get(spec["sdtype"], "categorical")
        for name, spec in metadata["columns"].items()
    }
    row = dataset.raw("train")
    assert isinstance(row, pd.DataFrame)
    assert list(row.columns) == list(real.columns)


def test_overrides_take_precedence_over_the_metadata() -> None:
    dataset = pf.read(
        hotel(), metadata=HOTEL, overrides={"floor": "integer", "visit": "categorical"}
    )
    schema = dataset.schema
    assert isinstance(schema, TableSchema)
    kinds = {c.name: c.kind for c in schema.columns}
    assert (kinds["floor"], kinds["visit"]) == ("numeric", "categorical")


def test_notes_say_what_is_not_used() -> None:
    columns = {n: HOTEL["columns"][n] for n in ("visit", "floor")}
    columns["lat"] = {"sdtype": "latitude", "pii": True}
    metadata = {"columns": columns, "sequence_key": "visit", "sequence_index": "floor"}
    frame = hotel().select("visit", "floor", lat=pl.lit(3.5))
    notes = " ".join(pf.read(frame, metadata=metadata).notes)
    assert "the sequences of visit, floor are lost" in notes
    assert "lat: personal by the metadata" in notes


BROKEN: dict[str, tuple[Any, str]] = {
    "several tables": ({"tables": {"a": HOTEL, "b": HOTEL}}, r"describe 2 \('a', 'b'\)"),
    "no table": ({"tables": {}}, r"describe 0 \(none\)"),
    "no columns": ({"METADATA_SPEC_VERSION": "SINGLE_TABLE_V1"}, "describe no columns"),
    "no sdtype": ({"columns": {"a": {}}}, "have no sdtype of the column 'a'"),
    "a strange key": (without("primary_key", primary_key="mail"), "key 'mail' is not a column"),
    "a column too many": (
        without("columns", columns=HOTEL["columns"] | {"flor": {"sdtype": "id"}}),
        "describe a column 'flor' that the table lacks; did you mean 'floor'",
    ),
    "a column too few": (
        without("columns", columns={n: s for n, s in HOTEL["columns"].items() if n != "city"}),
        "do not describe the column 'city'",
    ),
    "another type": (
        without("columns", columns=HOTEL["columns"] | {"room_type": {"sdtype": "numerical"}}),
        "'room_type' must be numeric",
    ),
    "another format": (
        without(
            "columns",
            columns=HOTEL["columns"] | {"made": {"sdtype": "datetime", "datetime_format": "%d.%m"}},
        ),
        "'made' must hold times in the format '%d.%m'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_metadata_that_do_not_fit_are_refused(case: str) -> None:
    metadata, message = BROKEN[case]
    with pytest.raises(DataError, match=message):
        pf.read(hotel(), metadata=metadata)


def test_files_that_are_no_metadata_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with pytest.raises(DataError, match="No such file"):
        pf.read(hotel(), metadata=path)
    for text, message in {"{": "are not JSON", "[1]": "are a list"}.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            pf.read(hotel(), metadata=path)
    with pytest.raises(DataError, match="these data are an array"):
        pf.read(np.zeros((20, 2)), metadata=HOTEL)


# --- SDV 2.0

CLINIC: dict[str, Any] = {
    "METADATA_SPEC_VERSION": "V2",
    "tables": {
        "visits": {
            "primary_key": ["patient", "visited"],
            "columns": {
                "patient": {"sdtype": "id", "range_is_nullable": False},
                "visited": {
                    "sdtype": "datetime",
                    "datetime_format": "%d.%m.%Y",
                    "range_min": "01.01.2020",
                    "range_max": "31.12.2020",
                    "range_is_nullable": False,
                },
                "age": {
                    "sdtype": "numerical",
                    "range_min": 0,
                    "range_max": 110,
                    "decimal_places": 0,
                    "range_is_nullable": True,
                },
                "score": {"sdtype": "ordinal", "range_values": [1, 2, 3, 4, 5]},
                "pain": {"sdtype": "ordinal", "range_values": ["low", "mid", "high"]},
                "ward": {"sdtype": "categorical", "range_values": ["A", "B"]},
                "insured": {"sdtype": "boolean", "range_is_nullable": False},
            },
        }
    },
    "relationships": [],
}


def clinic(n: int = 200) -> pl.DataFrame:
    rng, missing = np.random.default_rng(0), np.random.default_rng(1).random(n) < 0.1
    missing[0] = True
    return pl.DataFrame(
        {
            "patient": [f"P-{i:04d}" for i in rng.integers(0, 90, n)],
            "visited": [f"{1 + d % 28:02d}.{1 + d % 12:02d}.2020" for d in range(n)],
            "age": [
                None if m else int(a) for m, a in zip(missing, rng.integers(0, 99, n), strict=True)
            ],
            "score": rng.integers(1, 6, n),
            "pain": rng.choice(["low", "mid", "high"], n),
            "ward": rng.choice(["A", "B"], n),
            "insured": rng.random(n) < 0.5,
        }
    )


def visits(**changes: Any) -> dict[str, Any]:
    """The metadata with other properties of some columns."""
    (table,) = CLINIC["tables"].values()
    columns = {name: spec | changes.get(name, {}) for name, spec in table["columns"].items()}
    return {"METADATA_SPEC_VERSION": "V2", "tables": {"visits": table | {"columns": columns}}}


def test_types_and_ranges_of_the_second_version_are_read() -> None:
    data = pf.read(clinic(), metadata=CLINIC)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert [i.name for i in schema.identifiers] == ["patient"]
    assert {c.name: c.kind for c in schema.columns} == {
        **{"visited": "numeric", "age": "numeric", "score": "categorical"},
        **{"pain": "categorical", "ward": "categorical", "insured": "categorical"},
    }
    bounds = {str(constraint) for constraint in schema.constraint_set.constraints}
    assert bounds == {
        "0 <= age <= 110",
        "2020-01-01T00:00:00 <= visited <= 2020-12-31T00:00:00",
    }
    (note,) = [note for note in data.notes if "composite" in note]
    assert note.startswith("check: the key (patient, visited) is composite: patient gets a new")
    back = schema.decode(data.rows)
    expected = clinic().drop("patient")
    assert_frame_equal(back.drop("patient"), expected)


@pytest.mark.parametrize(
    "stated", [{"condition": "score"}, {"overrides": {"score": "categorical"}}]
)
def test_what_the_user_states_takes_precedence_over_ranges(stated: dict[str, Any]) -> None:
    metadata = visits(score={"sdtype": "numerical", "range_min": 0})
    plain, own = (pf.read(clinic(), metadata=metadata, **given).schema for given in ({}, stated))
    assert isinstance(plain, TableSchema)
    assert isinstance(own, TableSchema)
    difference = {*plain.constraint_set.constraints} - {*own.constraint_set.constraints}
    assert [str(constraint) for constraint in difference] == ["score >= 0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": {"range_max": 50}}, "'0 <= age <= 50' does not hold"),
        ({"visited": {"range_min": "02.02.2020"}}, "'2020-02-02.* does not hold"),
        ({"visited": {"range_min": "2020-01-01"}}, "'visited' has '2020-01-01', which is no time"),
        ({"ward": {"range_values": ["A"]}}, "'ward' has the value 'B', which the metadata do not"),
        ({"score": {"range_values": [1.0, 2.0, 3.0]}}, "'score' has the value 4"),
        ({"age": {"range_is_nullable": False}}, "'age' has no missing values, and row 1 has one"),
    ],
)
def test_rows_outside_the_ranges_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pf.read(clinic(), metadata=visits(**changes))


def test_values_are_compared_whatever_their_spelling() -> None:
    metadata = visits(
        score={"range_values": [1.0, 2.0, 3.0, 4.0, 5.0]},
        insured={"sdtype": "categorical", "range_values": [True, False]},
    )
    assert pf.read(clinic(), metadata=metadata).sizes["train"] == 160


SDTYPES = ["numerical", "ordinal", "categorical", "boolean", "datetime"]


@pytest.mark.parametrize("sdtype", SDTYPES)
def test_known_types_are_identifiers_only_where_they_are_personal(sdtype: str) -> None:
    for personal in ({}, {"pii": False}):
        kinds = read_metadata({"columns": {"v": {"sdtype": sdtype, **personal}}}).kinds
        assert kinds["v"] != "identifier"
    assert (
        read_metadata({"columns": {"v": {"sdtype": sdtype, "pii": True}}}).kinds["v"]
        == "identifier"
    )


def test_a_composite_key_of_plain_columns_is_noted() -> None:
    (table,) = CLINIC["tables"].values()
    metadata = table | {"primary_key": ["visited", "ward"], "alternate_keys": ["patient"]}
    notes = read_metadata(metadata).notes
    assert any("(visited, ward) is composite: its columns are modelled like" in n for n in notes)
    with pytest.raises(DataError, match="key 'vsited' is not a column; did you mean 'visited'"):
        read_metadata(table | {"primary_key": ["vsited", "ward"]})
