"""docs/client.md: every example runs, in order, against a real service."""

from pathlib import Path

import pytest

from hiddenstate import Client
from tests.hiddenstate.conftest import Running

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
EXAMPLES = [part.split("```")[0] for part in PAGE.split("```python\n")[1:]]


def test_the_examples_run(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    for example in EXAMPLES:
        exec(compile(example.replace("http://127.0.0.1:8000", service.url), "docs/client.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "tutorial after step 21\n  2026-11-22: " in printed
    assert "unique_id" in printed
    assert "/problems/session-not-found" in printed
    assert "/observations/0/timestamp" in printed
    with Client(service.url) as client:
        assert [client.session(f"tutorial-{number}").step for number in range(3)] == [2, 2, 2]
