"""A real service as a process of its own, and a real browser that shows its page.

The browser lasts for a file: while it runs, its event loop is that of the thread, where tests of other folders have
their own.
"""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import chromium, page_of
from tests.service.calls import wait_until
from tests.service.conftest import name as name  # a session id that no other test uses
from tests.service.days import series
from tests.service.processes import ServiceProcess, process

PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """With the shipped models and nothing else."""
    folder = tmp_path_factory.mktemp("dashboard")
    with process(folder / "models", folder, default_model="daily") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, service: ServiceProcess) -> Iterator[Page]:
    """A page that complains of nothing and asks nobody but the service."""
    with page_of(browser, service.url) as (page, noted):
        page.set_default_timeout(PATIENCE_MS)
        yield page
    assert noted.complaints == []
    assert noted.elsewhere(service.url) == []


@pytest.fixture
def api(service: ServiceProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=60.0) as client:
        yield client


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    """A daily session of 40 days."""
    created = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 40)})
    assert created.status_code == 201
    return name


@pytest.fixture
def nothing(api: httpx2.Client) -> None:
    """No session at all."""
    api.post("/v1/sessions:purge", json={"prefix": "", "force": True}).raise_for_status()
    wait_until(lambda: api.get("/v1/sessions").json()["total_size"] == 0)
