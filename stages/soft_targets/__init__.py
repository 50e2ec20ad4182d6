"""Soft-target tables: how a teacher's logits are kept, and how a student, or anybody else, reads them."""

from specialists.dustbin import corrected
from stages.soft_targets.encoding import choose, decode, decode_probs, encode, statistics
from stages.soft_targets.reader import SoftTargets
from stages.soft_targets.resident import TrainingTargets
from stages.soft_targets.shards import dense_shard

__all__ = [
    "SoftTargets",
    "TrainingTargets",
    "choose",
    "corrected",
    "decode",
    "decode_probs",
    "dense_shard",
    "encode",
    "statistics",
]
