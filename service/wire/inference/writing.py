"""Answers of the Open Inference Protocol: JSON, and the tensors in it or behind it."""

import gzip
import zlib
from math import isnan
from typing import NamedTuple

import numpy as np
import orjson

from service.storage.answers import Answer, Label
from service.storage.layout import QUANTILES
from service.wire import render
from service.wire.headers import accepted_coding
from service.wire.inference.reading import HEADER_LENGTH, Inference

FASTEST = 1
"""Of zlib's levels: answers are short."""


class Written(NamedTuple):
    """The body of an answer, and the headers that say how to read it."""

    body: bytes
    headers: dict[str, str]


def answer(asked: Inference, label: Label, told: Answer, accept_encoding: str | None) -> Written:
    """The forecast after the last observation, in the form that was asked for. NaN or null: no value is known yet."""
    name, _, version = label.model.partition("@")
    standing: dict[str, object] = {"sequence_id": label.session, "step": told.step}
    if (timestamp := render.written(label.grid, told.forecast_time)) is not None:
        standing["timestamp"] = timestamp
    outputs, behind = [], b""
    for output, binary in asked.outputs:
        described, raw = _output(output, told.forecast, binary=binary)
        outputs.append(described)
        behind += raw
    body = {"model_name": name, "model_version": version, **({"id": asked.id} if asked.id else {})}
    head = orjson.dumps({**body, "parameters": standing, "outputs": outputs})
    headers = {"Content-Type": "application/json"}
    if any(binary for _, binary in asked.outputs):
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return _coded(head + behind, headers, accept_encoding)


def _output(name: str, quantiles: tuple[float, ...], *, binary: bool) -> tuple[dict[str, object], bytes]:
    values = quantiles if name == "quantiles" else (quantiles[len(QUANTILES) // 2],)
    described: dict[str, object] = {"name": name, "shape": [1, len(values)], "datatype": "FP64"}
    if binary:
        raw = np.array(values, "<f8").tobytes()
        return {**described, "parameters": {"binary_data_size": len(raw)}}, raw
    return {**described, "data": [None if isnan(value) else value for value in values]}, b""


def _coded(body: bytes, headers: dict[str, str], accept_encoding: str | None) -> Written:
    """Compressed as the client prefers; the length of the JSON is that before compression."""
    coding = accepted_coding(accept_encoding, ("gzip", "deflate"))
    headers["Vary"] = "Accept-Encoding"
    if coding is None:
        return Written(body, headers)
    headers["Content-Encoding"] = coding
    if coding == "gzip":
        return Written(gzip.compress(body, FASTEST, mtime=0), headers)
    return Written(zlib.compress(body, FASTEST), headers)

