"""All sections of the config that the stages read, in one model."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from stages.parameters.data import DataParameters
from stages.parameters.fields import Section, Seed, Values, unique
from stages.parameters.students import Control, StudentParameters, SweepParameters
from stages.parameters.teachers import CombineParameters, SpecialistsParameters, TargetsParameters, TeacherParameters


class Parameters(Section):
    """Everything the stages know of the config."""

    data: DataParameters
    generalist: TeacherParameters = TeacherParameters()
    specialists: SpecialistsParameters = SpecialistsParameters()
    combine: CombineParameters = CombineParameters()
    targets: TargetsParameters = TargetsParameters()
    student: StudentParameters = StudentParameters()
    # YAML has lists only: read one as a tuple, which cannot change under a frozen model.
    controls: Annotated[tuple[Control, ...], AfterValidator(unique)] = Field(
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
    refit: bool = Field(
        default=False,
        description="Whether the student is trained once more when everything is chosen, on all training examples, the "
        "holdout among them, by teachers that are trained so too. Nothing but the test split has judged it then; the "
        "others stay what was judged.",
    )
    sweep: SweepParameters | None = None

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_themselves(cls, seeds: Any) -> Any:
        """Return the seeds; a number in their place may be one of them, or how many there are to be."""
        is_number = isinstance(seeds, int) and not isinstance(seeds, bool)
        if is_number:
            meant = f"[{', '.join(map(str, range(seeds)))}] or [{seeds}]" if 1 < seeds <= MANY else f"[{seeds}]"
            hint = f"; did you mean {meant}?" if seeds >= 0 else ""
            raise ValueError(f"must be a list of seeds; got {seeds}{hint}")
        return seeds


MANY = 10
"""More seeds than this are hardly meant by a number in their place."""
