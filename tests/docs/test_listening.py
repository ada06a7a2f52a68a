"""The Python of the page about events runs, against a service in which something happens."""

import threading
from pathlib import Path
from typing import NoReturn

import pytest

from hiddenstate import Client
from tests.docs.page import DOCS
from tests.hiddenstate.conftest import Running

EVENTS, STREAM = [
    part.split("```")[0] for part in (DOCS / "how-to/listen-to-events.md").read_text().split("```python\n")[1:]
]


class Enough(Exception):
    """What was to be seen was seen."""


def test_the_client_is_told_of_an_observation(service: Running) -> None:
    stop = threading.Event()
    seen: list[tuple[object, ...]] = []

    def feed() -> None:
        with Client(service.url) as client:
            while not stop.wait(0.05):
                client.observe("till-9", 1, create=True)

    def shown(*said: object) -> NoReturn:
        seen.append(said)
        raise Enough

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        with pytest.raises(Enough):
            run(EVENTS, service, print=shown)
    finally:
        stop.set()
        feeding.join()
    assert seen[0][0] == "till-9"


def test_each_line_of_a_stream_has_its_outcome(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    run(STREAM, service)
    assert [line.count('"step":') for line in capsys.readouterr().out.splitlines()] == [1, 1, 1]


def run(example: str, service: Running, **names: object) -> None:
    there = example.replace("localhost:8000", service.url.removeprefix("http://"))
    exec(compile(there, str(Path("docs/how-to/listen-to-events.md")), "exec"), dict(names))
