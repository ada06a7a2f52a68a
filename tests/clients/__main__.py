"""Other people's clients, unmodified, against a running service (`make clients`).

They come into an environment of their own, as they want other versions of what this project uses too.
"""

import asyncio
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.faults.processes import service

HERE = Path(__file__).parent
NEEDED = ("nixtla==0.9.0", "polars")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hs-clients-") as temporary:
        folder = Path(temporary)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED], check=True)
        with service(folder) as running:
            asyncio.run(running.until_ready())
            command = [python, str(HERE / "nixtla_client.py"), f"http://127.0.0.1:{running.port}"]
            sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
