"""Requests made up from the OpenAPI description of a running service: every answer is one that it describes.

    python -m tests.faults.described --examples 200 --seed 1
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.processes import service

HERE = Path(__file__).parent


def check(port: int, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """All checks of schemathesis, with so many examples of each call."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--max-examples", str(examples)]
    command += ["--seed", str(seed), "--no-color", "--warnings", "off", "--continue-on-failure"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.faults.hooks", "PYTHONPATH": str(HERE.parents[1])}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hs-described-") as folder, service(Path(folder)) as running:
        asyncio.run(running.until_ready())
        done = check(running.port, given.examples, given.seed)
    print(done.stdout + done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
