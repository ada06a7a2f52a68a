"""Runs the real `hiddenstate` command as a process, as a user would."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "hiddenstate"]
PATIENT = {"HIDDENSTATE_DEADLINE_S": "60", "HIDDENSTATE_STORE_TIMEOUT_S": "30"}
"""Limits that a busy machine does not reach."""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What a user sees of a mistake."""
        return (self.out + self.err).splitlines()


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without our own settings but those of PATIENT, plus `variables`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HIDDENSTATE_")}
    return clean | PATIENT | variables


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> Result:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd, env=environment(**variables)
    )
    return Result(done.returncode, done.stdout, done.stderr)
