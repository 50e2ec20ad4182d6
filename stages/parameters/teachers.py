"""The generalist, the specialists, and how what they say becomes the soft targets."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.errors import Location
from pipeline.stage import Unrecorded
from stages.learning import model_names
from stages.parameters.fields import Epochs, LearningRate, Sampling, Section, Size, Subset, Subsets, unique
from stages.parameters.training import ModelParameters, TrainingParameters


def _trained(value: str) -> str:
    """Return a trained network of the right shape; whether it is there is seen when it is looked for."""
    if value.startswith("python:"):
        model_names.parse(value)
    return value


Trained = Annotated[str, AfterValidator(_trained), Field(min_length=1)]


# It says what to think of figures, and changes none.
Attested = Annotated[Literal["training"] | None, Unrecorded((None, "training"))]


class GivenSpecialist(Section):
    """A specialist that is trained already."""

    subset: Subset = Field(
        description="Its classes, by id or name, in the order of the class set; its outputs are these, and the dustbin."
    )
    weights: Trained = Field(description="As generalist.from.")
    trained_on: Attested = Field(default=None, description="As generalist.trained_on.")
    prior_correction: float | None = Field(
        default=None,
        description="What is added to its dustbin's logit, where its own classes were shown more often than they are "
        "in the data. Null takes what is said beside the file, or nothing.",
    )


class TeacherParameters(TrainingParameters):
    """The generalist: a teacher over all classes."""

    given: Trained | None = Field(
        default=None,
        alias="from",
        description="A trained network, used as it is: what the other keys say of a training counts for nothing. A "
        "file of safetensors or torch.save, whose network is what FILE.json beside it says, as runs write it, or "
        "generalist.model, shown pixels less the data's mean, divided by their standard deviation; or "
        "python:MODULE:FACTORY, a function that returns it, shown pixels from 0 to 1.",
    )
    trained_on: Attested = Field(
        default=None,
        description="What you know of the network under `from`, where its file does not tell it, or tells of other "
        "data: `training` says that it was trained on nothing that this run holds out or tests on. No command warns of "
        "it then; results have it as attested.",
    )
    model: ModelParameters = Field(default=ModelParameters(), description="The network of all teachers.")
    sampling: Sampling = Field(
        default="data",
        description="How often an epoch shows each class: as the data have it, or all equally often; then the classes' "
        "shares in the data are put back into the trained network's biases. Each epoch is judged with them.",
    )

    @field_validator("trained_on")
    @classmethod
    def _said_of_what_is_there(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Return what is said of a network that is trained already, where there is one."""
        if value is not None and info.data.get("given", "") is None:
            raise ValueError(f"must be left out without generalist.from, of whose network it is; got {value}")
        return value


_CLUSTERINGS = {
    "kmeans": "covariance, which is K-means on the covariance of the generalist's predictions",
    "spectral": "confusion, which is spectral clustering of the generalist's confusion",
    "spectralclustering": "confusion, which is spectral clustering of the generalist's confusion",
}
"""What the methods are known as elsewhere."""


class SpecialistsParameters(TrainingParameters):
    """The specialists: teachers that start from the generalist, each over classes it confuses."""

    epochs: Epochs = 10
    learning_rate: LearningRate = 0.02
    count: int | None = Field(
        default=None,
        ge=1,
        description="Number of specialists; null takes 3, or of fewer than 6 classes as many as have 2 classes each.",
    )
    size: Size | None = Field(
        default=None,
        description="Classes of each specialist; null takes what is found, 2 at least: together every class, but for "
        "a count of 1, and mostly each class once.",
    )
    method: Literal["confusion", "covariance", "random", "manual"] = Field(
        default="confusion",
        description="How subsets are found: confusion clusters the classes that the generalist confuses, covariance "
        "those that it predicts together; random, a control, deals classes out to subsets of the sizes that confusion "
        "finds; manual takes those of `subsets`.",
    )
    given: Annotated[tuple[GivenSpecialist, ...], Field(strict=False)] = Field(
        default=(),
        alias="from",
        description="Specialists that are trained already, by their subsets: with method manual, and beside those that "
        "are trained for `subsets`, if any.",
    )
    subsets: Subsets | None = Field(
        default=None,
        validate_default=True,
        description="With method manual: the classes of each specialist, by id or name. Count and size follow from it.",
    )
    fraction: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Share of an epoch's examples that are of the specialist's own classes.",
    )
    regularize: Literal["none", "soft_targets"] = Field(
        default="none",
        description="What holds a specialist back from overfitting: with soft_targets it keeps an output for every "
        "class, and learns those outside its subset from the generalist.",
    )

    on_failure: Literal["stop", "drop"] = Field(
        default="stop",
        description="What a run does when a specialist fails for good: it stops when the others are done, or goes on "
        "without it and says so. The next run tries it again. None is left out of a refit.",
    )

    @model_validator(mode="before")
    @classmethod
    def _count_what_is_listed(cls, values: Any) -> Any:
        """Let the lists say how many there are, where nothing else does; a list of what is there, by which method."""
        if not isinstance(values, dict):
            return values
        lists = {name: values.get(name) for name in ("from", "subsets")}
        n_listed = sum(len(listed) for listed in lists.values() if isinstance(listed, list | tuple))
        listed = {"count": n_listed} if n_listed else {}
        is_given = isinstance(lists["from"], list | tuple) and lists["from"]
        return listed | ({"method": "manual"} if is_given else {}) | values

    @field_validator("method", mode="before")
    @classmethod
    def _method_by_another_name(cls, method: Any) -> Any:
        """Return the method; of how clusters are found by other names, refuse it by the one that it has here."""
        meant = _CLUSTERINGS.get(re.sub(r"[^a-z]", "", method.lower())) if isinstance(method, str) else None
        if meant:
            raise ValueError(f"must be confusion, covariance, random or manual; got '{method}'; did you mean {meant}?")
        return method

    @field_validator("subsets", mode="before")
    @classmethod
    def _subset_of_its_own(cls, subsets: Any) -> Any:
        """Return the subsets; a list of classes alone is the one subset that it was meant to be."""
        if isinstance(subsets, list | tuple) and subsets and all(isinstance(one, str | int) for one in subsets):
            classes = ", ".join(map(str, subsets))
            raise ValueError(f"must be a list of lists of classes; got [{classes}]; did you mean [[{classes}]]?")
        return subsets

    @field_validator("given")
    @classmethod
    def _given_with_manual_alone(cls, given: tuple[GivenSpecialist, ...], info: ValidationInfo) -> Any:
        """Return the specialists that are there where the method leaves the subsets to them."""
        method = info.data.get("method")
        if given and method not in {None, "manual"}:
            raise ValueError(f"must be given with method manual, or with none named; got method {method}")
        return given

    @field_validator("regularize")
    @classmethod
    def _labels_smoothed_without_it(cls, regularize: str, info: ValidationInfo) -> str:
        """Return the value where it leaves labels to be smoothed, or none are."""
        smoothing = info.data.get("label_smoothing")
        if regularize == "soft_targets" and smoothing:
            rule = "be none with specialists.label_smoothing, which has no labels to smooth then"
            raise ValueError(f"must {rule}; got soft_targets with {smoothing:g}")
        return regularize

    @field_validator("subsets")
    @classmethod
    def _listed_with_manual_alone(cls, subsets: Subsets | None, info: ValidationInfo) -> Subsets | None:
        """Return the subsets where they agree with the method, the count and the size."""
        if "given" not in info.data:  # which has a fault of its own
            return subsets
        method, count, size = (info.data.get(name) for name in ("method", "count", "size"))
        given = [one.subset for one in info.data.get("given", ())]
        if method is not None and (subsets is None and not given) == (method == "manual"):
            got = "nothing" if subsets is None else f"a list with method {method}; did you mean method: manual?"
            raise ValueError(f"must be given with method manual, and with no other; got {got}")
        listed = [*given, *(subsets or ())]
        if listed and count is not None and len(listed) != count:
            hint = f"set specialists.count to {len(listed)} or leave it out"
            raise ValueError(f"must be as many as specialists.count says, {count}; got {len(listed)}; {hint}")
        others = [len(subset) for subset in listed if size is not None and len(subset) != size]
        if others:
            hint = "set specialists.size to null or leave it out"
            raise ValueError(f"must be of specialists.size classes each, {size}; got one of {others[0]}; {hint}")
        return subsets

    @property
    def trains(self) -> bool:
        """Whether any specialist is trained."""
        return not self.given or self.subsets is not None

    @property
    def listed(self) -> dict[Location, Subset]:
        """The subsets that are listed, by their places in the config; none where they are to be found."""
        found: dict[Location, Subset] = {
            ("specialists", "from", i, "subset"): one.subset for i, one in enumerate(self.given)
        }
        return found | {("specialists", "subsets", i): subset for i, subset in enumerate(self.subsets or ())}


class CombineParameters(Section):
    """How the teachers' outputs become one distribution."""

    active_classes: int = Field(
        default=2,
        ge=1,
        description="A specialist is active where its subset holds one of this many classes, those that the "
        "generalist finds most probable.",
    )
    divergence: Literal["forward", "reverse"] = Field(
        default="forward",
        description="What the combination minimises, summed over the active teachers: forward is "
        "KL(teacher || combination), reverse is KL(combination || teacher).",
    )
    calibrate: bool = Field(
        default=False,
        description="Whether each teacher's logits are first divided by the temperature that fits the holdout best.",
    )


class TargetsParameters(Section):
    """What goes into the combined soft targets beside this run's teachers, and how they are kept."""

    imported: Annotated[tuple[str, ...], AfterValidator(unique)] = Field(
        default=(),
        strict=False,
        description="Names of imported tables, each one more teacher wherever it has a row: `targets import` makes "
        "them of somebody's logits.",
    )

    bytes_per_row: int | None = Field(
        default=None,
        ge=1,
        description="Bytes that a row of the combined table may take. Null keeps every class (2 bytes each, and 8); "
        "where that is more, as many of a row's largest as fit are kept. The teachers' own tables keep every class.",
    )
    max_kl: float = Field(
        default=0.01,
        ge=0,
        description="What may be lost by that, at temperature 1 and the student's: KL in nats, a mean over each shard. "
        "A run that would lose more stops.",
    )


def default_count(classes: int) -> int:
    """Return the number of specialists for so many classes, where none is asked for."""
    return min(3, max(1, classes // 2))
