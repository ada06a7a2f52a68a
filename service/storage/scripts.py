"""Scripts that run inside the store."""

import hashlib
from importlib import resources

from service.storage.connection import Command


class Script:
    """A Lua script of a package, called by its digest and sent whole only to a server that does not know it."""

    def __init__(self, name: str, package: str = "service.storage") -> None:
        self.source = resources.files(package).joinpath(name).read_bytes()
        self._sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()

    def command(self, keys: list[bytes], arguments: list[bytes]) -> Command:
        return Command(keys[0], (b"EVALSHA", self._sha, b"%d" % len(keys), *keys, *arguments), script=self.source)
