"""Wire types of the Open Inference Protocol: requests are validated by theirs, answers are described here.

Tensors may stand in the JSON, as `data`, or behind it, as `binary_data_size` bytes each.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from service.wire.schemas import Problem, Request, Whole, known_freq

SEQUENCE_LIMIT = 2**64 - 1
"""The largest `sequence_id` that is a number."""
VALUES_LIMIT = 50_000
"""Observations in one request."""

VALUE, TIMESTAMP, COVARIATES = "value", "timestamp", "covariates"
"""Tensors of a request."""

SCALAR: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}
ROW: dict[str, Any] = {"type": "array", "items": SCALAR}


def _one_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": 1}


Elements = Annotated[
    list[Any],
    WithJsonSchema({"anyOf": [ROW, _one_of(ROW), _one_of({"type": "array", "items": ROW})]}),
]
SequenceId = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": SEQUENCE_LIMIT},
                {"type": "string", "pattern": "^[A-Za-z0-9._~-]{0,128}$"},
            ]
        }
    ),
]
Size = Annotated[Whole, Field(ge=0)]


class TensorParameters(Request):
    binary_data_size: Size | None = None
    """Bytes of the tensor behind the JSON, little-endian; of text, each element after its length in 4 bytes."""


class InputTensor(Request):
    """`value`: observations, oldest first, null or NaN = missing; `timestamp`: when, where the session has a freq;
    `covariates`: those of each observation, in the columns that the model's metadata lists, null or NaN = missing.
    """

    name: Literal["value", "timestamp", "covariates"] = Field(examples=["value"])
    shape: Annotated[list[Annotated[Whole, Field(ge=1)]], Field(min_length=2, max_length=3, examples=[[1, 1]])]
    """1, then the number of observations; of `covariates`, then that of columns."""
    datatype: Literal["FP64", "FP32", "BYTES"] = Field(examples=["FP64"])
    parameters: TensorParameters = TensorParameters()
    data: Elements | None = Field(default=None, examples=[[121.5]])


class OutputParameters(Request):
    binary_data: bool | None = None
    """Whether this one stands behind the JSON; default as `binary_data_output`."""


class RequestedOutput(Request):
    name: Literal["forecast", "quantiles"]
    parameters: OutputParameters = OutputParameters()


class InferenceParameters(Request):
    """`priority` and `timeout`, which clients of the protocol can send, change nothing here."""

    sequence_id: SequenceId = 0
    """The session; 42 and "42" are the same one."""
    sequence_start: bool = False
    """Create the session, or have it forget all that it has observed."""
    sequence_end: bool = False
    """Forget the session after the answer."""
    freq: Annotated[str, AfterValidator(known_freq)] | None = Field(default=None, max_length=16, examples=["D"])
    """With sequence_start: the freq of the session; null = steps are counted."""
    binary_data_output: bool = False
    """Whether outputs stand behind the JSON."""
    priority: Size = 0
    timeout: Size = 0


class InferenceRequest(Request):
    """One or several observations of a sequence, which is a session."""

    id: str = Field(default="", max_length=255)
    """The same id and request again give the same answer, and nothing is folded twice."""
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=3)]
    outputs: list[RequestedOutput] = Field(default=[], max_length=2)
    """Those to answer with; default all."""
    parameters: InferenceParameters = InferenceParameters()


# ---------------------------------------------------------------- answers


class OutputTensor(BaseModel):
    """`data` is absent where the tensor stands behind the JSON; null = no value is known yet."""

    name: Literal["forecast", "quantiles"]
    shape: list[int]
    datatype: Literal["FP64"]
    parameters: dict[str, int] = {}
    data: list[float | None] = []


class SequenceStanding(BaseModel):
    """`step` is that of the session, the number of observations folded; `timestamp` is the time that is forecast for,
    absent where steps are counted.
    """

    sequence_id: str
    step: int
    timestamp: str = ""


class InferenceAnswer(BaseModel):
    """The forecast of the step after the last observation."""

    model_name: str
    model_version: str
    id: str = ""
    """As it was sent."""
    parameters: SequenceStanding
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """-1 in a shape is any number. `parameters.quantiles` are those of the output `quantiles`, in their order, and
    `parameters.columns` those of the input `covariates`.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, list[float] | list[str]] = {}


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    name: str
    ready: bool


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    live: bool


class ServerReady(BaseModel):
    ready: bool


class InferenceProblem(Problem):
    """A Problem that says its detail once more, as clients of the protocol look for it."""

    error: str
