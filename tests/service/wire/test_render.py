import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.dates.grid import Grid, grid
from service.storage.answers import Label, read_answers, read_observed
from service.storage.layout import (
    HEAD,
    NO_TIME,
    AnswerKind,
    OutcomeFlag,
    SlotFlag,
    Structured,
    outcome_dtype,
    slot_dtype,
)
from service.wire import render, schemas

Json = dict[str, object]
INCARNATION = bytes.fromhex("6f1c0a0000000000")
FORECAST_813 = (108.9, 113.4, 122.3, 131.0, 136.2)
FORECAST_812 = (105.0, 110.0, 120.0, 130.0, 135.0)
DAILY = grid("D", "UTC", grid("D").parse("2024-09-01"))
LABEL = Label("store-42", "daily@1", DAILY)


def fill_slot(slot: Structured, **fields: object) -> None:
    slot["step"], slot["timestamp"], slot["value"] = 812, DAILY.parse("2026-11-21"), 121.5
    slot["original"] = math.nan
    slot["issued"], slot["revised"] = FORECAST_812, math.nan
    slot["applied"] = 1
    for name, value in fields.items():
        slot[name] = value


def a_slot(**fields: object) -> Structured:
    """(1,) the observation of the contract's example, otherwise as given."""
    slots = np.zeros(1, slot_dtype(0))
    fill_slot(slots[0], **fields)
    return slots


def an_outcome(**fields: object) -> Structured:
    """(1,) the answer of the contract's example, otherwise as given."""
    outcomes = np.zeros(1, outcome_dtype(0))
    outcome = outcomes[0]
    fill_slot(outcome["observed"])
    outcome["status"], outcome["kind"], outcome["flags"] = 200, AnswerKind.ADVANCE, OutcomeFlag.WARMED_UP
    outcome["incarnation"] = np.frombuffer(INCARNATION, np.uint8)
    outcome["revision"] = outcome["step"] = 812
    outcome["applied"], outcome["forecast_time"] = 1, DAILY.parse("2026-11-22")
    outcome["forecast"] = FORECAST_813
    for name, value in fields.items():
        outcome[name] = value
    return outcomes


def a_head(**fields: object) -> Structured:
    head = np.zeros((), HEAD)
    head["model"], head["freq"], head["timezone"] = b"daily@1", b"D", b"UTC"
    head["fingerprint"] = np.arange(32)
    head["incarnation"] = np.frombuffer(INCARNATION, np.uint8)
    head["revision"] = head["step"] = 812
    head["last"], head["anchor"] = DAILY.parse("2026-11-21"), DAILY.anchor
    head["max_gap"], head["history"], head["ttl_ms"] = 32, 64, 34_560_000_000
    head["minimum"] = head["maximum"] = math.nan
    head["created_ms"], head["updated_ms"], head["expires_ms"] = 1725170400000, 1795327202123, 1829887202123
    for name, value in fields.items():
        head[name] = value
    return head


def advance(outcomes: Structured, label: Label = LABEL) -> Json:
    [answer] = read_answers(outcomes)
    body: Json = json.loads(render.advance(label, answer))
    return body


def record(slots: Structured, label: Label = LABEL) -> Json:
    [observed] = read_observed(slots)
    body: Json = json.loads(render.observations(label, [observed], ""))["observations"][0]
    return body


EXAMPLE = (
    b'{"session":"store-42","model":"daily@1","step":812,"etag":"6f1c0a0000000000-812","warmed_up":true,"applied":1,'
    b'"replayed":0,"corrected":0,"imputed":0,"observed":{"step":812,"timestamp":"2026-11-21","value":121.5,"covariates":{},'
    b'"imputed":false,"forecast":{"step":812,"timestamp":"2026-11-21","value":120.0,"quantiles":{"0.025":105.0,"0.1":110.0,'
    b'"0.5":120.0,"0.9":130.0,"0.975":135.0}},"covered":{"80":true,"95":true},"original":null,"revised":null},"forecast":'
    b'{"step":813,"timestamp":"2026-11-22","value":122.3,"quantiles":{"0.025":108.9,"0.1":113.4,"0.5":122.3,"0.9":131.0,'
    b'"0.975":136.2}}}'
)


def test_the_same_numbers_are_always_the_same_bytes() -> None:
    [answer] = read_answers(an_outcome())
    assert render.advance(LABEL, answer) == EXAMPLE


def test_an_advance_has_every_documented_key_in_order() -> None:
    body = advance(an_outcome())
    assert list(body) == list(schemas.Advance.model_fields)
    parsed = schemas.Advance.model_validate(body)
    assert [*body["observed"], "future"] == list(schemas.Record.model_fields)  # type: ignore[misc]
    assert parsed.forecast is not None
    assert list(body["forecast"]) == list(schemas.Forecast.model_fields)  # type: ignore[call-overload]


def test_forecasts_are_null_until_a_value_is_known() -> None:
    outcome = an_outcome(forecast=math.nan, flags=0)
    fill_slot(outcome[0]["observed"], value=math.nan, issued=math.nan)
    body = advance(outcome)
    assert body["forecast"] is None
    assert body["warmed_up"] is False
    assert record(outcome["observed"]) == body["observed"]
    assert schemas.Advance.model_validate(body).observed.forecast is None


def test_a_session_without_freq_has_no_timestamps() -> None:
    outcome = an_outcome(forecast_time=NO_TIME)
    fill_slot(outcome[0]["observed"], timestamp=NO_TIME)
    parsed = schemas.Advance.model_validate(advance(outcome, LABEL._replace(grid=None)))
    assert parsed.forecast is not None
    assert (parsed.forecast.step, parsed.forecast.timestamp, parsed.observed.timestamp) == (813, None, None)


def test_a_missing_value_is_told_from_a_gap() -> None:
    assert record(a_slot(value=math.nan))["imputed"] is False
    gap = record(a_slot(value=math.nan, flags=SlotFlag.IMPUTED))
    assert (gap["value"], gap["imputed"], gap["covered"]) == (None, True, None)


@pytest.mark.parametrize(
    ("value", "at_80", "at_95"), [(110.0, True, True), (109.9, False, True), (135.1, False, False)]
)
def test_a_value_is_covered_up_to_the_ends_of_an_interval(value: float, at_80: bool, at_95: bool) -> None:
    assert record(a_slot(value=value))["covered"] == {"80": at_80, "95": at_95}


def test_a_correction_shows_the_first_value_and_the_revised_forecast() -> None:
    flags = SlotFlag.HAS_ORIGINAL | SlotFlag.HAS_REVISED
    body = record(a_slot(value=130.0, original=121.5, flags=flags, revised=FORECAST_813))
    assert body["original"] == 121.5
    assert schemas.Record.model_validate(body).revised == schemas.Forecast(
        step=812,
        timestamp="2026-11-21",
        value=122.3,
        quantiles={"0.025": 108.9, "0.1": 113.4, "0.5": 122.3, "0.9": 131.0, "0.975": 136.2},
    )
    assert record(a_slot(original=math.nan, flags=SlotFlag.HAS_ORIGINAL))["original"] is None


def test_covariates_are_named() -> None:
    slots = np.zeros(1, slot_dtype(2))
    fill_slot(slots[0], covariates=(3.1, math.nan))
    body = record(slots, LABEL._replace(covariates=("rain", "temp")))
    assert body["covariates"] == {"rain": 3.1, "temp": None}
    assert "future" not in body


def test_what_was_known_in_advance_is_told_as_far_as_anything_was() -> None:
    slots = np.zeros(1, slot_dtype(6))
    fill_slot(slots[0], covariates=(3.1, 1.0, math.nan, 0.0, math.nan, math.nan))
    body = record(slots, LABEL._replace(covariates=("rain", "promo"), known=1))
    assert (body["covariates"], body["future"]) == ({"rain": 3.1, "promo": 1.0}, [{"promo": None}, {"promo": 0.0}])
    assert list(body) == list(schemas.Record.model_fields)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_so_that_they_are_read_back_to_the_bit(value: float) -> None:
    assert str(record(a_slot(value=value))["value"]) == str(value)


def test_levels_are_keyed_by_exact_decimals() -> None:
    assert render.quantile_keys((80, 95)) == ("0.025", "0.1", "0.5", "0.9", "0.975")
    assert render.quantile_keys((50, 90, 96)) == ("0.02", "0.05", "0.25", "0.5", "0.75", "0.95", "0.98")
    assert render.quantile_keys(()) == ("0.5",)
    assert render.quantile_keys((80,)) == ("0.1", "0.5", "0.9")


def forecasts(head: Structured, label: Label) -> schemas.Forecasts:
    fan = [[110.0, 120.0, 130.0], [109.0, 121.0, 133.0]]
    body = json.loads(render.forecasts(label, head, fan, (80,), warmed_up=True, direct=14))
    assert list(body) == list(schemas.Forecasts.model_fields)
    return schemas.Forecasts.model_validate(body)


def test_a_fan_goes_on_from_the_last_observation() -> None:
    fan = forecasts(a_head(), LABEL)
    assert (fan.step, fan.etag, fan.direct_horizon) == (812, "6f1c0a0000000000-812", 14)
    assert [(point.step, point.timestamp, point.value) for point in fan.forecasts] == [
        (813, "2026-11-22", 120.0),
        (814, "2026-11-23", 121.0),
    ]
    assert fan.forecasts[1].quantiles == {"0.1": 109.0, "0.5": 121.0, "0.9": 133.0}


def test_a_fan_of_a_session_without_freq_has_steps_only() -> None:
    fan = forecasts(a_head(last=NO_TIME), LABEL._replace(grid=None))
    assert [(point.step, point.timestamp) for point in fan.forecasts] == [(813, None), (814, None)]


SUMS = np.array([811.0, 3341.32, 4025.7, 1062.41, 656.91, 770.45])
NOTHING = np.zeros(6)


def session(
    head: Structured,
    label: Label = LABEL,
    retained_from: int | None = 749,
    sums: NDArray[np.float64] = SUMS,
    drifting_since: int | None = None,
) -> Json:
    body = render.session(
        label,
        head,
        retained_from=retained_from,
        warmed_up=True,
        scores_all=sums,
        scores_recent=sums,
        drifting_since=drifting_since,
        static={},
        warnings=[],
    )
    assert list(body) == list(schemas.Session.model_fields)
    schemas.Session.model_validate(body)
    return body


def test_a_session_shows_its_settings_and_where_it_stands() -> None:
    body = session(a_head())
    assert body == {
        **body,
        "session": "store-42",
        "fingerprint": "sha256:" + bytes(range(32)).hex(),
        "freq": "D",
        "timezone": "UTC",
        "gaps": "impute",
        "max_gap": 32,
        "history": 64,
        "minimum": None,
        "maximum": None,
        "ttl_s": 34560000,
        "require_if_match": False,
        "step": 812,
        "etag": "6f1c0a0000000000-812",
        "last": "2026-11-21",
        "next": "2026-11-22",
        "retained_from": "2026-09-19",
        "created_at": "2024-09-01T06:00:00Z",
        "updated_at": "2026-11-22T06:00:02Z",
        "expires_at": "2027-12-27T06:00:02Z",
    }


def test_a_session_names_the_observation_since_which_it_drifts() -> None:
    assert session(a_head())["drift"] == {"detected": False, "since": None}
    assert session(a_head(), drifting_since=810)["drift"] == {"detected": True, "since": "2026-11-19"}
    counted = session(a_head(freq=b"", last=NO_TIME), LABEL._replace(grid=None), drifting_since=810)
    assert counted["drift"] == {"detected": True, "since": "810"}


def test_a_session_shows_other_settings_too() -> None:
    body = session(a_head(gaps=1, require_if_match=1, minimum=0.0, maximum=9.5, ttl_ms=1500, expires_ms=0))
    assert (body["gaps"], body["require_if_match"], body["minimum"], body["maximum"]) == ("reject", True, 0.0, 9.5)
    assert (body["ttl_s"], body["expires_at"]) == (1.5, None)
    assert session(a_head(ttl_ms=0))["ttl_s"] is None


def test_a_session_without_observations_has_no_times_and_no_scores() -> None:
    body = session(a_head(step=0, last=NO_TIME, anchor=NO_TIME), LABEL._replace(grid=Grid("D")), None, NOTHING)
    assert (body["last"], body["next"], body["retained_from"]) == (None, None, None)
    empty = {"steps": 0, "mae": None, "mase": None, "pinball": None, "coverage": {"80": None, "95": None}}
    assert body["scores"] == {"all": empty, "recent": empty}


def test_a_session_that_counts_steps_names_its_observations_by_them() -> None:
    body = session(a_head(freq=b"", last=NO_TIME), LABEL._replace(grid=None))
    assert (body["freq"], body["last"], body["next"], body["retained_from"]) == (None, None, None, "749")


def test_scores_are_means_and_a_ratio_to_repeating_the_last_value() -> None:
    assert render.scores(SUMS) == {
        "steps": 811,
        "mae": pytest.approx(4.12),
        "mase": pytest.approx(0.83, rel=1e-5),
        "pinball": pytest.approx(1.31),
        "coverage": {"80": pytest.approx(0.81), "95": pytest.approx(0.95)},
    }


def test_a_constant_series_has_no_ratio() -> None:
    assert render.scores(np.array([3.0, 0.6, 0.0, 0.1, 3.0, 3.0]))["mase"] is None


def test_a_page_of_history_has_every_documented_key() -> None:
    body = json.loads(render.observations(LABEL, read_observed(a_slot()), "next"))
    assert list(body) == list(schemas.ObservationList.model_fields)
    assert schemas.ObservationList.model_validate(body).next_page_token == "next"
