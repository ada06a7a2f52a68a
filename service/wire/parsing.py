"""Bodies of requests: bytes -> validated values, or a problem that says what to mend and where.

A plain observation takes the fast way, a typed decoder; whatever that does not plainly accept is read again by the
slow way, which decides and explains. Both refuse the same: duplicate and unknown keys, strings and booleans for
numbers, what is not finite, nesting deeper than DEPTH_LIMIT.
"""

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.wire import schemas
from service.wire.problems import Fault, InvalidRequest, MalformedRequest, pointer

DEPTH_LIMIT = 32
FAULT_LIMIT = 20
"""Faults that one problem lists."""
# A string, or what follows an opening quotation mark that is never closed: so that no text is looked at twice.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?"?', re.DOTALL)
BRACKETS = bytes.maketrans(b"{}", b"[]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
SESSION_ID = re.compile(schemas.SESSION_ID.strip("^$"))

FORMS = {
    schemas.PREFIX: "must be what ids of sessions begin with: at most 128 of A-Z a-z 0-9 . _ ~ -",
    schemas.MODEL: "must name a model as NAME or NAME@VERSION, such as daily or daily@1; GET /v1/models lists them",
}
"""What the patterns of texts ask for."""
WORDS = {
    "missing": "required",
    "finite_number": "must be finite",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have {min_length} or more items, and has {actual_length}",
    "too_long": "must have at most {max_length} items",
}
"""What is said for each kind of error, in place of the validator's own words."""

RequestT = TypeVar("RequestT", bound=schemas.Request)
Covariates = dict[str, float | None]


class Observation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One observation as it was sent: well formed, its timestamp not yet read. Never both a timestamp and a step."""

    value: float | None
    """None = missing."""
    timestamp: str | None = None
    step: Annotated[int, msgspec.Meta(ge=1, le=schemas.STEP_LIMIT)] | None = None
    covariates: Covariates | None = None
    future: list[Covariates] | None = None

    @property
    def is_placed_twice(self) -> bool:
        """Whether it names both a timestamp and a step."""
        return self.timestamp is not None and self.step is not None

    @property
    def quotes(self) -> int:
        """Fewest quotation marks that this observation can have been written with."""
        quotes = 2
        if self.timestamp is not None:
            quotes += 4
        if self.step is not None:
            quotes += 2
        if self.covariates:
            quotes += 2 + 2 * len(self.covariates)
        if self.future:
            quotes += 2 + 2 * sum(map(len, self.future))
        return quotes


_one_or_many = msgspec.json.Decoder(Observation | list[Observation])
_many = msgspec.json.Decoder(list[Observation])
_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_slow = TypeAdapter(list[schemas.Observation])


def observations(body: bytes) -> tuple[list[Observation], bool]:
    """The observations of a POST, oldest first, and whether they were sent as a list.

    Raises:
        MalformedRequest: the body is not JSON.
        InvalidRequest: something in it must be mended.
    """
    try:
        sent = _one_or_many.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _explained_observations(body)
    if isinstance(sent, list):
        return (sent, True) if sent and _plain(sent, body) else _explained_observations(body)
    if sent.is_placed_twice or body.count(b'"') != sent.quotes:
        return _explained_observations(body)
    return [sent], False


def _plain(found: Sequence[Observation], body: bytes) -> bool:
    """Whether the decoder saw all there was: a key given twice leaves more quotation marks than are accounted for."""
    quotes = sum(observation.quotes for observation in found)
    return body.count(b'"') == quotes and not any(observation.is_placed_twice for observation in found)


def _explained_observations(body: bytes) -> tuple[list[Observation], bool]:
    tree = read_json(body)
    listed = isinstance(tree, list)
    sent = tree if isinstance(tree, list) else [tree]
    if not sent:
        raise InvalidRequest([Fault("must hold at least one observation", pointer())])
    try:
        found = _slow.validate_python(sent)
    except ValidationError as error:
        # What was sent alone is addressed without an index.
        raise InvalidRequest(faults(error, schemas.Observation, skip=0 if listed else 1)) from None
    return [_from_schema(observation) for observation in found], listed


def _from_schema(observation: schemas.Observation) -> Observation:
    return Observation(
        observation.value, observation.timestamp, observation.step, observation.covariates, observation.future
    )


def session_put(body: bytes) -> tuple[schemas.SessionSettings, list[Observation] | None]:
    """The settings of a PUT and its observations (None = not given).

    Raises:
        MalformedRequest: the body is not JSON.
        InvalidRequest: something in it must be mended.
    """
    taken = _take_observations(body)
    if taken is not None:
        rest, history = taken
        return request(rest, schemas.SessionSettings), history
    put = request(body, schemas.SessionPut)
    settings = schemas.SessionSettings.model_validate(put.model_dump(exclude_unset=True, exclude={"observations"}))
    if put.observations is None:
        return settings, None
    return settings, [_from_schema(observation) for observation in put.observations]


def _take_observations(body: bytes) -> tuple[bytes, list[Observation]] | None:
    """The fast way for a long history: the body without its observations, and these. None = read it the slow way."""
    try:
        members = _raw_members.decode(body)
        accounted = sum(bytes(raw).count(b'"') for raw in members.values()) + 2 * len(members)
        history = bytes(members.pop("observations"))
        found = _many.decode(history)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    if body.count(b'"') != accounted or not _plain(found, history):
        return None
    return b"{" + b",".join(
        json.dumps(name).encode() + b":" + bytes(raw) for name, raw in members.items()
    ) + b"}", found


def request(body: bytes, schema: type[RequestT]) -> RequestT:
    """A body of any other kind.

    Raises:
        MalformedRequest: the body is not JSON.
        InvalidRequest: something in it must be mended.
    """
    try:
        return schema.model_validate(read_json(body))
    except ValidationError as error:
        raise InvalidRequest(faults(error, schema)) from None


def session_id(text: str) -> str:
    """A session's id from a path.

    Raises:
        InvalidRequest: it is not allowed; the detail names the nearest id that is.
    """
    if SESSION_ID.fullmatch(text) is None:
        detail = f"must be 1 to 128 of A-Z a-z 0-9 . _ ~ -; the nearest allowed is {_nearest_id(text)}"
        raise InvalidRequest([Fault(detail, parameter="session")])
    return text


def _nearest_id(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text[:512]).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._~-]+", "-", plain).strip("-")[:128] or "session"


def read_json(body: bytes, integer_digits: int = 18, *, called: str = "body") -> object:
    """Any JSON body.

    What is not finite is kept as such, for the schema to refuse it where it stands.

    Args:
        integer_digits: an integer with more, its sign among them, is read as the float64 that it must mean, being
            longer than any step or count; Python refuses to read integers of thousands of digits.
        called: what the text is for its sender.

    Raises:
        MalformedRequest: it is not JSON in UTF-8.
        InvalidRequest: a key is given twice, or it is nested deeper than DEPTH_LIMIT.
    """
    deep = _is_deep(body)
    twice = False

    def integer(digits: str) -> int | float:
        return int(digits) if len(digits) <= integer_digits else float(digits)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal twice
        members = dict(pairs)
        if len(members) != len(pairs):
            twice = True
            return _Repeating(pairs)
        return members

    try:
        text = body.decode("utf-8-sig")
        if not text.strip():
            raise MalformedRequest(f"the {called} is empty; send JSON")
        tree: object = None if deep else json.loads(text, object_pairs_hook=unique, parse_int=integer)
        if "\\u" in text:
            json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"the {called} is not UTF-8") from None
    except UnicodeEncodeError:
        raise MalformedRequest(f"the {called} escapes one half of a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if "\n" in text else f"column {error.colno}"
        raise MalformedRequest(f"the {called} is not JSON: {error.msg} ({where})") from None
    if deep:
        raise InvalidRequest([Fault(f"nested deeper than {DEPTH_LIMIT}, or brackets that do not match", pointer())])
    if twice:
        raise InvalidRequest(list(islice(_repetitions(tree, ()), FAULT_LIMIT)))
    return tree


class _Repeating(dict[str, object]):
    """An object that gives a key twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def _repetitions(tree: object, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(tree, _Repeating):
        yield from (Fault("given twice", pointer(*path, key)) for key in tree.repeated)
    if isinstance(tree, dict | list):
        for key, member in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _repetitions(member, (*path, key))


def _is_deep(body: bytes) -> bool:
    """Whether brackets, outside of strings, are nested deeper than DEPTH_LIMIT."""
    if body.count(b"[") + body.count(b"{") <= DEPTH_LIMIT:
        return False
    brackets = STRING.sub(b"", body).translate(BRACKETS, NOT_BRACKETS)
    for _ in range(DEPTH_LIMIT):  # each round takes the innermost level away
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > DEPTH_LIMIT


def faults(error: ValidationError, schema: type[BaseModel], skip: int = 0) -> list[Fault]:
    """What a schema refused, as pointers into the body; the first `skip` parts of each path are left out."""
    found = error.errors(include_url=False, include_input=False)
    listed = []
    for refused in found[:FAULT_LIMIT]:
        path = [part for part in refused["loc"][skip:] if part != "[key]"]
        unknown = refused["type"] == "extra_forbidden"
        detail = _of_unknown(path, schema) if unknown else worded(refused["type"], refused["msg"], refused.get("ctx"))
        listed.append(Fault(detail, pointer(*path)))
    return listed


def worded(kind: str, message: str, context: Mapping[str, Any] | None) -> str:
    """What the validator found, in the words of this API.

    Args:
        kind, message, context: the error's type, its own words, and the limits that they are about.
    """
    limits = context or {}
    if kind == "string_pattern_mismatch":
        return FORMS[limits["pattern"]]
    if kind in WORDS:
        return WORDS[kind].format(**limits)
    return message.removeprefix("Value error, ").replace("Input should", "must")


def _of_unknown(path: Sequence[str | int], schema: type[BaseModel]) -> str:
    """What is wrong with a key that the schema does not know, and which one may be meant."""
    if path[-1] in getattr(schema, "FIXED", ()):
        return "cannot change after creation: make another session"
    known = schema.model_fields.keys()
    if issubclass(schema, schemas.SessionSettings):
        if len(path) > 1:
            known = schemas.Observation.model_fields.keys()
        elif path[-1] in schemas.Observation.model_fields:
            return "unknown key here; it belongs to an observation, and those are listed in observations"
    meant = difflib.get_close_matches(str(path[-1])[:64], known, n=1)
    return f"unknown key; did you mean {meant[0]}?" if meant else "unknown key"
