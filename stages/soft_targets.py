"""Soft-target tables: how logits are kept, and how a student reads them.

A table holds one row for each example and view that a teacher was asked about, in canonical row order. What is kept
are logits, free of temperature: the row less its maximum in fp16, the maximum and the logsumexp in fp32. Probabilities
would underflow in fp16, and tempering would bring that up again; logits do not.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import StageError
from pipeline.stage import Artifact
from stages.learning.models import as_tensor

Rows = NDArray[np.int64]


def encode(logits: Tensor) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that keep logits.

    Args:
        logits: Floating point, (rows, outputs); log-probabilities are logits too.

    Returns:
        `logits` float16 (rows, outputs), less the row's maximum; `maximum` float32 (rows,); `logsumexp` float32
        (rows,), of the exact logits. What is more than 65,504 below its row's maximum is kept as minus infinity.

    Raises:
        StageError: A row holds NaN or plus infinity, or nothing but minus infinity; names the first such rows.
    """
    exact = logits.double()
    largest = exact.amax(dim=1, keepdim=True)
    maximum = largest.squeeze(1).float()
    strange = torch.nonzero(~maximum.isfinite()).squeeze(1).tolist()  # a maximum is NaN where a member is
    if strange:
        rule = "be a finite maximum and what is below it, in every row"
        raise StageError(f"logits must {rule}; got otherwise in {len(strange)} rows, the first {strange[:5]}")
    return {
        "logits": (exact - largest).to(torch.float16).numpy(force=True),
        "maximum": maximum.numpy(force=True),
        "logsumexp": exact.logsumexp(dim=1).float().numpy(force=True),
    }


def decode(table: Artifact) -> Tensor:
    """Return the logits that a table keeps, float32 (rows, outputs)."""
    return _shifted(table) + as_tensor(table.arrays["maximum"]).unsqueeze(1)


def decode_probs(table: Artifact) -> Tensor:
    """Return the probabilities that a teacher's table stands for, corrected, float64 (rows, outputs)."""
    return corrected(_shifted(table), table.facts["prior_correction"]).softmax(dim=1)


def corrected(logits: Tensor, prior_correction: float) -> Tensor:
    """Return logits as the classes' shares in the data ask for, not those in a specialist's training.

    Args:
        logits: As the network gives them, floating point (rows, outputs).
        prior_correction: What is added to the last, the dustbin's; 0 for the generalist, which has none.

    Returns:
        A new tensor, float64 (rows, outputs).
    """
    exact = logits.to(torch.float64, copy=True)
    exact[:, -1] += prior_correction
    return exact


class TransferTargets:
    """The soft targets of a whole transfer set, read one view at a time.

    Args:
        tables: Shards in canonical order: by view, then by rows.
    """

    def __init__(self, tables: Sequence[Artifact]) -> None:
        self._views: dict[int, list[Artifact]] = {}
        for table in tables:
            self._views.setdefault(table.facts["view"], []).append(table)

    def log_probs(self, view: int, order: Rows, device: torch.device) -> Tensor:
        """Return log q at temperature 1 of rows of a view, float32 (len(order), classes), on a device."""
        logits = torch.cat([_shifted(table).to(device) for table in self._views[view]])
        return logits[torch.from_numpy(order).to(device)].log_softmax(dim=1)


def _shifted(table: Artifact) -> Tensor:
    """Return the logits of a table less their row's maximum, float32: all that a softmax needs."""
    return as_tensor(table.arrays["logits"]).float()
