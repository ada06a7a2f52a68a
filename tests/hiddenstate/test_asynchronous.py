"""The asynchronous client is the blocking one, awaited."""

import inspect
from collections.abc import Callable

import pytest

from hiddenstate import AsyncClient, Client, ServiceUnreachable
from tests.hiddenstate.scripted import Answer, scripted
from tests.hiddenstate.test_client import ADVANCE, BUSY, RECORD

METHODS = sorted(name for name in vars(Client) if not name.startswith("_") and name != "close")


def parameters(method: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Those of a method, but for the type of `rows`, which may come from an asynchronous generator too."""
    found = dict(inspect.signature(method).parameters)
    return found | {"rows": found["rows"].replace(annotation=object)} if "rows" in found else found


@pytest.mark.parametrize("name", METHODS)
def test_both_have_the_same_methods_with_the_same_parameters_and_words(name: str) -> None:
    blocking, awaited = getattr(Client, name), getattr(AsyncClient, name)
    assert parameters(blocking) == parameters(awaited)
    assert blocking.__doc__ == awaited.__doc__


def test_neither_has_methods_that_the_other_lacks() -> None:
    assert sorted(name for name in vars(AsyncClient) if not name.startswith("_") and name != "aclose") == METHODS


async def test_it_repeats_what_is_retryable_with_the_same_key() -> None:
    with scripted(Answer(503, BUSY, {"Retry-After": "0"}), Answer(body=ADVANCE)) as server:
        async with AsyncClient(server.url) as client:
            assert (await client.observe("a", 1.0)).members == ADVANCE
    assert len({request.headers["Idempotency-Key"] for request in server.seen}) == 1


async def test_it_keeps_what_got_no_answer() -> None:
    lost = Answer(hang_up=True)
    with scripted(lost, lost, lost, Answer(body=ADVANCE)) as server:
        async with AsyncClient(server.url) as client:
            with pytest.raises(ServiceUnreachable) as failure:
                await client.observe("a", 1.0)
            assert failure.value.kept
    assert len(server.seen) == 4


async def test_it_follows_lists_page_by_page() -> None:
    first = {"session": "a", "observations": [RECORD], "next_page_token": "t"}
    second = {"session": "a", "observations": [RECORD | {"step": 2}], "next_page_token": ""}
    with scripted(Answer(body=first), Answer(body=second)) as server:
        async with AsyncClient(server.url) as client:
            assert [record.step for record in (await client.history("a")).observations] == [1, 2]
