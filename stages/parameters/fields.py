"""The words that the sections of the config are made of: kinds of values, and the base of every section."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator


class Section(BaseModel):
    """The base of every section of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values of which none is given twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(
            f"must name each entry once; got {', '.join(repr(value) for value in repeated)} more than once"
        )
    return values


def _class(value: Any) -> int | str:
    """Return a class as the config names it, by its id or its name."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"must be a class id, an integer, or a class name, text; got {value}")


def at_least(n: int, what: str) -> AfterValidator:
    """Return a check of a list's length. A `min_length` does not count entries that have a fault of their own."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(values) < n:
            raise ValueError(f"must list at least {what}; got {list(values)}")
        return values

    return AfterValidator(check)


# What is above the upper bounds here and in the sections is a slip, such as a zero too many: no training is meant.
MAX_WIDTH = 65_536
Units = Annotated[int, Field(gt=0, le=MAX_WIDTH)]
Epochs = Annotated[int, Field(ge=1, le=100_000, description="Passes over the training examples.")]
Rate = Annotated[float, Field(gt=0, le=1000)]
LearningRate = Annotated[Rate, Field(description="Largest learning rate, reached at the end of the warm-up.")]
Temperature = Annotated[float, Field(ge=0.01, le=1000)]
Size = Annotated[int, Field(ge=2)]
Sampling = Literal["data", "balanced"]
Precision = Literal["fp32", "bf16", "auto"]
SWEPT = ("temperature", "alpha", "learning_rate", "active_classes")
"""Settings of which a sweep may try several values."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
AnyValue = TypeVar("AnyValue")
# YAML has lists only: read one as a tuple, which cannot change under a frozen model.
Values = Annotated[tuple[AnyValue, ...], Field(strict=False, min_length=1), AfterValidator(unique)]
Member = Annotated[int | str, PlainValidator(_class)]
Members = Annotated[tuple[Member, ...], Field(strict=False), at_least(1, "one class")]
Subset = Annotated[tuple[Member, ...], Field(strict=False), at_least(2, "two classes")]
Subsets = Annotated[tuple[Subset, ...], Field(strict=False), at_least(1, "one subset")]
