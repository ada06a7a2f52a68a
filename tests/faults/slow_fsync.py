"""A disk whose fsync is slow, for every server that is started meanwhile."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def slow_fsync(delay_ms: int) -> Iterator[None]:
    """Processes started in this block, and their own, wait that long in each fsync."""
    with tempfile.TemporaryDirectory(prefix="hs-fsync-") as folder:
        library = Path(folder) / "slow_fsync.so"
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True
        )
        os.environ |= {"LD_PRELOAD": str(library), "SLOW_FSYNC_MS": str(delay_ms)}
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"], os.environ["SLOW_FSYNC_MS"]
