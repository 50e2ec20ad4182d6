"""The parameters of all stages, as the config names them. Imports neither torch nor numpy.

Every description in here is what the config reference says of the field. Models are frozen and strict: a quoted
number is not a number, a switch is not a count, and a key that nobody reads is an error.
"""

from stages.parameters.checks import (
    check_classes,
    check_images,
    check_together,
    check_unfit_subsets,
)
from stages.parameters.data import (
    AUGMENTATIONS,
    GIB,
    MEMORY_BUDGET,
    AugmentParameters,
    DataParameters,
    TransferParameters,
)
from stages.parameters.everything import Parameters
from stages.parameters.fields import SWEPT, Section
from stages.parameters.precision import resolve_precision, resolved
from stages.parameters.students import StudentParameters, SweepParameters
from stages.parameters.teachers import (
    CombineParameters,
    GivenSpecialist,
    SpecialistsParameters,
    TargetsParameters,
    TeacherParameters,
    default_count,
)
from stages.parameters.training import ModelParameters, SmallModelParameters, TrainingParameters

__all__ = [
    "AUGMENTATIONS",
    "GIB",
    "MEMORY_BUDGET",
    "SWEPT",
    "AugmentParameters",
    "CombineParameters",
    "DataParameters",
    "GivenSpecialist",
    "ModelParameters",
    "Parameters",
    "Section",
    "SmallModelParameters",
    "SpecialistsParameters",
    "StudentParameters",
    "SweepParameters",
    "TargetsParameters",
    "TeacherParameters",
    "TrainingParameters",
    "TransferParameters",
    "check_classes",
    "check_images",
    "check_together",
    "check_unfit_subsets",
    "default_count",
    "resolve_precision",
    "resolved",
]
