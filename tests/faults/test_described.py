"""The description of the API against the service itself, in the short form."""

import asyncio
from pathlib import Path

from tests.faults.described import check
from tests.faults.processes import service


def test_every_answer_is_one_that_the_description_names(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        asyncio.run(running.until_ready())
        done = check(running.port, examples=5, seed=1)
    assert done.returncode == 0, done.stdout + done.stderr
