"""Networks, and how one is trained."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.stage import Unrecorded
from stages.learning import model_names
from stages.parameters.fields import MAX_WIDTH, Epochs, LearningRate, Precision, Section, Units, at_least


def _model(value: str) -> str:
    """Return the name of a network there is."""
    model_names.parse(value)
    return value


MAX_CHANNELS = 2048
"""Of a cnn's first stage: its last one then has 8,192, and 600 million weights in each layer."""


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
        le=MAX_WIDTH,
        description="Channels of the first stage (cnn) or units of each of two layers (mlp): 32, of a student 8.",
    )
    hidden: Annotated[tuple[Units, ...], Field(strict=False), at_least(1, "one layer")] | None = Field(
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
        return values | {"width": cls.DEFAULT_WIDTH} if values.get("name", "cnn") in ("cnn", "mlp") else values

    @field_validator("width", "hidden", "dropout", "input_dropout")
    @classmethod
    def _of_its_network(cls, value: Any, info: ValidationInfo) -> Any:
        """Return a value that the network has a use for."""
        name = info.data.get("name")
        kinds = ("cnn", "mlp") if info.field_name == "width" else ("mlp",)
        if value and name is not None and name not in kinds:
            raise ValueError(f"must be given only with a model of {' or '.join(kinds)}; got {value} with {name}")
        if info.field_name == "width" and name == "cnn" and value and value > MAX_CHANNELS:
            raise ValueError(f"must be at most {MAX_CHANNELS} with a model of cnn; got {value}")
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
    batch_size: int = Field(
        default=128, ge=2, le=131_072, description="Examples a step; batch normalisation needs two."
    )
    optimiser: Literal["sgd", "adamw"] = Field(
        default="sgd", description="sgd with Nesterov's momentum, or adamw, which wants a far smaller learning rate."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of sgd, beta1 of adamw.")
    weight_decay: float = Field(
        default=5e-4, ge=0, le=100, description="Weight decay, off for norms and biases; that of adamw is decoupled."
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
        default=0.0,
        ge=0,
        le=100,
        description="Images and targets are mixed in pairs by a share from Beta(mixup, mixup).",
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
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads; they change the last bits of the weights.")
    precision: Precision = Field(
        default="fp32",
        description="Arithmetic of forward and backward: auto is bf16 where the machine that starts the run has "
        "an NVIDIA GPU, or a CPU with tiles for it (AMX), and fp32 elsewhere: where several machines "
        "start runs, or GPUs are older than Ampere, name one of the two.",
    )
    compile: bool = Field(default=False, description="Whether torch.compile makes a long training faster.")
    cuda_graph: Annotated[bool, Unrecorded((True, False))] = Field(
        default=True,
        description="Whether a GPU replays the network's passes from a graph, which spares the host nearly all of its "
        "work, where it is not compiled, nor trained by several workers. Off for a network of your own that waits for "
        "values of its own.",
    )
    deterministic: bool = Field(
        default=False, description="Whether a GPU too gives the same bits each time; slower. A CPU always does."
    )
