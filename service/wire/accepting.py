"""Which media type a client likes best: Accept with its weights (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from service.wire.problems import NotAcceptable

WEIGHT = re.compile(r";[ \t]*q=([01](?:\.[0-9]{0,3})?)[ \t]*(?:;|$)", re.IGNORECASE)


class _Range(NamedTuple):
    media: str
    weight: float

    def covers(self, media: str) -> bool:
        kind, _, subtype = self.media.partition("/")
        return self.media in ("*/*", media) or (subtype == "*" and media.startswith(f"{kind}/"))

    @property
    def exactness(self) -> int:
        """Of two ranges that cover a type, the more exact one counts."""
        return -self.media.count("*")


def preferred(accept: str, available: Sequence[str]) -> str:
    """The media type to answer with.

    Of several with the same weight it is the one that the client names first, and of those that it does not name the
    first of `available`.

    Raises:
        NotAcceptable: the client takes none of them.
    """
    ranges = [_range(part) for part in accept.split(",")]

    def liking(media: str) -> tuple[float, int]:
        covering = [at for at, one in enumerate(ranges) if one.covers(media)]
        at = max(covering, key=lambda at: ranges[at].exactness, default=None)
        return (0.0, 0) if at is None else (ranges[at].weight, -at)

    best = max(available, key=liking)
    if liking(best)[0] == 0:
        raise NotAcceptable(available)
    return best


def _range(part: str) -> _Range:
    media = part.partition(";")[0].strip().lower()
    weight = WEIGHT.search(part)
    return _Range(media, 1.0 if weight is None else float(weight[1]))
