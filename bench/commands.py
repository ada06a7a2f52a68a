"""Benchmarks that are commands of their own, run as parts of the whole."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable


def lines_of(module: str, *arguments: str, note: Callable[[str], None]) -> list[str]:
    """What a benchmark prints, line by line as it comes. Raises RuntimeError: it failed."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line.rstrip())
            note(lines[-1])
    if running.returncode:
        raise RuntimeError(f"{module} failed:\n" + "\n".join(lines[-20:]))
    return lines


def found(lines: list[str], pattern: str) -> float:
    """The number that a pattern's one group matches. Raises RuntimeError: it does not occur."""
    match = next((match for line in lines if (match := re.search(pattern, line))), None)
    if match is None:
        raise RuntimeError(f"nothing that reads {pattern!r} in:\n" + "\n".join(lines))
    return float(match[1])


def totals(lines: list[str]) -> list[str]:
    """Markdown of what was printed after the rounds."""
    return ["```text", *(line for line in lines if not line.startswith("round ")), "```"]
