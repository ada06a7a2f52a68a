"""The description of the API: complete, true of the hot route, and readable without a network."""

import re

import httpx2
import jsonschema
import pytest

from service.wire.inference.description import EXAMPLES as INFERENCE_EXAMPLES
from service.wire.openapi import EXAMPLES

CALLS = {
    ("put", "/v1/sessions/{session}"),
    ("get", "/v1/sessions/{session}"),
    ("patch", "/v1/sessions/{session}"),
    ("delete", "/v1/sessions/{session}"),
    ("post", "/v1/sessions/{session}:reset"),
    ("post", "/v1/sessions/{session}:rewind"),
    ("post", "/v1/sessions/{session}:verify"),
    ("post", "/v1/sessions/{session}:forecast"),
    ("get", "/v1/sessions/{session}/state"),
    ("put", "/v1/sessions/{session}/state"),
    ("post", "/v1/sessions:purge"),
    ("get", "/v1/sessions"),
    ("post", "/v1/sessions/{session}/observations"),
    ("get", "/v1/sessions/{session}/observations"),
    ("patch", "/v1/sessions/{session}/observations/{key}"),
    ("get", "/v1/sessions/{session}/forecast"),
    ("post", "/v1/observations:batch"),
    ("post", "/v1/forecasts:batch"),
    ("get", "/v1/events"),
    ("post", "/v1/timeseries/forecast"),
    ("post", "/v2/forecast"),
    ("get", "/v2/models"),
    ("get", "/model_params"),
    ("get", "/validate_api_key"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{model}"),
    ("get", "/v1/models/{model}/curve"),
    ("get", "/problems/{slug}"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
    ("get", "/v1/status"),
    ("get", "/v2"),
    ("get", "/v2/health/live"),
    ("get", "/v2/health/ready"),
    ("get", "/v2/models/{model}"),
    ("get", "/v2/models/{model}/versions/{version}"),
    ("get", "/v2/models/{model}/ready"),
    ("get", "/v2/models/{model}/versions/{version}/ready"),
    ("post", "/v2/models/{model}/infer"),
    ("post", "/v2/models/{model}/versions/{version}/infer"),
}


def test_every_call_is_described(api: httpx2.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert {(method, path) for path, calls in paths.items() for method in calls} == CALLS


def test_the_websocket_is_described_beside_the_calls(api: httpx2.Client) -> None:
    [(path, socket)] = api.get("/openapi.json").json()["x-websockets"].items()
    assert path == "/v1/stream"
    given = [parameter["name"] for parameter in socket["parameters"]]
    assert given == ["create", "freq", "model", "on_conflict", "return"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_documented_example_works_and_is_answered_as_described(
    api: httpx2.Client, name: str, example: str
) -> None:
    document = api.get("/openapi.json").json()
    call = document["paths"]["/v1/sessions/{session}/observations"]["post"]
    shown = call["requestBody"]["content"]["application/json"]
    body = shown["examples"][example]["value"]
    jsonschema.validate(body, {**shown["schema"], "components": document["components"]})
    answer = api.post(f"/v1/sessions/{name}/observations?create=true", json=body)
    described = call["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**described, "components": document["components"]})
    assert answer.status_code == 201


@pytest.mark.parametrize("example", INFERENCE_EXAMPLES)
def test_each_example_of_the_inference_protocol_works_and_is_answered_as_described(
    api: httpx2.Client, example: str
) -> None:
    document = api.get("/openapi.json").json()
    call = document["paths"]["/v2/models/{model}/infer"]["post"]
    shown = call["requestBody"]["content"]["application/json"]
    body = shown["examples"][example]["value"]
    jsonschema.validate(body, {**shown["schema"], "components": document["components"]})
    answer = api.post("/v2/models/tiny/infer", json=body)
    described = call["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**described, "components": document["components"]})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/tiny", "/v2/models/tiny/versions/1/ready"])
def test_what_the_inference_protocol_tells_is_as_described(api: httpx2.Client, path: str) -> None:
    document = api.get("/openapi.json").json()
    pattern = path.replace("tiny", "{model}").replace("/1/", "/{version}/")
    described = document["paths"][pattern]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(api.get(path).json(), {**described, "components": document["components"]})


def test_every_json_body_and_answer_has_an_example_that_validates(api: httpx2.Client) -> None:
    document = api.get("/openapi.json").json()
    shown = 0
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            good = [answer for status, answer in call["responses"].items() if status.startswith("2")]
            for part in (call.get("requestBody", {}), *good):
                content = part.get("content", {}).get("application/json")
                if content is None:
                    continue
                examples = [one["value"] for one in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                assert examples, (method, path)
                for example in examples:
                    jsonschema.validate(example, {**content["schema"], "components": document["components"]})
                shown += len(examples)
    assert shown > 50


def test_every_reference_leads_somewhere(api: httpx2.Client) -> None:
    answer = api.get("/openapi.json")
    known = answer.json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text)) <= known.keys()


def test_the_docs_need_no_network(api: httpx2.Client) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sources
    for source in sources:
        assert source.startswith("/")
        assert api.get(source).status_code == 200
