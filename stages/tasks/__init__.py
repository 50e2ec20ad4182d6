"""Which tasks each stage has, and what each of them reads. Imports nothing heavy: planning a run needs no torch.

Every function takes the parameters and the facts known so far (by task id), and returns the stage's tasks.
"""

from stages.tasks.data import data, data_content, models, transfer, views
from stages.tasks.shared import SHARD_BYTES, Known, shards_of, subset_name, subsets_of, transfer_size
from stages.tasks.soft_targets import combined, imported, imports, targets
from stages.tasks.students import evaluate, report, student, sweep
from stages.tasks.teachers import calibration, confusion, fold, generalist, given, given_teachers, specialist, subsets

__all__ = [
    "SHARD_BYTES",
    "Known",
    "calibration",
    "combined",
    "confusion",
    "data",
    "data_content",
    "evaluate",
    "fold",
    "generalist",
    "given",
    "given_teachers",
    "imported",
    "imports",
    "models",
    "report",
    "shards_of",
    "specialist",
    "student",
    "subset_name",
    "subsets",
    "subsets_of",
    "sweep",
    "targets",
    "transfer",
    "transfer_size",
    "views",
]
