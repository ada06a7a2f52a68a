"""The page moves on by itself: with what others post, after the service was away, and where something was missed."""

import httpx2
from playwright.sync_api import Page, expect

from tests.service.calls import correct, post
from tests.service.days import observation
from tests.service.processes import ServiceProcess


def test_an_observation_that_is_posted_elsewhere_is_shown(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    advance = post(api, daily, observation(41, value=117.25)).json()
    expect(page.locator(".readout").first).to_contain_text("2026-02-10  \u00b7  observed 117.3")
    tile = page.locator(".tile").filter(has_text="Next")
    expect(tile).to_contain_text(f"{advance['forecast']['value']:.4g}")
    assert page.get_by_role("region", name="Forecasts", exact=True).locator("canvas").is_visible()


def test_many_at_once_end_with_the_last(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    for number in range(41, 101):
        post(api, daily, observation(number))
    expect(page.locator(".tile").filter(has_text="Steps folded").locator("dd").first).to_have_text("100")
    region = page.get_by_role("region", name="Forecasts", exact=True)
    region.get_by_role("button", name="Table").click()
    expect(region.get_by_role("row")).to_have_count(1 + 64 + 14)
    recent = api.get(f"/v1/sessions/{daily}").json()["scores"]["recent"]
    expect(page.locator(".tile").filter(has_text="Absolute error")).to_contain_text(f"{recent['mae']:.4g}")


def test_corrections_resets_and_deletions_elsewhere_are_shown(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    correct(api, daily, "2026-02-09", 99.5)
    expect(page.locator(".readout").first).to_contain_text("observed 99.5")
    api.post(f"/v1/sessions/{daily}:reset")
    expect(page.get_by_text("Nothing is observed yet.")).to_be_visible()
    api.delete(f"/v1/sessions/{daily}")
    expect(page.get_by_role("alert")).to_contain_text(f"no session {daily}")


def test_the_list_moves_on_and_new_sessions_appear(page: Page, api: httpx2.Client, daily: str, name: str) -> None:
    page.goto("/#/sessions?prefix=" + name[:100])
    row = page.get_by_role("row").filter(has_text=daily)
    expect(row).to_contain_text("2026-02-09")
    expect(page.locator("#connection")).to_have_text("Live")
    post(api, daily, observation(41))
    expect(row).to_contain_text("2026-02-10")
    api.put(f"/v1/sessions/{daily}.new", json={"freq": "D"})
    expect(page.get_by_role("link", name=f"{daily}.new")).to_be_visible()


def test_after_a_restart_of_the_service_the_page_is_live_again(
    page: Page, api: httpx2.Client, service: ServiceProcess, daily: str
) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    assert service.stop() == 0
    expect(page.locator("#connection")).to_have_text("Disconnected, trying again")
    expect(page.get_by_role("heading", level=1)).to_have_text(daily)
    service.start()
    with httpx2.Client(base_url=service.url, timeout=60.0) as client:
        post(client, daily, observation(41, value=111.5))
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator(".readout").first).to_contain_text("2026-02-10  \u00b7  observed 111.5")
        post(client, daily, observation(42, value=112.5))
        expect(page.locator(".readout").first).to_contain_text("2026-02-11  \u00b7  observed 112.5")


def test_a_page_has_one_stream_whatever_it_shows(page: Page, api: httpx2.Client, daily: str) -> None:
    streams: list[str] = []
    ended: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/v1/events" in request.url else None)
    page.on("requestfailed", lambda request: ended.append(request.url) if "/v1/events" in request.url else None)
    page.goto("/")
    for address in (f"/#/sessions/{daily}", "/#/models", "/#/health", "/#/sessions"):
        expect(page.locator("#connection")).to_have_text("Live")
        page.goto(address)
    expect(page.get_by_role("row").filter(has_text=daily)).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Live")
    assert len(streams) - len(ended) == 1


def test_a_tab_that_nobody_looks_at_gives_its_stream_back(page: Page, api: httpx2.Client, daily: str) -> None:
    look = "hidden => { Object.defineProperty(document, 'hidden', {configurable: true, value: hidden}); %s }"
    look %= "document.dispatchEvent(new Event('visibilitychange'));"
    page.clock.install()
    page.goto(f"/#/sessions/{daily}")
    expect(page.locator("#connection")).to_have_text("Live")
    page.evaluate(look, True)
    page.clock.fast_forward("01:01")
    expect(page.locator("#connection")).to_have_text("Paused while nobody looks")
    post(api, daily, observation(41, value=111.5))
    page.evaluate(look, False)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator(".readout").first).to_contain_text("2026-02-10  \u00b7  observed 111.5")
