"""What the dashboard weighs, how late it is, and how long a newcomer waits for a moving chart.

    python -m tests.dashboard.figures --observations 100
"""

import argparse
import gzip
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, expect

from service.wire.assets import assets
from tests.dashboard.browser import chromium, page_of
from tests.hiddenstate.command import COMMAND, environment
from tests.service.calls import post
from tests.service.days import observation, series
from tests.service.processes import process

PAUSE_S = 0.1
UNTIL_STEPS = """(shown) => new Promise((resolve) => {
  const isShown = () => document.querySelector(".tile:nth-child(3) dd")?.textContent === shown;
  const look = () => (isShown() ? resolve() : requestAnimationFrame(look));
  look();
})"""
"""Until the page says that so many steps are folded; the page's policy forbids what Playwright waits with."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=100)
    given = parser.parse_args(arguments)
    print(f"page: {sum(len(gzip.compress(asset.plain)) for asset in assets().values()) / 1000:.1f} kB, compressed")
    with chromium() as browser:
        with tempfile.TemporaryDirectory() as folder:
            _live(browser, Path(folder), given.observations)
        with tempfile.TemporaryDirectory() as folder:
            _newcomer(browser, Path(folder))
    return 0


def _live(browser: Browser, folder: Path, count: int) -> None:
    """From the moment before an observation is posted elsewhere until the page shows it."""
    with (
        process(folder / "models", folder, default_model="daily") as service,
        httpx2.Client(base_url=service.url) as api,
        page_of(browser, service.url) as (page, noted),
    ):
        api.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 40)})
        page.goto("/#/sessions/a")
        expect(page.locator("#connection")).to_have_text("Live")
        delays = [_delay(page, api, number) for number in range(41, 41 + count)]
        shown = ", ".join(f"{name} {1000 * delay:.0f} ms" for name, delay in _summary(delays).items())
        print(f"live: {shown}")
        print(f"requests: {len(noted.requests)}, of them {len(noted.elsewhere(service.url))} to other origins")


def _delay(page: Page, api: httpx2.Client, number: int) -> float:
    time.sleep(PAUSE_S)
    began = time.perf_counter()
    post(api, "a", observation(number)).raise_for_status()
    page.evaluate(UNTIL_STEPS, f"{number:,}")
    return time.perf_counter() - began


def _summary(delays: Sequence[float]) -> dict[str, float]:
    ordered = sorted(delays)
    last = ordered[min(round(0.99 * len(ordered)), len(ordered) - 1)]
    return {"median": statistics.median(ordered), "p99": last, "most": ordered[-1]}


def _newcomer(browser: Browser, folder: Path) -> None:
    """From the command on: the page is opened when it says where it is, and the replay is started by its button."""
    began = time.perf_counter()
    command = [*COMMAND, "serve", "--port", "0", "--data-dir", str(folder / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as serving:
        try:
            assert serving.stdout is not None
            url = next(found[1] for line in serving.stdout if (found := re.search(r"url +(\S+)", line)))
            ready = time.perf_counter() - began
            with page_of(browser, url) as (page, _):
                page.goto("/")
                page.get_by_role("button", name="Replay real weather").click()
                page.evaluate(UNTIL_STEPS, "1,343")
            print(f"newcomer: ready after {ready:.1f} s, a moving chart after {time.perf_counter() - began:.1f} s")
        finally:
            serving.terminate()


if __name__ == "__main__":
    sys.exit(main())
