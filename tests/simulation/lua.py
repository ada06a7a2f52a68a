"""The store's scripts, run by a real Lua 5.1: what a server offers them of `redis` and `struct`."""

import re
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from lupa.lua51 import LuaError, LuaRuntime, lua_type

from tests.simulation.replies import Reply, ReplyError, Status

Call = Callable[[Sequence[bytes]], Reply]

PRELUDE = b"""
local raw, pack, unpack_numbers = ...
redis = {}
function redis.pcall(...) return raw(...) end
function redis.call(...)
  local reply = raw(...)
  if type(reply) == 'table' and reply.err then error(reply) end
  return reply
end
function redis.error_reply(text) return {err = text} end
function redis.status_reply(text) return {ok = text} end
function redis.log() end
redis.LOG_WARNING, redis.LOG_NOTICE = 3, 2
struct = {pack = pack, unpack = unpack_numbers}
function run_guarded(script, KEYS, ARGV)
  local ok, result = pcall(script, KEYS, ARGV)
  if ok then return result end
  if type(result) == 'table' then return result end
  return {err = 'ERR ' .. tostring(result)}
end
"""
FORMATS = {"I8": "Q", "I4": "I", "I2": "H", "I1": "B", "B": "B", "b": "b", "d": "d", "H": "H"}


class Scripts:
    """Compiles scripts once and runs them on behalf of whichever server calls."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._call: Call | None = None
        load = self._lua.eval(b"function(text, name) return assert(loadstring(text, name)) end")
        load(PRELUDE, b"prelude")(self._raw, _pack, _unpack)
        self._guarded = self._lua.globals()[b"run_guarded"]
        self._load = load
        self._compiled: dict[bytes, Any] = {}

    def run(self, source: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], call: Call) -> Reply:
        """The reply to an EVAL."""
        if source not in self._compiled:
            self._compiled[source] = self._compile(source)
        before, self._call = self._call, call
        try:
            table = self._lua.table_from
            return _reply(self._guarded(self._compiled[source], table(keys), table(arguments)))
        finally:
            self._call = before

    def _compile(self, source: bytes) -> Any:  # noqa: ANN401 - a Lua function
        body = source.partition(b"\n")[2] if source.startswith(b"#!") else source
        try:
            return self._load(b"return function(KEYS, ARGV) " + body + b"\nend", b"@user_script")()
        except LuaError as error:
            raise ReplyError(f"ERR Error compiling script: {error}".encode()) from None

    def _raw(self, *arguments: bytes | int | float) -> Any:  # noqa: ANN401 - a Lua value
        assert self._call is not None
        try:
            return self._to_lua(self._call([_argument(argument) for argument in arguments]))
        except ReplyError as error:
            return self._lua.table_from({b"err": error.text})

    def _to_lua(self, reply: Reply) -> Any:  # noqa: ANN401 - a Lua value
        match reply:
            case None:
                return False
            case Status():
                return self._lua.table_from({b"ok": reply.text})
            case list():
                return self._lua.table_from([self._to_lua(item) for item in reply])
        return reply


def _argument(value: bytes | int | float) -> bytes:
    return value if isinstance(value, bytes) else b"%.17g" % value


def _reply(value: Any) -> Reply:  # noqa: ANN401 - a Lua value
    if isinstance(value, bytes):
        return value
    if value is None or value is False:
        return None
    if isinstance(value, int | float):
        return int(value)
    if lua_type(value) != "table":
        return None
    if value[b"err"] is not None:
        raise ReplyError(value[b"err"])
    if value[b"ok"] is not None:
        return Status(value[b"ok"])
    items: list[Reply] = []
    while (item := value[len(items) + 1]) is not None:
        items.append(_reply(item))
    return items


@lru_cache
def _struct(layout: bytes) -> struct.Struct:
    """The same layout for Python. Only fixed, little-endian numbers and strings of a length (c16) are known."""

    def named(found: re.Match[str]) -> str:
        return f"{found[1]}s" if found[1] else FORMATS[found[0]]

    return struct.Struct("<" + re.sub(r"c(\d+)|I\d|\w", named, layout.decode().removeprefix("<")))


def _pack(layout: bytes, *numbers: float) -> bytes:
    known = _struct(layout)
    kinds = known.format.removeprefix("<")
    return known.pack(*(number if kind == "d" else int(number) for kind, number in zip(kinds, numbers, strict=True)))


def _unpack(layout: bytes, data: bytes, at: int = 1) -> tuple[float | bytes, ...]:
    known = _struct(layout)
    values = known.unpack_from(data, int(at) - 1)
    # Lua counts in doubles, and gives the position after what was read as well.
    return (*(value if isinstance(value, bytes) else float(value) for value in values), int(at) + known.size)
