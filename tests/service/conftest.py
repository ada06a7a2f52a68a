"""A running service for the tests: a real server over a real embedded store, with a small model nobody trained."""

import asyncio
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from models.artifacts import artifact
from models.artifacts.artifact import SHIPPED, Description, publish
from models.mixture import Mixture, MixtureConfig
from service.app import create_app
from service.sessions.registry import LoadedModel, Registry
from service.settings import Settings
from service.storage.embedded import EmbeddedStore
from service.storage.store import SessionStore
from service.supervisor import GracefulServer, Stop, configured
from tests.shared import made_once

PATIENT = {"deadline_s": 60.0, "store_timeout_s": 30.0}
"""Limits that a busy machine does not reach; a test of one sets its own."""


@dataclass(frozen=True)
class Service:
    """A server that answers at `url`."""

    url: str
    registry: Registry
    store_url: str


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model tiny, random weights, in two versions that differ in nothing else."""
    return made_once(tmp_path_factory, "tiny", _publish_tiny)


def _publish_tiny(root: Path) -> None:
    import torch

    torch.manual_seed(1)
    module = Mixture(MixtureConfig(hidden=8))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    description = Description(name="tiny", version=1, freqs=("D",), warm_up=28, card="Random weights.")
    copy_as_version(publish(module, description, root), 2)


def copy_as_version(folder: Path, version: int) -> None:
    """Publish the same model once more; exporting it again would take ten seconds."""
    copy = folder.with_name(str(version))
    shutil.copytree(folder, copy)
    config = json.loads((copy / "model.json").read_text())
    del config["fingerprint"]
    config["version"] = version
    config["fingerprint"] = f"sha256:{artifact._fingerprint(copy, config).hex()}"
    (copy / "model.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def registry(models_dir: Path) -> Registry:
    return Registry.load([models_dir], "tiny")


@pytest.fixture(scope="session")
def service(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as store, serving(registry, store.url) as running:
        yield running


@pytest.fixture
def api(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=60.0) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A session id that no other test uses."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", request.node.name[:80]) + os.urandom(4).hex()


@pytest.fixture(scope="module")
def noticing(service: Service) -> Iterator[httpx2.Client]:
    """A service whose default model is `daily@2`, which notices drift and values that are missing; `tiny` does not."""
    daily = SHIPPED / "daily" / "2"
    models = [*service.registry.models, LoadedModel(artifact.load(daily), daily)]
    with (
        serving(Registry(models, "daily"), service.store_url, default_model="daily") as running,
        httpx2.Client(base_url=running.url, timeout=60.0) as client,
    ):
        yield client


@contextmanager
def serving(registry: Registry, store_url: str, **changed: object) -> Iterator[Service]:
    """A server on a thread of its own."""
    settings = Settings.model_validate({"default_model": "tiny", "port": 0, **PATIENT, **changed})
    connection = SessionStore.open(store_url, timeout_s=settings.store_timeout_s, demand=settings.demand)
    app = create_app(settings, connection, registry, clock=loop_time, randomness=os.urandom)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = GracefulServer(configured(settings, app), lambda: None, Stop())
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.01)
            yield Service(f"http://127.0.0.1:{listening.getsockname()[1]}", registry, store_url)
        finally:
            server.should_exit = True
            thread.join()


def loop_time() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture(scope="session")
def second(service: Service) -> Iterator[Service]:
    """Another service over the same store."""
    with serving(service.registry, service.store_url) as running:
        yield running
