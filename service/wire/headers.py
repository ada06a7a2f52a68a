"""Request headers, and what they ask of a body before it is read."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Literal

import zstandard

from service.wire import inflating
from service.wire.problems import Fault, MalformedRequest, TooLarge, UnsupportedMediaType

ENTITY_TAG = re.compile(r'[ \t]*(?:W/)?(?:"([\x21\x23-\x7e]*)"|([!#-+\--~]+))[ \t]*(?:,[, \t]*|$)')
ETAG = re.compile(r"([0-9a-f]{16})-(0|[1-9][0-9]{0,19})")
UNWANTED = re.compile(r"q=0(\.0*)?")
KEY_LIMIT = 255

Unpack = Callable[[bytes, int], bytes]
"""What was compressed -> all of it, or somewhat more than the limit. Raises ValueError: it is not whole."""

Condition = Literal["If-Match", "If-None-Match"]
AnyTag = Literal["*"]


def entity_tags(header: str | None, name: Condition) -> tuple[str, ...] | None:
    """The ETags that If-Match or If-None-Match lists, unquoted; ("*",) for any; None where the header is absent.

    Quoted or bare; a W/ that a proxy put on is ignored, and so are empty elements (RFC 9110, 5.6.1).

    Raises:
        MalformedRequest: the header holds none.
    """
    if header is None:
        return None
    tags, at = [], len(header) - len(header.lstrip(", \t"))
    while (tag := ENTITY_TAG.match(header, at)) is not None:
        tags.append(tag[1] if tag[1] is not None else tag[2])
        at = tag.end()
    if at < len(header) or not tags:
        fault = Fault('must be an ETag as an answer gave it, such as "6f1c0a0000000000-812"', parameter=name)
        raise MalformedRequest(f"{name} cannot be read: it {fault.detail}", errors=[fault])
    return tuple(tags)


def matches(tags: tuple[str, ...], etag: str | None) -> bool:
    """Whether a condition names the session that stands at `etag` (None: there is none, which not even * names)."""
    return etag is not None and (etag in tags or "*" in tags)


def position(etag: str) -> tuple[bytes, int] | None:
    """Incarnation (8 bytes) and revision of one of our ETags; None for a foreign one."""
    matched = ETAG.fullmatch(etag)
    return None if matched is None else (bytes.fromhex(matched[1]), int(matched[2]))


def idempotency_key(header: str | None) -> str | None:
    """The key of a request, unquoted; None where the header is absent.

    Raises:
        MalformedRequest: it is empty or longer than 255 characters.
    """
    if header is None:
        return None
    key = header.strip(" \t")
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(key) <= KEY_LIMIT:
        fault = Fault(f"must have 1 to {KEY_LIMIT} characters", parameter="Idempotency-Key")
        raise MalformedRequest(f"Idempotency-Key {fault.detail}", errors=[fault])
    return key


def prefers_minimal(header: str | None) -> bool:
    """Whether Prefer asks for no more than what a write needs to be confirmed (RFC 7240)."""
    preferences = [part.partition(";")[0].strip().lower() for part in (header or "").split(",")]
    return any(preference.replace(" ", "") in ("return=minimal", 'return="minimal"') for preference in preferences)


def accepted_coding(accept_encoding: str | None, codings: Sequence[str]) -> str | None:
    """The first of these codings that a client takes an answer in; None: it takes none of them."""
    for part in (accept_encoding or "").lower().replace(" ", "").split(","):
        name, _, weight = part.partition(";")
        if name in codings and not UNWANTED.fullmatch(weight):
            return name
    return None


def require_json(content_type: str | None) -> None:
    """Raises UnsupportedMediaType unless the body is declared as JSON."""
    media, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        given = "names another type" if content_type else "is missing"
        raise UnsupportedMediaType(
            f"Content-Type {given}: send application/json, for example with curl --json '{{\"value\": 121.5}}'",
            errors=[Fault("must be application/json", parameter="Content-Type")],
        )


def _unzlib(body: bytes, limit: int, *, window: int) -> bytes:
    stream, plain = inflating.Inflating(window), bytearray()
    for part in chain(stream.feed(body), stream.end()):
        plain += part
        if len(plain) > limit:
            break
    return bytes(plain)


def _unzstd(body: bytes, limit: int) -> bytes:
    """A frame that does not say how long it is may be `limit` bytes long at most."""
    try:
        if zstandard.frame_content_size(body) > limit:
            raise TooLarge(limit)
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(error) from None


GZIP: Mapping[str, Unpack] = dict.fromkeys(("gzip", "x-gzip"), partial(_unzlib, window=inflating.GZIP))
"""Content codings that are read everywhere."""
GZIP_OR_DEFLATE: Mapping[str, Unpack] = {**GZIP, "deflate": partial(_unzlib, window=inflating.ZLIB)}
GZIP_OR_ZSTD: Mapping[str, Unpack] = {**GZIP, "zstd": _unzstd}


def inflated(body: bytes, encoding: str | None, limit: int, codings: Mapping[str, Unpack] = GZIP) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        UnsupportedMediaType: the coding is none of `codings`, nor identity.
        MalformedRequest: it is not the stream that it is declared to be.
        TooLarge: it is longer than `limit` bytes, before or after.
    """
    if require_known_coding(encoding, codings):
        assert encoding is not None, "identity is no coding"
        coding = encoding.strip().lower()
        try:
            body = codings[coding](body, limit)
        except ValueError:
            detail = f"the body is not {coding}, as its Content-Encoding says, or is cut short, or something follows it"
            raise MalformedRequest(detail) from None
    if len(body) > limit:
        raise TooLarge(limit)
    return body


def require_known_coding(encoding: str | None, codings: Collection[str] = GZIP) -> bool:
    """Whether a body is compressed. Raises UnsupportedMediaType where it is coded otherwise than by one of those."""
    coding = (encoding or "identity").strip().lower()
    if coding != "identity" and coding not in codings:
        known = " or ".join(name for name in codings if not name.startswith("x-"))
        fault = Fault(f"must be {known}, or be left out", parameter="Content-Encoding")
        raise UnsupportedMediaType(f"Content-Encoding {fault.detail}", errors=[fault])
    return coding != "identity"
