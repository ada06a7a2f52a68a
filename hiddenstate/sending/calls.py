"""Every call of the API, as what is asked and how its answer is read."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hiddenstate.answers.answer import NotAnAnswer
from hiddenstate.answers.batches import BatchForecasts, BatchOutcome
from hiddenstate.answers.forecasts import Forecasts
from hiddenstate.answers.observations import Advance, RecordPage
from hiddenstate.answers.service import Model, Models, Status
from hiddenstate.answers.sessions import Session, SessionPage, Verification
from hiddenstate.answers.states import Purged, State
from hiddenstate.sending.exchange import Ask, Call, asked, new_key
from hiddenstate.sending.ids import quoted
from hiddenstate.sending.shapes import BatchObservation, Observation, OnConflict, Settings

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/jsonl"


def put_session(
    session: str, observations: Sequence[Observation] | None, settings: Settings
) -> Call[Session]:
    body: dict[str, Any] = dict(settings)
    if observations is not None:
        body["observations"] = list(observations)
    return Call(asked("PUT", _path(session), body=body), Session.of)


def session(name: str) -> Call[Session]:
    return Call(asked("GET", _path(name)), Session.of)


def sessions_page(prefix: str, model: str, page_size: int, page_token: str, order_by: str) -> Call[SessionPage]:
    query = {"page_size": str(page_size), "prefix": prefix, "model": model, "page_token": page_token}
    given = {name: value for name, value in {**query, "order_by": order_by}.items() if value}
    return Call(asked("GET", "/v1/sessions", query=given), SessionPage.of)


def patch_session(name: str, settings: Settings, validate_only: bool) -> Call[Session]:
    query = {"validate_only": "true"} if validate_only else {}
    return Call(asked("PATCH", _path(name), query=query, body=dict(settings), key=new_key()), Session.of)


def delete(name: str) -> Call[None]:
    return Call(asked("DELETE", _path(name)), lambda _: None)


def reset(name: str) -> Call[Session]:
    return Call(asked("POST", f"{_path(name)}:reset", key=new_key()), Session.of)


def rewind(name: str, last: str | int | dt.date, key: str | None) -> Call[Advance]:
    body = {"step": last} if isinstance(last, int) else {"timestamp": last}
    return Call(asked("POST", f"{_path(name)}:rewind", body=body, key=key or new_key()), Advance.of)


def verify(name: str) -> Call[Verification]:
    return Call(asked("POST", f"{_path(name)}:verify"), Verification.of)


def observation(
    value: float | None,
    timestamp: str | dt.date | None,
    step: int | None,
    covariates: Mapping[str, float | None] | None,
    future: Sequence[Mapping[str, float | None]] | None,
) -> Observation:
    """What is known of one, without what is not."""
    made: Observation = {"value": value}
    if timestamp is not None:
        made["timestamp"] = timestamp
    if step is not None:
        made["step"] = step
    if covariates is not None:
        made["covariates"] = dict(covariates)
    if future is not None:
        made["future"] = [dict(ahead) for ahead in future]
    return made


def observe(
    name: str,
    observations: Observation | Sequence[Observation],
    creating: Mapping[str, str],
    on_conflict: OnConflict,
    key: str | None,
) -> Call[Advance]:
    query = {**creating, **_on_conflict(on_conflict)}
    ask = asked("POST", f"{_path(name)}/observations", query=query, body=observations, key=key or new_key())
    return Call(ask, Advance.of)


def correct(name: str, key: str | int | dt.date, value: float | None, idempotency_key: str | None) -> Call[Advance]:
    written = key.isoformat() if isinstance(key, dt.date) else str(key)
    path = f"{_path(name)}/observations/{quote(written, safe='')}"
    return Call(asked("PATCH", path, body={"value": value}, key=idempotency_key or new_key()), Advance.of)


def records_page(name: str, newest_first: bool, page_token: str) -> Call[RecordPage]:
    query = {"order_by": "step desc" if newest_first else "step"}
    if page_token:
        query["page_token"] = page_token
    return Call(asked("GET", f"{_path(name)}/observations", query=query), RecordPage.of)


def forecast(name: str, horizon: int, levels: Sequence[int]) -> Call[Forecasts]:
    query = {"horizon": str(horizon), "levels": ",".join(map(str, _percents(levels)))}
    return Call(asked("GET", f"{_path(name)}/forecast", query=query), Forecasts.of)


def what_if(
    name: str, future: Sequence[Mapping[str, float | None]], horizon: int | None, levels: Sequence[int]
) -> Call[Forecasts]:
    steps = {} if horizon is None else {"horizon": horizon}
    body = {**steps, "levels": _percents(levels), "future": [dict(ahead) for ahead in future]}
    return Call(asked("POST", f"{_path(name)}:forecast", body=body), Forecasts.of)


def state(name: str) -> Call[State]:
    return Call(asked("GET", f"{_path(name)}/state"), State.of)


def put_state(name: str, state: State | Mapping[str, Any], if_match: str | None) -> Call[Session]:
    """Needs no idempotency key: the same state again changes nothing."""
    document = state.members if isinstance(state, State) else state
    ask = asked("PUT", f"{_path(name)}/state", body=document)
    headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
    return Call(replace(ask, headers={**ask.headers, **headers}), Session.of)


def purge(prefix: str, force: bool) -> Call[Purged]:
    return Call(asked("POST", "/v1/sessions:purge", body={"prefix": prefix, "force": force}), Purged.of)


def observe_batch(
    rows: Sequence[BatchObservation], creating: Mapping[str, str], on_conflict: OnConflict
) -> Call[list[BatchOutcome]]:
    """Each row has its own idempotency key."""
    query = {**creating, **_on_conflict(on_conflict)}
    ask = asked("POST", "/v1/observations:batch", query=query, body={"observations": list(rows)})
    return Call(ask, _outcomes)


def streamed(creating: Mapping[str, str], on_conflict: OnConflict) -> dict[str, str]:
    """The query of a stream."""
    return {**creating, **_on_conflict(on_conflict)}


def observe_table(rows: bytes, on_conflict: OnConflict, content_type: str) -> Ask:
    headers = {"Content-Type": content_type, "Accept": ARROW, "Prefer": "return=minimal"}
    return Ask("POST", "/v1/observations:batch", _on_conflict(on_conflict), rows, headers, attempts=1)


def forecast_batch(
    sessions: Sequence[str] | None, prefix: str | None, horizon: int, levels: Sequence[int]
) -> Call[BatchForecasts]:
    ask = asked("POST", "/v1/forecasts:batch", body=_wanted(sessions, prefix, horizon, levels))
    return Call(ask, BatchForecasts.of)


def forecast_table(sessions: Sequence[str] | None, prefix: str | None, horizon: int, levels: Sequence[int]) -> Ask:
    body = _wanted(sessions, prefix, horizon, levels)
    return replace(asked("POST", "/v1/forecasts:batch", body=body, accept=ARROW), stream=True)


def models() -> Call[Models]:
    return Call(asked("GET", "/v1/models"), Models.of)


def model(name: str) -> Call[Model]:
    return Call(asked("GET", f"/v1/models/{quote(name, safe='@')}"), Model.of)


def status() -> Call[Status]:
    return Call(asked("GET", "/v1/status"), Status.of)


def creating(create: bool, freq: str | None, model: str | None) -> dict[str, str]:
    """The part of a query that starts a session which is not there.

    Raises:
        ValueError: settings for a session that is not to be created.
    """
    given = {name: value for name, value in (("freq", freq), ("model", model)) if value is not None}
    if given and not create:
        raise ValueError(f"{' and '.join(given)} is for new sessions: say create=True, or patch_session")
    return {"create": "true", **given} if create else {}


def _on_conflict(choice: OnConflict) -> dict[str, str]:
    return {} if choice == "reject" else {"on_conflict": choice}


def _percents(levels: Sequence[int]) -> list[int]:
    if isinstance(levels, str) or not isinstance(levels, Iterable):
        raise TypeError(f"levels are a list of whole percents, such as [80, 95], and not {levels!r}")
    return list(levels)


def _wanted(
    sessions: Sequence[str] | None, prefix: str | None, horizon: int, levels: Sequence[int]
) -> dict[str, Any]:
    of: dict[str, Any] = {"prefix": prefix or ""} if sessions is None else {"sessions": list(sessions)}
    return {**of, "horizon": horizon, "levels": _percents(levels)}


def _outcomes(members: Any) -> list[BatchOutcome]:  # noqa: ANN401 - a JSON document
    try:
        return [BatchOutcome.of(outcome) for outcome in members["outcomes"]]
    except (KeyError, TypeError) as error:
        raise NotAnAnswer("no outcomes") from error


def _path(name: str) -> str:
    return f"/v1/sessions/{quoted(name)}"
