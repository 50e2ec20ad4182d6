"""What somebody's numbers may be."""

from typing import Literal, get_args

Meaning = Literal["logits", "log-probs", "probs"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
"""Logits, natural logarithms of probabilities, or probabilities: all at temperature 1."""

COLUMNS: dict[str, Meaning] = {"logits": "logits", "log_probs": "log-probs", "probs": "probs"}
"""Names that a column of Parquet may have, and what it then holds."""
