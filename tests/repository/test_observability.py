"""Alert rules and dashboard: whole, told in the operations page, and about metrics that the service really gives."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.deployments import wait_for
from tests.service.conftest import Service, models_dir, registry, service
from tests.service.monitoring.scrapes import scraped

__all__ = ["models_dir", "registry", "service"]

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
METRIC = re.compile(r"\bhiddenstate_\w+")
LABELS = re.compile(r"(hiddenstate_\w+)\{([^}]*(?:\{session\}[^}]*)?)\}")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((OPS / "grafana" / "dashboards" / "hiddenstate.json").read_text())["panels"])


def expressions() -> list[str]:
    targets = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + targets


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def test_each_alert_says_what_it_is_and_has_a_cure_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.search(rf"^\| `{rule['alert']}`", page, re.M), rule["alert"]
    assert len(rules()) == len(set(re.findall(r"^\| `(Hiddenstate\w+)`", page, re.M))) == 8


def test_every_metric_of_the_operations_page_and_no_other_is_given(service: Service) -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2].partition("## Alerts")[0]
    rows = [cell for cell in re.findall(r"^\| (`.*?) \|", page, re.M)]
    told = {re.sub(r"\{.*", "", name) for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert told == {name.removeprefix("hiddenstate_") for name in given(service)}


def test_rules_and_dashboard_ask_for_metrics_that_are_given(service: Service) -> None:
    names = given(service)
    for expression in expressions():
        asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(expression)}
        assert asked or "up{" in expression
        assert asked <= names, expression


def test_rules_and_dashboard_ask_for_labels_that_are_given(service: Service) -> None:
    labels: dict[str, set[str]] = {name: set() for name in given(service)}
    for (name, found), _ in scraped(service.url).values.items():
        labels[re.sub(r"_(bucket|sum|count)$", "", name)] |= {label for label, _ in found}
    for expression in expressions():
        for name, chosen in LABELS.findall(expression):
            asked = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", chosen)) - {"job"}
            assert asked <= labels[re.sub(r"_(bucket|sum|count)$", "", name)], expression


def given(service: Service) -> set[str]:
    """Names of the metrics that a service gives which holds a session."""
    with httpx2.Client(base_url=service.url) as client:
        observations = [{"step": step, "value": step} for step in range(1, 40)]
        client.put("/v1/sessions/observed", json={"observations": observations})
        wait_for(lambda: scraped(service.url).sum("coverage") > 0, "the session's scores")
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in scraped(service.url).values}


def test_panels_neither_overlap_nor_share_an_id() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_the_profile_starts_pinned_images_over_files_that_are_here(name: str) -> None:
    found = compose()["services"][name]
    assert found["profiles"] == ["observability"]
    assert re.search(r":v?\d+\.\d+\.\d+$", found["image"])
    assert all(port.startswith("127.0.0.1:") for port in found["ports"])
    mounted = [volume.split(":")[0] for volume in found["volumes"] if volume.startswith("./")]
    assert mounted
    assert all((ROOT / path).is_dir() for path in mounted)


def test_grafana_finds_its_data_and_prometheus_its_rules_and_targets() -> None:
    scraping = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    assert all((OPS / "prometheus" / name).is_file() for name in scraping["rule_files"])
    [job] = scraping["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) <= set(compose()["services"])
    provisioning = OPS / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "hiddenstate.yml").read_text())["providers"]
    assert f"./ops/grafana/dashboards:{provider['options']['path']}:ro" in compose()["services"]["grafana"]["volumes"]
