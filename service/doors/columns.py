"""The shape of TimeGPT's forecasts: columns of all series one after another, or records of unique_id, ds and y."""

from collections.abc import Sequence
from itertools import pairwise
from math import nan

import numpy as np

from service.doors.stateless import Fan, Series
from service.doors.time_series import usage
from service.sessions.registry import LoadedModel
from service.wire import forecast_tables, render
from service.wire.door_schemas import Columns, ColumnsRequest, Row
from service.wire.problems import Fault, InvalidRequest, pointer

ELSEWHERE = {
    "finetune_steps": "must be 0: hiddenstate train --from MODEL trains a model further, which model then names",
    "finetuned_model_id": "must be left out: model names a model that was trained further",
    "feature_contributions": "must be false: no model here takes covariates in this call",
    "multivariate": "must be false: each series is forecast by itself",
}
"""What that API can do, and this call cannot: a request that asks for it would be answered with something else."""
WARM_UPS = 10
"""Of them, that many values are worth sending: older ones hardly make the forecasts better any more."""


def read(asked: ColumnsRequest) -> tuple[list[str], list[Series]]:
    """The histories and their names. Raises InvalidRequest."""
    if (asked.series is None) == (asked.df is None):
        raise InvalidRequest([Fault("give series or df", pointer("series"))])
    if wanted := [name for name in ELSEWHERE if getattr(asked, name)]:
        raise InvalidRequest([Fault(ELSEWHERE[name], pointer(name)) for name in wanted])
    if asked.series is not None:
        return _of_columns(asked.series, asked.freq)
    return _of_records(asked.df or [], asked.freq)


def levels_of(level: Sequence[float] | None) -> list[int]:
    """Raises InvalidRequest: one is no whole percent."""
    for index, percent in enumerate(level or ()):
        if percent != int(percent):
            raise InvalidRequest([Fault("must be whole percent, such as 80", pointer("level", index))])
    return sorted({int(percent) for percent in level or ()} - {0})


def reach(loaded: LoadedModel) -> render.Json:
    """What a model makes of a history: how much of one it needs, how far ahead it looks."""
    return {"detail": {"input_size": WARM_UPS * loaded.spec.warm_up, "horizon": loaded.spec.horizon}}


def _of_columns(sent: Columns, freq: str) -> tuple[list[str], list[Series]]:
    if sum(sent.sizes) != len(sent.y):
        raise InvalidRequest([Fault("must add up to the length of y", pointer("series", "sizes"))])
    for name, column in (
        *(("X", sent.X), ("X_future", sent.X_future)),
        ("categorical_exog", sent.categorical_exog),
    ):
        if column:
            raise InvalidRequest([Fault("no model here takes covariates in this call", pointer("series", name))])
    if sent.start_datetime is not None and len(sent.start_datetime) != len(sent.sizes):
        raise InvalidRequest([Fault("must have one for each series", pointer("series", "start_datetime"))])
    values = np.array([nan if value is None else value for value in sent.y])
    cuts = np.cumsum([0, *sent.sizes]).tolist()
    starts: Sequence[str | None] = sent.start_datetime or [None] * len(sent.sizes)
    histories = [
        Series(
            values[begin:end],
            freq,
            [] if start is None else [start],
            ("series", "sizes", index),
            ("freq",),
            [] if start is None else [("series", "start_datetime", index)],
        )
        for index, ((begin, end), start) in enumerate(zip(pairwise(cuts), starts, strict=True))
    ]
    return [str(index) for index in range(len(histories))], histories


def _of_records(sent: Sequence[Row], freq: str) -> tuple[list[str], list[Series]]:
    """Rows of one series after another or mixed; those of each stand oldest first, without a gap."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(sent):
        found.setdefault(str(row.unique_id), []).append(index)
    if not found:
        raise InvalidRequest([Fault("must hold at least one row", pointer("df"))])
    values = np.array([nan if row.y is None else row.y for row in sent])
    histories = [
        Series(
            values[rows],
            freq,
            [sent[row].ds for row in rows],
            ("df", rows[0]),
            ("freq",),
            [("df", row, "ds") for row in rows],
        )
        for rows in found.values()
    ]
    return list(found), histories


def answer(
    asked: ColumnsRequest, names: Sequence[str], fans: Sequence[Fan], levels: Sequence[int], sent: int
) -> render.Json:
    """Their answer: the medians and bounds of all series one after another; for records, also as rows of a table."""
    told = np.concatenate([fan.quantiles for fan in fans])
    names_of = forecast_tables.columns(levels)
    columns = dict(zip(names_of, told[:, forecast_tables.order(levels)].T.tolist(), strict=True))
    intervals = {name.removeprefix("yhat-"): column for name, column in columns.items() if name != "yhat"}
    used = usage(sent, len(told))
    return {
        "mean": columns["yhat"],
        "intervals": intervals or None,
        "forecast": None if asked.df is None else _rows(names, fans, columns),
        "weights_x": None,
        "feature_contributions": None,
        "model": fans[0].model,
        "input_tokens": used["prompt_tokens"],
        "output_tokens": used["completion_tokens"],
        "finetune_tokens": 0,
        "usage": used,
    }


def _rows(names: Sequence[str], fans: Sequence[Fan], columns: dict[str, list[float]]) -> list[render.Json]:
    """The rows of the table that files of forecasts have."""
    labels = [
        (name, time, fan.cutoff) for name, fan in zip(names, fans, strict=True) for time in fan.times or ()
    ]
    return [
        {"unique_id": name, "ds": time, "cutoff": cutoff, **{column: told[at] for column, told in columns.items()}}
        for at, (name, time, cutoff) in enumerate(labels)
    ]
