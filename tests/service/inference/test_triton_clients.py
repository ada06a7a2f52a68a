"""Triton's own clients, unmodified: every way in which they put a request, and the values that they read."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from itertools import product
from math import isnan, nan
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.service.conftest import Service
from tests.service.days import value
from tests.service.inference.sequences import START_WORDS

STEPS = 30
VALUES = [nan if step == 11 else value(step) for step in range(1, STEPS + 1)]
CODINGS = (None, "gzip", "deflate")
FORMS = list(product((True, False), (True, False), CODINGS, CODINGS))
"""Whether inputs and outputs are binary, and how requests and answers are compressed."""

Outputs = NDArray[np.float64]


@pytest.fixture(scope="module")
def expected(service: Service) -> list[list[float]]:
    """The median and the quantiles after each value, by the API of the service itself."""
    answers = []
    with httpx2.Client(base_url=service.url, timeout=60.0) as api:
        for observed in VALUES:
            body = {"value": None if isnan(observed) else observed}
            answer = api.post("/v1/sessions/triton-native/observations?create=true", json=body)
            forecast = answer.json()["forecast"]
            answers.append([forecast["value"], *forecast["quantiles"].values()])
    return answers


def observed(module: Any, number: float, binary: bool) -> list[Any]:  # noqa: ANN401 - the module of a client
    tensor = module.InferInput("value", [1, 1], "FP64")
    tensor.set_data_from_numpy(np.array([[number]]), binary_data=binary)
    return [tensor]


def forecast(result: Any) -> list[float]:  # noqa: ANN401 - a client's own kind
    found: list[float] = np.concatenate([result.as_numpy("forecast")[0], result.as_numpy("quantiles")[0]]).tolist()
    return found


def arguments(module: Any, step: int, sequence: int | str, binary: bool, *codings: str | None) -> dict[str, Any]:  # noqa: ANN401
    """Those of one call; `binary` is that of the outputs."""
    wanted = [module.InferRequestedOutput(name, binary_data=binary) for name in ("forecast", "quantiles")]
    return {
        "outputs": wanted,
        "request_id": f"step-{step}",
        "sequence_id": sequence,
        "sequence_start": step == 0,
        "sequence_end": step == STEPS - 1,
        "request_compression_algorithm": codings[0],
        "response_compression_algorithm": codings[1],
    }


@pytest.mark.parametrize(("number", "form"), list(enumerate(FORMS)), ids=[str(form) for form in FORMS])
def test_the_client_runs_a_sequence_to_the_same_values(
    service: Service, expected: list[list[float]], number: int, form: tuple[bool, bool, str | None, str | None]
) -> None:
    binary_in, binary_out, *codings = form
    sequence = 1000 + number if number % 2 else f"triton-{number}"
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        answers = []
        for step, given in enumerate(VALUES):
            call = arguments(triton, step, sequence, binary_out, *codings)
            answers.append(client.infer("tiny", observed(triton, given, binary_in), **call))
            assert answers[-1].get_response()["id"] == f"step-{step}"
        assert [forecast(answer) for answer in answers] == expected
        with pytest.raises(InferenceServerException, match=START_WORDS):
            client.infer("tiny", observed(triton, 1.0, binary_in), sequence_id=sequence)


@pytest.mark.parametrize(("number", "form"), list(enumerate(FORMS)), ids=[str(form) for form in FORMS])
def test_the_asynchronous_client_runs_a_sequence_to_the_same_values(
    service: Service, expected: list[list[float]], number: int, form: tuple[bool, bool, str | None, str | None]
) -> None:
    binary_in, binary_out, *codings = form
    sequence = 2000 + number if number % 2 else f"triton-aio-{number}"

    async def run(client: Any) -> None:  # noqa: ANN401
        answers = []
        for step, given in enumerate(VALUES):
            call = arguments(triton_aio, step, sequence, binary_out, *codings)
            answers.append(await client.infer("tiny", observed(triton_aio, given, binary_in), **call))
        assert [forecast(answer) for answer in answers] == expected
        with pytest.raises(InferenceServerException, match=START_WORDS):
            await client.infer("tiny", observed(triton_aio, 1.0, binary_in), sequence_id=sequence)

    asyncio.run(_with_client(service, run))


async def _with_client(service: Service, run: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    async with triton_aio.InferenceServerClient(service.url.removeprefix("http://")) as client:
        await run(client)


def test_without_outputs_asked_for_the_client_gets_all_of_them(service: Service, name: str) -> None:
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        given = observed(triton, 1.0, True)
        result = client.infer("tiny", given, sequence_id=name, sequence_start=True, priority=1, timeout=1_000_000)
        assert (result.as_numpy("forecast").shape, result.as_numpy("quantiles").shape) == ((1, 1), (1, 5))


def test_the_client_sends_text_and_numbers_of_four_bytes(service: Service, api: httpx2.Client, name: str) -> None:
    days = np.array([[b"2026-11-21", b"2026-11-22"]], dtype=np.object_)
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        for binary in (True, False):
            values = triton.InferInput("value", [1, 2], "FP32")
            values.set_data_from_numpy(np.array([[0.1, 0.2]], np.float32), binary_data=binary)
            times = triton.InferInput("timestamp", [1, 2], "BYTES")
            times.set_data_from_numpy(days, binary_data=binary)
            result = client.infer(
                "tiny", [values, times], sequence_id=name, sequence_start=True, parameters={"freq": "D"}
            )
            assert result.get_response()["parameters"]["timestamp"] == "2026-11-23"
            kept = api.get(f"/v1/sessions/{name}/observations").json()["observations"]
            assert [record["value"] for record in kept] == [float(np.float32(0.1)), float(np.float32(0.2))]


def test_the_client_reads_health_and_metadata(service: Service) -> None:
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert [client.is_model_ready("tiny"), client.is_model_ready("tiny", "1")] == [True, True]
        assert [client.is_model_ready("nobody"), client.is_model_ready("tiny", "9")] == [False, False]
        server = client.get_server_metadata()
        assert server["name"] == "hiddenstate"
        assert server["extensions"] == ["sequence", "sequence(string_id)", "binary_tensor_data", "parameters"]
        model = client.get_model_metadata("tiny")
        assert (model["name"], model["versions"]) == ("tiny", ["1", "2"])
        assert client.get_model_metadata("tiny", "1") == model
        assert {one["name"]: one["shape"] for one in [*model["inputs"], *model["outputs"]]} == {
            "value": [1, -1],
            "timestamp": [1, -1],
            "forecast": [1, 1],
            "quantiles": [1, 5],
        }
        assert model["outputs"][1]["parameters"] == {"quantiles": [0.025, 0.1, 0.5, 0.9, 0.975]}
        for ask in (client.get_model_config, client.get_inference_statistics):
            with pytest.raises(InferenceServerException, match="nothing at this address"):
                ask("tiny")


def test_a_sequence_of_one_version_stays_with_it(service: Service, name: str) -> None:
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        for version, start, answered in (("1", True, "1"), ("", False, "1"), ("1", False, "1")):
            result = client.infer("tiny", observed(triton, 1.0, True), version, sequence_id=name, sequence_start=start)
            assert result.get_response()["model_version"] == answered


def test_the_readme_shows_a_program_that_works(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    [program] = [block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "tritonclient" in block]
    address = service.url.removeprefix("http://")
    exec(program.replace("127.0.0.1:8000", address).replace('"daily"', '"tiny"'), {})
    [median, *quantiles] = [float(number) for number in re.findall(r"-?\d+\.\d+", capsys.readouterr().out)]
    assert median == quantiles[2]
