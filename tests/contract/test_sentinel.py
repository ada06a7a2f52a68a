"""A primary that Sentinel has replaced: what it still holds is told to nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.record import Record
from service.storage.store import SessionStore
from tests.contract.test_commit import advanced, created, stored
from tests.deployments import wait_for
from tests.records import LAYOUT
from tests.replicated import Replicated, cut_off, sentinel_group


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    folder: Path = tmp_path_factory.mktemp("sentinel")
    with sentinel_group(folder / "servers") as started:
        yield started


async def test_a_primary_that_came_back_as_a_replica_is_not_read(group: Replicated) -> None:
    async with SessionStore.open(group.url) as idle, SessionStore.open(group.url) as busy:
        await created(idle, "a")
        [old] = group.primaries()
        old.kill()
        wait_for(lambda: group.replaced(old), "another primary")
        [new] = group.primaries()
        group.revive(old)
        wait_for(group.whole, "the old primary as a replica")
        cut_off(new)  # what it takes now, its replicas do not have
        await advanced(busy, "a", 1.0)
        assert Record.parse(await stored(idle, "a"), LAYOUT).step == 1
