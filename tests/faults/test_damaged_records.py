"""Damaged records under the real service; 100,000 of them by `python -m tests.faults.damaged_records`."""

from pathlib import Path

from service.app import roots
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.embedded import EmbeddedStore
from tests.faults.damaged_records import run


async def test_damaged_records_are_refused_by_name_or_do_not_matter_and_harm_no_neighbour(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        findings = await run(1000, 1, Registry.load(roots(Settings()), "daily"), store.url)
    assert not findings.wrong, str(findings)
    refused = {line.split()[-1] for line in findings.counts}
    assert {"answered", "record-damaged", "model-mismatch"} <= refused
