"""The one serialiser: numbers of a session -> JSON bytes of the wire, every documented key in its documented order.

A replay is the stored numbers of an answer written once more by this module, so what it writes for the same numbers
must never change. Forecasts come here already cut to the session's minimum and maximum.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import isnan

import numpy as np
import orjson
from numpy.typing import NDArray

from models.dates.grid import Grid
from service.storage.answers import HAS_ORIGINAL, HAS_REVISED, IMPUTED, Answer, Label, Observed
from service.storage.layout import NO_TIME, Structured, is_full

Json = dict[str, object]


@lru_cache(maxsize=4096)
def quantile_keys(levels: tuple[int, ...]) -> tuple[str, ...]:
    """Levels in percent -> the exact decimals of their quantiles and the median, ascending: (80,) -> 0.1, 0.5, 0.9."""
    tails = [Decimal(100 - level) / 200 for level in levels]
    quantiles = sorted({Decimal("0.5"), *tails, *(1 - tail for tail in tails)})
    return tuple(f"{quantile.normalize():f}" for quantile in quantiles)


def etag(incarnation: bytes, revision: int) -> str:
    """The ETag of a session, unquoted."""
    return f"{incarnation.hex()}-{revision}"


@lru_cache(maxsize=2**16)  # many sessions stand at the same few times
def written(grid: Grid | None, instant: int) -> str | None:
    """A timestamp of a session in its one written form; null where steps are counted."""
    return None if grid is None or instant == NO_TIME else grid.format(instant)


def moment(ms: int) -> str:
    """A time of the service's own (milliseconds since 1970): RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def forecast(step: int, timestamp: str | None, quantiles: Sequence[float], keys: Sequence[str]) -> Json:
    """A Forecast for one step; `quantiles` are in the order of `keys`, the median in the middle."""
    return {
        "step": step,
        "timestamp": timestamp,
        "value": quantiles[len(keys) // 2],
        "quantiles": dict(zip(keys, quantiles, strict=True)),
    }


def _stored_forecast(step: int, timestamp: str | None, quantiles: Sequence[float]) -> Json | None:
    """A Forecast from the quantiles that are stored of it; None where there was none."""
    low_95, low_80, median, high_80, high_95 = quantiles
    if isnan(median):
        return None
    return {
        "step": step,
        "timestamp": timestamp,
        "value": median,
        # Spelled out, because every answer to a write holds two of these.
        "quantiles": {"0.025": low_95, "0.1": low_80, "0.5": median, "0.9": high_80, "0.975": high_95},
    }


def record(label: Label, observed: Observed) -> Json:
    """A Record: one retained observation with the forecast that had been issued for it."""
    step, value, flags = observed.step, observed.value, observed.flags
    timestamp = written(label.grid, observed.timestamp)
    told: Json = {
        "step": step,
        "timestamp": timestamp,
        "value": None if isnan(value) else value,
        # NaN is written as null; after these stand the numbers that were known in advance
        "covariates": dict(zip(label.covariates, observed.covariates, strict=False)) if label.covariates else {},
        "imputed": flags & IMPUTED != 0,
        "forecast": _stored_forecast(step, timestamp, observed.issued),
        "covered": _covered(value, observed.issued),
        "original": observed.original if flags & HAS_ORIGINAL else None,
        "revised": _stored_forecast(step, timestamp, observed.revised) if flags & HAS_REVISED else None,
    }
    if label.known:  # else not there at all: records of other models are written as they always were
        told["future"] = _future(label, observed)
    return told


def _future(label: Label, observed: Observed) -> list[dict[str, float | None]]:
    """What was known in advance at an observation, as far as anything was."""
    names, count = label.covariates[-label.known :], label.known
    ahead = observed.covariates[len(label.covariates) :]
    rows = [ahead[at : at + count] for at in range(0, len(ahead), count)]
    while rows and all(map(isnan, rows[-1])):
        rows.pop()
    return [{name: None if isnan(x) else x for name, x in zip(names, row, strict=True)} for row in rows]


def _covered(value: float, issued: Sequence[float]) -> dict[str, bool] | None:
    low_95, low_80, median, high_80, high_95 = issued
    if isnan(value) or isnan(median):
        return None
    return {"80": low_80 <= value <= high_80, "95": low_95 <= value <= high_95}


def advance(label: Label, answer: Answer) -> bytes:
    """An Advance: the answer to every write."""
    return orjson.dumps(
        {
            "session": label.session,
            "model": label.model,
            "step": answer.step,
            "etag": etag(answer.incarnation, answer.revision),
            "warmed_up": answer.warmed_up,
            "applied": answer.applied,
            "replayed": answer.replayed,
            "corrected": answer.corrected,
            "imputed": answer.imputed,
            "observed": record(label, answer.observed),
            "forecast": _stored_forecast(answer.step + 1, written(label.grid, answer.forecast_time), answer.forecast),
        }
    )


def observations(label: Label, records: Sequence[Observed], next_page_token: str) -> bytes:
    """A page of a session's history."""
    return orjson.dumps(
        {
            "session": label.session,
            "observations": [record(label, observed) for observed in records],
            "next_page_token": next_page_token,
        }
    )


def forecasts(
    label: Label,
    head: Structured,
    fan: Sequence[Sequence[float]],
    levels: Sequence[int],
    *,
    warmed_up: bool,
    direct: int,
) -> bytes:
    """The answer to a forecast that commits nothing.

    Args:
        head: the session's HEAD.
        fan: (steps ahead, quantiles) as `quantile_keys(levels)` orders them.
        levels: percents.
        direct: steps ahead that the model forecasts directly.
    """
    grid, step, last = label.grid, int(head["step"]), int(head["last"])
    keys = quantile_keys(tuple(levels))
    rows = [
        forecast(step + ahead, None if grid is None else grid.format(grid.advance(last, ahead)), quantiles, keys)
        for ahead, quantiles in enumerate(fan, 1)
    ]
    return orjson.dumps(
        {
            "session": label.session,
            "model": label.model,
            "step": step,
            "etag": head_etag(head),
            "warmed_up": warmed_up,
            "direct_horizon": direct,
            "forecasts": rows,
        }
    )


def head_etag(head: Structured) -> str:
    """The ETag of the session whose HEAD this is, unquoted."""
    return etag(head["incarnation"].tobytes(), int(head["revision"]))


def scores(sums: NDArray[np.float64]) -> Json:
    """Scores from the running sums in a state.

    Args:
        sums: (6,) steps, |error|, |naive error|, pinball loss, covered at 80, covered at 95.

    A ratio whose denominator is zero is null.
    """
    steps, error, _, pinball, covered_80, covered_95 = sums.tolist()
    return {
        "steps": round(steps),
        "mae": _per(error, steps),
        "mase": mase(sums),
        "pinball": _per(pinball, steps),
        "coverage": {"80": _per(covered_80, steps), "95": _per(covered_95, steps)},
    }


def mase(sums: NDArray[np.float64]) -> float | None:
    """The MASE of Scores, from the same sums."""
    return _per(float(sums[1]), float(sums[2]))


def _per(total: float, count: float) -> float | None:
    return total / count if count > 0 else None


def session(
    label: Label,
    head: Structured,
    *,
    retained_from: int | None,
    warmed_up: bool | None,
    scores_all: NDArray[np.float64] | None,
    scores_recent: NDArray[np.float64] | None,
    drifting_since: int | None,
    static: Mapping[str, float | None],
    warnings: Sequence[Mapping[str, str]],
) -> Json:
    """A Session, as JSON values.

    Args:
        head: the session's HEAD.
        retained_from: the oldest step that can be corrected; None where none can.
        warmed_up, scores_all, scores_recent: None where the model that could tell is not here.
        drifting_since: the step at which drift was detected; None where there is none, or nobody can tell.
    """
    grid, last, step, ttl_ms = label.grid, int(head["last"]), int(head["step"]), int(head["ttl_ms"])
    follows = None if grid is None or last == NO_TIME else grid.format(grid.next(last))
    return {
        "session": label.session,
        "model": label.model,
        "fingerprint": f"sha256:{head['fingerprint'].tobytes().hex()}",
        "freq": grid.freq if grid is not None else None,
        "timezone": head["timezone"].item().decode(),
        "static": dict(static),
        "gaps": "reject" if head["gaps"] else "impute",
        "max_gap": int(head["max_gap"]),
        "history": "full" if is_full(head) else int(head["history"]),
        "minimum": _bound(head["minimum"]),
        "maximum": _bound(head["maximum"]),
        "ttl_s": seconds(ttl_ms) if ttl_ms else None,
        "require_if_match": bool(head["require_if_match"]),
        "step": step,
        "etag": head_etag(head),
        "last": written(grid, last),
        "next": follows,
        "retained_from": None if retained_from is None else key(label, head, retained_from),
        "warmed_up": warmed_up,
        "scores": {
            "all": None if scores_all is None else scores(scores_all),
            "recent": None if scores_recent is None else scores(scores_recent),
        },
        "drift": {
            "detected": drifting_since is not None,
            "since": None if drifting_since is None else key(label, head, drifting_since),
        },
        "warnings": list(warnings),
        "created_at": moment(int(head["created_ms"])),
        "updated_at": moment(int(head["updated_ms"])),
        "expires_at": moment(int(head["expires_ms"])) if head["expires_ms"] else None,
    }


def key(label: Label, head: Structured, step: int) -> str:
    """How an observation of a session is named in a path: by its timestamp, or by its step where steps are counted."""
    if label.grid is None:
        return str(step)
    return label.grid.format(label.grid.advance(int(head["last"]), step - int(head["step"])))


def seconds(ms: int) -> float:
    """Milliseconds as seconds, a whole number where they are."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _bound(number: Structured) -> float | None:
    return None if isnan(number) else float(number)
