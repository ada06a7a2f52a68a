import pytest

from service.wire.accepting import preferred
from service.wire.media import Media, accepted
from service.wire.problems import NotAcceptable

JSON, LINES, ARROW = str(Media.JSON), str(Media.LINES), str(Media.ARROW)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (f"{JSON};q=0.5, {LINES}", LINES), (f"{JSON}, {LINES};q=0.5", JSON), (f"{LINES}, {JSON}", LINES),
        (f"{LINES};q=0.5, */*", JSON), (f"{JSON};q=0, */*", LINES), (f"{JSON};q=0.2, */*;q=0.1, {ARROW};q=0.3", ARROW),
        ("application/*", JSON), ("*/*, application/jsonl", JSON), ("text/html, application/jsonl", LINES),
        ("APPLICATION/JSONL; Q=1.000", LINES), (f"{JSON};q=0;v=1, {ARROW}", ARROW), (f"{JSON} ; charset=utf-8", JSON),
        (f"application/*;q=0.9, {LINES};q=0.8", JSON), ("", None), (f"{JSON};q=0", None), ("text/*", None),
        ("*/*;q=0.0", None), (f"*/*, {JSON};q=0, {LINES};q=0, {ARROW};q=0, {Media.NDJSON};q=0.000", None),
    ],
)  # fmt: skip
def test_the_media_type_is_the_one_that_the_client_likes_best(accept: str, media: str | None) -> None:
    if media is None:
        with pytest.raises(NotAcceptable):
            accepted(accept, Media.JSON)
    else:
        assert accepted(accept, Media.JSON) == media


def test_where_nothing_is_asked_for_the_default_is_answered() -> None:
    assert accepted(None, Media.ARROW) is Media.ARROW
    assert preferred("*/*", ["b", "a"]) == "b"
