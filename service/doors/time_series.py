"""The shape of KServe's time-series forecasts: requests, answers, and how quantiles are named in them."""

from collections.abc import Sequence
from decimal import Decimal
from math import nan
from typing import Any

import numpy as np

from service.doors.stateless import Fan, Series
from service.wire import render
from service.wire.door_schemas import Input, Options
from service.wire.problems import Fault, InvalidRequest, ServiceError, pointer


def read(sent: Input, index: int) -> Series:
    """A history, the one of that number."""
    values = np.array([nan if value is None else value for value in sent.series])
    where = ("inputs", index)
    times = [] if sent.start_timestamp is None else [sent.start_timestamp]
    places = [(*where, "start_timestamp")] * len(times)
    return Series(values, sent.frequency, times, (*where, "series"), (*where, "frequency"), places)


def levels_of(quantiles: Sequence[float] | None) -> list[int]:
    """The levels that have these quantiles. Raises InvalidRequest: one is no bound of a whole level."""
    tails = [abs(1 - 2 * Decimal(str(quantile))) * 100 for quantile in quantiles or ()]
    wrong = [index for index, tail in enumerate(tails) if tail != int(tail)]
    if wrong:
        raise InvalidRequest(
            [Fault("must bound an interval of whole percent, such as 0.1", pointer("options", "quantiles", wrong[0]))]
        )
    return sorted({int(tail) for tail in tails} - {0})


def output(
    sent: Input, found: Fan | ServiceError, options: Options, levels: Sequence[int], made: str
) -> render.Json:
    """An Output; `made` is its id."""
    told: dict[str, Any] = {"type": "time_series_forecast", "id": f"ts_{made}"}
    if isinstance(found, ServiceError):
        return {**told, "status": "error", "content": [], "error": found.error_object()}
    content = [_forecast(sent, found, levels, options.quantiles)]
    return {**told, "status": "completed", "content": content, "error": None}


def _forecast(sent: Input, fan: Fan, levels: Sequence[int], quantiles: Sequence[float] | None) -> render.Json:
    columns = dict(zip(render.quantile_keys(tuple(levels)), fan.quantiles.T.tolist(), strict=True))
    wanted = [f"{Decimal(str(quantile)).normalize():f}" for quantile in quantiles or ()]
    return {
        "type": sent.type,
        "name": sent.name,
        "mean_forecast": columns["0.5"],
        "frequency": sent.frequency,
        "start_timestamp": "" if fan.times is None else fan.times[0],
        "quantiles": {key: columns[key] for key in wanted} if wanted else None,
    }


def usage(sent: int, forecast: int) -> dict[str, Any]:
    """A Usage, of so many values."""
    return {
        "prompt_tokens": sent,
        "completion_tokens": forecast,
        "total_tokens": sent + forecast,
        "observations_sent": sent,
        "observations_needed": 1,
    }
