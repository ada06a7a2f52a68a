import json
import re

import pytest

from service.wire import problem_pages, session_problems
from service.wire import problems as p
from service.wire.problems import Fault, ServiceError, Standing, pointer, shown
from service.wire.session_problems import IdempotencyKeyReused, OutOfOrder, PreconditionFailed

AT = Standing("store-42", 812, "2026-11-21")

SLUGS = {
    400: ["malformed-request", "sequence-not-started"],
    401: ["unauthenticated"],
    403: ["forbidden"],
    404: ["session-not-found", "observation-not-found", "not-found"],
    405: ["method-not-allowed"],
    406: ["not-acceptable"],
    408: ["request-timeout"],
    409: ["session-exists", "observation-conflict", "out-of-order", "not-retained", "state-regressed", "session-empty",
          "model-mismatch", "model-unavailable", "record-damaged", "request-in-progress"],
    412: ["precondition-failed"],
    413: ["too-large"],
    415: ["unsupported-media-type"],
    426: ["upgrade-required"],
    422: ["invalid-request", "off-grid", "gap-rejected", "gap-too-long", "idempotency-key-reused", "state-invalid",
          "result-not-finite"],
    428: ["precondition-required"],
    429: ["quota-exceeded"],
    500: ["internal"],
    503: ["concurrent-update", "overloaded", "store-unavailable", "durability-unconfirmed", "not-ready"],
    504: ["deadline-exceeded"],
}  # fmt: skip
RETRYABLE = {"request-timeout", "request-in-progress", "concurrent-update", "quota-exceeded", "overloaded",
             "store-unavailable", "durability-unconfirmed", "not-ready", "deadline-exceeded"}  # fmt: skip
MEMBERS = {
    "too-large": ["limit"], "session-exists": ["differences"], "observation-conflict": ["stored"],
    "not-retained": ["retained_from"], "model-mismatch": ["expected", "found"], "precondition-failed": ["etag"],
    "off-grid": ["nearest"], "gap-rejected": ["missing"], "gap-too-long": ["missing", "max_gap"],
    "not-ready": ["reasons"],
}  # fmt: skip
COMMON = ["type", "title", "status", "retryable", "instance", "detail", "errors", "session", "step", "last"]


def classes(of: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [leaf for child in of.__subclasses__() for leaf in (classes(child) or [child])]


def test_each_problem_type_has_one_class_with_its_status() -> None:
    assert {status: sorted(slugs) for status, slugs in SLUGS.items()} == {
        status: sorted(one.slug for one in classes() if one.status == status)
        for status in {one.status for one in classes()}
    }


def test_only_what_can_succeed_unchanged_is_retryable() -> None:
    assert {one.slug for one in classes() if one.retryable} == RETRYABLE


def test_the_body_is_that_of_the_contract() -> None:
    body = json.loads(OutOfOrder(AT).render("4bf92f35"))
    assert list(body.items()) == [
        ("type", "/problems/out-of-order"),
        ("title", "Observation out of order"),
        ("status", 409),
        ("retryable", False),
        ("instance", "4bf92f35"),
        ("detail", "session store-42 already holds 2026-11-21; correct it with PATCH, or send a later one"),
        ("errors", []),
        ("session", "store-42"),
        ("step", 812),
        ("last", "2026-11-21"),
    ]


@pytest.mark.parametrize("page", problem_pages.PAGES.values(), ids=problem_pages.PAGES.keys())
def test_every_body_has_the_common_members_and_those_of_its_type(page: problem_pages.Page) -> None:
    body = json.loads(page.example.render(None))
    assert list(body) == [*COMMON, *MEMBERS.get(page.example.slug, [])]
    assert body["status"] == page.example.status


@pytest.mark.parametrize("page", problem_pages.PAGES.values(), ids=problem_pages.PAGES.keys())
def test_retry_after_goes_with_retryable(page: problem_pages.Page) -> None:
    assert ("Retry-After" in page.example.headers()) == page.example.retryable


def test_every_problem_type_has_a_page_with_meaning_cure_and_example() -> None:
    assert problem_pages.PAGES.keys() == {one.slug for one in classes()}
    for slug in problem_pages.PAGES:
        page = problem_pages.render(slug)
        assert page is not None
        assert all(f"<h2>{heading}</h2>" in page for heading in ("Meaning", "Cure", "Example"))
        assert f"&quot;/problems/{slug}&quot;" in page


def test_no_page_for_what_is_no_problem_type() -> None:
    assert problem_pages.render("weather") is None


def test_a_problem_that_owes_headers_brings_them() -> None:
    assert p.MethodNotAllowed(["GET", "PUT"]).headers() == {"Allow": "GET, PUT"}
    assert p.Unauthenticated("send a key").headers() == {"WWW-Authenticate": "Bearer"}
    assert PreconditionFailed(AT, "6f1c0a0000000000-812").headers() == {"ETag": '"6f1c0a0000000000-812"'}
    assert PreconditionFailed(AT, None).headers() == {}
    assert p.Overloaded("full", retry_after_s=0.2).headers() == {"Retry-After": "1"}


def test_faults_name_a_pointer_or_a_parameter() -> None:
    assert Fault("must be finite", "/3/value").body() == {"pointer": "/3/value", "detail": "must be finite"}
    assert IdempotencyKeyReused(AT).errors[0].body()["parameter"] == "Idempotency-Key"


def test_pointers_are_escaped_and_short() -> None:
    assert pointer() == ""
    assert pointer("observations", 3, "a/b~c") == "/observations/3/a~1b~0c"
    assert len(pointer("x" * 10_000)) < 100


def test_a_clients_own_words_are_shown_printable() -> None:
    assert shown("a\nb\ud800") == "a?b?"
    p.InvalidRequest([Fault("unknown key", pointer("\ud800"))]).render(None)


def test_an_invalid_request_names_its_first_fault_and_counts_the_others() -> None:
    refused = p.InvalidRequest([Fault("required", "/0/value"), Fault("must be finite", "/1/value")])
    assert refused.detail == "/0/value: required (and 1 more)"


def test_details_end_without_a_full_stop_so_that_they_can_be_quoted() -> None:
    assert not [slug for slug, page in problem_pages.PAGES.items() if re.search(r"[.!]$", page.example.detail)]
    assert session_problems.SessionNotFound("store-42").detail.startswith("no session store-42")
