"""Everything that is measured, side by side, into one report: docs/performance.md.

    python -m bench                                                       some 12 minutes
    python -m bench --rounds 1 --seconds 1 --sessions 1000 --longest 1000 --out /tmp/bench      2 minutes
    python -m bench --only step --only profile

A part that fails costs no other its results. Needs `wrk` and Redis 7.0 (Debian: apt-get install wrk redis-server).
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import machine
from bench.growth import LENGTHS
from bench.load import require_wrk
from bench.models import two_layers
from bench.parts import PARTS, CutShort, Options
from bench.report import Report, Section
from bench.targets import TITLES

DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table of figures, write the report; the process's exit status."""
    given = _parser().parse_args(arguments)
    require_wrk()
    began = time.monotonic()

    def note(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    model = given.model.resolve() if given.model else two_layers()
    targets = given.target or list(TITLES)
    options = Options(model, targets, given.rounds, given.seconds, given.sessions, given.longest, note)
    report, described = Report(given.out, list(PARTS)), machine.describe()
    amounts = f"--rounds {given.rounds} --seconds {given.seconds} --sessions {given.sessions}"
    command = f"python -m bench {amounts} --only"
    failed = []
    for name in given.only or PARTS:
        note(f"--- {name}")
        section, fault = _measured(name, options)
        if section is not None:
            date = datetime.now(UTC).date().isoformat()
            measured = f"{date}, commit {machine.commit()}: `{command} {name}`"
            report.put(name, replace(section, measured=measured), described)
            print("\n".join(line for line in section.text if line.startswith("|")))
        if fault is not None:
            traceback.print_exception(fault)
            failed.append(name)
        if isinstance(fault, KeyboardInterrupt):
            break
    print("\n".join(report.summary()))
    note(f"done; the report is {given.out / 'performance.md'}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _measured(name: str, options: Options) -> tuple[Section | None, BaseException | None]:
    """What a part measured, and what ended it before it was done."""
    try:
        return PARTS[name](options), None
    except CutShort as cut:
        return cut.section, cut.__cause__
    except (Exception, KeyboardInterrupt) as fault:
        return None, fault


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--longest", type=int, choices=LENGTHS, default=LENGTHS[-1], help="longest history")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="measure this part alone (repeatable)")
    parser.add_argument("--target", action="append", choices=list(TITLES), help="compare only these services")
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
