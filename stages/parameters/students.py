"""The students, and what of them is tried out."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.stage import Unrecorded
from stages.parameters.fields import SWEPT, Count, Epochs, Rate, Sampling, Section, Share, Temperature, Values
from stages.parameters.training import SmallModelParameters, TrainingParameters

Control = Literal["hard", "generalist"]


class StudentParameters(TrainingParameters):
    """The student, and with it the controls."""

    epochs: Epochs = 60
    model: SmallModelParameters = Field(
        default=SmallModelParameters(), description="The network of the students: a small one, where no width is given."
    )
    temperature: Temperature = Field(default=4.0, description="Temperature of the soft targets.")
    alpha: float = Field(default=0.9, ge=0, le=1, description="Weight of the soft targets; the labels have the rest.")
    sampling: Annotated[Sampling, Unrecorded(("data",))] = Field(
        default="data",
        description="How often an epoch shows each class: as the data have it, or all equally often. Then the soft "
        "targets are divided by the classes' shares in the data, so that they speak of what is shown, and the shares "
        "are put back into the trained student's biases. Each epoch is judged with them.",
    )
    match_frequencies: bool = Field(
        default=False,
        description="Whether the biases of its outputs are shifted at the end, until it predicts each class on the "
        "holdout's images, on average, as often as that is among the training labels: for a transfer set that lacks "
        "classes, or has few of them. The history and `keep: best` judge every epoch without the shift.",
    )
    workers: Annotated[int, Unrecorded((1,))] = Field(
        default=1,
        ge=1,
        le=1024,
        description="Processes that train a student together, each on its share of every batch and, where there are "
        "GPUs, on one of its own. They change the last bits of the weights, and more where the network has batch "
        "normalisation, with statistics of each one's share, drops units, or mixes, which pairs within a share.",
    )

    @property
    def shifts_logits(self) -> bool:
        """Whether the biases of its last layer are changed when it is trained: there must be such a layer."""
        return self.match_frequencies or self.sampling == "balanced"

    @field_validator("workers")
    @classmethod
    def _with_enough_for_each(cls, workers: int, info: ValidationInfo) -> int:
        """Return the number where a batch has two examples for each."""
        batch_size = info.data.get("batch_size")
        if batch_size is not None and workers > 1 and 2 * workers > batch_size:
            rule = f"be at most {max(1, batch_size // 2)}, so that each has two examples of student.batch_size"
            raise ValueError(f"must {rule}, {batch_size}; got {workers}")
        return workers


class SweepParameters(Section):
    """Settings of the students that are tried out, each with each; what does best on the holdout is taken.

    Every student has the same chance: a control tries all settings that mean something to it.
    """

    temperature: Values[Temperature] | None = Field(default=None, description="Temperatures of the soft targets.")
    alpha: Values[Share] | None = Field(default=None, description="Weights of the soft targets.")
    learning_rate: Values[Rate] | None = Field(default=None, description="Learning rates of the students.")
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
