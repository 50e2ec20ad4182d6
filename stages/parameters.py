"""The parameters of all stages, as the config names them. Imports neither torch nor numpy.

Every description below is what the config reference says of the field. Models are frozen and strict: a quoted
number is not a number, a switch is not a count, and a key that nobody reads is an error.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.errors import did_you_mean

SOURCE_KINDS = ("sklearn", "npz", "python")


class Section(BaseModel):
    """The base of every section of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _source(value: str) -> str:
    """Return a source of the right shape; whether it exists is seen when it is read."""
    kind, _, name = value.partition(":")
    if kind not in SOURCE_KINDS:
        kinds = ", ".join(SOURCE_KINDS)
        hint = did_you_mean(kind, SOURCE_KINDS)
        raise ValueError(f"must start with one of {kinds}, then a colon; got '{value}'{hint}")
    if not name:
        raise ValueError(f"must name something after '{kind}:'; got '{value}'")
    if kind == "python" and not _is_factory(name):
        raise ValueError(f"must be python:MODULE:FACTORY, such as python:my.data:load; got '{value}'")
    return value


def _is_factory(name: str) -> bool:
    """Return whether a name reads `module:function`."""
    module, _, function = name.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return values of which none is given twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(
            f"must name each entry once; got {', '.join(repr(value) for value in repeated)} more than once"
        )
    return values


Source = Annotated[
    str,
    AfterValidator(_source),
    Field(
        description="The data set: sklearn:NAME, npz:PATH (x_train, y_train, x_test, y_test) or python:MODULE:FACTORY."
    ),
]
Width = Annotated[int, Field(gt=0, description="Channels of the first stage (cnn) or units of a layer (mlp).")]
Epochs = Annotated[int, Field(ge=1, description="Passes over the training examples.")]
LearningRate = Annotated[float, Field(gt=0, description="Largest learning rate, reached at the end of the warm-up.")]
Size = Annotated[int, Field(ge=2)]
Control = Literal["hard", "generalist"]
Precision = Literal["fp32", "bf16", "auto"]


class AugmentParameters(Section):
    """How the views of an example differ from it."""

    # The amounts of a view are stored as int8.
    shift: int = Field(default=0, ge=0, le=127, description="Largest shift in each direction, in pixels.")
    flip: bool = Field(default=False, description="Whether half of the views are mirrored left to right.")


class DataParameters(Section):
    """The data set and what is made of it."""

    source: Source
    root: str = Field(default="data", min_length=1, description="Folder that a relative PATH starts from.")
    download: bool = Field(default=False, description="Whether a missing data set may be downloaded.")
    holdout: float = Field(
        default=0.15,
        gt=0,
        le=0.5,
        description="Share of each class's training examples that no teacher or student is trained on; "
        "what the generalist confuses is measured there.",
    )
    views: int = Field(default=4, ge=1, description="Fixed augmentations of each example; epoch e shows e mod views.")
    augment: AugmentParameters = Field(default=AugmentParameters(), description="How the views are drawn.")


class ModelParameters(Section):
    """A network."""

    name: Literal["cnn", "mlp"] = Field(default="cnn", description="Kind of network.")
    width: Width = 32


class SmallModelParameters(ModelParameters):
    """A network whose width is small unless the config says otherwise, also where it only names the kind."""

    width: Width = 8


class TrainingParameters(Section):
    """One training: SGD with Nesterov momentum, a linear warm-up, then a cosine to zero."""

    epochs: Epochs = 20
    learning_rate: LearningRate = 0.1
    batch_size: int = Field(default=128, ge=2, description="Examples a step; batch normalisation needs two.")
    weight_decay: float = Field(default=5e-4, ge=0, description="Weight decay, off for norms and biases.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of SGD.")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    threads: int = Field(default=1, ge=1, description="CPU threads; they change the last bits of the weights.")
    precision: Precision = Field(
        default="fp32",
        description="Arithmetic of forward and backward: auto is bf16 where the hardware has it.",
    )


class TeacherParameters(TrainingParameters):
    """The generalist: a teacher over all classes."""

    model: ModelParameters = Field(default=ModelParameters(), description="The network of all teachers.")


class SpecialistsParameters(TrainingParameters):
    """The specialists: teachers that start from the generalist, each over classes it confuses."""

    epochs: Epochs = 10
    learning_rate: LearningRate = 0.02
    count: int = Field(default=3, ge=1, description="Number of specialists.")
    size: Size | None = Field(
        default=None,
        description="Classes of each specialist; null shares all classes out, each to one specialist.",
    )
    method: Literal["confusion"] = Field(
        default="confusion",
        description="How subsets are found: confusion clusters what the generalist confuses.",
    )
    fraction: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Share of an epoch's examples that are of the specialist's own classes.",
    )


class CombineParameters(Section):
    """How the teachers' outputs become one distribution."""

    active_classes: int = Field(
        default=2,
        ge=1,
        description="A specialist is active where its subset holds one of this many classes, those that the "
        "generalist finds most probable.",
    )
    divergence: Literal["forward"] = Field(
        default="forward",
        description="forward minimises KL(teacher || combination), summed over the active teachers.",
    )


class StudentParameters(TrainingParameters):
    """The student, and with it the controls."""

    epochs: Epochs = 60
    model: SmallModelParameters = Field(default=SmallModelParameters(), description="The network of the students.")
    temperature: float = Field(default=4.0, gt=0, description="Temperature of the soft targets.")
    alpha: float = Field(default=0.9, ge=0, le=1, description="Weight of the soft targets; the labels have the rest.")


class Parameters(Section):
    """Everything the stages know of the config."""

    data: DataParameters = Field(description="The data set.")
    generalist: TeacherParameters = Field(default=TeacherParameters(), description="The teacher over all classes.")
    specialists: SpecialistsParameters = Field(
        default=SpecialistsParameters(), description="The teachers over confusable classes."
    )
    combine: CombineParameters = Field(default=CombineParameters(), description="The combination of the teachers.")
    student: StudentParameters = Field(default=StudentParameters(), description="The student.")
    # YAML has lists only: read one as a tuple, which cannot change under a frozen model.
    controls: Annotated[tuple[Control, ...], AfterValidator(_unique)] = Field(
        default=("hard", "generalist"),
        strict=False,
        description="Students of the same kind trained for comparison: hard without soft targets, "
        "generalist with the generalist's alone.",
    )


AnyParameters = TypeVar("AnyParameters", bound=Parameters)
Fault = tuple[tuple[str | int, ...], str]


def check_classes(parameters: Parameters, classes: int) -> list[Fault]:
    """Check what cannot be checked before the number of classes is known.

    Args:
        parameters: The parameters.
        classes: Number of classes of the data set.

    Returns:
        Location in the config and message of every fault.
    """
    faults: list[Fault] = []
    count, size = parameters.specialists.count, parameters.specialists.size
    if classes < 3:
        rule = "have 3 classes or more, for a specialist needs 2 and must leave one out"
        faults.append((("data", "source"), f"must {rule}; got {classes}"))
    elif size is None and count > classes // 2:
        rule = f"be at most {classes // 2}, for {classes} classes make no more disjoint subsets of 2"
        faults.append(
            (
                ("specialists", "count"),
                f"must {rule}; got {count}; set specialists.size to let subsets overlap",
            )
        )
    elif size is not None and size >= classes:
        rule = f"be less than {classes}, the number of classes"
        faults.append((("specialists", "size"), f"must {rule}; got {size}"))
    active = parameters.combine.active_classes
    if active > classes:
        rule = f"be at most {classes}, the number of classes"
        faults.append((("combine", "active_classes"), f"must {rule}; got {active}"))
    return faults


def resolve_precision(
    value: Precision, cpuinfo: str = "/proc/cpuinfo", gpus: str = "/proc/driver/nvidia/gpus"
) -> Literal["fp32", "bf16"]:
    """Return what `auto` means on this machine, without importing torch.

    Args:
        value: The precision wanted.
        cpuinfo: File in which Linux lists the CPU's features.
        gpus: Folder in which the NVIDIA driver lists its devices.

    Returns:
        For `auto`: `bf16` where the CPU has AMX tiles for it or there is an NVIDIA GPU, else `fp32`. Any
        other value is returned as it is.
    """
    if value != "auto":
        return value
    features, devices = Path(cpuinfo), Path(gpus)
    has_amx = features.is_file() and "amx_bf16" in features.read_text(encoding="utf-8", errors="replace").split()
    has_gpu = devices.is_dir() and any(devices.iterdir())
    return "bf16" if has_amx or has_gpu else "fp32"


def resolved(parameters: AnyParameters, auto: Literal["fp32", "bf16"] | None = None) -> AnyParameters:
    """Return the parameters with every precision `auto` replaced, so that a recipe records what was used.

    Args:
        parameters: The parameters, or a config that has them.
        auto: What `auto` means; by default what it means on this machine.
    """
    sections = {name: getattr(parameters, name) for name in ("generalist", "specialists", "student")}
    update = {
        name: section.model_copy(update={"precision": auto or resolve_precision("auto")})
        for name, section in sections.items()
        if section.precision == "auto"
    }
    return parameters.model_copy(update=update)
