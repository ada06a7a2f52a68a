"""Everything that is looked at, in the order in which one thing needs another. No service has to run, and one may."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from service.diagnosis.findings import Finding, ok, problem
from service.diagnosis.machine import examine_data_dir, examine_machine
from service.diagnosis.models import Models
from service.diagnosis.sessions import examine_sessions
from service.diagnosis.store import examine_store
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.embedded import DataDirectoryInUse, EmbeddedStore, EmbeddedStoreError, is_serving
from service.storage.store import SessionStore


def examine(settings: Settings, roots: list[Path]) -> Iterator[Finding]:
    """Each finding as it is made.

    Args:
        roots: the folders that models are loaded from.
    """
    yield from examine_machine(settings)
    models = Models(roots, settings.default_model)
    yield from models.examine()
    if settings.store_url is not None:
        yield from _of_store(settings, settings.store_url, models.registry)
    else:
        yield from _of_embedded(settings, models.registry)


def _of_embedded(settings: Settings, registry: Registry | None) -> Iterator[Finding]:
    """Of the store that a service would start, which is started for a moment where none runs."""
    folder = settings.data_dir.expanduser()
    findings = list(examine_data_dir(folder))
    yield from findings
    if any(finding.level == "problem" for finding in findings):
        return
    if not folder.exists():
        yield ok("store", "embedded, and nothing is in it yet: the first start of the service makes it")
        return
    with ExitStack() as stack:
        try:
            store = EmbeddedStore(folder)
            if is_serving(store.url):
                yield ok("store", "the embedded one runs, with its service")
            else:
                stack.enter_context(store)
                yield ok("store", "the embedded one starts, and is stopped again after this")
        except DataDirectoryInUse as error:
            yield problem("store", str(error), "stop that process, or choose another folder: HIDDENSTATE_DATA_DIR")
            return
        except EmbeddedStoreError as error:
            yield problem("store", str(error), "mend what it says; a folder of another server's files cannot be used")
            return
        yield from _of_store(settings, store.url, registry)


def _of_store(settings: Settings, url: str, registry: Registry | None) -> Iterator[Finding]:
    async def looked() -> list[Finding]:
        opened = SessionStore.open(
            url, namespace=settings.namespace, timeout_s=settings.store_timeout_s, demand=settings.demand
        )
        async with opened as store:
            answers, findings = await examine_store(store)
            if answers and registry is not None:
                findings += await examine_sessions(store, registry)
            return findings

    try:
        yield from asyncio.run(looked())
    except ValueError as error:
        yield problem("store", f"its address cannot be used: {error}", "mend HIDDENSTATE_STORE_URL")
