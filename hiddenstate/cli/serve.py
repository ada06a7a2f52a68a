"""The serve command: check what can be checked, start the service, and say where it is and how to talk to it."""

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.answers.service import Status
from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.client import Client
from hiddenstate.errors import HiddenstateError

if TYPE_CHECKING:
    from service.settings import Settings

LOOK_AGAIN_S = 0.05
PROMISES = {
    "replica": "on replicas before each answer",
    "local": "on disk before each answer",
    "memory": "a crash may lose the last answers",
}


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 = any free one.", show_default="8000")] = None,
    store_url: Annotated[
        str | None, typer.Option(help="Redis or Valkey to keep sessions in.", show_default="its own, embedded")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded store.", show_default="~/.local/share/hiddenstate"),
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of further models.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer requests.", show_default="1")] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            metavar="memory|local|replica",
            help="What a write must survive before it is answered.",
            show_default="what the store gives",
        ),
    ] = None,
) -> None:
    """Start the service. Every setting can also be given as an environment variable HIDDENSTATE_..., see README.md."""
    _require_server()
    settings = settings_of(
        host=host,
        port=port,
        store_url=store_url,
        data_dir=data_dir,
        models_dir=models_dir,
        workers=workers,
        durability=durability,
    )
    require_models(settings)
    with _kept_port(settings.host, settings.port) as port:
        settings = settings.model_copy(update={"port": port})
        if settings.store_url is not None:
            _check_store(settings.store_url, settings.namespace, settings.store_timeout_s)
        else:
            _tell_of_holder(settings.data_dir.expanduser())
        threading.Thread(target=_announce, args=(settings,), daemon=True).start()
        _serve(settings)


def _require_server() -> None:
    """Raises Fault: only what a client needs is installed."""
    try:
        import service.supervisor  # noqa: F401
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error


def require_models(settings: "Settings") -> None:
    """Raises Fault: the folder of further models is not there, and nobody would miss them before a session does."""
    if settings.models_dir is not None and not settings.models_dir.expanduser().is_dir():
        raise Fault(
            ExitCode.CANNOT_START,
            f"there is no folder {settings.models_dir}",
            "--models-dir or HIDDENSTATE_MODELS_DIR names it as that of further models",
            "mend the name, leave it out, or publish a model there: hiddenstate train DATA --models-dir FOLDER",
        )


def _tell_of_holder(data_dir: Path) -> None:
    """Say at once what will be waited for: the service before this one may be about to let go of its directory."""
    from service.storage.embedded import LOCK_WAIT_S, holder

    if (process := holder(data_dir)) is not None:
        ways = "--data-dir OTHER, or stop the other service"
        used = f"the data directory {data_dir} is in use by process {process}"
        output.messages().print(f"{used}: waiting {LOCK_WAIT_S:.0f} s for it ({ways})", markup=False, soft_wrap=True)


def _serve(settings: "Settings") -> None:
    """Serve until the process is told to stop. Raises Fault: it cannot."""
    from models.artifacts.artifact import ArtifactError
    from service import supervisor
    from service.storage.embedded import DataDirectoryInUse, EmbeddedStoreError

    try:
        supervisor.serve(settings)
    except DataDirectoryInUse as error:
        raise Fault(
            ExitCode.CANNOT_START,
            f"the data directory {settings.data_dir} is in use",
            str(error),
            "hiddenstate serve --data-dir OTHER, or stop the other service",
        ) from error
    except EmbeddedStoreError as error:
        raise Fault(
            ExitCode.CANNOT_START,
            "the embedded store did not start",
            str(error),
            "mend that, or name a store of your own: hiddenstate serve --store-url redis://127.0.0.1:6379/0",
        ) from error
    except ModuleNotFoundError as error:
        raise Fault(
            ExitCode.CANNOT_START,
            "traces are asked for, and what sends them is not installed",
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and there is no module {error.name!r} here",
            "in a checkout of the project: pip install '.[tracing]'; or unset it",
        ) from error
    except ArtifactError as error:
        raise Fault(
            ExitCode.CANNOT_START,
            "a model cannot be served",
            str(error),
            "remove its folder, or publish it anew",
        ) from error
    except OSError as error:
        raise Fault(
            ExitCode.CANNOT_START,
            "the service did not start",
            str(error),
            "mend that; hiddenstate serve --data-dir and --port choose another folder and port",
        ) from error


def settings_of(**flags: Any) -> "Settings":  # noqa: ANN401 - whatever was given, the settings check it
    """The settings of the environment, and over them the flags that were given."""
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Fault(
            ExitCode.USAGE,
            f"the setting {name} cannot be used",
            first["msg"],
            f"mend --{name.replace('_', '-')} or HIDDENSTATE_{name.upper()}; README.md lists every setting",
        ) from error


@contextmanager
def _kept_port(host: str, port: int) -> Iterator[int]:
    """`port`, or a free one for 0, which the system gives to nobody else until the service listens on it."""
    family, address = _resolved(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise _unbound(host, port, error) from error
        yield int(probe.getsockname()[1])


def _unbound(host: str, port: int, error: OSError) -> Fault:
    if error.errno != errno.EADDRINUSE:
        what, cure = f"cannot listen on {host}, port {port}", "choose another --host or --port"
        return Fault(ExitCode.CANNOT_START, what, str(error.strerror), cure)
    return Fault(
        ExitCode.CANNOT_START,
        f"port {port} is in use",
        f"another program listens on {host}:{port}",
        "hiddenstate serve --port 0 takes a free one; or stop the other program",
    )


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        first = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return first[0], first[4]
    except (OSError, UnicodeError) as error:
        raise Fault(
            ExitCode.USAGE,
            f"cannot listen on {host!r}",
            f"it is no address of this machine ({error})",
            "hiddenstate serve --host 127.0.0.1",
        ) from error


def _check_store(url: str, namespace: str, timeout_s: float) -> None:
    """A service whose store cannot be reached would refuse everything: better to say so at once."""
    from service.storage.store import SessionStore, StoreUnavailable

    async def ask() -> None:
        async with SessionStore.open(url, namespace=namespace, timeout_s=timeout_s) as store:
            await store.status()

    try:
        asyncio.run(ask())
    except StoreUnavailable as error:
        raise Fault(
            ExitCode.CANNOT_START,
            "the store cannot be reached",
            str(error),
            "start it or mend the address; without --store-url and HIDDENSTATE_STORE_URL the service brings its own",
        ) from error
    except ValueError as error:
        raise Fault(
            ExitCode.USAGE,
            "the address of the store cannot be used",
            str(error),
            "hiddenstate serve --store-url redis://127.0.0.1:6379/0",
        ) from error


def _announce(settings: "Settings") -> None:
    """Wait until the service is ready, then say where it is. Runs in a thread that ends with the command."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    url = f"http://{shown}:{settings.port}"
    with Client(url) as client:
        while True:
            try:
                status = client.status()
                if status.ready:
                    break
            except HiddenstateError:
                pass  # not yet listening, or not yet ready
            time.sleep(LOOK_AGAIN_S)
    print(_greeting(url, status, settings), flush=True)


def _greeting(url: str, status: Status, settings: "Settings") -> str:
    store = status.store
    place = f"embedded, {settings.data_dir}" if settings.store_url is None else without_password(settings.store_url)
    promise = PROMISES.get(store["durability"], store["durability"])
    example = f"curl --json '{{\"value\": 118}}' '{url}/v1/sessions/store-42/observations?create=true'"
    return "\n".join(
        (
            f"hiddenstate {status.version} is ready",
            f"  url    {url}",
            f"  docs   {url}/docs",
            f"  store  {store['engine']} {store['version']} ({place}), {promise}",
            f"  model  {', '.join(status.models)}",
            f"  try    {example}",
        )
    )


def without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
