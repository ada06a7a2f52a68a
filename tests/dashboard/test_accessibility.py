"""The page for everyone: axe finds nothing serious in either colour scheme, and the keyboard alone is enough."""

from typing import get_args

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import Scheme, guard, page_of
from tests.service.calls import history, post
from tests.service.days import observation
from tests.service.processes import ServiceProcess

SEVERE = ("serious", "critical")
ADDRESSES = ("/#/sessions", "/#/sessions/{daily}", "/#/sessions/nobody", "/#/models", "/#/models/daily@2", "/#/health")


def violations(page: Page, scheme: Scheme) -> list[str]:
    """What axe finds serious, with where it is. Schemes differ in colours only, so the dark one is judged by those."""
    options = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node.get('failureSummary', '')}"
        for violation in found
        if violation["impact"] in SEVERE
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_axe_finds_nothing_serious_in_any_view(
    browser: Browser, service: ServiceProcess, daily: str, scheme: Scheme
) -> None:
    with page_of(browser, service.url, scheme=scheme) as (page, _):
        for address in ADDRESSES:
            page.goto(address.format(daily=daily))
            expect(page.locator("main [role=status], main [aria-busy]")).to_have_count(0)
            assert violations(page, scheme) == [], address


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_axe_finds_nothing_serious_in_dialogs_tables_and_refusals(
    browser: Browser, service: ServiceProcess, daily: str, scheme: Scheme
) -> None:
    with page_of(browser, service.url, scheme=scheme, width=390) as (page, _):
        page.goto(f"/#/sessions/{daily}")
        for button in page.get_by_role("button", name="Table").all():
            button.click()
        page.get_by_label("Time", exact=True).fill("tomorrow")
        page.get_by_label("Value", exact=True).fill("5")
        page.get_by_role("button", name="Post observation").click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert violations(page, scheme) == []
        for action in ("Correct\u2026", "Reset\u2026"):
            page.get_by_role("button", name=action).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            assert violations(page, scheme) == []
            page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("width", [390, 1200])
def test_axe_finds_nothing_serious_where_a_session_is_created_or_a_key_is_entered(
    browser: Browser, service: ServiceProcess, daily: str, scheme: Scheme, width: int
) -> None:
    with page_of(browser, service.url, scheme=scheme, width=width) as (page, _):
        page.goto("/")
        page.get_by_role("button", name="New session\u2026").first.click()
        dialog = page.get_by_role("dialog", name="New session")
        expect(dialog).to_be_visible()
        assert violations(page, scheme) == []
        dialog.get_by_label("Name").fill(daily)
        dialog.get_by_label("History").fill("2026-11-20, many")
        dialog.get_by_role("button", name="Create").click()
        expect(dialog.get_by_role("alert")).to_be_visible()
        assert violations(page, scheme) == []
    with page_of(browser, service.url, scheme=scheme, width=width) as (page, _):
        page.route("**/v1/**", guard)
        page.goto("/")
        expect(page.get_by_label("Key")).to_be_visible()
        assert violations(page, scheme) == []
        page.get_by_label("Key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert violations(page, scheme) == []


def test_the_keyboard_alone_creates_a_session(page: Page, api: httpx2.Client, daily: str, name: str) -> None:
    created = f"{name}-new"
    page.goto("/")
    expect(page.get_by_role("link", name=daily)).to_be_visible()
    tab_to(page, "New session\u2026")
    press(page, "Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type(created)
    tab_to(page, "observations")
    page.keyboard.type("2026-11-20, 119")
    press(page, "Enter")  # a line more, and not yet the end
    page.keyboard.type("2026-11-21, 121.5")
    tab_to(page, "Create")
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(created)
    assert [record["value"] for record in history(api, created)] == [119.0, 121.5]
    page.goto("/#/sessions")
    tab_to(page, "New session\u2026")
    press(page, "Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.innerText") == "New session\u2026"


def test_the_keyboard_alone_enters_a_key(page: Page, daily: str) -> None:
    page.route("**/v1/**", guard)
    page.goto("/")
    expect(page.get_by_label("Key")).to_be_visible()
    tab_to(page, "key")
    page.keyboard.type("secret")
    press(page, "Enter")
    expect(page.get_by_role("row").filter(has_text=daily)).to_be_visible()


def test_the_two_schemes_differ_and_each_is_readable(browser: Browser, service: ServiceProcess) -> None:
    grounds = {}
    for scheme in get_args(Scheme):
        with page_of(browser, service.url, scheme=scheme) as (page, _):
            page.goto("/#/health")
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds["light"] != grounds["dark"]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, text: str) -> None:
    """Move the focus on by the Tab key until it stands on what says `text`."""
    for _ in range(60):
        press(page, "Tab")
        if page.evaluate("document.activeElement.innerText || document.activeElement.name") == text:
            return
    raise AssertionError(f"Tab never came to {text!r}")


def test_the_keyboard_alone_opens_a_session_posts_and_corrects(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions?prefix={daily}")
    expect(page.get_by_role("link", name=daily)).to_be_visible()
    tab_to(page, daily)
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(daily)
    tab_to(page, "value")
    page.keyboard.type("123")
    press(page, "Enter")
    expect(page.locator(".notice")).to_contain_text("Step 41")
    assert history(api, daily)[-1]["value"] == 123.0
    page.get_by_role("link", name="Sessions").first.focus()
    tab_to(page, "Correct\u2026")
    press(page, "Enter")
    expect(page.get_by_label("Right value")).to_be_focused()
    page.keyboard.type("124")
    press(page, "Enter")
    expect(page.get_by_text("is corrected.", exact=False).first).to_be_visible()
    assert history(api, daily)[-1]["value"] == 124.0
    assert page.evaluate("document.activeElement.innerText") == "Correct\u2026"


def test_the_skip_link_leads_past_the_navigation(page: Page) -> None:
    page.goto("/#/health")
    expect(page.get_by_role("region", name="Store")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.get_by_role("link", name="Skip to content").focus()
    press(page, "Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#/health")


def test_the_arrow_keys_read_the_values_of_a_chart(page: Page, api: httpx2.Client, daily: str) -> None:
    records = history(api, daily)
    page.goto(f"/#/sessions/{daily}")
    region = page.get_by_role("region", name="Forecasts", exact=True)
    region.locator(".chart").focus()
    press(page, "Home")
    expect(region.locator(".readout")).to_contain_text(f"2026-01-01  \u00b7  observed {records[0]['value']:.4g}")
    press(page, "ArrowRight")
    expect(region.locator(".readout")).to_contain_text(f"2026-01-02  \u00b7  observed {records[1]['value']:.4g}")
    press(page, "End")
    expect(region.locator(".readout")).to_contain_text("2026-02-23  \u00b7  forecast")


def test_the_focus_moves_into_a_new_view_and_its_title_is_said(page: Page) -> None:
    page.goto("/#/models")
    page.get_by_role("link", name="daily@2").click()
    expect(page.locator("#announcements")).to_have_text("daily@2")
    expect(page).to_have_title("daily@2 \u00b7 hiddenstate")
    expect(page.get_by_role("link", name="Models", exact=True).first).to_have_attribute("aria-current", "page")
    assert page.evaluate("document.activeElement.id") == "main"


def test_whoever_stands_in_a_table_stays_there_when_it_moves_on(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_role("region", name="Forecasts", exact=True).get_by_role("button", name="Table").click()
    button = page.get_by_role("button", name="Correct 2026-02-09")
    button.focus()
    post(api, daily, observation(41))
    expect(page.get_by_role("button", name="Correct 2026-02-10")).to_be_visible()
    expect(button).to_be_focused()
