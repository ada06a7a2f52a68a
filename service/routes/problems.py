"""The page of each problem type."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from service.wire import problem_pages
from service.wire.problems import NotFound

router = APIRouter(tags=["problems"])


@router.get("/problems/{slug}", response_class=HTMLResponse)
async def get_problem(slug: str) -> HTMLResponse:
    """What a problem type means, how it looks, and what to do."""
    page = problem_pages.render(slug)
    if page is None:
        raise NotFound("there is no problem type of that name")
    return HTMLResponse(page)
