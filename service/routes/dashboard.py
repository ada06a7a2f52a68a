"""The dashboard: a page and its parts, which talk to the API as any other client does."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.wire import headers
from service.wire.assets import assets
from service.wire.exchange import given_headers, text
from service.wire.problems import NotFound

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing is loaded from elsewhere, nothing inline is run, and no other page may frame this one."""
PARTS = assets()
"""Read when the service starts: no request waits for the disk."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


@router.get("/")
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@router.get("/dashboard/{path:path}")
async def part(request: Request, path: str) -> Response:
    """A script, style sheet or series of the page."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    asset = PARTS.get(path)
    if asset is None:
        raise NotFound("the dashboard has no such part; it is at /")
    given = given_headers(request.scope["headers"])
    compressed = headers.accepted_coding(text(given, b"accept-encoding"), ["gzip"]) is not None
    etag = asset.etags[compressed]
    named = {**HEADERS, "ETag": f'"{etag}"'}
    known = headers.entity_tags(text(given, b"if-none-match"), "If-None-Match")
    if known is not None and headers.matches(known, etag):
        return Response(status_code=304, headers=named)
    if compressed:
        named["Content-Encoding"] = "gzip"
    return Response(asset.compressed if compressed else asset.plain, headers=named, media_type=asset.media_type)
