"""What holds for every test."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

TESTS = Path(__file__).parent
LONGEST = [
    TESTS / name
    for name in (
        "models/test_law.py",
        "bench/test_everything.py",
        "faults/test_kills.py",
        "docs/test_pages.py",
        "simulation/test_seeds.py",
        "models/test_fold.py",
        "simulation/test_mutants.py",
        "faults/test_client.py",
        "faults/test_failover.py",
        "service/api/test_supervisor.py",
        "hiddenstate/test_modelling.py",
        "hiddenstate/test_push.py",
    )
]
"""Files of a minute or more, the longest first. A file is run by one process, so none of them may come last."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path) if item.path in LONGEST else len(LONGEST))
