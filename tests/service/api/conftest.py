"""What holds for every test over HTTP."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def errors_logged() -> Iterator[list[str]]:
    """No request, however bad, may make the service log an error; a test that makes one happen clears the list."""
    found: list[str] = []
    make = logging.getLogRecordFactory()

    def noting(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.levelno >= logging.ERROR:
            found.append(record.getMessage())
        return record

    logging.setLogRecordFactory(noting)
    yield found
    logging.setLogRecordFactory(make)
    assert found == []
