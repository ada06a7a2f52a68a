"""The files of the dashboard as they are answered: type, compressed bytes, and an ETag that follows from the bytes."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "dashboard"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""What is answered; other files of the folder, such as licences, are not."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `etags` are those of its plain and of its compressed form, which are different bytes."""

    media_type: str
    plain: bytes
    compressed: bytes
    etags: tuple[str, str]

    @classmethod
    def read(cls, path: Path) -> "Asset":
        plain = path.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()[:32]
        return cls(MEDIA_TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), (digest, f"{digest}-gzip"))


@cache
def assets(folder: Path = FOLDER) -> Mapping[str, Asset]:
    """Every file of the folder by its path in it; read once."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
    return {path.relative_to(folder).as_posix(): Asset.read(path) for path in files}
