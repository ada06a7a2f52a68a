"""What Prometheus scrapes."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.monitoring.exposition import Readings, exposed
from service.monitoring.monitor import Monitor
from service.readiness import Readiness

router = APIRouter(tags=["operation"])


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Metrics of the whole service, whichever worker answers; as OpenMetrics where Accept asks for that."""
    monitor: Monitor = request.app.state.monitor
    readings = await _readings(request.app.state.readiness)
    body, media_type = exposed(monitor.meters, readings, request.headers.get("accept", ""))
    return Response(body, headers={"content-type": media_type})


async def _readings(readiness: Readiness) -> Readings:
    """What is known now; a store that does not answer leaves out what only it knows."""
    reasons, store = await readiness.check()
    if store is None or readiness.core is None:
        return Readings(ready=False)
    count = await readiness.core.census.count()
    if count is None:
        return Readings(ready=not reasons, store_used=store.used_share)
    return Readings(
        ready=not reasons,
        sessions={"current": count.sessions - count.overdue, "overdue": count.overdue},
        coverage=count.coverage,
        drifting=count.drifting,
        store_used=store.used_share,
    )
