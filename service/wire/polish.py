"""What makes the OpenAPI description whole once all calls are in it: examples, standard keywords, nothing unused."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

JSON = "application/json"
REFERENCE = "#/components/schemas/"
EXAMPLES: dict[str, Any] = json.loads(resources.files("service.wire").joinpath("examples.json").read_bytes())
"""By name of the schema: answers as a service gave them, and the bodies of requests that it took."""
KEYWORDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""Limits of numbers that pydantic leaves with its own names where it validates before them."""
LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}


def polished(document: dict[str, Any]) -> dict[str, Any]:
    """The description, completed in place."""
    document["info"]["license"] = LICENSE
    document["servers"] = [{"url": "/"}]
    document["security"] = []  # open, and on loopback only
    for content in _contents(document):
        schema = content.get("schema", {})
        name = next(iter(_names(schema)), None)
        if name in EXAMPLES and not {"example", "examples"} & content.keys():
            content["example"] = EXAMPLES[name]
    components: dict[str, Any] = document["components"]["schemas"]
    for schema in components.values():
        _rename(schema)
    _drop_unused(document, components)
    return document


def _contents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The JSON content of every body and of every good answer."""
    for calls in document["paths"].values():
        for call in calls.values():
            good = [answer for status, answer in call["responses"].items() if status.startswith("2")]
            for part in (call.get("requestBody", {}), *good):
                if JSON in part.get("content", {}):
                    yield part["content"][JSON]


def _names(tree: object) -> Iterator[str]:
    """The schemas that a part of the description names."""
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"].removeprefix(REFERENCE)
        for member in tree.values():
            yield from _names(member)
    elif isinstance(tree, list):
        for member in tree:
            yield from _names(member)


def _rename(tree: object) -> None:
    if isinstance(tree, dict):
        for own, standard in KEYWORDS.items():
            if isinstance(tree.get(own), int | float):
                tree[standard] = tree.pop(own)
        for member in tree.values():
            _rename(member)
    elif isinstance(tree, list):
        for member in tree:
            _rename(member)


def _drop_unused(document: dict[str, Any], components: dict[str, Any]) -> None:
    """Drop the schemas that no call leads to."""
    used: set[str] = set()
    fresh = set(_names(document["paths"]))
    while fresh:
        used |= fresh
        fresh = {name for one in fresh for name in _names(components.get(one, {}))} - used
    for name in components.keys() - used:
        del components[name]
