"""Faults put into the service on purpose, to see that the simulation finds each: a few lines changed in a copy of it.

    python -m tests.simulation.mutants --processes 2     for each mutant the first seed, from 0 on, that finds it
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns

ROOT = Path(__file__).parents[2]
SEEDS = 2000
"""A mutant that this many seeds do not find has survived."""
COPIED = ("service", "tests/simulation")
LINKED = ("models", "tests/golden")

HUNT = """
import sys
from tests.simulation.run import simulate
for seed in map(int, sys.argv[1].split(",")):
    report = simulate(seed)
    if report.violations:
        print(seed, report.violations[0].splitlines()[0][:200], sep="\\t")
        break
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault.

    Attributes:
        edits: file, the text that it must contain exactly once, and what stands there instead.
        seed: one that found it, tried first.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    seed: int = 0


LUA, EXCHANGE, LAYOUT = "service/storage/commit.lua", "service/storage/exchange.py", "service/storage/layout.py"
APPLYING, STEPPED = "service/sessions/applying.py", "service/sessions/waves/stepped.py"
LIFECYCLE, DEMANDS = "service/sessions/lifecycle.py", "service/sessions/demands.py"
FORECASTER = "service/sessions/waves/forecaster.py"

COMPARED = "local position = sub(head, 113, 124) .. sub(head, 509, 512)\n  if position == expected then"
LIFE = "local position = sub(head, 113, 124)\n"
LOOKED_UP = """  local known = digest_of(head, token)
  if known then return known == digest and REPLAYED or KEY_REUSED end
"""

MUTANTS = (
    Mutant(
        "compare by step alone",
        (
            (LUA, COMPARED, LIFE + "  if sub(head, 129, 136) == sub(expected, 9, 16) then"),
            (LAYOUT, "record[112:124] + record[CRC_AT : CRC_AT + 4]", "record[112:120] + record[128:136]"),
        ),
    ),
    Mutant(
        "incarnation not compared",
        ((LUA, COMPARED, LIFE + "  if sub(position, 9) == sub(expected, 9, 12) then"),),
        seed=4,
    ),
    Mutant(
        "checksum not compared",
        ((LUA, COMPARED, LIFE + "  if position == sub(expected, 1, 12) then"),),
        seed=4,
    ),
    Mutant(
        "revision not raised by a correction",
        (
            (
                APPLYING,
                "        record.bump(token, digest)\n",
                "        record.bump(token, digest)\n        head['revision'] -= np.uint64(bool(plan.corrections))\n",
            ),
        ),
    ),
    Mutant(
        "issued forecasts overwritten by a correction",
        ((APPLYING, "slots[\"revised\"][later] = issued[later]", "slots[\"issued\"][later] = issued[later]"),),
    ),
    Mutant(
        "revision not raised by a change of settings",
        ((LIFECYCLE, "            changed.record.bump(token, work.digest)\n", ""),),
    ),
    Mutant(
        "token looked up after the comparison",
        (
            (LUA, LOOKED_UP, ""),
            (
                LUA,
                "  return compare(head, expected)\n",
                "  local compared = compare(head, expected)\n  if compared ~= APPLIED then return compared end\n"
                + LOOKED_UP
                + "  return APPLIED\n",
            ),
        ),
    ),
    Mutant(
        "state written in two calls",
        (
            (
                FORECASTER,
                "        committed = await self._store.commit(changes)\n",
                """        from dataclasses import replace
        committed = await self._store.commit([replace(change, writes=change.writes[:1]) for change in changes])
        from service.storage.connection import Command
        keys = [(self._store.key(change.session), write) for change in changes for write in change.writes[1:]]
        rest = [Command(key, (b"SETRANGE", key, b"%d" % at, data)) for key, (at, data) in keys]
        await self._store.servers.run(rest, self._store.timeout_s)
""",
            ),
        ),
    ),
    Mutant(
        "cancellation that drops a committed wave",
        (
            (
                FORECASTER,
                "        for advance in advances:\n",
                """        if any(one.entry.over for advance in advances for one in advance._planned):
            for entry in [one.entry for advance in advances for one in advance._planned]:
                entry.fail(StoreUnavailable("a request of the wave was cancelled; nothing was changed"))
            return []
        for advance in advances:
""",
            ),
        ),
        seed=64,
    ),
    Mutant(
        "a deadline that says that nothing was changed",
        (
            (
                STEPPED,
                'entry.fail(DeadlineExceeded(f"the store did not confirm in time; {entry.work.again}"))',
                'entry.fail(StoreUnavailable("the store did not confirm in time; nothing was changed"))',
            ),
        ),
    ),
    Mutant(
        "a replay that cannot be read says that nothing was changed",
        ((STEPPED, "stored=outcome is Outcome.REPLAYED", "stored=False"),),
        seed=74,
    ),
    Mutant(
        "expiry not checked",
        (
            (LUA, "local expired = expires ~= 0 and expires <= now", "local expired = false"),
            ("service/storage/read.lua", "if expires ~= 0 and expires <= now and sound then", "if false then"),
        ),
    ),
    Mutant(
        "a re-sent command's own success taken for a conflict",
        (
            (
                STEPPED,
                "own = outcome is Outcome.REPLAYED and entry.work.token is None",
                "own = False",
            ),
        ),
        seed=2,
    ),
    Mutant(
        "answers handed to the wrong sessions",
        (
            (
                STEPPED,
                "answers = read_answers(self._outcomes) if self.changes else []",
                "answers = read_answers(self._outcomes)[::-1] if self.changes else []",
            ),
        ),
    ),
    Mutant(
        "what is cached trusted without the store's comparison",
        ((STEPPED, "outcome is Outcome.APPLIED or own:", "outcome in (Outcome.APPLIED, Outcome.CONFLICT) or own:"),),
    ),
    Mutant(
        "refused for what is cached",
        (
            (
                FORECASTER,
                "            waiting += [having_seen(cached[row], _position(rows[row])) for row, _ in unusual]\n",
                """            for row, problem in unusual:
                if problem is not None:
                    cached[row].fail(problem)
                else:
                    waiting.append(having_seen(cached[row], _position(rows[row])))
""",
            ),
        ),
        seed=1,
    ),
    Mutant(
        "a connection that settles a request with the answer to an earlier one",
        (
            (EXCHANGE, "return self._answered is None and not self._transport", "return not self._transport"),
            (
                EXCHANGE,
                '        self._fail(TimeoutError("no answer within the time limit"))\n',
                "        if self._answered is not None and not self._answered.done():\n"
                '            self._answered.set_exception(TimeoutError("no answer within the time limit"))\n',
            ),
        ),
        seed=1,
    ),
    Mutant(
        "a lost commit taken for another client's",
        ((DEMANDS, "position[1] > place.revision", "position[1] < 0"),),
        seed=4,
    ),
)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[Path]:
    """A tree with the fault in it.

    Raises:
        ValueError: the text to edit is not there, or more than once: the source has changed, and so must the mutant.
    """
    with tempfile.TemporaryDirectory(prefix="hs-mutant-") as folder:
        root = Path(folder)
        (root / "tests").mkdir()
        for name in COPIED:
            copytree(ROOT / name, root / name, ignore=ignore_patterns("__pycache__"))
        for name in LINKED:
            (root / name).symlink_to(ROOT / name)
        for name, old, new in mutant.edits:
            source = (root / name).read_text()
            if source.count(old) != 1:
                raise ValueError(f"{mutant.name}: {name} contains {source.count(old)} times: {old}")
            (root / name).write_text(source.replace(old, new))
        yield root


def found(mutant: Mutant, seeds: list[int]) -> str | None:
    """The first of these seeds that breaks a promise, and which; None = the mutant survives them."""
    with mutated(mutant) as root:
        ran = subprocess.run(
            [sys.executable, "-c", HUNT, ",".join(map(str, seeds))],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode:
        raise RuntimeError(f"{mutant.name}: {ran.stderr[-2000:]}")
    return ran.stdout.strip() or None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a mutant's name")
    asked = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if asked.only in mutant.name]
    survived = 0
    with ThreadPoolExecutor(asked.processes) as pool:
        searches = pool.map(lambda mutant: found(mutant, list(range(SEEDS))), mutants)
        for mutant, seed in zip(mutants, searches, strict=True):
            survived += seed is None
            print(f"{mutant.name}: {'SURVIVED' if seed is None else f'found by seed {seed}'}", flush=True)
    print(f"{len(mutants) - survived} of {len(mutants)} mutants found within {SEEDS} seeds")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
