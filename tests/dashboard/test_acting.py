"""What can be done from the page: create, observe, correct, reset; and what is said where the service refuses."""


import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.browser import guard
from tests.service.calls import history, post, wait_until
from tests.service.days import observation, value


def test_an_observation_is_posted_at_the_time_that_is_suggested(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.get_by_label("Time", exact=True)).to_have_value("2026-02-10")
    page.get_by_label("Value", exact=True).fill("121.5")
    page.get_by_role("button", name="Post observation").click()
    expect(page.locator(".notice")).to_contain_text(f"Step 41 of {daily} is folded.")
    expect(page.get_by_label("Time", exact=True)).to_have_value("2026-02-11")
    expect(page.get_by_label("Value", exact=True)).to_have_value("")
    assert history(api, daily)[-1]["value"] == 121.5
    expect(page.locator(".readout").first).to_contain_text("2026-02-10  \u00b7  observed 121.5")


def test_a_missing_one_is_posted_without_a_value(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_label("Missing", exact=True).check()
    page.get_by_role("button", name="Post observation").click()
    expect(page.locator(".notice")).to_contain_text("Step 41")
    assert history(api, daily)[-1]["value"] is None


def test_posting_sends_an_idempotency_key_and_the_same_one_for_the_same_observation(page: Page, daily: str) -> None:
    keys: list[str] = []

    def drop_first(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.abort()
        else:
            route.continue_()

    page.route("**/observations", drop_first)
    page.goto(f"/#/sessions/{daily}")
    page.get_by_label("Value", exact=True).fill("1")
    page.get_by_role("button", name="Post observation").click()
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer.")
    page.get_by_role("button", name="Post observation").click()
    expect(page.locator(".notice")).to_contain_text("Step 41")
    page.get_by_label("Value", exact=True).fill("1")
    page.get_by_role("button", name="Post observation").click()
    expect(page.locator(".notice").last).to_contain_text("Step 42")
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 32


def test_a_refused_observation_shows_the_problem_and_its_page(page: Page, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_label("Time", exact=True).fill("2026-02-01")
    page.get_by_label("Value", exact=True).fill("5")
    page.get_by_role("button", name="Post observation").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(f"session {daily} already holds 2026-02-09; correct it with PATCH")
    expect(alert.get_by_role("link")).to_have_attribute("href", "/problems/out-of-order")


def test_faults_are_listed_with_where_they_are(page: Page, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_label("Time", exact=True).fill("tomorrow")
    page.get_by_label("Value", exact=True).fill("5")
    page.get_by_role("button", name="Post observation").click()
    expect(page.get_by_role("alert").locator("li")).to_contain_text("/timestamp")


def test_an_observation_is_corrected(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_role("button", name="Correct\u2026").click()
    dialog = page.get_by_role("dialog", name="Correct an observation")
    expect(dialog.get_by_label("Right value")).to_have_value(str(value(40)))
    dialog.get_by_label("Observation").select_option("2026-02-08")
    dialog.get_by_label("Right value").fill("130")
    dialog.get_by_role("button", name="Correct").click()
    expect(page.locator(".notice")).to_contain_text(f"2026-02-08 of {daily} is corrected.")
    corrected = history(api, daily)[-2]
    assert (corrected["value"], corrected["original"]) == (130.0, value(39))
    region = page.get_by_role("region", name="Forecasts", exact=True)
    region.get_by_role("button", name="Table").click()
    expect(region.get_by_role("row").filter(has_text="2026-02-08")).to_contain_text(f"130 (was {value(39):.4g})")


def test_a_row_of_the_table_is_corrected(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_role("region", name="Forecasts", exact=True).get_by_role("button", name="Table").click()
    page.get_by_role("button", name="Correct 2026-02-07").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Observation")).to_have_value("2026-02-07")
    dialog.get_by_label("It is missing").check()
    dialog.get_by_role("button", name="Correct").click()
    wait_until(lambda: history(api, daily)[-3]["value"] is None)


def test_a_session_is_reset_after_it_was_confirmed(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    page.get_by_role("button", name="Reset\u2026").click()
    dialog = page.get_by_role("dialog", name=f"Reset {daily}?")
    expect(dialog).to_contain_text("It forgets its 40 observations")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 40
    page.get_by_role("button", name="Reset\u2026").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(page.get_by_text("Nothing is observed yet.")).to_be_visible()
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 0


def test_a_session_is_created_with_its_history(page: Page, api: httpx2.Client, name: str) -> None:
    page.goto("/")
    page.get_by_role("button", name="New session\u2026").first.click()
    dialog = page.get_by_role("dialog", name="New session")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Frequency").fill("D")
    dialog.get_by_label("Forecasts not below").fill("0")
    dialog.get_by_label("History").fill("2026-11-20, 119\n2026-11-21,\n2026-11-22, 121.5")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    session = api.get(f"/v1/sessions/{name}").json()
    assert (session["step"], session["freq"], session["minimum"], session["last"]) == (3, "D", 0, "2026-11-22")
    assert [record["value"] for record in history(api, name)] == [119.0, None, 121.5]


@pytest.mark.parametrize(
    ("lines", "said"),
    [("2026-11-20, many", "is no observation: write the time"), ("2026-11-20, 1\n2026-11-20, 2", "2026-11-20")],
)
def test_a_history_that_cannot_be_read_is_refused_in_the_dialog(
    page: Page, api: httpx2.Client, name: str, lines: str, said: str
) -> None:
    page.goto("/")
    page.get_by_role("button", name="New session\u2026").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("History").fill(lines)
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text(said)
    assert api.get(f"/v1/sessions/{name}").status_code == 404


def test_a_session_that_requires_if_match_is_written_with_its_etag(page: Page, api: httpx2.Client, daily: str) -> None:
    api.patch(f"/v1/sessions/{daily}", json={"require_if_match": True})
    page.goto(f"/#/sessions/{daily}")
    page.get_by_label("Value", exact=True).fill("100")
    page.get_by_role("button", name="Post observation").click()
    expect(page.locator(".notice")).to_contain_text("Step 41")


def test_the_key_that_a_service_asks_for_is_entered_once_and_sent_with_every_call(page: Page, daily: str) -> None:
    page.route("**/v1/**", guard)
    page.goto("/")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not know this key.")
    page.get_by_label("Key").fill("secret")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("row").filter(has_text=daily)).to_be_visible()
    page.reload()
    expect(page.get_by_role("row").filter(has_text=daily)).to_be_visible()
    page.get_by_role("button", name="Forget key").click()
    expect(page.get_by_label("Key")).to_be_visible()


def test_what_others_post_meanwhile_moves_the_suggestion_on(page: Page, api: httpx2.Client, daily: str) -> None:
    page.goto(f"/#/sessions/{daily}")
    expect(page.get_by_label("Time", exact=True)).to_have_value("2026-02-10")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    post(api, daily, observation(41))
    expect(page.get_by_label("Time", exact=True)).to_have_value("2026-02-11")
