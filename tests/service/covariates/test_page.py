"""The page about covariates is true of a service that has such a model."""

from pathlib import Path

from tests.docs.page import run
from tests.service.conftest import Service


def test_the_page_about_covariates_is_true(service: Service, tmp_path: Path) -> None:
    places = {"localhost:8000": service.url.removeprefix("http://")}
    run("how-to/give-covariates.md", tmp_path, places, HIDDENSTATE_URL=service.url)
