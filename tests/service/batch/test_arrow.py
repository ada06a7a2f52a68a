"""Rows as Arrow columns, in and out."""

import random
from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pyarrow as pa
import pytest

from tests.service.batch.bodies import ARROW, LINES, arrow, lines, outcomes, post, stream
from tests.service.days import day

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def rows_of(name: str, count: int = 3) -> list[dict[str, Any]]:
    return [{"unique_id": name, "ds": day(number), "y": 1.5 * number} for number in range(1, count + 1)]


def test_columns_are_the_same_rows_as_lines(api: httpx2.Client, name: str) -> None:
    by_column = outcomes(post(api, arrow(rows_of(name)), ARROW, "?create=true"))
    by_line = outcomes(post(api, lines(rows_of(name + "x")), LINES, "?create=true"))
    assert list(by_column[0]) == list(by_line[0])
    life, other = (found[0]["etag"].split("-")[0] for found in (by_column, by_line))
    same = [one | {"unique_id": name, "etag": one["etag"].replace(other, life)} for one in by_line]
    assert by_column == same


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_columns_are_read(api: httpx2.Client, name: str, compression: str) -> None:
    found = outcomes(post(api, arrow(rows_of(name), compression=compression), ARROW, "?create=true"))
    assert [one["status"] for one in found] == [201, 200, 200]


def test_columns_with_a_dictionary_are_read(api: httpx2.Client, name: str) -> None:
    table = pa.table({"unique_id": pa.array([name] * 3).dictionary_encode(), "y": [1.0, None, 3.0]})
    assert [one["status"] for one in outcomes(post(api, stream(table), ARROW, "?create=true"))] == [201, 200, 200]


@pytest.mark.parametrize(
    ("times", "ds", "cutoff"),
    [
        (pa.array([date(2026, 1, 1)]), datetime(2026, 1, 2), datetime(2026, 1, 1)),
        (pa.array([datetime(2026, 1, 1)], pa.timestamp("ns")), datetime(2026, 1, 2), datetime(2026, 1, 1)),
        (
            pa.array([NOON], pa.timestamp("s", "UTC")),
            datetime(2026, 1, 2, 12, tzinfo=UTC),
            datetime(2026, 1, 1, 12, tzinfo=UTC),
        ),
        (pa.array(["2026-01-01"], pa.large_string()), "2026-01-02", "2026-01-01"),
        (pa.array([1], pa.int32()), 2, 1),
    ],
)
def test_times_are_answered_in_the_type_they_were_sent_in(
    api: httpx2.Client, name: str, times: Any, ds: object, cutoff: object  # noqa: ANN401 - a pyarrow.Array
) -> None:
    table = pa.table({"unique_id": [name], "ds": times, "y": [1.0]})
    [found] = outcomes(post(api, stream(table), ARROW, "?create=true"))
    assert (found["status"], found["ds"], found["cutoff"]) == (201, ds, cutoff)


def test_a_whole_number_as_an_id_is_its_decimal_text(api: httpx2.Client) -> None:
    [found] = outcomes(post(api, stream(pa.table({"unique_id": [1013500], "y": [1.0]})), ARROW, "?create=true"))
    assert found["unique_id"] == "1013500"


@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        ({"y": [float("nan")]}, "y: must be finite"),
        ({"y": ["1"]}, "y: must be a number"),
        ({"y": [True]}, "y: must be a number"),
        ({}, "y: required"),
        ({"y": [1.0], "unique_id": ["a b"]}, "unique_id: must be 1 to 128 of"),
        ({"y": [1.0], "unique_id": pa.array([None], pa.string())}, "unique_id: required"),
        ({"y": [1.0], "unique_id": [1.5]}, "unique_id: must be text or a whole number"),
        ({"y": [1.0], "ds": [0]}, "ds: must be 1 or more"),
        ({"y": [1.0], "ds": [0.5]}, "ds: must be a timestamp, a date, text, or a step"),
        ({"y": [1.0], "ds": pa.array([1], pa.timestamp("ns"))}, "ds: finer than a microsecond"),
        ({"y": [1.0], "ds": pa.array([2**31 - 1], pa.date32())}, "ds: must lie in the years 1 to 9999"),
        ({"y": [1.0], "promo": [1]}, "promo: the model tiny@2 takes no covariates"),
        ({"y": [1.0], "promo": ["x"]}, "promo: unknown column"),
        ({"y": [1.0], "if_match": [1]}, "if_match: must be text"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_by_its_name(
    api: httpx2.Client, name: str, columns: dict[str, Any], detail: str
) -> None:
    [found] = outcomes(post(api, stream(pa.table({"unique_id": [name], **columns})), ARROW, "?create=true"))
    assert (found["status"], found["problem"]) == (422, "invalid-request")
    assert found["detail"].startswith(detail)


def test_a_stream_that_is_cut_ends_with_an_outcome_of_no_row(api: httpx2.Client, name: str) -> None:
    whole = arrow(rows_of(name))
    found = outcomes(post(api, whole + whole[:200], ARROW, "?create=true", Accept=LINES))
    assert [one["row"] for one in found] == [0, 1, 2, None]
    assert (found[3]["status"], found[3]["problem"]) == (400, "malformed-request")


def test_a_buffer_that_claims_to_be_huge_is_refused_before_it_is_made(api: httpx2.Client, name: str) -> None:
    table = pa.table({"unique_id": [name] * 1_200_000, "y": [0.0] * 1_200_000})
    small = stream(table, compression="zstd")
    assert len(small) < 2**23
    [found] = outcomes(post(api, small, ARROW, "?create=true"))
    assert (found["row"], found["status"], found["problem"]) == (None, 413, "too-large")


def test_a_type_that_the_library_lacks_is_not_called_damage(api: httpx2.Client, name: str) -> None:
    body = stream(pa.table({"unique_id": [name], "y": pa.array([1], pa.int16())}))
    signed_of_16, signed_of_24 = (b"\0\0\0\1" + bits.to_bytes(4, "little") for bits in (16, 24))
    assert body.count(signed_of_16) == 1, "the type of y in the schema"
    [found] = outcomes(post(api, body.replace(signed_of_16, signed_of_24), ARROW, "?create=true"))
    assert (found["row"], found["status"], found["problem"]) == (None, 400, "malformed-request")
    assert "write plain columns" in found["detail"]


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_stream_is_told_apart_from_a_whole_one(api: httpx2.Client, name: str, seed: int) -> None:
    body = bytearray(arrow(rows_of(name), compression=random.Random(seed).choice([None, "lz4"])))
    for at in random.Random(seed).sample(range(8, len(body)), 12):
        body[at] ^= 0xFF
    found = outcomes(post(api, bytes(body), ARROW, Accept=LINES))
    assert all(one["status"] in (400, 404, 413, 422) for one in found)
