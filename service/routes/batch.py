"""Batches: many observations of many sessions in one request, answered while they come."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.core import Core
from service.monitoring import logs
from service.readiness import Readiness
from service.routes import asking
from service.routes.exchange import PROBLEMS, CoreDep
from service.routes.feeding import Feeding
from service.sessions.bulk.lines import Asked
from service.wire import headers, media
from service.wire.batch import parsing as batch_parsing
from service.wire.batch import schemas as batch_schemas
from service.wire.batch.columns import ArrowReader
from service.wire.batch.reading import LinesReader, Reader
from service.wire.batch.rows import Rows
from service.wire.batch.writing import ArrowWriter, JsonWriter, LinesWriter, Writer
from service.wire.exchange import ClientGone, as_state, given_headers, lingering, read_body, text
from service.wire.media import Media
from service.wire.problems import OVERLOADED, Internal, Overloaded, ServiceError
from service.wire.streaming import ReadAhead, pieces

router = APIRouter(tags=["batch"], responses=PROBLEMS)

logger = logs.logger(__name__)


@router.post("/v1/observations:batch", response_model=batch_schemas.ObservationOutcomes)
async def post_observations_batch(request: Request, core: CoreDep) -> Response:
    """Feed observations of any sessions. Each row has an outcome of its own, in the order of the rows.

    A row without `future` is told what is known in advance by the covariates of its session's next rows, as in a list;
    of JSON Lines and Arrow with a Content-Length alone, from among the next 50,000 rows.
    """
    given = given_headers(request.scope["headers"])
    sent = media.declared(text(given, b"content-type"))
    parameters = asking.parameters(request.scope["query_string"])
    is_whole = sent is Media.JSON or text(given, b"content-length") is not None
    asked = Asked(asking.creation(parameters, core.registry), asking.is_correcting(parameters), foreseeing=is_whole)
    answered = media.accepted(text(given, b"accept"), sent)
    headers.require_known_coding(text(given, b"content-encoding"))
    key = headers.idempotency_key(text(given, b"idempotency-key"))
    is_minimal = headers.prefers_minimal(text(given, b"prefer"))
    if core.waves.is_full(core.settings.deadline_s):
        raise Overloaded(OVERLOADED)
    return _Batch(core, request.app.state.readiness, asked, sent, answered, key, is_minimal=is_minimal)


class _Batch(Response):
    """The answer to a batch, which reads the batch while it is sent."""

    def __init__(
        self,
        core: Core,
        readiness: Readiness,
        asked: Asked,
        sent: Media,
        answered: Media,
        key: str | None,
        *,
        is_minimal: bool,
    ) -> None:
        applied = {"Preference-Applied": "return=minimal"} if is_minimal else {}
        super().__init__(media_type=answered, headers={"Vary": "Accept", **applied})
        del self.headers["content-length"]
        self._core = core
        self._feeding = Feeding(core, readiness, asked, key)
        self._sent = sent
        self._is_minimal = is_minimal
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id: str | None = as_state(scope).get("request_id")
        writer = self._writer(request_id)
        problem: ServiceError | None = None
        try:
            async for rows in self._rows(scope, receive):
                if self._started:
                    self._feeding.require_going_on()
                outcomes = await self._feeding.outcomes(rows)
                for part in outcomes.parts(writer.at_once):
                    await self._part(send, writer.part(part))
                    await self._core.waves.between()
        except ClientGone:
            return
        except ServiceError as refused:
            if not self._started and self._sent is Media.JSON:
                raise
            problem = refused
        except Exception as error:
            logs.failed(logger, as_state(scope)["names"], error)
            problem = Internal(f"request {request_id}")
        if problem is not None:
            send = lingering(receive, send)
        await self._part(send, writer.end(problem), more=False)

    async def _rows(self, scope: Scope, receive: Receive) -> AsyncIterator[Rows]:
        given, settings = given_headers(scope["headers"]), self._core.settings
        if self._sent is Media.JSON:
            body = await read_body(receive, given, limit=settings.body_limit_bytes, timeout_s=settings.deadline_s)
            yield batch_parsing.of_json(body)
            return
        reader = self._reader()
        arriving = pieces(receive, given, timeout_s=settings.long_deadline_s)
        is_measured = text(given, b"content-length") is not None
        async with ReadAhead.of(arriving, is_measured=is_measured) as ahead:
            async for rows in self._feeding.rows(reader, ahead):
                yield rows

    def _reader(self) -> Reader:
        return ArrowReader() if self._sent is Media.ARROW else LinesReader()

    def _writer(self, request_id: str | None) -> Writer:
        if self.media_type == Media.ARROW:
            return ArrowWriter(is_minimal=self._is_minimal)
        kind = JsonWriter if self.media_type == Media.JSON else LinesWriter
        return kind(request_id, is_minimal=self._is_minimal)

    async def _part(self, send: Send, body: bytes, *, more: bool = True) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        part: Message = {"type": "http.response.body", "body": body, "more_body": more}
        await send(part)
