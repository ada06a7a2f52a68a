"""Where the processor time of the service goes under load, by part, in percent.

    python -m bench.profile [--seconds 5] [--sessions 2000]

Sampled by `py-spy` where that is installed, else counted by cProfile, which makes small functions look dearer.
"""

from __future__ import annotations

import argparse
import os
import pstats
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.creation import create_sessions, write_series
from bench.load import Target, require_wrk
from bench.models import two_layers
from bench.processes import Program, hiddenstate
from bench.servers import REDIS_7, Server, servers, wait_for
from bench.targets import UNSAVED
from bench.workload import Observations

LOOP = "event loop"
PARTS: Mapping[str, Sequence[str]] = {
    "HTTP": (
        "/uvicorn/",
        "/starlette/",
        "/fastapi/",
        "/service/routes/",
        "/service/wire/",
        "/service/core.py",
        "/service/app.py",
    ),
    "rendering answers": ("/service/wire/render.py", "/service/storage/answers.py"),
    "planning": ("/service/sessions/", "/models/dates/", "/service/listing/"),
    "packing records": (
        "/service/storage/record.py",
        "/service/storage/layout.py",
        "/service/storage/plausible.py",
        "/service/storage/checksums.py",
        "/service/storage/fresh.py",
        "/service/sessions/entries.py",
        "/service/sessions/waves/forecaster.py",
        "/service/sessions/waves/stepped.py",
    ),
    "store": ("/service/storage/", "/redis/", "/hiredis/"),
    "step": ("/models/artifacts/", "/onnxruntime/"),
    LOOP: ("/asyncio/runners.py", "/uvicorn/server.py"),
}
"""Paths of files by part; the longest that occurs in a file's path decides."""
RATE_HZ = 400
RANKED = sorted(((place, part) for part, places in PARTS.items() for place in places), key=lambda pair: -len(pair[0]))
OTHER_THREAD = "/threading.py:"
"""In the stacks of threads beside the first: they wait, which the sampler takes for work."""
FRAME = re.compile(r"^(?P<name>.*) \((?P<path>[^()]*?)(?::\d+)?\)$")

Function = tuple[str, int, str]
"""As pstats names one: file, line, name."""
Edge = tuple[int, int, float, float]
"""Calls by one caller: two counts, seconds of their own, seconds in all."""
Counted = tuple[int, int, float, float, Mapping[Function, Edge]]
"""The same of a function, and its callers."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The share of each part in the time of one process, of which so many samples or seconds were counted."""

    connections: int
    counted: float
    shares: dict[str, float]


def part_of(path: str) -> str | None:
    """The part that a file belongs to; None = the libraries that all parts use."""
    return next((part for place, part in RANKED if place in path), None)


def of_stacks(stacks: Iterable[str]) -> Counter[str]:
    """Samples by part, from lines `outermost;...;innermost COUNT`.

    Time spent in a library, or in C, belongs to the innermost of our parts that called it, or to the loop.
    """
    samples: Counter[str] = Counter()
    for line in stacks:
        if OTHER_THREAD in line:
            continue
        stack, _, count = line.rpartition(" ")
        frames = (FRAME.match(frame) for frame in reversed(stack.split(";")))
        parts = (part_of(frame["path"]) for frame in frames if frame)
        samples[next((part for part in parts if part), LOOP)] += int(count)
    return samples


def of_functions(stats: Mapping[Function, Counted]) -> dict[str, float]:
    """Seconds by part, from what pstats counted; see `of_stacks` for time spent in libraries."""
    known: dict[Function, dict[str, float]] = {}

    def shares(function: Function) -> dict[str, float]:
        """Of the parts that a function works for, by how much of its time is on behalf of each caller."""
        if function not in known:
            known[function] = {}  # for those that call each other
            callers = stats[function][4]
            total = sum(caller[3] for caller in callers.values())
            part = part_of(function[0]) or (LOOP if total <= 0 else None)
            known[function] = {part: 1.0} if part else {}
            for caller, edge in callers.items() if part is None else ():
                for found, share in shares(caller).items():
                    known[function][found] = known[function].get(found, 0.0) + share * edge[3] / total
        return known[function]

    spent: dict[str, float] = {}
    for function, (_, _, own_s, _, _) in stats.items():
        for part, share in shares(function).items():
            spent[part] = spent.get(part, 0.0) + share * own_s
    return spent


def measure(
    model: Path, connections: Sequence[int], *, seconds: int, sessions: int, note: Callable[[str], None]
) -> tuple[str, list[Profile]]:
    """What was asked, and the profile at each number of connections."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-")))
        [server] = stack.enter_context(servers([Server(REDIS_7, folder / "redis", *UNSAVED)]))
        sampler, output = _sampler(), folder / "profile"
        url = f"redis://127.0.0.1:{server.port}/0"
        module = ("hiddenstate",) if sampler else ("bench.profiled", str(output))
        note(f"creating {sessions} sessions")
        create_sessions(write_series(folder, sessions), url, model)
        service = stack.enter_context(hiddenstate("--store-url", url, model=model, module=module))
        service.wait_until_ready()
        target = Target("profiled", service, Observations(sessions))
        target.load(max(connections), 1)
        profiles = []
        for count in connections:
            watched = _sampled(sampler, service, output, seconds) if sampler else _counted(service, output)
            with watched as spent:
                target.load(count, seconds)
            total = sum(spent.values())
            profiles.append(Profile(count, total, {part: spent.get(part, 0) / total for part in PARTS}))
        return ("py-spy" if sampler else "cProfile"), profiles


@contextmanager
def _sampled(sampler: str, service: Program, output: Path, seconds: int) -> Iterator[dict[str, float]]:
    """Filled at the end of the block, which lasts at least so many seconds."""
    spent: dict[str, float] = {}
    command = [sampler, "record", "--pid", str(service.pid), "--duration", str(seconds), "--rate", str(RATE_HZ)]
    command += ["--format", "raw", "--full-filenames", "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sampling:
        yield spent
        said = sampling.communicate()[0]
    if sampling.returncode:
        raise RuntimeError(f"py-spy failed:\n{said}")
    spent |= of_stacks(output.read_text().splitlines())


@contextmanager
def _counted(service: Program, output: Path) -> Iterator[dict[str, float]]:
    """Filled at the end of the block. What the process waited in the loop is left out."""
    spent: dict[str, float] = {}
    output.unlink(missing_ok=True)
    used = service.cpu_s()
    os.kill(service.pid, signal.SIGUSR1)
    yield spent
    os.kill(service.pid, signal.SIGUSR2)
    wait_for(output.exists, "the profile")
    used = service.cpu_s() - used
    stats = pstats.Stats(str(output)).stats  # type: ignore[attr-defined]
    spent |= of_functions(stats)
    spent[LOOP] = max(0.0, used - sum(seconds for part, seconds in spent.items() if part != LOOP))


def _sampler() -> str | None:
    return shutil.which("py-spy") or shutil.which("py-spy", path=Path(sys.executable).parent)


def table(profiles: Sequence[Profile]) -> list[str]:
    """Markdown."""
    heads = " | ".join(f"{profile.connections} connections" for profile in profiles)
    lines = [f"| part | {heads} |", f"| --- |{' ---: |' * len(profiles)}"]
    for part in PARTS:
        shares = " | ".join(f"{profile.shares[part]:.0%}" for profile in profiles)
        lines.append(f"| {part} | {shares} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    given = parser.parse_args()
    require_wrk()
    model = given.model or two_layers()
    tool, profiles = measure(model, (32, 128), seconds=given.seconds, sessions=given.sessions, note=print)
    print(f"by {tool}")
    print("\n".join(table(profiles)))


if __name__ == "__main__":
    main()
