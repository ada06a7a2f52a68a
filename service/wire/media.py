"""The media types of rows: which one a body has, and which one an answer is to have."""

from enum import StrEnum

from service.wire.accepting import preferred
from service.wire.problems import Fault, UnsupportedMediaType


class Media(StrEnum):
    JSON = "application/json"
    LINES = "application/jsonl"
    NDJSON = "application/x-ndjson"
    ARROW = "application/vnd.apache.arrow.stream"

    @property
    def is_lines(self) -> bool:
        """Whether it is JSON Lines, under either name."""
        return self in (Media.LINES, Media.NDJSON)


BY_NAME = {str(media): media for media in Media}


def declared(content_type: str | None) -> Media:
    """The media type of a body of rows. Raises UnsupportedMediaType."""
    media, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    found = BY_NAME.get(media.strip().lower())
    if found is None or charset not in ("", "charset=utf-8"):
        given = "names another type" if content_type else "is missing"
        raise UnsupportedMediaType(
            f"Content-Type {given}: send {', '.join(Media)}",
            errors=[Fault(f"must be one of {', '.join(Media)}", parameter="Content-Type")],
        )
    return found


def accepted(accept: str | None, default: Media) -> Media:
    """The media type to answer with. Raises NotAcceptable where the client takes none of them."""
    if accept is None:
        return default
    return BY_NAME[preferred(accept, [default, *(media for media in Media if media is not default)])]
