"""What is written in the tree holds for every reader: no paths of one machine, no loose ends."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|mnt)/\w")
LOOSE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|pytest\.(?:skip|xfail)\(|mark\.(?:skip|xfail)")


def texts() -> dict[str, str]:
    """Every text file that belongs to the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for name in listed:
        path = ROOT / name
        raw = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in raw[:4096]:
            found[name] = raw.decode("utf-8")
    return found


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name != "tests/repository/test_text.py"
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_path_belongs_to_one_machine() -> None:
    assert matches(MACHINE) == []


def test_there_are_no_loose_ends() -> None:
    assert matches(LOOSE) == []
