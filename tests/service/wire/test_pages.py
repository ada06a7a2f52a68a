from typing import Any

import pytest

from service.wire.pages import Place, read_token, write_token
from service.wire.problems import MalformedRequest


@pytest.mark.parametrize(
    ("after", "kinds"),
    [((7,), tuple[Place]), (("a",), tuple[str]), ((-1.0, "a"), tuple[float, str]), ((5e-324, "a"), tuple[float, str])],
)  # fmt: skip
def test_a_token_tells_where_the_page_before_ended(after: tuple[Any, ...], kinds: type[tuple[Any, ...]]) -> None:
    assert read_token(write_token(["list"], after), ["list"], kinds) == after


@pytest.mark.parametrize("after", [(-5,), (2**63,), (1.5,), ("7",), (7, 7), ()])
def test_a_token_of_a_place_that_cannot_be_is_refused(after: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedRequest, match="next_page_token of this very list"):
        read_token(write_token(["list"], after), ["list"], tuple[Place])
