"""A real service, started by the real command, with its own embedded store."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hiddenstate import Client
from tests.hiddenstate.command import COMMAND, environment


@dataclass(frozen=True)
class Running:
    url: str
    data_dir: Path
    greeting: list[str]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service on a free port; stopped as Ctrl-C stops it."""
    data_dir = tmp_path_factory.mktemp("data")
    arguments = [*COMMAND, "serve", "--port", "0", "--data-dir", str(data_dir / "store")]
    log = data_dir / "service.log"
    with (
        log.open("w") as messages,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=messages, text=True, env=environment()) as process,
    ):
        try:
            greeting = _greeting(process)
            found = re.search(r"url +(\S+)", "\n".join(greeting))
            assert found, log.read_text()
            yield Running(found[1], data_dir / "store", greeting)
        finally:
            process.terminate()
            code = process.wait(timeout=120)
    assert code == 0, log.read_text()


@pytest.fixture
def client(service: Running) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def _greeting(process: subprocess.Popen[str]) -> list[str]:
    """What the command prints up to its last line, the copyable one."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.lstrip().startswith("try"):
            break
    return lines
