"""The protocol's bytes: whatever pieces replies come in, they are the same."""

from itertools import pairwise
from random import Random

import pytest
from redis.exceptions import BusyLoadingError, MovedError, NoScriptError, RedisError, ResponseError

from service.storage.resp import ProtocolError, Replies, packed

SENT = b"".join(
    (
        b"+OK\r\n:-7\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$5000\r\n%b\r\n-ERR no\r\n" % (5000 * b"x"),
    )
)
MEANT = [b"OK", -7, b"a\r\nb", b"", None, None, [], [[1], 5000 * b"x"]]


def taken(pieces: list[bytes]) -> list[object]:
    found: list[object] = []
    replies = Replies(found.append)
    for piece in pieces:
        replies.feed(piece)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_replies_are_the_same_whatever_pieces_they_come_in(seed: int) -> None:
    chance = Random(seed)
    cuts = sorted({0, len(SENT), *chance.choices(range(len(SENT)), k=chance.randrange(40))})
    *replies, refused = taken([SENT[start:end] for start, end in pairwise(cuts)])
    assert replies == MEANT
    assert isinstance(refused, ResponseError)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"-MOVED 3999 127.0.0.1:6381\r\n", MovedError),
        (b"-NOSCRIPT No matching script.\r\n", NoScriptError),
        (b"-LOADING the dataset\r\n", BusyLoadingError),
        (b"-WRONGTYPE of value\r\n", ResponseError),
    ],
)
def test_a_refusal_is_the_error_that_its_first_word_names(line: bytes, kind: type[RedisError]) -> None:
    [refused] = taken([line])
    assert type(refused) is kind


def test_what_is_no_reply_is_noticed() -> None:
    with pytest.raises(ProtocolError):
        taken([b"HTTP/1.1 400 Bad Request\r\n"])


def test_commands_are_packed_one_behind_the_other() -> None:
    assert packed([(b"GET", b"a"), (b"SET", b"b", 5000 * b"y")]) == (
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5000\r\n" + 5000 * b"y" + b"\r\n"
    )
