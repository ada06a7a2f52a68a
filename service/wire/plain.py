"""Packets that plainly are one whole POST: known by one pattern, which costs a fraction of what the parser's calls do.

The pattern takes nothing that any reader of HTTP could take otherwise. All that it does not know goes to the parser.
"""

import re

from service.wire.exchange import RawHeaders

HARMLESS = (
    *("accept", "accept-encoding", "accept-language", "authorization", "content-encoding", "content-type"),
    *("host", "idempotency-key", "if-match", "user-agent"),
)
"""Headers that change nothing about where a request ends, nor about what becomes of its connection."""
NAMING = ("traceparent", "x-request-id")
"""Harmless ones that the answer repeats."""


def _pattern(harmless: tuple[str, ...]) -> re.Pattern[bytes]:
    def cased(name: str) -> str:
        return re.sub(r"\b[a-z]", lambda first: f"[{first[0].upper()}{first[0]}]", name)

    names = "|".join(map(cased, harmless))
    headers = rf"(?:(?:{names}):[\t -~]*+\r\n|{cased('connection')}: ?+keep-alive\r\n)*+"
    length = rf"{cased('content-length')}: ?+([0-9]{{1,9}})\r\n"
    return re.compile(rf"POST (/[!-~]++) HTTP/1\.1\r\n({headers}{length}{headers})\r\n".encode())


HEAD, NAMELESS_HEAD = _pattern((*HARMLESS, *NAMING)), _pattern(HARMLESS)


def is_nameless(packet: bytes) -> bool:
    """Whether it is one whole POST, after which the connection stays open, and which names itself not."""
    head = NAMELESS_HEAD.match(packet)
    return head is not None and head.end() + int(head[3]) == len(packet)


def read(packet: bytes) -> tuple[bytes, RawHeaders, bytes] | None:
    """Target, headers and body of one whole POST after which the connection stays open; None = not plainly one.

    The headers are those that the parser finds, their names in lower case, none of them given twice.
    """
    head = HEAD.match(packet)
    if head is None:
        return None
    end, (target, block, length) = head.end(), head.groups()
    if end + int(length) != len(packet):
        return None
    lines = block.split(b"\r\n")
    del lines[-1]  # what follows the last end of line
    given = {}
    for line in lines:
        name, _, value = line.partition(b":")
        given[name.lower()] = value.lstrip(b" \t")
    return (target, given, packet[end:]) if len(given) == len(lines) else None
