"""What a scrape says, as numbers by name and labels."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """One answer of /metrics, read by the parser of the client library."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        self.values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(self.values) == len(samples), "a sample is told twice"

    def value(self, name: str, **labels: str) -> float:
        """0 = it is not told."""
        return self.values.get((f"hiddenstate_{name}", frozenset(labels.items())), 0.0)

    def sum(self, name: str) -> float:
        """Over all labels."""
        return sum(value for (found, _), value in self.values.items() if found == f"hiddenstate_{name}")

    def outcomes(self) -> dict[str, float]:
        """Observations by what became of them."""
        names = ("applied", "replayed", "corrected", "imputed", "refused")
        return {name: self.value("observations_total", outcome=name) for name in names}


def scraped(url: str) -> Scrape:
    """Ask over a connection of its own, so that of several workers any may answer."""
    answer = httpx2.get(f"{url}/metrics", timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Scrape(answer.text)
