"""Advances of many sessions as JSON, by column: the bytes of `render.advance`, for what was folded just now."""

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from service.storage.answers import WARMED_UP, Label
from service.storage.layout import QUANTILES, Structured
from service.wire import render

ADVANCE = (
    b'{"session":"%b","model":%b,"step":%d,"etag":"%b-%d","warmed_up":%b,'
    b'"applied":%d,"replayed":%d,"corrected":%d,"imputed":%d,'
    b'"observed":{"step":%d,"timestamp":%b,"value":%b,"covariates":{},"imputed":false,'
    b'"forecast":%b,"covered":%b,"original":null,"revised":null},"forecast":%b}'
)
FORECAST = (
    b'{"step":%d,"timestamp":%b,"value":%b,"quantiles":{"0.025":%b,"0.1":%b,"0.5":%b,"0.9":%b,"0.975":%b}}'
)
FLAGS = (b"false", b"true")
COVERED = tuple(b'{"80":%b,"95":%b}' % (at_80, at_95) for at_80 in FLAGS for at_95 in FLAGS)


def advances(labels: Sequence[Label], outcomes: Structured) -> list[bytes]:
    """An Advance of each (N,) outcome.

    Args:
        labels: (N,) of the sessions, which take no covariates.
        outcomes: of observations that were sent and folded; none was corrected.
    """
    observed = outcomes["observed"]
    models = {label.model: orjson.dumps(label.model) for label in labels}
    lives = outcomes["incarnation"].tobytes().hex().encode()
    steps: list[int] = outcomes["step"].tolist()
    times = _written(labels, observed["timestamp"])
    issued = _forecasts(steps, times, observed["issued"])
    following = _forecasts(
        [step + 1 for step in steps], _written(labels, outcomes["forecast_time"]), outcomes["forecast"]
    )
    rows = zip(
        [label.session.encode() for label in labels],
        [models[label.model] for label in labels],
        steps,
        [lives[at : at + 16] for at in range(0, len(lives), 16)],
        outcomes["revision"].tolist(),
        [FLAGS[flag] for flag in (outcomes["flags"] & WARMED_UP != 0).tolist()],
        *(outcomes[name].tolist() for name in ("applied", "replayed", "corrected", "imputed")),
        observed["step"].tolist(),
        times,
        _numbers(observed["value"]),
        issued,
        _covered(observed["value"], observed["issued"]),
        following,
        strict=True,
    )
    return [ADVANCE % row for row in rows]


def _forecasts(steps: Sequence[int], times: Sequence[bytes], quantiles: NDArray[np.float64]) -> list[bytes]:
    """(N,) Forecasts for these steps and times; null where there was none."""
    texts = _numbers(quantiles.ravel())
    columns = [texts[number :: len(QUANTILES)] for number in range(len(QUANTILES))]
    return [
        b"null" if numbers[2] == b"null" else FORECAST % numbers
        for numbers in zip(steps, times, columns[2], *columns, strict=True)
    ]


def _covered(values: NDArray[np.float64], issued: NDArray[np.float64]) -> list[bytes]:
    """(N,) whether each value lay in its intervals; null where that cannot be said."""
    inside = [(issued[:, low] <= values) & (values <= issued[:, -1 - low]) for low in (1, 0)]
    known = ~(np.isnan(values) | np.isnan(issued[:, 2]))
    found = np.where(known, 2 * inside[0] + inside[1], len(COVERED))
    texts = (*COVERED, b"null")
    return [texts[number] for number in found.tolist()]


def _written(labels: Sequence[Label], instants: NDArray[np.int64]) -> list[bytes]:
    """(N,) timestamps; null where steps are counted."""
    written = (render.written(label.grid, instant) for label, instant in zip(labels, instants.tolist(), strict=True))
    return [b"null" if text is None else b'"%b"' % text.encode() for text in written]


def _numbers(numbers: NDArray[np.float64]) -> list[bytes]:
    """(N,) as they are written; null for NaN."""
    if not len(numbers):
        return []
    return orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
