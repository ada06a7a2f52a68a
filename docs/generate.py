"""Writes docs/reference from the code: `python docs/generate.py` (`make docs`)."""

import asyncio
import os
import sys
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import httpx2
from openapi_page import Json, page
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from hiddenstate.cli import app as command
from models.artifacts.artifact import SHIPPED
from service.app import create_app
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.store import SessionStore

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- Made by `make docs` from the code; changes here are lost. -->\n\n"


def pages() -> dict[str, str]:
    """Markdown by file name."""
    return {"settings.md": settings(), "commands.md": commands(), "http.md": MADE + page(asyncio.run(openapi()))}


def settings() -> str:
    """Every setting with type, default and meaning."""
    rows = ["| variable | default | bounds | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        cells = (f"`HIDDENSTATE_{name.upper()}`", _default(field.default), _bounds(field.metadata), field.description)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    head = "# Settings\n\nEnvironment variables, read once when the service starts.\n"
    return "\n".join([MADE + head, *rows, ""])


def _default(value: object) -> str:
    return "" if value is None else f"`{value}`"


def _bounds(metadata: list[Any]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "pattern": "matches"}
    said = [
        f"{word} `{getattr(limit, name)}`"
        for limit in metadata
        for name, word in words.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join(said).replace("|", "\\|")


def commands() -> str:
    """Every command with its arguments and options."""
    clicked = get_command(command)
    context = Context(clicked, info_name="hiddenstate")
    text = get_docs_for_click(obj=clicked, ctx=context, name="hiddenstate", title="Commands")
    home = str(Path.home())
    return MADE + text.replace(home, "~").strip() + "\n"


async def openapi() -> Json:
    """The description that a running service gives on /openapi.json; no store is needed for it."""
    registry = Registry.load([SHIPPED], "daily")
    no_store = cast(AbstractAsyncContextManager[SessionStore], nullcontext())
    application = create_app(Settings(), no_store, registry, clock=time.time, randomness=os.urandom)
    transport = httpx2.ASGITransport(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        return cast(Json, (await client.get("/openapi.json")).json())


def main(check: bool) -> None:
    """Write the pages, or with `check` say which of them are not what would be written."""
    made = pages()
    stale = [name for name, text in made.items() if not _is(REFERENCE / name, text)]
    if check and stale:
        sys.exit(f"not up to date: {', '.join(stale)} in {REFERENCE}; run make docs")
    for name in stale:
        (REFERENCE / name).write_text(made[name])


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    main(check=sys.argv[1:] == ["--check"])
