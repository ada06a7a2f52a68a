"""Every command of docs/ runs, and answers what the page shows."""

from pathlib import Path

import pytest

from models.artifacts.artifact import SHIPPED
from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from tests.deployments import deployment, free_port
from tests.docs.page import run
from tests.hiddenstate.conftest import Running
from tests.service.conftest import serving

ABOUT_A_SERVICE = (
    *("tutorial.md", "how-to/correct-a-value.md", "how-to/listen-to-events.md"),
    "how-to/forecast-a-history.md",
)


@pytest.mark.parametrize("page", ABOUT_A_SERVICE)
def test_a_page_about_a_running_service_is_true(page: str, service: Running, tmp_path: Path) -> None:
    run(page, tmp_path, {"localhost:8000": service.url.removeprefix("http://")}, HIDDENSTATE_URL=service.url)


def test_the_page_about_moving_sessions_is_true(service: Running, tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store") as store, serving(Registry.load([SHIPPED], "daily"), store.url) as other:
        running = {"localhost:8000": service.url, "localhost:8001": other.url}
        places = {written: url.removeprefix("http://") for written, url in running.items()}
        run("how-to/move-a-session.md", tmp_path, places, HIDDENSTATE_URL=service.url)


def test_the_page_about_training_is_true(tmp_path: Path) -> None:
    """With one update, which makes no good model: so it is published whatever it is worth."""
    train = "hiddenstate train sales.csv --from daily"
    short = f"{train} --updates 1 --chunks 1 --synthetic-series 20 --threads 1 --publish-anyway"
    places = {train: short, "8001": str(free_port())}
    run("how-to/train-your-own-model.md", tmp_path, places)
    assert (tmp_path / "trained" / "sales" / "1" / "report.html").exists()


def test_the_page_about_clusters_is_true(tmp_path: Path) -> None:
    with deployment("cluster") as cluster:
        named = "redis+cluster://127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003"
        places = {named: cluster.url, "8001": str(free_port()), "8002": str(free_port())}
        printed = run("how-to/run-on-a-cluster.md", tmp_path, places)
    assert len(printed) == 2
