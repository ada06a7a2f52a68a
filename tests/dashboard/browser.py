"""A real Chromium, as the system has it, and pages of it that note what they ask for and what goes wrong in them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EXPECTED = "Failed to load resource"
"""What the browser itself says of a refused or lost request, which the page handles."""

Scheme = Literal["light", "dark"]


class NoBrowser(RuntimeError):
    """There is no Chromium on the PATH."""


@dataclass
class Noted:
    """What a page asked for, and what it complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
            self.complaints.append(message.text)

    def elsewhere(self, origin: str) -> list[str]:
        """Requests that left the service; pictures that the page itself holds are none."""
        return [url for url in self.requests if not url.startswith((f"{origin}/", "data:"))]


def guard(route: Route) -> None:
    """What a service with keys answers, given to every call of the page that has none; the rest is the real one."""
    if route.request.headers.get("authorization") == "Bearer secret":
        route.continue_()
        return
    problem = {"type": "/problems/unauthenticated", "title": "Key needed", "detail": "send a key"}
    route.fulfill(status=401, json=problem, content_type="application/problem+json")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Raises NoBrowser."""
    path = shutil.which("chromium")
    if path is None:
        raise NoBrowser("chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, url: str, *, scheme: Scheme = "light", width: int = 1200) -> Iterator[tuple[Page, Noted]]:
    """A page of a fresh profile, at `url` whatever it is then told to show; a script fault of it is a complaint."""
    noted = Noted()
    context = browser.new_context(
        base_url=url, color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.on("request", noted.asked)
    page.on("console", noted.said)
    page.on("pageerror", lambda error: noted.complaints.append(str(error)))
    try:
        yield page, noted
    finally:
        context.close()
