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

from pipeline.stage import Artifact
from stages.learning.models import as_tensor

Rows = NDArray[np.int64]


def encode(logits: Tensor) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that keep logits.

    Args:
        logits: Floating point, (rows, outputs); log-probabilities are logits too.

    Returns:
        `logits` float16 (rows, outputs), less the row's maximum; `maximum` float32 (rows,); `logsumexp` float32
        (rows,), of the exact logits.
    """
    exact = logits.double()
    maximum = exact.amax(dim=1, keepdim=True)
    return {
        "logits": (exact - maximum).to(torch.float16).numpy(force=True),
        "maximum": maximum.squeeze(1).float().numpy(force=True),
        "logsumexp": exact.logsumexp(dim=1).float().numpy(force=True),
    }


def decode(table: Artifact) -> Tensor:
    """Return the logits that a table keeps, float32 (rows, outputs)."""
    shifted = as_tensor(table.arrays["logits"]).float()
    return shifted + as_tensor(table.arrays["maximum"]).unsqueeze(1)


def decode_probs(table: Artifact) -> Tensor:
    """Return the probabilities that a table stands for, float64 (rows, outputs).

    A specialist's prior correction, which the table keeps apart, is added to the dustbin's logit here.
    """
    logits = decode(table).double()
    logits[:, -1] += table.facts.get("prior_correction", 0.0)
    return logits.softmax(dim=1)


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
        logits = torch.cat([decode(table).to(device) for table in self._views[view]])
        return logits[torch.from_numpy(order).to(device)].log_softmax(dim=1)
