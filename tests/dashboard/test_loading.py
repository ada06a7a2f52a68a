"""The views as they come up: with something to show, with nothing, and with a fault."""

import re

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from tests.service.calls import wait_until
from tests.service.processes import ServiceProcess


def test_the_page_lists_the_sessions(page: Page, daily: str) -> None:
    page.goto("/")
    row = page.get_by_role("row").filter(has_text=daily)
    expect(row).to_contain_text("2026-02-09")
    expect(row).to_contain_text("daily@2")
    expect(page).to_have_title("Sessions \u00b7 hiddenstate")


def test_a_session_shows_its_charts_and_figures(page: Page, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.get_by_role("heading", level=1)).to_have_text(daily)
    for chart in ("Forecasts", "Residuals", "Running coverage"):
        expect(page.get_by_role("region", name=chart).locator("canvas")).to_be_visible()
    expect(page.locator(".tile").filter(has_text="Steps folded")).to_contain_text("40")


def test_each_chart_has_a_table_with_its_numbers(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    rows = {"Forecasts": 1 + 40 + 14, "Residuals": 1 + 39, "Running coverage": 1 + 35}
    for chart, count in rows.items():
        region = page.get_by_role("region", name=chart, exact=True)
        region.get_by_role("button", name="Table").click()
        expect(region.get_by_role("row")).to_have_count(count)
    last = api.get(f"/v1/sessions/{daily}/observations", params={"order_by": "step desc"}).json()["observations"][0]
    shown = page.get_by_role("region", name="Forecasts", exact=True).get_by_role("row").filter(has_text="2026-02-09")
    expect(shown).to_contain_text(f"{last['value']:.4g}")
    expect(shown).to_contain_text(f"{last['forecast']['value']:.4g}")


def test_the_latest_point_is_read_out_below_the_chart(page: Page, api: httpx2.Client, daily: str) -> None:
    last = api.get(f"/v1/sessions/{daily}/observations", params={"order_by": "step desc"}).json()["observations"][0]
    page.goto(f"/#/sessions/{daily}")
    readout = page.get_by_role("region", name="Forecasts", exact=True).locator(".readout")
    expect(readout).to_contain_text(f"2026-02-09  \u00b7  observed {last['value']:.4g}")


@pytest.mark.parametrize("freq", [None, "h"])
def test_sessions_that_count_steps_or_hours_are_shown_too(
    page: Page, api: httpx2.Client, name: str, freq: str | None
) -> None:
    settings = {} if freq is None else {"freq": freq, "timezone": "Europe/Berlin"}
    values = [{"value": 10.0 + number % 7} for number in range(30)]
    hours = [{**value, "timestamp": f"2026-03-28T{hour % 24:02}:00:00Z"} for hour, value in enumerate(values[:24])]
    api.put(f"/v1/sessions/{name}", json={**settings, "observations": values if freq is None else hours})
    page.goto(f"/#/sessions/{name}")
    expect(page.locator(".tile").filter(has_text="Steps folded")).to_contain_text("30" if freq is None else "24")
    expect(page.get_by_role("region", name="Forecasts", exact=True).locator("canvas")).to_be_visible()
    at = page.get_by_label("Step" if freq is None else "Time", exact=True)
    expect(at).to_have_value("31" if freq is None else "2026-03-29T01:00:00+01:00")


def test_without_sessions_the_page_offers_to_replay_real_weather(page: Page, nothing: None) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No sessions yet")).to_be_visible()
    page.get_by_role("button", name="Replay real weather").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("demo-seattle")
    steps = page.locator(".tile").filter(has_text="Steps folded").locator("dd").first
    for count in (1342, 1343):
        expect(steps).to_have_text(f"{count:,}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


def test_a_session_without_observations_says_what_to_do(page: Page, api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D"})
    page.goto(f"/#/sessions/{name}")
    expect(page.get_by_text("Nothing is observed yet. Post a first value below.")).to_be_visible()
    expect(page.get_by_role("button", name="Reset\u2026")).to_be_disabled()


def test_a_prefix_that_nothing_begins_with_says_so(page: Page, daily: str) -> None:
    page.goto("/")
    page.get_by_label("Name begins with").fill("nobody")
    expect(page.get_by_text("No session's name begins with nobody.")).to_be_visible()
    assert page.url.endswith("#/sessions?prefix=nobody&order=mase+desc")
    expect(page.get_by_label("Name begins with")).to_be_focused()


def test_sessions_are_paged_and_the_address_of_a_page_can_be_shared(page: Page, api: httpx2.Client, name: str) -> None:
    names = [f"{name[:80]}.{number:02}" for number in range(30)]
    for session in names:
        api.put(f"/v1/sessions/{session}", json={"freq": "D"})
    query = {"prefix": f"{name[:80]}."}
    wait_until(lambda: len(api.get("/v1/sessions", params=query).json()["sessions"]) == 30)
    page.goto(f"/#/sessions?prefix={name[:80]}.")
    links = page.get_by_role("row").get_by_role("link")
    expect(links).to_have_text(names[:25])
    page.get_by_role("button", name="Next page").click()
    expect(links).to_have_text(names[25:])
    page.reload()
    expect(links).to_have_text(names[25:])
    page.get_by_role("button", name="First page").click()
    expect(links).to_have_text(names[:25])


@pytest.mark.parametrize(("text", "first"), [("Longest without a commit first", "1"), ("Latest commit first", "2")])
def test_the_stalest_or_the_latest_come_first(
    page: Page, api: httpx2.Client, nothing: None, text: str, first: str
) -> None:
    for number in ("1", "2"):
        api.put(f"/v1/sessions/s.{number}", json={"freq": "D"})
        wait_until(lambda: api.get("/v1/sessions").json()["total_size"] == int(number))  # noqa: B023 - called at once
    page.goto("/")
    page.get_by_label("Order").select_option(text)
    expect(page.get_by_role("row").get_by_role("link").first).to_have_text(f"s.{first}")


def test_the_worst_come_first(page: Page, api: httpx2.Client, nothing: None) -> None:
    wild = [{"value": value} for value in [1.0, 1.0, 9.0] * 10]
    api.put("/v1/sessions/good", json={"observations": [{"value": float(number % 7)} for number in range(60)]})
    api.put("/v1/sessions/bad", json={"observations": wild})
    scores = [api.get(f"/v1/sessions/{name}").json()["scores"]["recent"]["mase"] for name in ("good", "bad")]
    worst = ["good", "bad"][scores[1] > scores[0]]
    page.goto("/")
    expect(page.get_by_role("row").get_by_role("link")).to_have_count(2)
    expect(page.get_by_role("row").get_by_role("link").first).to_have_text(worst)


def test_an_unknown_session_is_a_problem_with_a_page_that_says_what_to_do(page: Page, service: ServiceProcess) -> None:
    page.goto("/#/sessions/nobody")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("no session nobody: it was never created, was deleted, or expired")
    expect(alert.get_by_role("link")).to_have_attribute("href", "/problems/session-not-found")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_failure_is_shown_and_trying_again_loads_the_view(page: Page, daily: str) -> None:
    def fail(route: Route) -> None:
        route.abort()

    pattern = re.compile(r"/v1/models$")
    page.route(pattern, fail)
    page.goto("/#/models")
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer.")
    page.unroute(pattern)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name="daily@2")).to_be_visible()


def test_an_address_that_names_no_view_says_so(page: Page) -> None:
    page.goto("/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_a_model_shows_its_scores_its_provenance_and_its_training_curve(page: Page, api: httpx2.Client) -> None:
    model = api.get("/v1/models/daily@2").json()
    page.goto("/#/models")
    page.get_by_role("link", name="daily@2").click()
    expect(page.get_by_text(model["fingerprint"])).to_be_visible()
    curve = page.get_by_role("img", name="Training curve of daily@2")
    expect(curve).to_be_visible()
    assert curve.evaluate("picture => picture.naturalWidth") > 500
    scored = page.get_by_role("region", name="Scores, table").get_by_role("row").filter(has_text="daily@2")
    expect(scored).to_have_count(len(model["metrics"]))
    sources = page.get_by_role("region", name="Sources, table").get_by_role("row")
    expect(sources).to_have_count(1 + len(model["provenance"]["sources"]))
    expect(page.get_by_text("share 0.2, rate 0.5, synthetic 0.2, walks 0.05")).to_be_visible()


def test_health_shows_what_the_store_promises(page: Page) -> None:
    page.goto("/#/health")
    expect(page.get_by_role("region", name="Readiness")).to_contain_text("ready")
    expect(page.get_by_role("region", name="Store")).to_contain_text("local: on disk before each answer")
    expect(page.get_by_role("region", name="Service")).to_contain_text("0 of at most 8,192")
