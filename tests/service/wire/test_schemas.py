"""Each answer, as the documentation shows it, is one that the OpenAPI description allows, key for key and in order."""

import json

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.wire import model_schemas, schemas, status_schemas

FORECAST = (
    '{"step": 813, "timestamp": "2026-11-22", "value": 122.3,'
    ' "quantiles": {"0.025": 108.9, "0.1": 113.4, "0.5": 122.3, "0.9": 131.0, "0.975": 136.2}}'
)
RECORD = (
    '{"step": 812, "timestamp": "2026-11-21", "value": 121.5, "covariates": {}, "imputed": false,'
    f' "forecast": {FORECAST}, "covered": {{"80": true, "95": true}}, "original": null, "revised": null}}'
)
ADVANCE = (
    '{"session": "store-42", "model": "daily@1", "step": 812, "etag": "6f1c0a-812", "warmed_up": true,'
    ' "applied": 1, "replayed": 0, "corrected": 0, "imputed": 0,'
    f' "observed": {RECORD}, "forecast": {FORECAST}}}'
)
SCORES = '{"steps": 811, "mae": 4.12, "mase": 0.83, "pinball": 1.31, "coverage": {"80": 0.81, "95": 0.95}}'
SESSION = (
    '{"session": "store-42", "model": "daily@1", "fingerprint": "sha256:9a41", "freq": "D", "timezone": "UTC",'
    ' "static": {}, "gaps": "impute", "max_gap": 32, "history": 64, "minimum": null, "maximum": null,'
    ' "ttl_s": 34560000, "require_if_match": false, "step": 812, "etag": "6f1c0a-812", "last": "2026-11-21",'
    ' "next": "2026-11-22", "retained_from": "2026-09-19", "warmed_up": true,'
    f' "scores": {{"all": {SCORES}, "recent": {SCORES}}}, "drift": {{"detected": false, "since": null}},'
    ' "warnings": [], "created_at": "2024-09-01T06:00:00Z", "updated_at": "2026-11-22T06:00:02Z",'
    ' "expires_at": "2027-12-27T06:00:02Z"}'
)
FORECASTS = (
    '{"session": "store-42", "model": "daily@1", "step": 812, "etag": "6f1c0a-812", "warmed_up": true,'
    f' "direct_horizon": 14, "forecasts": [{FORECAST}]}}'
)
VERIFICATION = (
    '{"session": "store-42", "step": 812, "observations": 64, "identical": true, "max_rel_difference": 2.1e-7,'
    ' "tolerance": 1e-5, "ok": true}'
)
MODEL = (
    '{"model": "daily@2", "name": "daily", "version": 2, "fingerprint": "sha256:9a41", "latest": true,'
    ' "freqs": ["D", "B"], "horizon": 14, "levels": [50, 80, 90, 95],'
    ' "covariates": {"past": [], "known": [], "static": []}, "warm_up": 28, "state_bytes": 1408,'
    ' "metrics": {}, "provenance": {}, "sessions": 19998}'
)
PROBLEM = (
    '{"type": "/problems/out-of-order", "title": "Observation out of order", "status": 409, "retryable": false,'
    ' "instance": "4bf92f35", "detail": "session store-42 already holds 2026-11-21", "errors": [],'
    ' "session": "store-42", "step": 812, "last": "2026-11-21"}'
)
STATUS = (
    '{"version": "1.0.0", "ready": true, "reasons": [], "store": {"engine": "valkey", "version": "9.0.1",'
    ' "deployment": "embedded", "persistence": "aof always", "eviction": "noeviction", "durability": "local",'
    ' "durability_asked": null, "replicas": 0,'
    ' "runtime": "onnxruntime 1.31.1 x86-64-avx512", "used_bytes": 31457280, "limit_bytes": null},'
    ' "sessions": {"count": 20000, "bytes_each": 5300, "overdue": 12}, "models": ["daily@1"],'
    ' "queue": {"depth": 0, "limit": 4096}, "limits": {}}'
)


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        (schemas.Forecast, FORECAST),
        (schemas.Record, RECORD),
        (schemas.Advance, ADVANCE),
        (schemas.Session, SESSION),
        (schemas.Forecasts, FORECASTS),
        (schemas.Verification, VERIFICATION),
        (model_schemas.Model, MODEL),
        (schemas.Problem, PROBLEM),
        (status_schemas.Status, STATUS),
        (model_schemas.ModelList, f'{{"models": [{MODEL}]}}'),
        (schemas.SessionList, f'{{"sessions": [{SESSION}], "next_page_token": "", "total_size": 20000}}'),
        (schemas.ObservationList, f'{{"session": "store-42", "observations": [{RECORD}], "next_page_token": ""}}'),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_documented_answer_has_the_described_keys(schema: type[BaseModel], example: str) -> None:
    assert json.loads(schema.model_validate_json(example).model_dump_json(exclude_unset=True)) == json.loads(example)
    always = [name for name, field in schema.model_fields.items() if field.is_required()]
    assert always == list(json.loads(example))


def test_faults_are_as_documented() -> None:
    fault = {"pointer": "/3/value", "detail": "must be finite"}
    assert schemas.Fault.model_validate(fault).model_dump(exclude_none=True) == fault


@pytest.mark.parametrize("text", ["store-42", "01013500.q"])
def test_session_ids_are_described_as_they_are_taken(text: str) -> None:
    assert TypeAdapter(schemas.SessionId).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "a/b", "x" * 129, "store-42\n"])
def test_other_session_ids_are_not(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(schemas.SessionId).validate_python(text)


def test_a_frequency_is_kept_by_its_own_name() -> None:
    assert schemas.SessionPut(freq="1D").freq == "D"
