"""The files of the page: what is answered, how much there is of it, and that it is what it was taken from."""

import gzip
import hashlib
import json
import tomllib

import httpx2
import pytest

from hiddenstate.demo.replay import seattle_weather
from service.wire.assets import FOLDER, assets
from tests.service.processes import ROOT

HEAVIEST_KB = 150
VENDOR = FOLDER / "vendor"


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{name}" for name in assets())])
def test_each_part_is_answered_compressed_with_its_type_and_a_strict_policy(api: httpx2.Client, path: str) -> None:
    answer = api.get(path, headers={"Accept-Encoding": "gzip"})
    asset = assets()[path.removeprefix("/dashboard/").removeprefix("/") or "index.html"]
    assert (answer.status_code, answer.content, answer.headers["content-encoding"]) == (200, asset.plain, "gzip")
    assert answer.headers["content-type"] == asset.media_type
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_part_that_is_known_is_not_sent_again(api: httpx2.Client) -> None:
    first = api.get("/", headers={"Accept-Encoding": "gzip"})
    again = api.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", ""])
def test_who_takes_no_gzip_gets_the_plain_bytes_under_another_etag(api: httpx2.Client, accepted: str) -> None:
    answer = api.get("/", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.content == (FOLDER / "index.html").read_bytes()
    assert answer.headers["etag"] != api.get("/", headers={"Accept-Encoding": "gzip"}).headers["etag"]


@pytest.mark.parametrize("path", ["nothing.js", "vendor/LICENSE", "../app.py", "%2e%2e/app.py"])
def test_nothing_else_is_answered(api: httpx2.Client, path: str) -> None:
    assert api.get(f"/dashboard/{path}").status_code == 404


def test_the_whole_page_weighs_at_most_150_kb() -> None:
    weight = sum(len(gzip.compress(asset.plain)) for asset in assets().values())
    assert weight <= HEAVIEST_KB * 1000


def test_what_comes_from_others_has_the_digests_that_are_recorded() -> None:
    recorded = json.loads((VENDOR / "package.json").read_text())["files"]
    assert {path.name for path in VENDOR.iterdir()} == {*recorded, "package.json"}
    for name, digest in recorded.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_the_series_of_the_replay_is_that_of_the_demo_command() -> None:
    shipped = json.loads((FOLDER / "demo.json").read_text())
    weather = seattle_weather("temp_max")
    assert (shipped["first"], shipped["values"]) == (weather[0][0], [value for _, value in weather])


def test_every_part_is_packaged() -> None:
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["service"]
    packaged = {path for pattern in globs for path in (ROOT / "service").glob(pattern)}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} <= packaged


def test_every_script_is_asked_for_at_once() -> None:
    page = (FOLDER / "index.html").read_text()
    scripts = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "scripts").rglob("*.js")}
    assert {name for name in scripts if f'"modulepreload" href="/dashboard/{name}"' not in page} == {"scripts/main.js"}


def test_no_part_names_an_address_elsewhere() -> None:
    ours = [path for path in FOLDER.rglob("*.*") if path.suffix != ".svg" and VENDOR not in path.parents]
    assert [path.name for path in ours if "://" in path.read_text()] == []


def test_the_docs_stay_where_they_were(api: httpx2.Client) -> None:
    assert api.get("/docs").status_code == 200


def test_the_curve_of_a_model_is_a_picture_and_of_none_is_404(api: httpx2.Client) -> None:
    answer = api.get("/v1/models/daily@2/curve")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == (ROOT / "models/shipped/daily/2/curve.png").read_bytes()
    assert api.get("/v1/models/nobody/curve").json()["type"] == "/problems/not-found"
