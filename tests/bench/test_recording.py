from hypothesis import given
from hypothesis import strategies as st

from bench.recording import packed, split

COMMANDS = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), max_size=6)


@given(COMMANDS, st.lists(st.integers(1, 30), min_size=1))
def test_commands_are_found_however_the_stream_is_cut(commands: list[list[bytes]], sizes: list[int]) -> None:
    stream, pending, found = b"".join(map(packed, commands)), b"", []
    while stream:
        for size in sizes:
            whole, pending = split(pending + stream[:size])
            found += whole
            stream = stream[size:]
    assert (found, pending) == (commands, b"")
