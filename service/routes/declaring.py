"""What a route declares of its query is all that its requests may have: an unknown parameter would be ignored."""

from collections.abc import Iterator
from typing import get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.requests import HTTPConnection

from service.wire import openapi
from service.wire.queries import parameters


async def require_declared(connection: HTTPConnection) -> None:
    """Raises InvalidRequest for parameters that the route does not declare, and for those given twice.

    The pages for people, which the description of the API leaves out, take any; a WebSocket's route reads its own.
    """
    route = connection.scope.get("route")
    if isinstance(route, APIRoute) and route.include_in_schema and connection.scope["query_string"]:
        parameters(connection.scope["query_string"], *_declared(route, connection.scope["method"].lower()))


def _declared(route: APIRoute, method: str) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters of a route's query, and those of them that may be given many times."""
    fields = dict(_fields(route.dependant))
    lists = frozenset(name for name, field in fields.items() if get_origin(field.annotation) is list)
    return frozenset(fields).union(openapi.read_by_route(route.path, method)), lists


def _fields(dependant: Dependant) -> Iterator[tuple[str, FieldInfo]]:
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from annotation.model_fields.items()
        else:
            yield field.alias, field.field_info
    for other in dependant.dependencies:
        yield from _fields(other)
