"""A page of the documentation, run as its reader would: all its `sh` blocks in order, in one shell.

Where a `json` block follows an `sh` block, it shows a part of what was answered last: members may be left out and
numbers are rounded, but what is there must be there.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hiddenstate.command import environment

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:(?:(?!```)[^\n]*\n)*?```json\n(.*?)^```\n)?", re.M | re.S)
END = "--- end of block"
REFUSED = '{"type":"/problems/'
"""A problem document begins so."""


@dataclass(frozen=True)
class Block:
    commands: str
    shown: Any
    """The part of the answer that the page shows, None if none."""


def blocks(page: str) -> list[Block]:
    """The page's `sh` blocks."""
    text = (DOCS / page).read_text()
    return [Block(commands, json.loads(shown) if shown else None) for commands, shown in BLOCK.findall(text)]


def run(page: str, folder: Path, replacements: dict[str, str], **variables: str) -> list[str]:
    """Run the page and compare what it shows; returns what each block printed.

    Args:
        folder: the shell starts there; files that the page expects are in it.
        replacements: addresses of the page, by those that the test has in their place.
        variables: of the environment.
    """
    run = blocks(page)
    assert run, f"{page} has no sh block"
    lines = [f"{block.commands}\n(exit $?) || exit 1\necho; echo '{END}'" for block in run]
    script = "\n".join(["set -e", "trap 'code=$?; kill $(jobs -p) 2>/dev/null || true; wait; exit $code' EXIT", *lines])
    written = "|".join(map(re.escape, sorted(replacements, key=len, reverse=True)))
    if written:
        script = re.sub(written, lambda found: replacements[found[0]], script)
    (folder / ".curlrc").write_text('silent\nshow-error\nwrite-out = "\\n"\n')  # each answer on a line of its own
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**environment(), "PATH": path, "CURL_HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    printed = done.stdout.split(END)[:-1]
    assert done.returncode == 0, f"{page}, block {len(printed) + 1}, failed:\n{done.stdout}\n{done.stderr}"
    for block, output in zip(run, printed, strict=True):
        place = f"{page}:\n{block.commands}\nprinted:\n{output}\nErrors and logs of all blocks:\n{done.stderr}"
        _assert_true(block, output.strip().splitlines(), place)
    return printed


def _assert_true(block: Block, lines: Sequence[str], place: str) -> None:
    """What the page shows is in the last answer; no other is a refusal."""
    if block.shown is not None:
        *lines, last = lines
        _assert_within(block.shown, json.loads(last), place)
    assert not any(REFUSED in line for line in lines), place


def _assert_within(shown: Any, given: Any, place: str) -> None:  # noqa: ANN401 - JSON
    if isinstance(shown, dict):
        for key, member in shown.items():
            assert key in given, f"{place} has no {key}: {given}"
            _assert_within(member, given[key], f"{place}/{key}")
    elif isinstance(shown, list):
        assert len(shown) == len(given), f"{place}: {given}"
        for index, (one, other) in enumerate(zip(shown, given, strict=True)):
            _assert_within(one, other, f"{place}/{index}")
    elif isinstance(shown, float):
        assert given == pytest.approx(shown, rel=0.01), place
    else:
        assert given == shown, place
