"""A stream by threads: one takes the rows and sends them, the caller's reads what becomes of them."""

import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack

from websockets.sync.client import ClientConnection, connect

from hiddenstate.answers.batches import BatchOutcome
from hiddenstate.sending.shapes import BatchObservation
from hiddenstate.sending.streaming import BROKEN, CONNECTION, Streaming


def outcomes(
    core: Streaming, rows: Iterable[BatchObservation], headers: Mapping[str, str]
) -> Generator[BatchOutcome, None, None]:
    """What becomes of the rows. Raises what `core` does, and what taking the rows raises, after their outcomes."""
    feed = _Feed(core, rows, headers)
    try:
        yield from feed.outcomes()
    finally:
        feed.stop()


class _Feed:
    """Locks: whoever sends holds `_sending`, so that a new connection begins with what has no outcome; whoever looks at
    `_core` holds `_changed`, for a moment."""

    def __init__(self, core: Streaming, rows: Iterable[BatchObservation], headers: Mapping[str, str]) -> None:
        self._core = core
        self._rows = rows
        self._headers = headers
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._opened = ExitStack()
        self._connection: ClientConnection | None = None
        self._error: BaseException | None = None
        self._is_stopped = False

    def outcomes(self) -> Generator[BatchOutcome, None, None]:
        connection = self._connected(None)
        threading.Thread(target=self._feed, name="hiddenstate stream", daemon=True).start()
        while not self._is_done():
            try:
                line = connection.recv()
            except BROKEN as error:
                if not self._is_done():
                    connection = self._connected(error)
                continue
            with self._changed:
                outcome = self._core.take(line, time.monotonic())
                must_reconnect = self._core.must_reconnect
                self._changed.notify()
            if must_reconnect:
                connection = self._connected(None)
            if outcome is not None:
                yield outcome
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Take no more rows; a thread that waits for the next one ends when it comes."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._opened.close()

    def _is_done(self) -> bool:
        with self._changed:
            return self._core.is_done

    def _connected(self, error: Exception | None) -> ClientConnection:
        """Another connection, over which all that has no outcome was sent; `error`: what the last one ended with."""
        with self._sending:
            while True:
                self._opened.close()
                if error is not None or self._core.was_connected:
                    time.sleep(self._core.wait_s(error, time.monotonic()))
                try:
                    opening = connect(self._core.address, additional_headers=self._headers, **CONNECTION)
                    connection: ClientConnection = self._opened.enter_context(opening)
                    self._connection = connection
                    with self._changed:
                        lines = self._core.opened()
                        self._changed.notify()
                    for line in lines:
                        connection.send(line)
                    return connection
                except BROKEN as failed:
                    error = failed

    def _feed(self) -> None:
        try:
            for row in self._rows:
                if not self._send(row):
                    return
        except BaseException as error:
            self._error = error
        with self._changed:
            self._core.has_ended = True
        if self._is_done() and self._connection is not None:
            self._connection.close()  # nobody answers any more: it wakes whoever reads

    def _send(self, row: BatchObservation) -> bool:
        """Whether it goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._core.has_room(row))
        if self._is_stopped:
            return False
        with self._sending:
            with self._changed:
                line = self._core.add(row)
            assert self._connection is not None, "rows are taken once it is open"
            try:
                self._connection.send(line)
            except Exception:
                self._connection.close()  # it is sent over the next one
        return True
