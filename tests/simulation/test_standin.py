"""The stand-in answers as a real server does: 10,000 random sequences of commands, and what they leave behind."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from redis.connection import Connection
from redis.exceptions import NoScriptError, ResponseError

from service.storage.embedded import server_binary
from service.storage.store import COMMIT, READ, Change, Kind, _packed
from tests.deployments import Server as RealServer
from tests.records import advance, creation, deletion, new_record, replacement, token_of
from tests.simulation.keyspace import Hash, Keyspace, SortedSet
from tests.simulation.replies import Reply, ReplyError, Status

SEQUENCES, PARTS = 10_000, 20
LENGTH = 12
"""Commands in a sequence."""
KEYS = (b"a", b"b", b"c")
FIELDS = (b"f", b"g", b"h")
MODEL, MODEL_AT = b"toy@1", 48
STAMP = slice(512, 528)
"""Of a record: the server's own time of its last commit, and of its expiry."""

Command = tuple[bytes, ...]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    server = RealServer(server_binary(), tmp_path_factory.mktemp("real") / "server", "--appendfsync", "no")
    server.start()
    connection = Connection(port=server.port, protocol=2)  # type: ignore[no-untyped-call]
    try:
        yield connection
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]
        server.kill()


class Sequences:
    """Random commands, run by the stand-in as they are made up: commits need what is stored."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_ms = 1_800_000_000_000
        self.standin = Keyspace(lambda: self.now_ms)

    def command(self) -> Command:
        key, other = self.chance.choice(KEYS), self.chance.choice(KEYS)
        number = b"%d" % self.chance.randint(-5, 12)
        later = b"%d" % (self.now_ms + 10**10 + self.chance.randint(0, 9))
        name, value = self.chance.choice(FIELDS), self.chance.randbytes(self.chance.randint(0, 9))
        plain: list[Command] = [
            (b"SET", key, value),
            (b"GET", key),
            (b"GETRANGE", key, number, b"%d" % self.chance.randint(-5, 12)),
            (b"SETRANGE", key, number, value),
            (b"STRLEN", key),
            (b"DEL", key, other),
            (b"UNLINK", key),
            (b"EXISTS", key, other),
            (b"PEXPIREAT", key, later),
            (b"PEXPIREAT", key, b"1"),
            (b"PERSIST", key),
            (b"HSET", key, name, value),
            (b"HSET", key, name, value, self.chance.choice(FIELDS), b"x"),
            (b"HGET", key, name),
            (b"HMGET", key, name, b"g"),
            (b"HDEL", key, name, b"g"),
            (b"HLEN", key),
            (b"HEXISTS", key, name),
            (b"ZADD", key, number, name),
            (b"ZREM", key, name),
            (b"ZCARD", key),
            (b"ZSCORE", key, name),
            (b"SCRIPT", b"FLUSH"),
        ]
        if self.chance.random() < 0.5:
            return self.chance.choice(plain)
        return self.script(key, other)

    def script(self, key: bytes, other: bytes) -> Command:
        keys = list(dict.fromkeys((key, other)))
        call = self.chance.choice((b"EVAL", b"EVALSHA"))
        if self.chance.random() < 0.3:
            length = self.chance.choice((0, 4, 528, 600))
            command = READ.command(keys, [b"%d" % length])
        else:
            changes = [self.change(key) for key in keys]
            must_write = self.chance.random() < 0.3
            packed = [_packed(change, must_write=must_write) for change in changes]
            command = COMMIT.command(keys, [argument for arguments in packed for argument in arguments])
        return command.args if call == b"EVALSHA" else (b"EVAL", command.script, *command.args[2:])

    def change(self, key: bytes) -> Change:
        """A creation, advance, replacement, deletion or confirmation; now and then of a stale or damaged record."""
        session, ttl_ms = key.decode(), self.chance.choice((0, 10**9))
        token = f"token {self.chance.randrange(6)}"
        stored = self.standin.contents.values.get(key)
        if not isinstance(stored, bytes) or len(stored) < 528 or self.chance.random() < 0.2:
            return creation(session, ttl_ms=ttl_ms, token=token)
        digest = self.chance.choice((bytes(8), b"x" * 8))
        ahead = advance(session, stored, 1.0, token=token, digest=digest, ttl_ms=ttl_ms)
        assert ahead.expected is not None
        match self.chance.randrange(6):
            case 0:
                return deletion(session, expected=self.chance.choice((None, ahead.expected, bytes(16))))
            case 1:
                record = new_record(life=b"life two")
                record.bump(token_of(token))
                return replacement(session, record, expected=ahead.expected, ttl_ms=ttl_ms, token=token)
            case 2:
                return replace(ahead, kind=Kind.CONFIRM, token=bytes(16), writes=())
            case 3:
                stale = bytearray(ahead.expected)
                stale[self.chance.randrange(16)] ^= self.chance.choice((1, 255))
                return replace(ahead, expected=bytes(stale))
        return ahead


@pytest.mark.parametrize("part", range(PARTS))
def test_replies_and_what_is_left_are_a_real_server_s(part: int, real: Connection) -> None:
    sequences = Sequences(part)
    answers(real, [(b"SCRIPT", b"FLUSH")])
    for number in range(SEQUENCES // PARTS):
        commands: list[Command] = [(b"FLUSHALL",)]
        expected = [shown(sequences.standin, commands[0])]
        for _ in range(LENGTH):
            commands.append(sequences.command())
            expected.append(shown(sequences.standin, commands[-1]))
        for key in KEYS:
            for look in final(sequences.standin, key):
                commands.append(look)
                expected.append(shown(sequences.standin, look))
        for command, found, right in zip(commands, answers(real, commands), expected, strict=True):
            assert found == right, f"part {part}, sequence {number}: {command}"


def final(standin: Keyspace, key: bytes) -> Sequence[Command]:
    """Commands that show all of a key."""
    match standin.get(key):
        case None:
            return [(b"EXISTS", key)]
        case Hash():
            return [(b"HMGET", key, *FIELDS), (b"HLEN", key)]
        case SortedSet():
            return [(b"ZCARD", key), *((b"ZSCORE", key, name) for name in FIELDS)]
    return [(b"GET", key), (b"PEXPIRETIME", key)]


def shown(standin: Keyspace, command: Command) -> object:
    try:
        return comparable(command, standin.run(command))
    except ReplyError as error:
        return comparable(command, ResponseError(error.text.decode()))


def answers(real: Connection, commands: Sequence[Command]) -> list[object]:
    real.send_packed_command(real.pack_commands(commands))  # type: ignore[no-untyped-call]
    found = []
    for command in commands:
        try:
            found.append(comparable(command, real.read_response()))
        except ResponseError as error:
            found.append(comparable(command, error))
    return found


def comparable(command: Command, reply: Reply | ResponseError) -> object:
    """A reply without what is not compared: the server's own time, and the words of an error after its code."""
    if isinstance(reply, ResponseError):
        word = "NOSCRIPT" if isinstance(reply, NoScriptError) else str(reply).partition(" ")[0]
        return f"refused: {word if word.isupper() else 'ERR'}"
    if isinstance(reply, Status):
        return reply.text
    if command[0] in (b"EVAL", b"EVALSHA") and isinstance(reply, bytes):
        return without_stamps(reply[8:])
    if isinstance(reply, bytes):
        return without_stamps(reply)
    if command[0] == b"PEXPIRETIME" and isinstance(reply, int) and reply > 0:
        return "expires"
    return reply


def without_stamps(data: bytes) -> bytes:
    """Bytes in which the stamps of records are blanked, found by the name of their model."""
    clean = bytearray(data)
    at = data.find(MODEL)
    while at >= 0:
        start = at - MODEL_AT + STAMP.start
        clean[start : start + 16] = bytes(len(clean[start : start + 16]))
        at = data.find(MODEL, at + 1)
    return bytes(clean)
