"""Takes what the dashboard has from others again: uPlot as its package holds it, and the series of the replay.

    python -m tests.dashboard.vendoring      needs npm

To take another version, change it in service/dashboard/vendor/package.json first.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from hiddenstate.demo.replay import seattle_weather
from service.wire.assets import FOLDER

VENDOR = FOLDER / "vendor"
TAKEN = {
    "LICENSE": "package/LICENSE",
    "uPlot.iife.min.js": "package/dist/uPlot.iife.min.js",
    "uPlot.min.css": "package/dist/uPlot.min.css",
}
SOURCE = "Daily highest temperature in Seattle, \u00b0C; NOAA, public domain; as the package vega_datasets carries it"


def main() -> int:
    described = json.loads((VENDOR / "package.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        package = _packed(f"uplot@{described['dependencies']['uplot']}", Path(folder))
        described["files"] = {name: _take(package, member, VENDOR / name) for name, member in TAKEN.items()}
    (VENDOR / "package.json").write_text(json.dumps(described, indent=2) + "\n")
    (FOLDER / "demo.json").write_text(_series())
    print("\n".join(f"{digest}  {name}" for name, digest in described["files"].items()))
    return 0


def _packed(package: str, folder: Path) -> Path:
    """The archive of a package, which npm has checked against the digest of the registry."""
    command = ["npm", "pack", package, "--json", "--pack-destination", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / str(json.loads(done.stdout)[0]["filename"])


def _take(archive: Path, member: str, path: Path) -> str:
    """Write one file of it; its SHA-256."""
    with tarfile.open(archive) as opened:
        found = opened.extractfile(member)
        assert found is not None, f"{member} is no file"
        content = found.read()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _series() -> str:
    weather = seattle_weather("temp_max")
    body = {"source": SOURCE, "first": weather[0][0], "values": [value for _, value in weather]}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    sys.exit(main())
