"""Forecasts of many sessions in one request."""

import logging
from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from service.core import Core
from service.routes.exchange import PROBLEMS, CoreDep, json_body
from service.routes.forecast import DEFAULT_LEVELS, levels_of
from service.sessions.bulk.forecasts import SESSIONS_AT_ONCE, Frame
from service.storage.store import StoreUnavailable
from service.wire import forecast_tables, media, parsing, problems
from service.wire.batch import schemas as batch_schemas
from service.wire.batch.columns import ArrowReader
from service.wire.batch.parsing import of_frame
from service.wire.batch.reading import LinesReader, Reader
from service.wire.batch.rows import OF_FRAMES, Rows, joined
from service.wire.batch.schemas import ForecastBatch
from service.wire.exchange import as_state, given_headers, text
from service.wire.forecast_tables import Foreseen
from service.wire.media import Media
from service.wire.problems import Fault, Internal, InvalidRequest, ServiceError, TooLarge, pointer
from service.wire.streaming import pieces

router = APIRouter(tags=["batch"], responses=PROBLEMS)

FRAME_LIMIT = 500_000
"""Rows of a future frame: 20,000 sessions for more than three weeks of days."""

logger = logging.getLogger(__name__)


@router.post("/v1/forecasts:batch", response_model=batch_schemas.ForecastOutcomes)
async def post_forecasts_batch(request: Request, core: CoreDep) -> Response:
    """Forecasts of many sessions, as JSON, or as a table by Accept. Nothing is committed.

    Which ones says a JSON object, or a future frame: table rows, a row for each session and step to forecast. It may be
    as long as forecasts reach, and know the covariates of all its steps.
    """
    given = given_headers(request.scope["headers"])
    sent = media.declared(text(given, b"content-type"))
    answered = media.accepted(text(given, b"accept"), sent)
    levels = _levels(request, sent)
    if sent is Media.JSON:
        asked = parsing.request(await json_body(request, core), ForecastBatch)
        return _Forecasts(core, _named(core, asked), asked.levels, answered)
    frame = Frame(await _frame(request, core, sent))
    return _Forecasts(core, _framed(core, frame, levels), levels, answered)


def _levels(request: Request, sent: Media) -> list[int]:
    """Those that the query asks for. Raises InvalidRequest: it is none of this body's, or asks for something else."""
    given = dict(request.query_params.multi_items())
    known = () if sent is Media.JSON else ("levels",)
    unknown = [Fault("unknown parameter", parameter=name[:64]) for name in given if name not in known]
    if unknown:
        raise InvalidRequest(unknown)
    return levels_of(given.get("levels", DEFAULT_LEVELS))


async def _frame(request: Request, core: Core, sent: Media) -> Rows:
    """A future frame, whole. Raises TooLarge, and what reading raises."""
    given, settings = given_headers(request.scope["headers"]), core.settings
    reader: Reader = ArrowReader(OF_FRAMES) if sent is Media.ARROW else LinesReader(of_frame)
    parts: list[Rows] = []
    count = 0
    async for piece in pieces(request.receive, given, timeout_s=settings.deadline_s):
        for rows in reader.feed(piece):
            parts.append(rows)
            count += len(rows)
            if count > FRAME_LIMIT:
                detail = f"a future frame has at most {FRAME_LIMIT} rows; send fewer sessions at once"
                raise TooLarge(FRAME_LIMIT, detail)
            await core.waves.between()
    parts.extend(reader.end())
    if not parts:
        raise InvalidRequest([Fault("must have a row for each session and step to forecast", pointer())])
    return joined(parts)


async def _named(core: Core, asked: ForecastBatch) -> AsyncIterator[list[Foreseen]]:
    """The forecasts of sessions that are named, or of all whose id begins with a prefix; some at a time."""
    levels = sorted(set(asked.levels))
    async for sessions in _sessions(core, asked):
        refused = _refused(sessions)
        readable = [session for row, session in enumerate(sessions) if row not in refused]
        found = iter(await core.forecasting.foresee(readable, [asked.horizon] * len(readable), levels))
        yield [refused.get(row) or next(found) for row in range(len(sessions))]


async def _sessions(core: Core, asked: ForecastBatch) -> AsyncIterator[Sequence[str]]:
    if asked.sessions is not None:
        for at in range(0, len(asked.sessions), SESSIONS_AT_ONCE):
            yield asked.sessions[at : at + SESSIONS_AT_ONCE]
        return
    after = ""
    await core.bookkeeping.settle()
    while True:
        page = await core.index.by_name(prefix=asked.prefix or "", after=after, limit=SESSIONS_AT_ONCE)
        if page:
            yield page
        if len(page) < SESSIONS_AT_ONCE:
            return
        after = page[-1]


def _refused(sessions: Sequence[str]) -> dict[int, Foreseen]:
    """What is no id has no forecast."""
    refused: dict[int, Foreseen] = {}
    for row, session in enumerate(sessions):
        try:
            parsing.session_id(session)
        except InvalidRequest as error:
            [fault] = error.errors
            refused[row] = Foreseen(session, InvalidRequest([Fault(fault.detail, pointer("sessions", row))]))
    return refused


async def _framed(core: Core, frame: Frame, levels: Sequence[int]) -> AsyncIterator[list[Foreseen]]:
    """The forecasts that a future frame asks for; some at a time."""
    for at in range(0, len(frame.sessions), SESSIONS_AT_ONCE):
        numbers = range(at, min(at + SESSIONS_AT_ONCE, len(frame.sessions)))
        refused = {
            number: Foreseen(frame.sessions[number], problem)
            for number in numbers
            if (problem := frame.refused(number)) is not None
        }
        asked = [number for number in numbers if number not in refused]
        found = await core.forecasting.foresee(
            [frame.sessions[number] for number in asked],
            [frame.horizon(number) for number in asked],
            levels,
            [frame.future(number) for number in asked],
        )
        told = {number: frame.matched(number, one) for number, one in zip(asked, found, strict=True)}
        yield [refused.get(number) or told[number] for number in numbers]


class _Forecasts(Response):
    """The answer, sent while it is computed."""

    def __init__(
        self, core: Core, found: AsyncIterator[list[Foreseen]], levels: Sequence[int], answered: Media
    ) -> None:
        super().__init__(media_type=answered, headers={"Vary": "Accept"})
        del self.headers["content-length"]
        self._core = core
        self._found = found
        self._levels = sorted(set(levels))
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id: str | None = as_state(scope).get("request_id")
        writer = forecast_tables.writer(self._answered, self._levels, request_id)
        problem: ServiceError | None = None
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for foreseen in self._found:
                await send({"type": "http.response.body", "body": writer.part(foreseen), "more_body": True})
        except StoreUnavailable as error:
            problem = problems.StoreUnavailable(str(error))
        except Exception:
            logger.exception("request %s failed", request_id)
            problem = Internal(f"request {request_id}")
        await send({"type": "http.response.body", "body": writer.end(problem)})
