import json
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from service.wire import parsing, schemas
from service.wire.parsing import Observation
from service.wire.problems import InvalidRequest, MalformedRequest, ServiceError

SLOW_WAY = b"\xef\xbb\xbf"
"""A byte order mark: legal, and never what the fast way takes."""
Json = dict[str, object]

numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**25), 10**25))
covariates = st.dictionaries(st.text(max_size=5), st.none() | numbers, max_size=3)
values = st.one_of(st.none(), numbers, st.booleans(), st.text(max_size=3), st.just([1]), st.just({"a": 1}))
bodies = st.fixed_dictionaries(
    {},
    optional={
        "value": values,
        "timestamp": st.one_of(st.none(), st.text(max_size=12), st.integers()),
        "step": st.one_of(st.none(), st.integers(-2, 2**70), st.floats(), st.booleans()),
        "covariates": st.none() | covariates,
        "future": st.none() | st.lists(covariates, max_size=3),
        "note": values,
    },
)


def read(body: bytes) -> object:
    """What the body holds, to the bit, or why it is refused."""
    try:
        found, listed = parsing.observations(body)
    except ServiceError as refused:
        return refused.body(None)
    return listed, [(_bits(one.value), one.timestamp, one.step, one.covariates, one.future) for one in found]


def _bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("<d", value)


def refused(body: bytes) -> list[tuple[str | None, str]]:
    """Pointers and details of a 422."""
    with pytest.raises(InvalidRequest) as caught:
        parsing.observations(body)
    return [(fault.pointer, fault.detail) for fault in caught.value.errors]


@given(bodies | st.lists(bodies, max_size=4), st.booleans())
def test_the_fast_and_the_slow_way_read_the_same(body: object, ascii_only: bool) -> None:
    sent = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert read(sent) == read(SLOW_WAY + sent)


@given(st.text(alphabet='{}[]":,\\ \n\tvalue1.eE-+nultrfsNaI', max_size=40), st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(text: str, junk: bytes) -> None:
    for sent in (text.encode(), junk, b'{"value": ' + text.encode() + b"}"):
        assert read(sent) == read(SLOW_WAY + sent)


@given(bodies, st.sampled_from(["value", "timestamp", "step", "covariates", "future"]), values)
def test_a_key_given_twice_is_refused_whatever_it_holds(body: Json, key: str, value: object) -> None:
    members = [f"{json.dumps(name)}: {json.dumps(held)}" for name, held in {**body, key: value}.items()]
    sent = "{" + ", ".join([f"{json.dumps(key)}: {json.dumps(value)}", *members]) + "}"
    assert (f"/{key}", "given twice") in refused(sent.encode())


def test_one_observation_is_read() -> None:
    assert parsing.observations(b'{"timestamp": "2026-11-21", "value": 121.5}') == (
        [Observation(121.5, timestamp="2026-11-21")],
        False,
    )
    assert parsing.observations(b'{"step": 812, "value": 121.5}') == ([Observation(121.5, step=812)], False)
    assert parsing.observations(b' {"value": null} ') == ([Observation(None)], False)


def test_the_observation_of_the_contract_is_read() -> None:
    body = b'{"timestamp": "2026-11-21", "value": 121.5, "covariates": {"promo": 0}, '
    body += b'"future": [{"promo": 1}, {"promo": 1}]}'
    expected = Observation(121.5, "2026-11-21", None, {"promo": 0.0}, [{"promo": 1.0}, {"promo": 1.0}])
    assert parsing.observations(body) == ([expected], False)


def test_a_list_is_read_in_order() -> None:
    found, listed = parsing.observations(b'[{"value": 1}, {"value": 2}]')
    assert listed
    assert [observation.value for observation in found] == [1.0, 2.0]


@pytest.mark.parametrize(
    "digits", ["9007199254740993", "12345678901234567890", "1" + "0" * 308, "-9223372036854775809", "5e-324"]
)
def test_every_number_is_read_as_the_nearest_float64(digits: str) -> None:
    [observation], _ = parsing.observations(f'{{"value": {digits}}}'.encode())
    assert observation.value == float(digits)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 10_000])
@pytest.mark.parametrize(
    "where", ['{"value": %s}', '{"value": 1, "covariates": {"value": %s}}', '{"value": 1, "future": [{"value": %s}]}']
)
def test_what_is_not_finite_is_refused_where_it_stands(where: str, number: str) -> None:
    [(pointer, detail)] = refused((where % number).encode())
    assert pointer is not None
    assert pointer.endswith("/value")
    assert detail == "must be finite"


@pytest.mark.parametrize("value", ['"121.5"', "true", "false", '"NaN"', "[121.5]", "{}"])
def test_what_is_no_number_is_refused(value: str) -> None:
    assert refused(f'{{"value": {value}}}'.encode()) == [("/value", "must be a valid number")]


@pytest.mark.parametrize("step", ["812", "812.0", "8.12e2"])
def test_a_whole_number_may_be_written_in_any_way(step: str) -> None:
    [found], _ = parsing.observations(f'{{"value": 1, "step": {step}}}'.encode())
    assert (found.step, type(found.step)) == (812, int)


@pytest.mark.parametrize("step", ["0", "-1", "1.5", "1e30", '"812"', "true", "9223372036854775808"])
def test_a_step_is_a_positive_integer(step: str) -> None:
    [(pointer, _)] = refused(f'{{"value": 1, "step": {step}}}'.encode())
    assert pointer == "/step"


def test_faults_in_a_list_are_all_named() -> None:
    assert refused(b'[{"value": 1}, {"timestamp": "2026-11-21"}, {"value": NaN}, 7]') == [
        ("/1/value", "required"),
        ("/2/value", "must be finite"),
        ("/3", "must be an object"),
    ]


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    assert refused(b'{"timestmp": "2026-11-21", "value": 1}') == [("/timestmp", "unknown key; did you mean timestamp?")]
    assert refused(b'{"horizon": 7, "value": 1}') == [("/horizon", "unknown key")]


def test_no_refused_value_is_repeated() -> None:
    for body in (
        b'{"value": "secret"}',
        b'{"value": 1, "step": "secret"}',
        b'{"value": 1, "timestamp": ["secret"]}',
        b"secret",
    ):
        assert "secret" not in json.dumps(read(body))


def test_duplicates_deep_inside_are_found() -> None:
    body = b'[{"value": 1}, {"value": 1, "covariates": {"rain": 1, "rain": 1}}]'
    assert refused(body) == [("/1/covariates/rain", "given twice")]


def test_a_timestamp_and_a_step_together_are_refused() -> None:
    assert refused(b'[{"value": 1, "timestamp": "2026-11-21", "step": 3}]') == [
        ("/0", "give a timestamp or a step, not both")
    ]


def test_no_observation_at_all_is_refused() -> None:
    assert refused(b"[]") == [("", "must hold at least one observation")]
    with pytest.raises(MalformedRequest, match="empty"):
        parsing.observations(b" ")


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"value": 1,}', b"{'value': 1}", b'{"value": 01}', b'{"value": 1} {}', b"\xff", b'{"value": .5}',
     b'{"value": 1, "timestamp": "\\ud800"}', '{"value": 1}'.encode("utf-16")],
)  # fmt: skip
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parsing.observations(body)


@pytest.mark.parametrize("body", [b"[" * 33 + b"]" * 33, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 1_000_000,
                                  b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])  # fmt: skip
def test_deep_nesting_is_refused(body: bytes) -> None:
    [(_, detail)] = refused(body)
    assert "nested deeper than 32" in detail


def test_depth_is_that_of_nesting_and_not_of_length_or_text() -> None:
    assert parsing.read_json(b"[" * 32 + b"]" * 32) is not None
    assert parsing.read_json(json.dumps([[]] * 100).encode()) == [[]] * 100
    assert parsing.read_json(json.dumps(["[{" * 100, '\\"[' * 100]).encode()) is not None


def test_strings_that_never_end_are_read_once() -> None:
    with pytest.raises(MalformedRequest):  # quadratic reading would take hours
        parsing.observations(b'"' + b'\\"' * 2_000_000 + b"[" * 100)


PUT = b'{"model": "daily@1", "freq": "D", "minimum": 0, "observations": [{"timestamp": "2026-11-21", "value": 121.5}]}'


@pytest.mark.parametrize("body", [PUT, SLOW_WAY + PUT])
def test_a_put_holds_settings_and_observations(body: bytes) -> None:
    settings, found = parsing.session_put(body)
    assert settings.model_fields_set == {"model", "freq", "minimum"}
    assert (settings.model, settings.freq, settings.minimum) == ("daily@1", "D", 0.0)
    assert found == [Observation(121.5, timestamp="2026-11-21")]


def test_a_put_without_observations_is_told_from_one_with_none() -> None:
    assert parsing.session_put(b"{}") == (schemas.SessionSettings(), None)
    assert parsing.session_put(b'{"observations": []}')[1] == []
    assert parsing.session_put(b'{"observations": null}')[1] is None


def test_the_put_of_the_hydrologist_is_read() -> None:
    body = b"""{"model": "runoff@1", "freq": "D", "timezone": "Etc/GMT+5", "static": {"area_km2": 2252.7}, "minimum": 0,
        "history": 640, "ttl_s": null, "observations": [{"timestamp": "1980-10-01", "value": 12.4,
        "covariates": {"rain": 3.1, "temp": 8.0}}]}"""
    settings, found = parsing.session_put(body)
    assert settings.ttl_s is None
    assert "ttl_s" in settings.model_fields_set
    assert settings.static == {"area_km2": 2252.7}
    assert found == [Observation(12.4, "1980-10-01", covariates={"rain": 3.1, "temp": 8.0})]


def put_refused(body: bytes) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidRequest) as caught:
        parsing.session_put(body)
    return [(fault.pointer, fault.detail) for fault in caught.value.errors]


def test_faults_of_a_put_point_into_settings_and_observations() -> None:
    assert put_refused(b'{"freq": "M", "timezone": "Mars", "observations": [{"value": 1}, {"value": "x"}]}') == [
        ("/freq", "an old name: month end is ME, month start is MS"),
        ("/timezone", "not an IANA time zone name, such as UTC, Europe/Berlin or Etc/GMT+5"),
        ("/observations/1/value", "must be a valid number"),
    ]
    assert put_refused(b'{"gapps": "impute", "observations": []}') == [("/gapps", "unknown key; did you mean gaps?")]
    assert put_refused(b"[]") == [("", "must be an object")]


def test_a_key_of_an_observation_beside_the_settings_is_told_where_it_belongs() -> None:
    belongs = "unknown key here; it belongs to an observation, and those are listed in observations"
    assert put_refused(b'{"step": 3}') == [("/step", belongs)]
    assert put_refused(b'{"value": 1, "observations": []}') == [("/value", belongs)]
    assert put_refused(b'{"observations": [{"gaps": 1, "value": 1}]}') == [("/observations/0/gaps", "unknown key")]
    assert put_refused(b'{"observations": [{"stepp": 1, "value": 1}]}') == [
        ("/observations/0/stepp", "unknown key; did you mean step?")
    ]


def test_each_form_that_a_text_must_have_is_put_in_words() -> None:
    schemes: list[type[BaseModel]] = [schemas.Request]
    for schema in schemes:
        schemes += schema.__subclasses__()
    patterns = re.findall(r'"pattern": ("[^"]+")', json.dumps([schema.model_json_schema() for schema in schemes]))
    assert {json.loads(pattern) for pattern in patterns} == parsing.FORMS.keys()


@pytest.mark.parametrize("model", ["", "A", "daily@0"])
def test_a_model_that_cannot_be_is_told_how_models_are_named(model: str) -> None:
    [(pointer, detail)] = put_refused(json.dumps({"model": model}).encode())
    assert (pointer, "NAME@VERSION" in detail, "^" in detail) == ("/model", True, False)


def test_half_a_surrogate_pair_is_named_and_is_not_taken_for_another_encoding() -> None:
    for text in (b'{"\\ud800": 1}', b'{"value": 1, "timestamp": "\\udc00"}'):
        with pytest.raises(MalformedRequest, match="surrogate"):
            parsing.read_json(text)
    with pytest.raises(MalformedRequest, match="the line is not UTF-8"):
        parsing.read_json(b'"\xff"', called="line")


@pytest.mark.parametrize(
    "body",
    [b'{"freq": "D", "freq": "D", "observations": []}', b'{"freq": "D", "observations": [], "freq": "D"}',
     b'{"observations": [{"value": 1}], "freq": "D", "observations": [{"value": 1}]}',
     b'{"observations": [{"value": 1, "value": 1}]}', b'{"static": {"a": 1, "a": 1}, "observations": []}'],
)  # fmt: skip
def test_duplicate_keys_anywhere_in_a_put_are_refused(body: bytes) -> None:
    assert {detail for _, detail in put_refused(body)} == {"given twice"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("gaps", '"ignore"'), ("max_gap", "-1"), ("max_gap", "1.5"), ("history", "10001"), ("history", '"all"'),
     ("minimum", "true"), ("maximum", "1e999"), ("ttl_s", "0"), ("require_if_match", "1"),
     ("require_if_match", '"true"'), ("model", '"a b"'), ("freq", "7"), ("timezone", "null"),
     ("static", '{"area": "large"}')],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_where_they_stand(setting: str, value: str) -> None:
    [(pointer, _)] = put_refused(f'{{"{setting}": {value}}}'.encode())
    assert pointer in (f"/{setting}", f"/{setting}/area")


def test_bounds_the_wrong_way_round_are_refused() -> None:
    assert put_refused(b'{"minimum": 2, "maximum": 1}') == [("/maximum", "must not be below minimum")]


def test_a_patch_changes_settings_but_not_what_the_history_was_read_with() -> None:
    patch = parsing.request(b'{"maximum": null, "ttl_s": 86400}', schemas.SessionPatch)
    assert patch.model_fields_set == {"maximum", "ttl_s"}
    with pytest.raises(InvalidRequest) as caught:
        parsing.request(b'{"freq": "D", "timezone": "UTC", "static": {}}', schemas.SessionPatch)
    assert [fault.pointer for fault in caught.value.errors] == ["/freq", "/timezone", "/static"]
    assert {fault.detail for fault in caught.value.errors} == {"cannot change after creation: make another session"}


def test_a_correction_needs_something_to_correct() -> None:
    assert parsing.request(b'{"value": 130.0}', schemas.Correction).value == 130.0
    assert parsing.request(b'{"value": null}', schemas.Correction).model_fields_set == {"value"}
    with pytest.raises(InvalidRequest, match="give a value, covariates or future"):
        parsing.request(b"{}", schemas.Correction)


@pytest.mark.parametrize("text", ["store-42", "a", "x" * 128, "store-42.sales", "01013500", "A_b~c"])
def test_session_ids_are_taken(text: str) -> None:
    assert parsing.session_id(text) == text


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("store 42", "store-42"), ("a/b", "a-b"), ("Zürich", "Zurich"), ("", "session"), ("日本", "session"),
     ("x" * 129, "x" * 128), ("store-42\n", "store-42"), ("a:b", "a-b")],
)  # fmt: skip
def test_a_refused_session_id_is_answered_with_the_nearest_allowed_one(text: str, nearest: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsing.session_id(text)
    [fault] = caught.value.errors
    assert fault.parameter == "session"
    assert fault.detail.endswith(f"the nearest allowed is {nearest}")
    assert parsing.session_id(nearest) == nearest
