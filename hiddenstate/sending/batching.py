"""Rows of many sessions, in as many requests as it takes, each row sent again until it is settled."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hiddenstate.answers.batches import BatchOutcome, BatchOutcomes
from hiddenstate.sending import calls
from hiddenstate.sending.exchange import ATTEMPTS, Steps, Wait, backoff_s, called, new_key
from hiddenstate.sending.shapes import BatchObservation, OnConflict

ROWS = 10_000
"""Of one request: well below the body that the service takes, so that it is never refused for its size."""
BARE_ROWS = 8
"""Of one session in one request, without timestamp or step: the service knows its last eight idempotency keys."""


def observed(
    rows: Sequence[BatchObservation],
    creating: Mapping[str, str],
    on_conflict: OnConflict,
    key: str | None,
    url: str,
) -> Steps[BatchOutcomes]:
    """Send rows in order; those that the service could not settle again, with the same idempotency keys.

    Raises:
        ProblemError: the service refused them all.
        ServiceUnreachable: no answer came in three attempts.
    """
    prefix = key or new_key()
    keyed: list[BatchObservation] = [{"idempotency_key": f"{prefix}/{at}", **row} for at, row in enumerate(rows)]
    outcomes: dict[int, BatchOutcome] = {}
    for part in _parts(keyed):
        left: Sequence[int] = part
        for attempt in range(1, ATTEMPTS + 1):
            sent = [keyed[at] for at in left]
            for outcome in (yield from called(calls.observe_batch(sent, creating, on_conflict), url)):
                if outcome.row is not None:
                    at = left[outcome.row]
                    outcomes[at] = replace(outcome, row=at)
            left = [at for at in left if _is_unsettled(outcomes.get(at))]
            if not left:
                break
            if attempt < ATTEMPTS:
                yield Wait(backoff_s(attempt))
    return BatchOutcomes([outcomes[at] for at in sorted(outcomes)])


def _parts(rows: Sequence[BatchObservation]) -> Iterator[range]:
    begin, bare = 0, Counter[str]()
    for at, row in enumerate(rows):
        counted = "timestamp" not in row and "step" not in row
        if at - begin >= ROWS or (counted and bare[row["session"]] >= BARE_ROWS):
            yield range(begin, at)
            begin, bare = at, Counter()
        bare[row["session"]] += counted
    if begin < len(rows):
        yield range(begin, len(rows))


def _is_unsettled(outcome: BatchOutcome | None) -> bool:
    return outcome is None or (outcome.problem is not None and outcome.problem.retryable)
