"""An OpenAPI document as one page of Markdown: every call, then every shape."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
METHODS = ("get", "put", "post", "patch", "delete")
REFERENCE = "#/components/schemas/"


def page(document: Json) -> str:
    """Calls in the document's order, shapes by name."""
    return "\n".join(_lines(document)).rstrip() + "\n"


def _lines(document: Json) -> Iterator[str]:
    yield "# The HTTP API\n"
    yield "A running service shows the same on `/docs`, where each call can be tried.\n"
    yield "## Calls\n"
    for path, calls in document["paths"].items():
        for method in METHODS:
            if method in calls:
                yield from _call(f"{method.upper()} {path}", calls[method])
    for path, socket in document["x-websockets"].items():
        yield from _websocket(path, socket)
    yield "## Shapes\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _shape(name, schema)


def _call(name: str, call: Json) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield _text(call.get("description") or call["summary"]) + "\n"
    if parameters := call.get("parameters"):
        yield from _table(("parameter", "in", "type", "meaning"), map(_parameter, parameters))
    if "requestBody" in call:
        yield from _contents("Body", call["requestBody"]["content"])
    for status, answer in call["responses"].items():
        if status.startswith("2") and "content" in answer:
            yield from _contents(f"Answer {status}", answer["content"])
    refusals = [status for status in call["responses"] if status >= "3"]
    if refusals:
        yield f"Otherwise: {', '.join(refusals)}.\n"


def _websocket(path: str, socket: Json) -> Iterator[str]:
    yield f"### `WebSocket {path}`\n"
    yield _text(socket["description"]) + "\n"
    yield from _table(("parameter", "in", "type", "meaning"), map(_parameter, socket["parameters"]))
    for title, way in (("Up", "receives"), ("Down", "sends")):
        yield f"{title}:\n"
        for _, example in _examples(socket[way]):
            yield f"```\n{example}\n```\n"
    yield from _table(("closes with", "when"), socket["closes"].items())


def _parameter(given: Json) -> tuple[str, ...]:
    schema = given["schema"]
    default = f" Default `{json.dumps(schema['default'])}`." if schema.get("default") is not None else ""
    name = f"`{given['name']}`" + (", required" if given.get("required") and given["in"] != "path" else "")
    return name, given["in"], _type(schema), given.get("description", "") + default


def _contents(title: str, contents: Json) -> Iterator[str]:
    shapes = [f"`{media}`{_of(content.get('schema', {}))}" for media, content in contents.items()]
    yield f"{title}: {'; '.join(shapes)}.\n"
    for media, content in contents.items():
        for summary, example in _examples(content):
            yield f"{summary}:\n" if summary else ""
            yield f"```json\n{example}\n```\n" if media == "application/json" else f"```\n{example}\n```\n"


def _examples(content: Json) -> Iterator[tuple[str, str]]:
    if "example" in content:
        yield "", _written(content["example"])
    for name, example in content.get("examples", {}).items():
        yield example.get("summary", name), _written(example["value"])


def _written(example: object) -> str:
    return example.rstrip() if isinstance(example, str) else json.dumps(example, indent=1, ensure_ascii=False)


def _of(schema: Json) -> str:
    return f", {_type(schema)}" if schema.keys() - {"description"} else ""


def _shape(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in schema:
        yield _text(schema["description"]) + "\n"
    needed = schema.get("required", [])
    rows = [
        (f"`{key}`" + (", required" if key in needed else ""), _type(member), _text(member.get("description", "")))
        for key, member in schema.get("properties", {}).items()
    ]
    if rows:
        yield from _table(("member", "type", "meaning"), rows)


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(_type(option) for option in schema[choice]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(heads)
    yield _row(("---",) * len(heads))
    for row in rows:
        yield _row(tuple(cell.replace("|", "\\|") for cell in row))
    yield ""


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(description: str) -> str:
    return " ".join(description.split())
