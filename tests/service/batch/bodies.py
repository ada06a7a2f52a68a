"""Batches as a client sends and reads them, in each media type."""

import io
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.ipc

from tests.service.calls import Json

JSON, LINES, ARROW = "application/json", "application/jsonl", "application/vnd.apache.arrow.stream"


def lines(rows: Sequence[Json]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def arrow(rows: Sequence[Json], schema: Any = None, **options: Any) -> bytes:  # noqa: ANN401 - pyarrow's own
    """Table rows as a stream of one record batch."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if schema is None:
        types: dict[str, Any] = {"y": pa.float64()}
        schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema)
    return stream(table, **options)


def stream(table: Any, **options: Any) -> bytes:  # noqa: ANN401 - a pyarrow.Table
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def post(api: httpx2.Client, body: bytes, media: str, query: str = "", **headers: str) -> httpx2.Response:
    return api.post(f"/v1/observations:batch{query}", content=body, headers={"Content-Type": media, **headers})


def outcomes(answer: httpx2.Response) -> list[Json]:
    """The outcomes of an answer in any of the media types."""
    assert answer.status_code == 200, answer.text
    media = answer.headers["content-type"]
    if media == JSON:
        found: list[Json] = answer.json()["outcomes"]
        return found
    if media == ARROW:
        rows: list[Json] = pa.ipc.open_stream(answer.content).read_all().to_pylist()
        return rows
    return [json.loads(line) for line in answer.text.splitlines()]
