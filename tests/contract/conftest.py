"""Every test here runs against every kind of store deployment: real servers, started once a run."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from service.storage.store import SessionStore
from tests.deployments import DEPLOYMENTS, Deployment, deployment

_namespaces = count()


@pytest.fixture(scope="session", params=DEPLOYMENTS)
def running(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    with deployment(request.param) as started:
        yield started


@pytest.fixture
async def store(running: Deployment) -> AsyncIterator[SessionStore]:
    """A store whose namespace no other test uses."""
    async with SessionStore.open(running.url, namespace=f"test{next(_namespaces)}", timeout_s=10.0) as opened:
        yield opened
