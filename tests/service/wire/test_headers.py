import gzip
import zlib

import pytest

from service.wire import headers
from service.wire.problems import MalformedRequest, TooLarge, UnsupportedMediaType

ETAG = "6f1c0a0000000000-812"


@pytest.mark.parametrize("sent", [f'"{ETAG}"', ETAG, f'W/"{ETAG}"', f"W/{ETAG}", f'  "{ETAG}" '])
def test_an_etag_is_read_quoted_bare_or_weak(sent: str) -> None:
    assert headers.entity_tags(sent, "If-Match") == (ETAG,)


def test_several_etags_and_any_are_read() -> None:
    assert headers.entity_tags(f'"{ETAG}", W/"other"', "If-None-Match") == (ETAG, "other")
    assert headers.entity_tags('"a,b" ,c', "If-None-Match") == ("a,b", "c")
    for sent in ('"a",', ',"a"', '"a", ,', ' , "a"'):
        assert headers.entity_tags(sent, "If-None-Match") == ("a",)
    assert headers.entity_tags('"a",,b', "If-None-Match") == ("a", "b")
    assert headers.entity_tags("*", "If-Match") == ("*",)
    assert headers.entity_tags(None, "If-Match") is None


@pytest.mark.parametrize("sent", ["", ",", ", ,", '"', '"a" "b"', f'"{ETAG}', "a b", '"é"'])
def test_what_is_no_etag_is_malformed(sent: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        headers.entity_tags(sent, "If-Match")
    assert refused.value.errors[0].parameter == "If-Match"


def test_a_condition_holds_where_the_session_stands_at_the_etag() -> None:
    assert headers.matches((ETAG, "other"), ETAG)
    assert headers.matches(("*",), ETAG)
    assert not headers.matches(("other",), ETAG)
    assert not headers.matches(("*",), None)


def test_one_of_our_etags_tells_incarnation_and_revision() -> None:
    assert headers.position(ETAG) == (bytes.fromhex("6f1c0a0000000000"), 812)
    for foreign in ("6f1c0a-812", "6F1C0A0000000000-812", f"{ETAG}x", "abc", "6f1c0a0000000000-0812"):
        assert headers.position(foreign) is None


@pytest.mark.parametrize(
    ("sent", "key"),
    [("abc", "abc"), ('"abc"', "abc"), ('"a\\"b"', 'a"b'), (" abc ", "abc"), ("k" * 255, "k" * 255), ('"', '"')],
)
def test_an_idempotency_key_is_read_quoted_or_bare(sent: str, key: str) -> None:
    assert headers.idempotency_key(sent) == key


def test_no_idempotency_key_is_none() -> None:
    assert headers.idempotency_key(None) is None


@pytest.mark.parametrize("sent", ["", '""', " ", "k" * 256])
def test_an_empty_or_overlong_idempotency_key_is_malformed(sent: str) -> None:
    with pytest.raises(MalformedRequest, match="1 to 255"):
        headers.idempotency_key(sent)


@pytest.mark.parametrize("sent", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
def test_json_is_taken(sent: str) -> None:
    headers.require_json(sent)


@pytest.mark.parametrize(
    "sent", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json"]
)
def test_anything_but_json_is_refused_and_curl_users_are_helped(sent: str | None) -> None:
    with pytest.raises(UnsupportedMediaType, match="curl --json"):
        headers.require_json(sent)


def test_bodies_are_inflated() -> None:
    assert headers.inflated(b"plain", None, 100) == b"plain"
    assert headers.inflated(b"plain", "identity", 100) == b"plain"
    assert headers.inflated(gzip.compress(b"packed"), "gzip", 100) == b"packed"
    assert headers.inflated(gzip.compress(b"packed"), "GZIP", 100) == b"packed"


def test_a_gzip_body_of_several_members_is_read_to_its_end() -> None:
    members = gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b" * 50)
    assert headers.inflated(members, "gzip", 51) == b"a" + b"b" * 50
    with pytest.raises(TooLarge):
        headers.inflated(members, "gzip", 50)
    with pytest.raises(MalformedRequest):
        headers.inflated(members[:-1], "gzip", 100)
    assert headers.inflated(gzip.compress(b"") * 100_000 + gzip.compress(b"c"), "gzip", 2**22) == b"c"
    with pytest.raises(MalformedRequest):
        headers.inflated(zlib.compress(b"a") * 2, "deflate", 100, headers.GZIP_OR_DEFLATE)


def test_the_limit_holds_for_what_a_body_inflates_to() -> None:
    assert headers.inflated(gzip.compress(b"x" * 100), "gzip", 100) == b"x" * 100
    for body, coding in [
        (b"x" * 101, None),
        (gzip.compress(b"x" * 101), "gzip"),
        (gzip.compress(bytes(10**8)), "gzip"),
    ]:
        with pytest.raises(TooLarge) as refused:
            headers.inflated(body, coding, 100)
        assert refused.value.members == {"limit": 100}


@pytest.mark.parametrize(
    "body",
    [b"{}", b"", gzip.compress(b"cut")[:-4], gzip.compress(b"a") + b"junk", zlib.compress(b"a")],
    ids=["other", "empty", "cut", "more", "zlib"],  # a stream begins with its time
)
def test_what_is_not_the_gzip_it_is_declared_as_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="gzip"):
        headers.inflated(body, "gzip", 100)


def test_other_codings_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        headers.inflated(b"", "br", 100)
