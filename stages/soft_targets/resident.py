"""A table on the device that trains on it, as it is kept: no row is fetched while a step waits."""

import numpy as np
import torch
from torch import Tensor

from stages.soft_targets import encoding
from stages.soft_targets.index import Ids
from stages.soft_targets.reader import SoftTargets


class ResidentTargets:
    """All rows of a table, on a device.

    Args:
        table: The table.
        device: Where to keep it.
    """

    def __init__(self, table: SoftTargets, device: torch.device) -> None:
        kept = encoding.as_rows(table.kept(np.arange(len(table))))
        self._kept = {name: values.to(device) for name, values in kept.items()}
        self._table, self._device = table, device

    def on_device(self, rows: Ids) -> Tensor:
        """Return row numbers as `logits` takes them."""
        return torch.from_numpy(rows).to(self._device)

    def logits(self, rows: Tensor, *, temperature: float) -> Tensor:
        """Return what `SoftTargets.logits` does, of row numbers int64 (n,) on the device."""
        return self._table.decoded({name: values[rows] for name, values in self._kept.items()}, temperature)
