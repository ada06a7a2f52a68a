"""The parts of the whole benchmark, each from its measuring to its section of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import commits, comparison, growth, profile, record_bytes, step
from bench.commands import found, lines_of, totals
from bench.report import Figure, Section
from bench.requests import CONNECTIONS
from bench.rounds import Results, interleaved
from bench.targets import running
from models.artifacts import artifact

SERIES_FOR_EACH_SESSION = 10
"""In a backfill, which is over sooner than single observations."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and how much of it.

    Args:
        model: folder of an artifact.
        targets: names of the services that are compared, of `bench.targets.TITLES`.
        seconds: of each load.
        longest: steps of the longest history.
    """

    model: Path
    targets: Sequence[str]
    rounds: int
    seconds: int
    sessions: int
    longest: int
    note: Callable[[str], None]


class CutShort(Exception):
    """A part ended before it was done; `section` holds what it had measured."""

    def __init__(self, section: Section) -> None:
        super().__init__("cut short")
        self.section = section


def requests_part(options: Options) -> Section:
    """All services side by side. Raises CutShort."""
    results = Results()
    try:
        with running(options.targets, model=options.model, sessions=options.sessions, note=options.note) as targets:
            for line in interleaved(
                targets, CONNECTIONS, rounds=options.rounds, seconds=options.seconds, results=results
            ):
                options.note(line)
    except BaseException as fault:
        if not results.loads:
            raise
        lines = [f"**Cut short** by {type(fault).__name__}.", ""]
        raise CutShort(_requests_section(options, results, lines)) from fault
    return _requests_section(options, results, [])


def _requests_section(options: Options, results: Results, remarks: list[str]) -> Section:
    text = [
        *remarks,
        f"{options.sessions:,} sessions of `{options.model.parent.name}@{options.model.name}`, `history: 64`, half "
        "with timestamps, half with an `Idempotency-Key` of its own for each request; the embedded store syncs to "
        "disk before each answer. Where its append-only file is rewritten, it is over and over, with no pause in "
        "between, as no deployment does. Processor time (us) is for each request, that of the kernel included. "
        f"{results.errors:,} requests failed.",
    ]
    for connections in CONNECTIONS:
        text += ["", f"### {connections} connections", "", *comparison.table(results, connections)]
    return Section(
        "Single observations", text, comparison.figures(results, *CONNECTIONS), comparison.bars(results, CONNECTIONS)
    )


def growth_part(options: Options) -> Section:
    posts = 40 * options.seconds
    grown = growth.measure(
        options.model, longest=options.longest, posts=posts, rounds=options.rounds, note=options.note
    )
    figures = [
        Figure(f"p50 at step {length:,} over step 10, `history: {kind}`", ratio.median, 1.05, 1.0, at_most=True)
        for (kind, length), ratio in grown.ratios.items()
        if length == options.longest and kind != "resent"
    ]
    plotted: dict[str, dict[str, float]] = {}
    for (kind, length), p50_ms in grown.p50_ms.items():
        plotted.setdefault(growth.TITLES[kind], {})[str(length)] = p50_ms
    text = [f"One connection, {posts} requests of each length in a round, Redis 7.0.", "", *growth.table(grown)]
    return Section("Cost against history", text, figures, plotted)


def bytes_part(options: Options) -> Section:
    spec = artifact.load(options.model).spec
    usages = record_bytes.measure(options.model, sessions=min(options.sessions // 10, 100), note=options.note)
    by_history = {usage.history: usage for usage in usages}
    default = by_history[record_bytes.DEFAULT]
    figures = [
        Figure("bytes of a session, `history: 0`", by_history[0].usage, 2000, 1700, at_most=True),
        Figure("bytes of a session, default settings, over raw payload", default.over_payload, 1.4, 1.2, at_most=True),
    ]
    text = [
        "By Redis 7.0 itself. Raw payload: 8 bytes x layers x hidden, twice more for the snapshots, 8 for each "
        "retained value and 4 for each of its quantiles.",
        "",
        *record_bytes.table(usages),
        "",
        *record_bytes.described(spec),
    ]
    return Section("Bytes of a session", text, figures)


def commits_part(options: Options) -> Section:
    rates = commits.measure(
        options.model, seconds=options.seconds, sessions=min(options.sessions, 1000), note=options.note
    )
    text = [
        "How fast Redis 7.0 runs the service's own commits when nothing else is done: taken down under load, then "
        f"pipelined from a bare socket, {commits.IN_FLIGHT} calls ahead of their replies.",
        "",
        *commits.table(rates),
    ]
    return Section("The store's own limit", text)


def step_part(options: Options) -> Section:
    text, figures = [], []
    for folder in dict.fromkeys((options.model, artifact.SHIPPED / "daily" / "1")):
        label = f"{folder.parent.name}@{folder.name}"
        times = []
        for time in step.measure(folder, rounds=10 * options.rounds):
            options.note(f"{label} {time}")
            times.append(time)
        text += [f"`{label}`:", "", *step.table(times), ""]
        if folder == options.model:
            [ratio] = [time.ratio for time in times if time.batch == 64]
            figures.append(Figure("step at batch 64 over a bare 2-layer LSTM(64) step", ratio, 3.5, 2.5, at_most=True))
    return Section("The step's own limit", text[:-1], figures)


def profile_part(options: Options) -> Section:
    tool, profiles = profile.measure(
        options.model, CONNECTIONS, seconds=options.seconds, sessions=min(options.sessions, 2000), note=options.note
    )
    text = [
        f"One process over Redis 7.0, by {tool}. What a library or the kernel does is charged to the part that called.",
        "",
        *profile.table(profiles),
    ]
    return Section("Where the time goes", text)


def bulk_part(options: Options) -> Section:
    amounts = ("--sessions", str(options.sessions), "--rounds", str(options.rounds), "--model", str(options.model))
    lines = lines_of("bench.bulk", *amounts, note=options.note)
    figures = [
        Figure(
            f"batches by {name} over folding in process", found(lines, rf"^{name} .* ([\d.]+) of the fold"), 0.16, 0.35
        )
        for name in ("JSON", "Arrow")
    ]
    figures.append(Figure("batches by Arrow over those by JSON", found(lines, r"^Arrow over JSON: ([\d.]+)"), 1.3, 2.0))
    return Section("Batches", totals(lines), figures)


def backfill_part(options: Options) -> Section:
    series = str(SERIES_FOR_EACH_SESSION * options.sessions)
    amounts = ("--series", series, "--rounds", str(options.rounds), "--model", str(options.model))
    lines = lines_of("bench.backfill", *amounts, note=options.note)
    ratio = found(lines, r"^ratio to the compiled step alone ([\d.]+)")
    figures = [Figure("backfill over the compiled step alone, 512 rows a call", ratio, 0.4, 0.7)]
    return Section("Backfill", totals(lines), figures)


PARTS: Mapping[str, Callable[[Options], Section]] = {
    "requests": requests_part,
    "bulk": bulk_part,
    "backfill": backfill_part,
    "growth": growth_part,
    "bytes": bytes_part,
    "commits": commits_part,
    "step": step_part,
    "profile": profile_part,
}
