"""Every problem of the service that the client can meet is an error of its own class."""

from collections.abc import Iterator

import service.wire.session_problems  # noqa: F401 - so that its classes are among the subclasses
from hiddenstate.errors import ProblemError, TryAgain, problem_of
from service.wire.problems import Retryable, ServiceError

NEVER_MET = {
    "method-not-allowed", "not-acceptable", "unsupported-media-type", "internal",
    "sequence-not-started", "upgrade-required",
}  # fmt: skip
"""Problems of requests that the client does not make, and bugs."""


def kinds(family: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    for kind in family.__subclasses__():
        if "slug" in vars(kind) and kind.__module__.startswith("service."):
            yield kind
        yield from kinds(kind)


def test_each_problem_has_a_class_and_each_class_a_problem() -> None:
    assert set(ProblemError.of_slug) == {kind.slug for kind in kinds()} - NEVER_MET


def test_those_that_may_be_repeated_are_told_apart_by_class() -> None:
    repeatable = {slug for slug, kind in ProblemError.of_slug.items() if issubclass(kind, TryAgain)}
    assert repeatable == {kind.slug for kind in kinds() if issubclass(kind, Retryable)}


def test_a_problem_prints_what_to_mend() -> None:
    faults = [{"pointer": f"/{row}/value", "detail": "must be finite"} for row in range(7)]
    members = {"type": "/problems/invalid-request", "title": "Invalid request", "detail": "mend it", "errors": faults}
    lines = str(problem_of(422, members)).splitlines()
    assert lines[:2] == ["Invalid request: mend it", "  /0/value: must be finite"]
    assert lines[-1] == "  and 2 more"
