"""Requests of the Open Inference Protocol: JSON, and the tensors in it or behind it -> observations of a session."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, prod
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from service.wire import parsing
from service.wire.inference.schemas import (
    COVARIATES,
    SEQUENCE_LIMIT,
    TIMESTAMP,
    VALUE,
    VALUES_LIMIT,
    InferenceParameters,
    InferenceRequest,
    InputTensor,
)
from service.wire.parsing import Observation
from service.wire.problems import Fault, InvalidRequest, MalformedRequest, ServiceError, pointer

HEADER_LENGTH = "Inference-Header-Content-Length"
OUTPUTS = ("forecast", "quantiles")
LENGTH_BYTES = 4
"""Before each element of a binary tensor of text."""
EXACT = 2**53
"""Above it a float64 names several integers."""
FLOATS: dict[str, np.dtype[np.float64] | np.dtype[np.float32]] = {"FP64": np.dtype("<f8"), "FP32": np.dtype("<f4")}

OBSERVED = re.compile(r"(?:/(?P<index>\d+))?(?:/(?P<member>value|timestamp|covariates)(?P<name>/[^/]+)?)?")
"""Where an observation, or a member of it, stands in a request that has nothing else."""

Where = tuple[str | int, ...]


class _Tensor(NamedTuple):
    """An input, its bytes behind the JSON (None = it is in there), its place in the request."""

    sent: InputTensor
    raw: bytes | None
    where: Where

    @property
    def rows(self) -> int:
        """Of observations."""
        return self.sent.shape[1]

    @property
    def size(self) -> int:
        """Of elements."""
        return prod(self.sent.shape)

    def fault(self, detail: str, *member: str | int) -> InvalidRequest:
        """The refusal of it, or of a member of it."""
        return InvalidRequest([Fault(detail, pointer(*self.where, *member))])


@dataclass(frozen=True, slots=True)
class Inference:
    """One request.

    Attributes:
        id: as it was sent; "" = none.
        session: the sequence's id.
        observations: oldest first, at least one.
        outputs: names of those to answer with, and whether each stands behind the JSON.
        inputs: where each input stands in the request, by name.
    """

    id: str
    session: str
    parameters: InferenceParameters
    observations: list[Observation]
    outputs: tuple[tuple[str, bool], ...]
    inputs: Mapping[str, str]

    def placed(self, refused: ServiceError) -> ServiceError:
        """The refusal of an observation, its faults pointing into the request instead."""
        faults = [self._placed(fault) for fault in refused.errors]
        if isinstance(refused, InvalidRequest):
            return InvalidRequest(faults, at=refused.at)
        refused.errors = tuple(faults)
        return refused

    def _placed(self, fault: Fault) -> Fault:
        found = OBSERVED.fullmatch(fault.pointer or "-")
        if found is None:
            return fault
        at = self.inputs.get(found["member"] or VALUE, pointer("inputs"))
        is_one = found["index"] and found["member"] != COVARIATES
        return fault._replace(pointer=f"{at}/data/{found['index']}" if is_one else at)


def read(body: bytes, header_length: str | None, covariates: Sequence[str]) -> Inference:
    """A request, by its body and the header that says how much of that is JSON.

    Args:
        covariates: names of the columns of the tensor `covariates`, as the model's metadata lists them.
    Raises:
        MalformedRequest: it cannot be taken apart, or it names no sequence.
        InvalidRequest: something in it must be mended.
    """
    head, behind = _parted(body, header_length)
    try:
        asked = InferenceRequest.model_validate(parsing.read_json(head, integer_digits=len(str(SEQUENCE_LIMIT))))
    except ValidationError as error:
        raise InvalidRequest(parsing.faults(error, InferenceRequest)) from None
    tensors = _tensors(asked.inputs, behind)
    if VALUE not in tensors:
        raise InvalidRequest([Fault(f"must hold the tensor {VALUE}", pointer("inputs"))])
    inputs: dict[str, str] = {tensor.name: pointer("inputs", index) for index, tensor in enumerate(asked.inputs)}
    observations = _observations(tensors, covariates)
    return Inference(asked.id, _session(asked.parameters), asked.parameters, observations, _outputs(asked), inputs)


def _observations(tensors: Mapping[str, _Tensor], names: Sequence[str]) -> list[Observation]:
    """What was observed, with the covariates of each."""
    value = tensors[VALUE]
    for name, tensor in tensors.items():
        if tensor.rows != value.rows:
            raise InvalidRequest([Fault(f"{name} and {VALUE} must hold as many observations", pointer("inputs"))])
    values = _known(value)
    times: Sequence[str | None] = _texts(tensors[TIMESTAMP]) if TIMESTAMP in tensors else [None] * len(values)
    rows: Sequence[dict[str, float | None] | None] = [None] * len(values)
    if COVARIATES in tensors:
        rows = _rows(tensors[COVARIATES], names)
    return [
        Observation(number, time, covariates=row) for number, time, row in zip(values, times, rows, strict=True)
    ]


def _rows(tensor: _Tensor, names: Sequence[str]) -> list[dict[str, float | None]]:
    """The covariates of each observation."""
    if tensor.sent.shape[2] != len(names):
        columns = f"the columns {', '.join(names)}" if names else "none: the model takes no covariates"
        raise tensor.fault(f"must be {columns}", "shape", 2)
    numbers = _known(tensor)
    return [
        dict(zip(names, numbers[at : at + len(names)], strict=True)) for at in range(0, len(numbers), len(names))
    ]


def _known(tensor: _Tensor) -> list[float | None]:
    """The elements; None = missing."""
    return [None if isnan(number) else number for number in _numbers(tensor)]


def _parted(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON, and the tensors behind it."""
    if header_length is None:
        return body, b""
    digits = header_length.strip(" \t")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        fault = Fault("must be a whole number of bytes", parameter=HEADER_LENGTH)
        raise MalformedRequest(f"{HEADER_LENGTH} {fault.detail}", errors=[fault])
    if int(digits) > len(body):
        fault = Fault("must not be larger than the body, before compression", parameter=HEADER_LENGTH)
        raise MalformedRequest(f"{HEADER_LENGTH} {fault.detail}", errors=[fault])
    return body[: int(digits)], body[int(digits) :]


def _session(parameters: InferenceParameters) -> str:
    """The session that a sequence is. 42 and "42" are one; 0 and "" name none."""
    where, given = pointer("parameters", "sequence_id"), parameters.sequence_id
    if isinstance(given, float) and given.is_integer():
        given = int(given) if abs(given) < EXACT else -1
    if isinstance(given, str):
        if given:
            return _allowed(given, where)
    elif isinstance(given, bool) or not isinstance(given, int):
        raise InvalidRequest([Fault("must be a whole number or text", where)])
    elif not 0 <= given <= SEQUENCE_LIMIT:
        raise _no_sequence(Fault(f"must be from 0 to {SEQUENCE_LIMIT}", where))
    elif given:
        return str(given)
    raise _no_sequence(Fault("must name a sequence: a number from 1 on, or text", where))


def _allowed(name: str, where: str) -> str:
    try:
        return parsing.session_id(name)
    except InvalidRequest as refused:
        raise InvalidRequest([fault._replace(pointer=where, parameter=None) for fault in refused.errors]) from None


def _no_sequence(fault: Fault) -> MalformedRequest:
    return MalformedRequest(f"sequence_id {fault.detail}", errors=[fault])


def _outputs(asked: InferenceRequest) -> tuple[tuple[str, bool], ...]:
    default = asked.parameters.binary_data_output
    if not asked.outputs:
        return tuple((name, default) for name in OUTPUTS)
    names = [output.name for output in asked.outputs]
    if len(set(names)) < len(names):
        raise InvalidRequest([Fault("must not name an output twice", pointer("outputs"))])
    chosen = [output.parameters.binary_data for output in asked.outputs]
    return tuple((name, default if binary is None else binary) for name, binary in zip(names, chosen, strict=True))


def _tensors(sent: Sequence[InputTensor], behind: bytes) -> dict[str, _Tensor]:
    """The inputs by name, those behind the JSON cut out of what is there."""
    found: dict[str, _Tensor] = {}
    at = 0
    for index, tensor in enumerate(sent):
        size, where = tensor.parameters.binary_data_size, ("inputs", index)
        if size is not None and size > len(behind) - at:
            fault = Fault("is larger than what is left of the body", pointer(*where, "parameters", "binary_data_size"))
            raise MalformedRequest(f"{fault.pointer} {fault.detail}", errors=[fault])
        raw = None if size is None else behind[at : at + size]
        at += size or 0
        found[tensor.name] = _checked(_Tensor(tensor, raw, where), again=tensor.name in found)
    if at < len(behind):
        raise MalformedRequest(f"{len(behind) - at} bytes follow the last tensor; binary_data_size accounts for each")
    return found


def _checked(tensor: _Tensor, *, again: bool) -> _Tensor:
    sent = tensor.sent
    if again:
        raise tensor.fault("given twice", "name")
    if sent.shape[0] != 1 or len(sent.shape) != (3 if sent.name == COVARIATES else 2):
        columns = ", and of columns" if sent.name == COVARIATES else ""
        raise tensor.fault(f"must be 1, and then the number of observations{columns}", "shape")
    if tensor.rows > VALUES_LIMIT:
        raise tensor.fault(f"must be at most {VALUES_LIMIT} observations; send the others after them", "shape")
    if (sent.datatype == "BYTES") != (sent.name == TIMESTAMP):
        kinds = "BYTES" if sent.name == TIMESTAMP else " or ".join(FLOATS)
        raise tensor.fault(f"must be {kinds} for {sent.name}", "datatype")
    if (sent.data is None) == (tensor.raw is None):
        raise tensor.fault("must have either data, or binary_data_size in its parameters")
    return tensor


def _numbers(tensor: _Tensor) -> list[float]:
    """The elements; NaN = missing."""
    dtype = FLOATS[tensor.sent.datatype]
    places: list[Where] = []
    if tensor.raw is None:
        places, given = _elements(tensor)
        floats = [_number(tensor, element, where) for where, element in zip(places, given, strict=True)]
        with np.errstate(over="ignore"):  # it is infinite then, and refused
            numbers = np.array(floats).astype(dtype)
    else:
        if len(tensor.raw) != tensor.size * dtype.itemsize:
            detail = f"must be {tensor.size * dtype.itemsize} for this shape and datatype"
            raise tensor.fault(detail, "parameters", "binary_data_size")
        numbers = np.frombuffer(tensor.raw, dtype)
    if infinite := np.flatnonzero(np.isinf(numbers)).tolist():
        raise tensor.fault("must be finite", *(places[infinite[0]] if places else ()))
    found: list[float] = numbers.astype(np.float64).tolist()
    return found


def _number(tensor: _Tensor, element: object, where: Where) -> float:
    if element is None:
        return nan
    if isinstance(element, bool) or not isinstance(element, int | float):
        raise tensor.fault("must be a number, or null where it is missing", *where)
    return float(element)


def _texts(tensor: _Tensor) -> list[str]:
    if tensor.raw is not None:
        return _packed(tensor, tensor.raw)
    places, given = _elements(tensor)
    for where, element in zip(places, given, strict=True):
        if not isinstance(element, str):
            raise tensor.fault("must be text", *where)
    return [str(element) for element in given]


def _elements(tensor: _Tensor) -> tuple[list[Where], list[object]]:
    """Where each element stands in the JSON, nested as the shape or flat, and what it is."""
    given: list[object] = tensor.sent.data or []
    places: list[Where] = [("data",)]
    level: list[object] = [given]
    is_nested = bool(given) and isinstance(given[0], list)
    for size in tensor.sent.shape if is_nested else [tensor.size]:
        for where, inner in zip(places, level, strict=True):
            if not isinstance(inner, list) or len(inner) != size:
                raise tensor.fault(f"must hold {size} elements, as the shape says", *where)
        places = [(*where, index) for where in places for index in range(size)]
        level = [element for inner in level if isinstance(inner, list) for element in inner]
    return places, level


def _packed(tensor: _Tensor, raw: bytes) -> list[str]:
    """The elements of a binary tensor of text, each after its length."""
    texts: list[str] = []
    at = 0
    for _ in range(tensor.size):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(raw[at:begin], "little")
        if at > len(raw):
            raise tensor.fault("is shorter than its elements, each after its length in 4 bytes")
        try:
            texts.append(raw[begin:at].decode())
        except UnicodeDecodeError:
            raise tensor.fault(f"must be UTF-8; element {len(texts)} is not") from None
    if at < len(raw):
        raise tensor.fault(f"must hold {tensor.size} elements, as the shape says; more bytes follow them")
    return texts
