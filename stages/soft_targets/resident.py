"""A table in training: rows of an epoch, batch by batch, on the device that trains on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.soft_targets import encoding
from stages.soft_targets.index import Ids
from stages.soft_targets.reader import SoftTargets


class ResidentTargets:
    """All rows of a table on a device, as they are kept: none is fetched while a step waits.

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


class TrainingTargets:
    """A table for a training on some device: in its memory where there is room, else read batch by batch.

    Args:
        table: The table.
        device: Where the training is.
        is_resident: Whether there is room for all of it.
    """

    def __init__(self, table: SoftTargets, device: torch.device, *, is_resident: bool) -> None:
        self._table, self._device = table, device
        self._resident = ResidentTargets(table, device) if is_resident else None

    def log_q(
        self, examples: Ids, view: int, temperature: float, calibrated: float = 1.0, shifts: Tensor | None = None
    ) -> "LogQ":
        """Return the soft targets of examples in a view, to be had batch by batch.

        Args:
            examples: Example ids, int64 (n,).
            view: The view they are shown in.
            temperature: What the objective tempers to: there what top-k has left out is right.
            calibrated: What the logits of a dense table, a teacher's own, are divided by before that.
            shifts: What is added to the logits after that, (classes,).
        """
        shifts = None if shifts is None else shifts.to(self._device)
        rows = self._table.find(examples, view)
        if self._resident is not None:
            kept = self._resident.on_device(rows)
            return LogQ(partial(self._resident.logits, temperature=temperature), kept, calibrated, shifts)
        return LogQ(partial(self._table.logits, temperature=temperature, device=self._device), rows, calibrated, shifts)


@dataclass(frozen=True)
class LogQ:
    """The soft targets of an epoch: a view of a big data set would not fit into memory at once.

    Attributes:
        logits: Returns the logits of rows, on the device.
        rows: The rows of the epoch, in its order, as `logits` takes them.
        calibrated: What the logits are divided by.
        shifts: What is added to them then, float32 (classes,) on the device, if anything.
    """

    logits: Callable[[Any], Tensor]
    rows: Ids | Tensor
    calibrated: float
    shifts: Tensor | None = None

    def __getitem__(self, batch: slice) -> Tensor:
        logits = self.logits(self.rows[batch]) / self.calibrated
        return (logits if self.shifts is None else logits + self.shifts).log_softmax(dim=1)
