"""Bodies of the doors that speak other APIs: KServe's time-series forecasts, and TimeGPT's columns."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

THEIRS = ("timegpt", "azureai")
"""What names of their models begin with: the model is then that of the frequency."""


class Open(BaseModel):
    """Further members are taken and ignored, as that API has it; what is read must be of its type, and finite."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class Input(Open):
    """One history, oldest first; null is a missing value."""

    type: Literal["univariate_time_series"] = "univariate_time_series"
    name: str = Field(max_length=200, examples=["store-42"])
    series: list[float | None]
    frequency: str = Field(max_length=20, examples=["D"])
    start_timestamp: str | None = Field(default=None, max_length=40, examples=["2026-11-01T00:00:00Z"])


class Options(Open):
    horizon: Annotated[int, Field(ge=1)]
    quantiles: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(max_length=50)] | None = None


class ForecastRequest(Open):
    """Histories to forecast, each sent whole."""

    model: str | None = Field(default=None, max_length=64, examples=["daily"])
    """One of this service; without it, the one for the frequency."""
    inputs: Annotated[list[Input], Field(min_length=1)]
    options: Options


class SeriesForecast(BaseModel):
    """`mean_forecast` is the median. Quantiles where they were asked for, a start where the history has one."""

    type: str
    name: str
    mean_forecast: list[float]
    frequency: str
    start_timestamp: str
    quantiles: dict[str, list[float]] | None


class Refusal(BaseModel):
    code: str
    message: str
    param: str | None
    type: str


class Output(BaseModel):
    type: str
    id: str
    status: Literal["completed", "error"]
    content: list[SeriesForecast]
    error: Refusal | None


class Usage(BaseModel):
    """Counted in values. With a session, one observation would have been enough for each series."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    observations_sent: int
    observations_needed: int


class ForecastResponse(BaseModel):
    """Partial where some of the histories could not be forecast; their outputs say why."""

    id: str
    created_at: int
    status: Literal["completed", "partial"]
    error: Refusal | None
    model: str
    outputs: list[Output]
    usage: Usage


class Columns(Open):
    """The values of all series, and how many each has."""

    y: list[float | None]
    sizes: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    start_datetime: list[str] | None = None
    X: list[Any] | None = None
    X_future: list[Any] | None = None
    categorical_exog: Any = None


class Row(Open):
    unique_id: str | int = Field(default="0", examples=["store-42"])
    ds: str = Field(max_length=40, examples=["2026-11-21"])
    y: float | None


class ColumnsRequest(Open):
    """Histories to forecast, each sent whole, as columns in `series` or as records in `df`."""

    series: Columns | None = None
    df: list[Row] | None = None
    freq: str = Field(max_length=20, examples=["D"])
    h: Annotated[int, Field(ge=1)]
    level: Annotated[list[Annotated[float, Field(ge=0, lt=100)]], Field(max_length=50)] | None = None
    """In whole percent; 0 is the median, which is always there."""
    model: str | None = Field(default=None, max_length=64)
    finetune_steps: int = 0
    finetuned_model_id: str | None = None
    feature_contributions: bool | None = None
    multivariate: bool | None = None

    @property
    def own_model(self) -> str | None:
        """The model of this service that is named; None = that of the frequency."""
        return own_model(self.model)


def own_model(name: str | None) -> str | None:
    """A model's name; None = one of theirs, or none."""
    return None if name is None or name.startswith(THEIRS) else name


class ColumnsResponse(BaseModel):
    """`mean` is the median, all series one after another; `forecast` the same as rows, where records were sent."""

    mean: list[float]
    intervals: dict[str, list[float]] | None
    forecast: list[dict[str, str | float | None]] | None
    weights_x: None
    feature_contributions: None
    model: str
    input_tokens: int
    output_tokens: int
    finetune_tokens: int
    usage: Usage


class ModelReach(BaseModel):
    input_size: int
    horizon: int


class ModelParameters(BaseModel):
    """How many values of a series are worth sending, and how many steps ahead are forecast directly."""

    detail: ModelReach


class Detail(BaseModel):
    detail: str


class ModelName(BaseModel):
    name: str


class ModelNames(BaseModel):
    models: list[ModelName]
