"""Pictures of the dashboard for the documentation: a real service, real weather, the page as it is.

    python -m tests.dashboard.screenshots      writes docs/dashboard.png and docs/dashboard-dark.png
"""

import sys
import tempfile
from pathlib import Path
from typing import get_args

import httpx2
from playwright.sync_api import Browser, expect

from hiddenstate.demo.replay import seattle_weather
from tests.dashboard.browser import Scheme, chromium, page_of
from tests.service.processes import ROOT, process

SESSION = "seattle.high"
SHOWN_DAYS = 100
LATER_DAYS = 30
"""Of the year's end, which are left out: spring to autumn says more."""
WIDTH = 1200
MARGIN = 20
"""Pixels of the page that are shown below the chart."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with process(place / "models", place, default_model="daily") as service, chromium() as browser:
            _observe(service.url)
            for scheme in get_args(Scheme):
                path = ROOT / "docs" / ("dashboard.png" if scheme == "light" else f"dashboard-{scheme}.png")
                _draw(browser, service.url, scheme, path)
                print(path.relative_to(ROOT))
    return 0


def _observe(url: str) -> None:
    days = [{"timestamp": date, "value": value} for date, value in seattle_weather("temp_max")[:-LATER_DAYS]]
    with httpx2.Client(base_url=url, timeout=60.0) as api:
        settings = {"freq": "D", "history": SHOWN_DAYS, "timezone": "America/Los_Angeles", "observations": days}
        api.put(f"/v1/sessions/{SESSION}", json=settings).raise_for_status()


def _draw(browser: Browser, url: str, scheme: Scheme, path: Path) -> None:
    with page_of(browser, url, scheme=scheme, width=WIDTH) as (page, _):
        page.goto(f"/#/sessions/{SESSION}")
        expect(page.locator("#connection")).to_have_text("Live")
        chart = page.get_by_role("region", name="Forecasts", exact=True)
        expect(chart.locator("canvas")).to_be_visible()
        box = chart.bounding_box()
        assert box is not None, "the chart is not on the page"
        page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": box["y"] + box["height"] + MARGIN})


if __name__ == "__main__":
    sys.exit(main())
