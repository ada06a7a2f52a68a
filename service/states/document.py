"""The document of a session's state: all that another service needs to go on with it, to the bit.

Its checksum covers the document as it is written here, compact and in this order, with an empty checksum; so it does
not change where other software has indented it, or written 121 for 121.0.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from service.storage.plausible import STEP_LIMIT
from service.wire.problems import Fault, MalformedRequest, pointer, shown
from service.wire.session_problems import StateInvalid

FORMAT = 1
Step = Annotated[int, msgspec.Meta(ge=0, lt=STEP_LIMIT)]
PLACE = re.compile(r" - at `\$(.*)`$")
PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
MISSING = re.compile(r"^Object missing required field `(.*)`$")
UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$")
BOUND = re.compile(r"^Expected `int` (>=|<=) (\d+)$")
TYPE = re.compile(r"^Expected `([a-z |]+)`, got `")
NAMES = {
    **{"int": "an integer", "float": "a number", "str": "a string", "bool": "true or false"},
    **{"array": "an array", "object": "an object", "null": "null"},
}
ONE_OF = 'must be an integer, or "full"'
"""Of `history`, the only member of which not every string is taken."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the document: no unknown members."""


class Settings(Part, frozen=True):
    """The settings of the session, those of a Session but its model, which stands beside them."""

    session: str
    freq: str | None
    timezone: str
    static: dict[str, float | None]
    gaps: str
    max_gap: int
    history: int | Literal["full"]
    minimum: float | None
    maximum: float | None
    ttl_s: float | None
    require_if_match: bool


class Array(Part, frozen=True):
    """One array of the state, in the order in which they stand in its bytes."""

    name: str
    dtype: str
    shape: list[int]


class Kept(Part, frozen=True):
    """An earlier state, that after `step` observations, from which corrections are folded: base64, as `data`."""

    step: Step
    data: str


class Forecast(Part, frozen=True):
    """A Forecast."""

    step: int
    timestamp: str | None
    value: float
    quantiles: dict[str, float]


class Record(Part, frozen=True):
    """A Record, and whether it was corrected: the value before can have been a missing one."""

    step: Step
    timestamp: str | None
    value: float | None
    covariates: dict[str, float | None]
    imputed: bool
    forecast: Forecast | None
    covered: dict[str, bool] | None
    original: float | None
    revised: Forecast | None
    corrected: bool
    future: list[dict[str, float | None]] = []
    """What was known in advance at that observation, nearest first."""


class State(Part, frozen=True):
    """A session's state.

    Attributes:
        first: time of the first observation, the phase of the grid.
        runtime: what folded it; another one's forecasts may differ by their rounding.
        flags: what else the session remembers of itself, such as "short_rebuild".
        arrays: of the state; where the model was not at hand, one of unknown bytes.
        data: the state's bytes, base64.
        checksum: "sha256:" and 64 digits.
    """

    format: int
    session: Settings
    step: Step
    first: str | None
    last: str | None
    flags: list[str]
    model: str
    fingerprint: str
    runtime: str
    arrays: list[Array]
    data: str
    kept: list[Kept]
    history: list[Record]
    checksum: str = ""


class Text:
    """A document as it is written, its history some records at a time. `state`: the rest of it."""

    def __init__(self, state: State) -> None:
        empty = msgspec.structs.replace(state, history=[], checksum="")
        head, _, self._end = msgspec.json.encode(empty).rpartition(b'[],"checksum":"')
        self._parts = [head + b"["]
        self._hash = hashlib.sha256(self._parts[0])

    def add(self, records: Sequence[Record]) -> None:
        """The next records, at least one."""
        written = msgspec.json.encode(records)[1:-1]
        part = b"," + written if len(self._parts) > 1 else written
        self._parts.append(part)
        self._hash.update(part)

    def whole(self) -> bytes:
        """All of it, with its checksum."""
        self._hash.update(b'],"checksum":"' + self._end)
        checksum = f"sha256:{self._hash.hexdigest()}".encode()
        return b"".join([*self._parts, b'],"checksum":"', checksum, self._end])


_decoder = msgspec.json.Decoder(State)


def digest(state: State) -> bytes:
    """SHA-256 over the document with an empty checksum."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(state, checksum=""))).digest()


def parse(body: bytes) -> State:
    """The document in a body; its format and form are right, what it says is not yet looked at.

    Raises:
        MalformedRequest: it is no JSON, or cut.
        StateInvalid: a member is missing or is not of its type, or its format is another one.
    """
    try:
        state = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _not_one(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest("the body is no JSON, or is cut; export the state again") from None
    if state.format != FORMAT:
        raise invalid(f"is format {state.format}; this service reads format {FORMAT}", "format")
    return state


def invalid(detail: str, *path: str | int) -> StateInvalid:
    """The refusal of a member."""
    place = ".".join(map(str, path)) or "the document"
    return StateInvalid(f"{place}: {detail}", errors=[Fault(detail, pointer(*path))])


def unsettled(fault: Fault) -> StateInvalid:
    """The refusal of a setting, as that of the same setting of a new session."""
    place = f"/session{fault.pointer or ''}"
    return StateInvalid(f"{place}: {fault.detail}", errors=[Fault(fault.detail, place)])


def _not_one(message: str) -> StateInvalid:
    """What the decoder says, of the member that it means and in the words of other refusals."""
    place, said = PLACE.search(message), PLACE.sub("", message)
    path = [shown(name) or index for name, index in PART.findall(place[1] if place else "")]
    if missing := MISSING.search(said):
        return invalid("required", *path, missing[1])
    if unknown := UNKNOWN.search(said):
        return invalid("unknown key", *path, shown(unknown[1]))
    # Of the members of a map, the decoder does not say which.
    each = "each value " if place and "[...]" in place[1] else ""
    return invalid(each + _must_be(said), *path)


def _must_be(said: str) -> str:
    if bound := BOUND.search(said):
        return f"must be at {'least' if bound[1] == '>=' else 'most'} {bound[2]}"
    found = TYPE.search(said)
    kinds = [] if found is None else found[1].split(" | ")
    if not kinds or kinds == ["int", "str"]:
        return ONE_OF
    return f"must be {' or '.join(NAMES[kind] for kind in kinds)}"
