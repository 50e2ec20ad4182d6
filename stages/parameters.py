"""The parameters of all stages, as the config names them. Imports neither torch nor numpy.

Every description below is what the config reference says of the field. Models are frozen and strict: a quoted
number is not a number, a switch is not a count, and a key that nobody reads is an error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.errors import Fault, Location, did_you_mean
from pipeline.stage import Unrecorded
from stages import manual, tables
from stages.learning import model_names, source_names

GIB = 2**30
"""Bytes of the unit that amounts of memory are given in."""

MEMORY_BUDGET = 4.0
"""GiB that a training may take for its data, unless the config says otherwise."""


class Section(BaseModel):
    """The base of every section of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _source(value: str) -> str:
    """Return a source of the right shape; whether it exists is seen when it is read."""
    source_names.parse(value)
    return value


def _model(value: str) -> str:
    """Return the name of a network there is."""
    model_names.parse(value)
    return value


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
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


def _at_least(n: int, what: str) -> AfterValidator:
    """Return a check of a list's length. A `min_length` does not count entries that have a fault of their own."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(values) < n:
            raise ValueError(f"must list at least {what}; got {list(values)}")
        return values

    return AfterValidator(check)


Source = Annotated[
    str,
    AfterValidator(_source),
    Field(
        description="The data set: sklearn:NAME, torchvision:NAME, folder:PATH (train/ and test/ with a folder for "
        "each class, or those alone), npz:PATH (x_train, y_train, x_test, y_test) or python:MODULE:FACTORY."
    ),
]
Units = Annotated[int, Field(gt=0)]
Epochs = Annotated[int, Field(ge=1, description="Passes over the training examples.")]
LearningRate = Annotated[float, Field(gt=0, description="Largest learning rate, reached at the end of the warm-up.")]
Size = Annotated[int, Field(ge=2)]
Control = Literal["hard", "generalist"]
Precision = Literal["fp32", "bf16", "auto"]
SWEPT = ("temperature", "alpha", "learning_rate", "active_classes")
"""Settings of which a sweep may try several values."""
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
AnyValue = TypeVar("AnyValue")
# YAML has lists only: read one as a tuple, which cannot change under a frozen model.
Values = Annotated[tuple[AnyValue, ...], Field(strict=False, min_length=1), AfterValidator(_unique)]
Member = Annotated[int | str, PlainValidator(_class)]
Members = Annotated[tuple[Member, ...], Field(strict=False), _at_least(1, "one class")]
Subset = Annotated[tuple[Member, ...], Field(strict=False), _at_least(2, "two classes")]
Subsets = Annotated[tuple[Subset, ...], Field(strict=False), _at_least(1, "one subset")]


AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "digits": {"shift": 2, "rotate": 10},
    "grey": {"shift": 2, "flip": True, "cutout": 8},
    "colour": {"shift": 4, "padding": "reflect", "flip": True},
}
"""Augmentations by name, for images of 28 to 40 pixels: signs that must not be mirrored, grey and colour images."""


class AugmentParameters(Section):
    """How the views of an example differ from it: it is mirrored, rotated, shifted, and then cut."""

    # The amounts of a view are stored as int8 and int16.
    shift: int = Field(
        default=0,
        ge=0,
        le=127,
        description="Largest shift in each direction, in pixels: a random crop of the image padded by as many.",
    )
    padding: Literal["zeros", "reflect"] = Field(
        default="zeros", description="What shifts and rotations move in: black, or the image mirrored at its border."
    )
    flip: bool = Field(default=False, description="Whether half of the views are mirrored left to right.")
    rotate: int = Field(
        default=0, ge=0, le=180, description="Largest rotation in each direction, in degrees; bilinear."
    )
    cutout: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Side of a black square, in pixels, whose centre is drawn from all pixels; 0 for none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, values: Any) -> Any:
        """Return what a name stands for."""
        if not isinstance(values, str):
            return values
        if values not in AUGMENTATIONS:
            known, hint = ", ".join(AUGMENTATIONS), did_you_mean(values, AUGMENTATIONS)
            raise ValueError(f"must be one of {known}, or a section of its own; got '{values}'{hint}")
        return AUGMENTATIONS[values]


class TransferParameters(Section):
    """What of the training part the students are trained on. The teachers are trained on all of it."""

    classes: Members | None = Field(default=None, description="Whose examples, by id or name; null for all classes.")
    omit: Members | None = Field(default=None, description="Whose examples are left out, by id or name.")
    fraction: float = Field(default=1.0, gt=0, le=1, description="Share of each class's examples, one at least.")

    @field_validator("omit")
    @classmethod
    def _one_of_two(cls, omit: Any, info: ValidationInfo) -> Any:
        """Return what is left out where nothing else says what is not."""
        if omit is not None and info.data.get("classes") is not None:
            raise ValueError(f"must be left out where data.transfer.classes is given; got {list(omit)}")
        return omit

    @property
    def is_everything(self) -> bool:
        """Whether the transfer set is the whole training part without the holdout."""
        return self == TransferParameters()


class DataParameters(Section):
    """The data set and what is made of it."""

    source: Source
    root: str = Field(
        default="data", min_length=1, description="Folder that a relative PATH starts from, and of torchvision's files."
    )
    download: bool = Field(
        default=False, description="With a source of torchvision: whether missing files are downloaded, by any command."
    )
    size: int | None = Field(
        default=None,
        ge=1,
        description="With a source of folder: height and width that images are brought to (the largest centred square, "
        "bilinear). Null takes them as they are, all of one size.",
    )
    test: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="With a source of folder that has no train/ and test/: the share of each class that makes the test "
        "split, chosen by file name.",
    )
    holdout: float = Field(
        default=0.15,
        gt=0,
        le=0.5,
        description="Share of each class's training examples that no teacher or student is trained on; "
        "what the generalist confuses is measured there.",
    )
    transfer: TransferParameters = Field(
        default=TransferParameters(), description="The transfer set; all but the holdout unless this says otherwise."
    )
    memory_budget: float = Field(
        default=MEMORY_BUDGET,
        ge=0,
        description="GiB that one training may take on its device for images and soft targets. What is larger is read "
        "from the store batch by batch, with the same results.",
    )
    views: int = Field(default=4, ge=1, description="Fixed augmentations of each example; epoch e shows e mod views.")
    augment: AugmentParameters = Field(
        default=AugmentParameters(),
        description="How the views are drawn: in words of its own, or by a name: none, digits, grey or colour.",
    )

    @field_validator("download", "size", "test")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Return a value that the kind of source has a use for."""
        kind = "torchvision" if info.field_name == "download" else "folder"
        source = info.data.get("source")
        if value and source is not None and not source.startswith(f"{kind}:"):
            raise ValueError(f"must be left out but with a source of {kind}; got {value} with {source}")
        return value


class ModelParameters(Section):
    """A network."""

    DEFAULT_WIDTH: ClassVar[int] = 32

    name: Annotated[str, AfterValidator(_model)] = Field(
        default="cnn",
        description="The network: cnn, mlp, a ResNet for small images (resnet20, resnet8x4, resnet32x4, ...), a wide "
        "ResNet (wrn-16-2, wrn-40-2, ...), torchvision:NAME, timm:NAME or python:MODULE:FACTORY.",
    )
    width: int | None = Field(
        default=None,
        gt=0,
        description="Channels of the first stage (cnn) or units of each of two layers (mlp): 32, of a student 8.",
    )
    hidden: Annotated[tuple[Units, ...], Field(strict=False), _at_least(1, "one layer")] | None = Field(
        default=None, description="Units of each hidden layer of an mlp, such as [1200, 1200], in place of a width."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of an mlp's hidden units that a step of training leaves out."
    )
    input_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of an mlp's input pixels that a step of training leaves out."
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="File of weights to start from, safetensors or torch.save's; a last layer for other classes is "
        "left out. Relative to where the command runs.",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_width(cls, values: Any) -> Any:
        """Give a width to the networks that have one, where nothing is said of it."""
        if not isinstance(values, dict) or values.get("width") is not None or values.get("hidden") is not None:
            return values
        return values | {"width": cls.DEFAULT_WIDTH} if values.get("name", "cnn") in {"cnn", "mlp"} else values

    @field_validator("width", "hidden", "dropout", "input_dropout")
    @classmethod
    def _of_its_network(cls, value: Any, info: ValidationInfo) -> Any:
        """Return a value that the network has a use for."""
        name = info.data.get("name")
        kinds = ("cnn", "mlp") if info.field_name == "width" else ("mlp",)
        if value and name is not None and name not in kinds:
            raise ValueError(f"must be left out but with a model of {' or '.join(kinds)}; got {value} with {name}")
        if info.field_name == "hidden" and value and info.data.get("width"):
            raise ValueError("must be left out where width is given; got both")
        return value


class SmallModelParameters(ModelParameters):
    """A network whose width is small unless the config says otherwise, also where it only names the kind."""

    DEFAULT_WIDTH: ClassVar[int] = 8


class TrainingParameters(Section):
    """One training."""

    epochs: Epochs = 20
    learning_rate: LearningRate = 0.1
    batch_size: int = Field(default=128, ge=2, description="Examples a step; batch normalisation needs two.")
    optimiser: Literal["sgd", "adamw"] = Field(
        default="sgd", description="sgd with Nesterov's momentum, or adamw, which wants a far smaller learning rate."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of sgd, beta1 of adamw.")
    weight_decay: float = Field(
        default=5e-4, ge=0, description="Weight decay, off for norms and biases; that of adamw is decoupled."
    )
    schedule: Literal["cosine", "one_cycle"] = Field(
        default="cosine",
        description="The learning rate after the warm-up: half a cosine to zero; one_cycle also begins at 1/25, and "
        "lowers the momentum by 0.1 meanwhile.",
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    clip: float | None = Field(default=None, gt=0, description="Largest norm of the gradient of all weights together.")
    max_norm: float | None = Field(
        default=None, gt=0, description="Largest norm of the weights into one unit, kept to after every step."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of a label that all classes get in equal parts."
    )
    mixup: float = Field(
        default=0.0, ge=0, description="Images and targets are mixed in pairs by a share from Beta(mixup, mixup)."
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Where it is not 0, the exponential mean of the weights counts, not the last ones; it keeps this "
        "share of itself at each step, such as 0.999.",
    )
    keep: Literal["last", "best"] = Field(
        default="last",
        description="Which epoch's weights: the last, or that of the highest accuracy on the holdout, which then "
        "flatters them a little.",
    )
    threads: int = Field(default=1, ge=1, description="CPU threads; they change the last bits of the weights.")
    precision: Precision = Field(
        default="fp32",
        description="Arithmetic of forward and backward: auto is bf16 where the hardware has it.",
    )
    compile: bool = Field(default=False, description="Whether torch.compile makes a long training faster.")
    cuda_graph: Annotated[bool, Unrecorded((True, False))] = Field(
        default=True,
        description="Whether a GPU replays the network's passes from a graph, which spares the host nearly all of its "
        "work, where it is not compiled. Off for a network of your own that waits for values of its own.",
    )
    deterministic: bool = Field(
        default=False, description="Whether a GPU too gives the same bits each time; slower. A CPU always does."
    )


def _trained(value: str) -> str:
    """Return a trained network of the right shape; whether it is there is seen when it is looked for."""
    if value.startswith("python:"):
        model_names.parse(value)
    return value


Trained = Annotated[str, AfterValidator(_trained), Field(min_length=1)]


class GivenSpecialist(Section):
    """A specialist that is trained already."""

    subset: Subset = Field(description="Its classes, by id or name; its outputs are these, ascending, and the dustbin.")
    weights: Trained = Field(description="As generalist.from.")
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
        "generalist.model; or python:MODULE:FACTORY, a function that returns it.",
    )
    model: ModelParameters = Field(default=ModelParameters(), description="The network of all teachers.")
    sampling: Literal["data", "balanced"] = Field(
        default="data",
        description="How often an epoch shows each class: as the data have it, or all equally often; then the classes' "
        "shares in the data are put back into the trained network's biases.",
    )


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
        "without it and says so. The next run tries it again.",
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
        return listed | ({"method": "manual"} if lists["from"] else {}) | values

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

    imported: Annotated[tuple[str, ...], AfterValidator(_unique)] = Field(
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


class StudentParameters(TrainingParameters):
    """The student, and with it the controls."""

    epochs: Epochs = 60
    model: SmallModelParameters = Field(default=SmallModelParameters(), description="The network of the students.")
    temperature: float = Field(default=4.0, gt=0, description="Temperature of the soft targets.")
    alpha: float = Field(default=0.9, ge=0, le=1, description="Weight of the soft targets; the labels have the rest.")
    match_frequencies: bool = Field(
        default=False,
        description="Whether the biases of its outputs are shifted at the end, until it predicts each class on the "
        "holdout's images, on average, as often as that is among the training labels: for a transfer set that lacks "
        "classes, or has few of them.",
    )


class SweepParameters(Section):
    """Settings of the students that are tried out, each with each; what does best on the holdout is taken.

    Every student has the same chance: a control tries all settings that mean something to it.
    """

    temperature: Values[PositiveFloat] | None = Field(default=None, description="Temperatures of the soft targets.")
    alpha: Values[Share] | None = Field(default=None, description="Weights of the soft targets.")
    learning_rate: Values[PositiveFloat] | None = Field(default=None, description="Learning rates of the students.")
    active_classes: Values[Count] | None = Field(
        default=None, description="As combine.active_classes. Specialists are asked once, as the largest of them needs."
    )
    measure: Literal["accuracy", "nll"] = Field(
        default="accuracy",
        description="What is best on the holdout, on average over the seeds; of equal ones the other measure decides.",
    )

    @model_validator(mode="after")
    def _tries_something(self) -> "SweepParameters":
        if not self.axes:
            raise ValueError(f"must list values of one of {', '.join(SWEPT)}; got none")
        return self

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values to be tried, by the name of the setting."""
        return {name: getattr(self, name) for name in SWEPT if getattr(self, name) is not None}


class Parameters(Section):
    """Everything the stages know of the config."""

    data: DataParameters = Field(description="The data set.")
    generalist: TeacherParameters = Field(default=TeacherParameters(), description="The teacher over all classes.")
    specialists: SpecialistsParameters = Field(
        default=SpecialistsParameters(), description="The teachers over confusable classes."
    )
    combine: CombineParameters = Field(default=CombineParameters(), description="The combination of the teachers.")
    targets: TargetsParameters = Field(default=TargetsParameters(), description="The table of the combined targets.")
    student: StudentParameters = Field(default=StudentParameters(), description="The student.")
    # YAML has lists only: read one as a tuple, which cannot change under a frozen model.
    controls: Annotated[tuple[Control, ...], AfterValidator(_unique)] = Field(
        default=("hard", "generalist"),
        strict=False,
        description="Students of the same kind trained for comparison: hard without soft targets, "
        "generalist with the generalist's alone.",
    )
    seeds: Values[Seed] = Field(
        default=(0,),
        description="Every student and control is trained once with each, on the same soft targets; with several, "
        "figures and differences say how far they vary with it. The teachers have `seed`.",
    )
    sweep: SweepParameters | None = Field(default=None, description="Settings of the students to choose from.")


AnyParameters = TypeVar("AnyParameters", bound=Parameters)


def default_count(classes: int) -> int:
    """Return the number of specialists for so many classes, where none is asked for."""
    return min(3, max(1, classes // 2))


def check_classes(parameters: Parameters, classes: int, names: Sequence[str] | None = None) -> list[Fault]:
    """Check what cannot be checked before the number of classes is known.

    Args:
        parameters: The parameters.
        classes: Number of classes of the data set.
        names: Their names, where they are known.

    Returns:
        Location in the config and message of every fault.
    """
    faults: list[Fault] = []
    count, size = parameters.specialists.count, parameters.specialists.size
    if classes < 3:
        rule = "have 3 classes or more, for a specialist needs 2 and must leave one out"
        faults.append((("data", "source"), f"must {rule}; got {classes}"))
    elif listed := parameters.specialists.listed:
        places = list(listed)
        found = manual.faults_of(list(listed.values()), classes, names)
        faults += [((*places[subset], *member), message) for (subset, *member), message in found]
    else:
        if count is not None and count > classes // 2:
            rule = f"be at most {classes // 2}, so that each has 2 of the {classes} classes"
            hint = "list more with specialists.method manual"
            faults.append((("specialists", "count"), f"must {rule}; got {count}; {hint}"))
        if size is not None and size >= classes:
            rule = f"be less than {classes}, the number of classes"
            faults.append((("specialists", "size"), f"must {rule}; got {size}"))
    rule = f"must be at most {classes}, the number of classes"
    tried = (parameters.sweep and parameters.sweep.active_classes) or ()
    active_places = [("combine", "active_classes"), *(("sweep", "active_classes", i) for i in range(len(tried)))]
    for place, active in zip(active_places, (parameters.combine.active_classes, *tried), strict=True):
        if active > classes:
            faults.append((place, f"{rule}; got {active}"))
    return faults + _transfer_faults(parameters, classes, names) + _encoding_faults(parameters, classes)


def _transfer_faults(parameters: Parameters, classes: int, names: Sequence[str] | None) -> list[Fault]:
    """Return what is wrong with the classes that the transfer set is to have."""
    faults: list[Fault] = []
    for name in ("classes", "omit"):
        listed, place = getattr(parameters.data.transfer, name) or (), ("data", "transfer", name)
        found = list(manual.faults_of_classes(listed, classes, names))
        if name == "omit" and len(listed) >= classes and not found:
            found = [((), f"must leave one of the {classes} classes or more; got {len(listed)} of them")]
        faults += [((*place, *where), message) for where, message in found]
    return faults


def _encoding_faults(parameters: Parameters, classes: int) -> list[Fault]:
    """Return what is wrong with how the combined table is to be kept."""
    budget = parameters.targets.bytes_per_row
    k = None if budget is None else tables.top_k_within(budget, classes)
    if k is None:
        return []
    faults: list[Fault] = []
    if k < 1:
        least = min(tables.row_bytes(classes), tables.row_bytes(classes, 1))
        faults.append((("targets", "bytes_per_row"), f"must be at least {least} with {classes} classes; got {budget}"))
    rule = "must be at least 1 where targets.bytes_per_row does not keep every class"
    tried = (parameters.sweep and parameters.sweep.temperature) or ()
    places = [("student", "temperature"), *(("sweep", "temperature", i) for i in range(len(tried)))]
    for place, temperature in zip(places, (parameters.student.temperature, *tried), strict=True):
        if temperature < 1:
            faults.append((place, f"{rule}; got {temperature}"))
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
