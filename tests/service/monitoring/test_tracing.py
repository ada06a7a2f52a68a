"""Traces as a real collector receives them: requests in their clients' traces, waves linked to what they serve."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.monitoring.meters import OTHER
from tests.service.monitoring.collector import Collector, collecting
from tests.service.processes import ROOT, process

TRACE = 16 * "ab"
PARENT = f"00-{TRACE}-{8 * 'cd'}-01"
UNSAMPLED = f"00-{16 * 'ef'}-{8 * 'cd'}-00"
TRACERS = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
HOT = "POST /v1/sessions/{session}/observations"


Seen = tuple[Collector, dict[str, str], str]


@pytest.fixture(scope="module")
def traced(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What a collector got of one service's life, the trace parents that were answered, and what was logged."""
    folder = tmp_path_factory.mktemp("traced")
    with collecting() as collector, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patched.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=forecasts")
        with process(models_dir, folder) as service:
            answered = ask(service.url)
            assert service.stop() == 0  # which sends what was not sent yet
        yield collector, answered, (folder / "service.log").read_text()


def ask(url: str) -> dict[str, str]:
    with httpx2.Client(base_url=f"{url}/v1/sessions", timeout=60) as client:
        history = [{"step": step, "value": step} for step in range(1, 4)]
        client.put("/a", json={"observations": history}, headers={"traceparent": PARENT})
        post = "/a/observations"
        client.post(post, json={"value": 4}, headers={"traceparent": UNSAMPLED, "x-request-id": "quiet"})
        answers = {
            "observed": client.post(post, json={"value": 5}, headers={"traceparent": PARENT, "x-request-id": "named"}),
            "without": client.post(post, json={"value": 6}),
            "refused": client.post(post, json={"valu": 6}, headers={"traceparent": PARENT}),
            "corrected": client.patch(f"{post}/5", json={"value": 5.5}, headers={"traceparent": PARENT}),
        }
        return {name: answer.headers["traceparent"] for name, answer in answers.items()}


def span_of(collector: Collector, parent: str) -> Span:
    """The span that an answer named."""
    _, trace, span, _ = parent.split("-")
    [found] = [one for one in collector.spans if (one.trace_id.hex(), one.span_id.hex()) == (trace, span)]
    return found


def attributes(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_goes_on_with_its_clients_trace(traced: Seen) -> None:
    collector, answered, _ = traced
    span = span_of(collector, answered["observed"])
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.name) == (TRACE, 8 * "cd", HOT)
    assert span.kind == Span.SPAN_KIND_SERVER
    told = attributes(span)
    assert told["http.route"] == "/v1/sessions/{session}/observations"
    assert (told["http.response.status_code"], told["hiddenstate.request_id"], told["hiddenstate.session"]) == (
        *(200, "named", "a"),
    )
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert collector.services == {"forecasts"}


def test_a_request_without_a_trace_begins_one(traced: Seen) -> None:
    collector, answered, _ = traced
    span = span_of(collector, answered["without"])
    assert (span.parent_span_id, span.name) == (b"", HOT)
    assert span.trace_id.hex() != TRACE


def test_a_wave_is_linked_to_its_requests_and_shows_its_parts(traced: Seen) -> None:
    collector, answered, _ = traced
    request = span_of(collector, answered["observed"])
    [wave] = [
        wave for wave in collector.named("wave") if request.span_id in [link.span_id for link in wave.links]
    ]
    assert [link.trace_id for link in wave.links] == [request.trace_id]
    assert collector.below(wave) in (["step", "store commit"], ["store read", "step", "store commit"])
    assert request.start_time_unix_nano <= wave.start_time_unix_nano <= request.end_time_unix_nano


def test_what_one_request_does_by_itself_stands_below_it(traced: Seen) -> None:
    collector, answered, _ = traced
    assert collector.below(span_of(collector, answered["corrected"])) == ["store read_whole", "store commit"]
    [created] = collector.named("PUT /v1/sessions/{session}")
    assert collector.below(created)[:2] == ["store read_whole", "store commit"]


def test_a_refused_request_is_no_error_of_the_service(traced: Seen) -> None:
    collector, answered, log = traced
    span = span_of(collector, answered["refused"])
    assert attributes(span)["http.response.status_code"] == 422
    assert span.status.code == Status.STATUS_CODE_UNSET
    [line] = [orjson.loads(line) for line in log.splitlines() if '"invalid-request"' in line]
    assert line["trace_id"] == TRACE


def test_what_a_client_does_not_sample_is_not_sent(traced: Seen) -> None:
    collector, _, _ = traced
    assert [span for span in collector.spans if attributes(span).get("hiddenstate.request_id") == "quiet"] == []
    sampled = {span.span_id for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert all(link.span_id in sampled for wave in collector.named("wave") for link in wave.links)
    assert len(collector.named("wave")) == 2
    assert not collector.named(f"GET {OTHER}")


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    program = f"import service.supervisor, sys; print([name for name in sys.modules if name.startswith({TRACERS})])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
