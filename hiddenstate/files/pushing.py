"""A file's rows through the API: new sessions are created with their history, later rows follow in batches.

Where each session stands is asked before its first row is sent, and again whenever an answer was lost. Timestamps and
steps name each row's place, so that nothing is folded twice, whatever was interrupted: what a session holds already is
answered as a replay, and what is too old to be compared is left out.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from hiddenstate.answers.sessions import Session
from hiddenstate.client import Client
from hiddenstate.errors import InvalidRequest, ProblemError, ServiceUnreachable
from hiddenstate.files.failures import Failures, Refused
from hiddenstate.files.foreseeing import Foreseeing
from hiddenstate.files.gaps import Gaps, Sparse
from hiddenstate.files.outgoing import Outgoing
from hiddenstate.files.standing import Rows, compare
from hiddenstate.files.statics import Statics
from hiddenstate.files.tables import OldestFirst, Part, SeriesFile
from hiddenstate.files.taken import Taken
from hiddenstate.sending.shapes import OnConflict, Settings

CONNECTIONS = 16
"""Sessions that are created at the same time: the service folds their histories together."""
HISTORY_ROWS = 20_000
"""Most rows that one session is created with; those that remain follow in batches."""
BATCH_ROWS = 8192
MENDINGS = 20
"""How often a refused history is sent again without the rows that were refused."""
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""A service that is away is waited for before the push gives up."""
LISTED_S = 10
"""Most seconds to wait until the list of sessions has the newest one."""
RETRYABLE = (408, 429, 503, 504)
RETRYABLE_SLUGS = ("request-in-progress", "concurrent-update")

ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Pushed:
    """What became of the rows of a file.

    Attributes:
        created: sessions.
        applied: rows; `replayed` were known already.
        older: rows that their sessions hold already, or passed over, too long ago to be compared; not sent.
        imputed: steps that no row was sent for, and the service has filled in; `sparsest` is a session of which they
            are most.
        example: one of the sessions that were created, as it was then.
        left_out: static covariates that the model of new sessions does not take.
    """

    created: int = 0
    applied: int = 0
    replayed: int = 0
    older: int = 0
    imputed: int = 0
    sparsest: Sparse | None = None
    example: Session | None = None
    left_out: set[str] = field(default_factory=set)


class _Refusal(NamedTuple):
    row: int
    problem: str
    detail: str


class _Begun(NamedTuple):
    """What became of the rows of a series that is new, or was there before.

    Attributes:
        rows: those still to send.
        known: there is such a session now.
        stood: what it was where it was there before.
        created: what it is where it was not.
        left_out: static covariates that it does not take.
    """

    code: int
    rows: Rows
    known: bool = False
    stood: Session | None = None
    created: Session | None = None
    applied: int = 0
    same: int = 0
    older: int = 0
    refused: Sequence[_Refusal] = ()
    left_out: Sequence[str] = ()


class Push:
    """One file into one service.

    Args:
        covariates: the columns that are sent besides those of a series.
        settings: of new sessions.
        freq: what the sessions must have that are there; None = whatever they have.
        create: create the sessions that there are not; else their rows are refused.
        prefix: put before each unique_id.
        done: is told numbers of rows that were worked off.
    """

    def __init__(
        self,
        client: Client,
        file: SeriesFile,
        *,
        covariates: Taken,
        settings: Settings,
        freq: str | None,
        create: bool,
        on_conflict: OnConflict,
        prefix: str,
        failures: Failures,
        done: Callable[[int], None],
    ) -> None:
        self._client = client
        self._file = file
        self._taken = covariates
        self._statics = Statics(file.path, covariates.static)
        self._ahead = Foreseeing(file, covariates.columns, covariates.horizon)
        self._outgoing = Outgoing(covariates, self._ahead, prefix)
        self._settings = settings
        self._freq = freq
        self._create = create
        self._on_conflict: OnConflict = on_conflict
        self._prefix = prefix
        self._failures = failures
        self._done = done
        self._known: dict[str, Session | None] = {}
        """What a session was when its first rows came; None = it was created by them."""
        self._newest = ""
        self._gaps = Gaps()
        self._pushed = Pushed()

    def run(self) -> Pushed:
        """Push every row.

        Raises:
            TableError: the file cannot be used, from this row on.
            ProblemError, ServiceUnreachable: the service does not take rows any more; the same push goes on later.
        """
        order = OldestFirst()
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            for held in self._ahead.parts():
                if self._on_conflict == "reject":
                    order.check(held.part)
                self._part(self._statics.take(held.part), list(held.rows.values()), pool)
        finally:
            pool.shutdown(cancel_futures=True)
        self._wait_until_listed()
        self._pushed.imputed = self._gaps.imputed
        if (sparsest := self._gaps.sparsest) is not None:
            self._pushed.sparsest = sparsest._replace(session=self._prefix + sparsest.session)
        return self._pushed

    def _wait_until_listed(self) -> None:
        """The list of sessions lags a little, and who asks for those of a prefix next means all that were pushed."""
        for _ in range(LISTED_S):
            if not self._newest or self._client.sessions_page(prefix=self._newest, page_size=1).sessions:
                return
            time.sleep(1.0)

    def _part(self, part: Part, by_series: Sequence[Rows], pool: ThreadPoolExecutor) -> None:
        new = [name not in self._known or self._known[name] is not None for name in part.names]
        waiting = [rows for rows, is_new in zip(by_series, new, strict=True) if not is_new]
        codes = [code for code, is_new in enumerate(new) if is_new]
        for begun in pool.map(lambda code: _patiently(self._begin, part, code, by_series[code]), codes):
            self._pushed.applied += begun.applied
            self._pushed.replayed += begun.same
            self._pushed.older += begun.older
            self._pushed.left_out |= set(begun.left_out)
            self._refuse(part, begun.refused)
            self._done(begun.applied + begun.same + begun.older + len(begun.refused))
            waiting.append(begun.rows)
            name = part.names[begun.code]
            if begun.known:
                self._known[name] = begun.stood
                self._outgoing.note(name, begun.stood or begun.created)
                self._gaps.begin(name, 0 if begun.stood is None else begun.stood.step)
            if begun.created is not None:
                self._pushed.created += 1
                self._pushed.example = self._pushed.example or begun.created
                self._newest = begun.created.session
                self._gaps.advance(name, begun.created.step, begun.applied)
        rows = np.sort(np.concatenate(waiting))
        for at in range(0, len(rows), BATCH_ROWS):
            self._send(part, rows[at : at + BATCH_ROWS])

    def _begin(self, part: Part, code: int, rows: Rows) -> _Begun:
        """Find out what a session holds of these rows, or create it with them."""
        try:
            return self._standing(part, code, rows)
        except ProblemError as problem:
            if problem.retryable:
                raise
            if not self._create or problem.slug != "session-not-found":
                refused = [_Refusal(row, problem.slug, problem.detail) for row in rows.tolist()]
                return _Begun(code, rows[:0], refused=refused)
            return self._created(part, code, rows)

    def _standing(self, part: Part, code: int, rows: Rows) -> _Begun:
        name = part.names[code]
        session = self._known.get(name) or self._client.session(self._prefix + name)
        other = self._other_freq(session) or self._other_static(session, name)
        if other is not None:
            refused = [_Refusal(row, "session-exists", f"session {session.session}: {other}") for row in rows.tolist()]
            return _Begun(code, rows[:0], refused=refused)
        compared = compare(self._client, session, part, rows)
        return _Begun(code, compared.rows, known=True, stood=session, older=compared.older, same=compared.same)

    def _other_freq(self, session: Session) -> str | None:
        """How a session's freq differs from the one that it must have; None where it does not."""
        if self._freq is None or session.freq is None or session.freq == self._freq:
            return None
        return f"it has the freq {session.freq}, not {self._freq}; leave --freq out, or choose another --prefix"

    def _other_static(self, session: Session, name: str) -> str | None:
        """How its static covariates differ from those of its rows."""
        given, takes = self._statics.of(name), self._taken.static_of(session.model)
        other = [one for one in takes if one in given and session.static.get(one) != given[one]]
        if not other:
            return None
        held = ", ".join(f"{one} {session.static.get(one, 'missing')} and not {given[one]}" for one in other)
        return f"it has {held}, and what is static cannot change; choose another --prefix, or mend the file"

    def _created(self, part: Part, code: int, rows: Rows) -> _Begun:
        """Create a session with the first of its rows, without those that are refused."""
        first = rows[np.isfinite(part.values[rows]) | np.isnan(part.values[rows])][:HISTORY_ROWS].tolist()
        if not first:  # the service says why it takes none of them
            return _Begun(code, rows)
        rest = rows[~np.isin(rows, first)]
        name, static, left_out = part.names[code], dict(self._statics.of(part.names[code])), list[str]()
        refused: list[_Refusal] = []
        for _ in range(MENDINGS):
            try:
                history = self._outgoing.history(part, name, first, self._settings)
                settings = Settings(**self._settings, static=static) if static else self._settings
                created = self._client.put_session(self._prefix + name, history, **settings)
            except ProblemError as problem:
                if problem.retryable:
                    raise
                if problem.slug == "session-exists":  # made by another meanwhile
                    return self._standing(part, code, rows)
                if untaken := _refused_statics(problem) & static.keys():
                    left_out += untaken
                    static = {one: value for one, value in static.items() if one not in untaken}
                    continue
                faulty = _refused_rows(problem) or dict.fromkeys(range(len(first)), problem.detail)
                refused += [_Refusal(first[index], problem.slug, detail) for index, detail in faulty.items()]
                gone = {first[index] for index in faulty}
                first = [row for row in first if row not in gone]
                if not first:
                    break
            else:
                applied = len(first)
                return _Begun(code, rest, True, None, created, applied, refused=refused, left_out=left_out)
        refused += [_Refusal(row, refused[-1].problem, refused[-1].detail) for row in (*first, *rest.tolist())]
        return _Begun(code, rows[:0], refused=refused)

    def _send(self, part: Part, rows: Rows) -> None:
        """Send rows of sessions that are there until each has an answer; what is not settled goes again, in order."""
        waits = iter(WAITS_S)
        while len(rows):
            failed: ProblemError | ServiceUnreachable | None = None
            left = rows
            try:
                answer = self._client.observe_table(
                    self._outgoing.rows(part, rows),
                    on_conflict=self._on_conflict,
                    content_type=self._outgoing.content_type,
                )
                left = self._settle(part, rows, pa.ipc.open_stream(answer).read_all().to_pylist())
            except ServiceUnreachable as error:
                failed = error
            except ProblemError as error:
                if not error.retryable:
                    raise
                failed = error
            if not len(left):
                return
            if len(left) < len(rows):
                waits = iter(WAITS_S)
            wait_s = next(waits, None)
            if wait_s is None:
                raise failed or ServiceUnreachable(self._client.url, "it keeps asking to try again later")
            time.sleep(wait_s)
            rows = _patiently(self._still_to_send, part, left)

    def _settle(self, part: Part, rows: Rows, outcomes: Sequence[dict[str, Any]]) -> Rows:
        """Count what was answered; the rows that were not settled."""
        settled = np.zeros(len(rows), bool)
        refused = []
        for outcome in outcomes:
            index, status, slug = outcome["row"], outcome["status"], outcome["problem"]
            if index is None or status in RETRYABLE or slug in RETRYABLE_SLUGS:
                continue
            settled[index] = True
            if slug is not None:
                refused.append(_Refusal(int(rows[index]), slug, outcome["detail"]))
            elif outcome["replayed"]:
                self._pushed.replayed += 1
            else:
                self._pushed.applied += 1
                self._gaps.advance(part.names[part.codes[rows[index]]], outcome["step"])
        self._refuse(part, refused)
        self._done(int(settled.sum()))
        return rows[~settled]

    def _still_to_send(self, part: Part, rows: Rows) -> Rows:
        """Those of the rows that their sessions do not hold: the answers were lost."""
        kept = []
        for code in np.unique(part.codes[rows]).tolist():
            session = self._client.session(self._prefix + part.names[code])
            compared = compare(self._client, session, part, rows[part.codes[rows] == code])
            kept.append(compared.rows)
            self._outgoing.note(part.names[code], session)
            self._gaps.advance(part.names[code], session.step, compared.older + compared.same)
            self._pushed.older += compared.older
            self._pushed.replayed += compared.same
        left = np.sort(np.concatenate(kept))
        self._done(len(rows) - len(left))
        return left

    def _refuse(self, part: Part, refused: Iterable[_Refusal]) -> None:
        self._failures.add(self._told(part, refused))

    def _told(self, part: Part, refused: Iterable[_Refusal]) -> Iterator[Refused]:
        for row, problem, detail in refused:
            ds = int(part.where[row]) if part.moments is None else part.moments[part.where[row]]
            name = part.names[part.codes[row]]
            covariates = [part.table[one][row].as_py() for one in self._taken.observed]
            covariates += [self._statics.of(name).get(one) for one in self._taken.static]
            yield Refused(name, ds, part.table["y"][row].as_py(), covariates, problem, detail)


def _refused_rows(problem: ProblemError) -> dict[int, str]:
    """Which observations of a history a problem points to, and what it says of each."""
    found = {}
    for fault in problem.errors:
        _, *path = str(fault.get("pointer", "")).split("/")
        if path[:1] == ["observations"] and path[1:] and path[1].isdecimal():
            # Of what is invalid the problem's own detail tells the first of these faults, and nothing else.
            own = ": ".join(filter(None, ("/".join(path[2:]), str(fault["detail"]))))
            found[int(path[1])] = own if isinstance(problem, InvalidRequest) else problem.detail
    return found


def _refused_statics(problem: ProblemError) -> set[str]:
    """The static covariates that a problem points to: the model does not take them."""
    pointers = [str(fault.get("pointer", "")) for fault in problem.errors]
    return {one.removeprefix("/static/") for one in pointers if one.startswith("/static/")}


def _patiently(call: Callable[..., ResultT], *arguments: Any) -> ResultT:  # noqa: ANN401 - those of the call
    """The result of a call to the service, which is waited for while it is away."""
    for wait_s in WAITS_S:
        try:
            return call(*arguments)
        except ServiceUnreachable:
            time.sleep(wait_s)
        except ProblemError as problem:
            if not problem.retryable:
                raise
            time.sleep(wait_s)
    return call(*arguments)
