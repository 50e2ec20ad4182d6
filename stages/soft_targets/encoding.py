"""How logits are kept: dense, or the largest of each row and what the others come to.

Kept are logits, free of temperature: the row less its maximum in fp16, the maximum and the logsumexp in fp32.
Probabilities would underflow in fp16, and tempering would bring that up again; logits do not.

Top-k forgets which of the left-out classes has how much, and so loses something at every temperature, most at high
ones. It keeps the fp32 logarithm of their sum, taken before anything is rounded, and that of the sum of some powers of
their probabilities: the sum of p^(1/T) is what they have together at temperature T. Read back, each left-out class
has an equal part of that.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import StageError
from pipeline.stage import Arrays, Artifact, Json
from specialists.calibration import calibrated
from specialists.dustbin import corrected
from stages.learning.models import as_tensor
from stages.tables import TAIL_POWERS, index_bytes

NAMES = {"dense": ("logits",), "top-k": ("logits", "indices", "tail")}
"""What a reader needs of each encoding."""

_SIGNED = {2: np.int16, 4: np.int32}
"""By their bytes, what unsigned indices are taken for."""

BLOCK_ROWS = 2048
"""Rows that are looked at together where a table is measured: these are float64."""


def encode(logits: Tensor) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that keep logits densely.

    Args:
        logits: Floating point, (rows, outputs); log-probabilities are logits too.

    Returns:
        `logits` float16 (rows, outputs), less the row's maximum; `maximum` float32 (rows,); `logsumexp` float32
        (rows,), of the exact logits. What is more than 65,504 below its row's maximum is kept as minus infinity.

    Raises:
        StageError: A row holds NaN or plus infinity, or nothing but minus infinity; names the first such rows.
    """
    exact = logits.double()
    largest = _finite_maximum(exact)
    return {"logits": (exact - largest).to(torch.float16).numpy(force=True), **_sums(exact, largest)}


def encode_top_k(logits: Tensor, k: int) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that keep the k largest logits of each row, and what the others come to.

    Args:
        logits: Floating point, (rows, outputs).
        k: How many are kept, from 1 to outputs - 1.

    Returns:
        `indices` uint16 or uint32 (rows, k), largest first; `logits` float16 (rows, k), less the row's maximum; `tail`
        float32 (rows, powers), for each power b in `TAIL_POWERS` the logarithm of the sum of exp(b z) over the others,
        z being the exact logit less the row's maximum; `maximum` and `logsumexp` as `encode` keeps them.

    Raises:
        StageError: As `encode`; or k is out of range.
    """
    if not 1 <= k < logits.shape[1]:
        raise StageError(f"k must be within 1..{logits.shape[1] - 1}, one less than the outputs; got {k}")
    exact = logits.double()
    largest = _finite_maximum(exact)
    shifted = exact - largest
    top = shifted.topk(k, dim=1)
    others = shifted.scatter(1, top.indices, -torch.inf)
    is_there = torch.where(others == -torch.inf, others, 0.0)  # 0 * inf would be NaN
    tail = [(others * power if power else is_there).logsumexp(dim=1) for power in TAIL_POWERS]
    width = np.uint16 if index_bytes(logits.shape[1]) == 2 else np.uint32
    return {
        "indices": top.indices.numpy(force=True).astype(width),
        "logits": top.values.to(torch.float16).numpy(force=True),
        "tail": torch.stack(tail, dim=1).float().numpy(force=True),
        **_sums(exact, largest),
    }


def decode(table: Artifact) -> Tensor:
    """Return the logits that a dense table keeps, float32 (rows, outputs)."""
    return _shifted(table) + as_tensor(table.arrays["maximum"]).unsqueeze(1)


def decode_probs(table: Artifact, temperature: float = 1.0) -> Tensor:
    """Return the probabilities that a teacher's table stands for.

    Args:
        table: Dense.
        temperature: What the logits are divided by once their prior is corrected.

    Returns:
        float64 (rows, outputs).
    """
    return calibrated(corrected(_shifted(table), table.facts["prior_correction"]), temperature).softmax(dim=1)


def shifted_logits(arrays: Mapping[str, Tensor], outputs: int, temperature: float) -> Tensor:
    """Return logits whose softmax at a temperature is what kept rows stand for.

    Args:
        arrays: Rows of a table, as `as_rows` returns them.
        outputs: Number of outputs.
        temperature: Of a dense table the logits are the same at every one.

    Returns:
        float32 (rows, outputs): z, less a number of each row; softmax(z / temperature) is the distribution.

    Raises:
        StageError: The temperature is below 1, and the table is of top-k, which knows nothing of that.
    """
    logits = arrays["logits"].float()
    if "indices" not in arrays:
        return logits
    if temperature < 1:
        raise StageError(f"the temperature of a table in the encoding top-k must be at least 1; got {temperature}")
    n_others = outputs - logits.shape[1]
    each: Tensor = temperature * (_tail_sum(arrays["tail"].double(), 1 / temperature) - math.log(n_others))
    indices = arrays["indices"].long() & (2 ** (8 * arrays["indices"].element_size()) - 1)
    return each.float().unsqueeze(1).repeat(1, outputs).scatter(1, indices, logits)


def kl_of_top_k(logits: Tensor, arrays: Arrays, temperature: float) -> float:
    """Return what top-k loses: the mean over rows of KL(exact || read back) at a temperature, in nats.

    Args:
        logits: The exact ones, (rows, outputs), at least one row.
        arrays: What `encode_top_k` made of them.
        temperature: At least 1.
    """
    total = 0.0
    for block in _blocks(len(logits)):
        kept = as_rows({name: array[block] for name, array in arrays.items()})
        total += float(kl(logits[block], shifted_logits(kept, logits.shape[1], temperature), temperature).sum())
    return total / len(logits)


def kl(exact: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return KL(softmax(exact / T) || softmax(other / T)), float64 (rows,), from logits (rows, outputs)."""
    p, q = ((logits.double() / temperature).log_softmax(dim=1) for logits in (exact, other))
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(dim=1)


def as_rows(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return kept rows as tensors, in as many bytes; `indices` become signed, since torch has no others to move.

    `shifted_logits` takes them as what they were.
    """
    return {
        name: as_tensor(array.view(_SIGNED[array.dtype.itemsize]) if name == "indices" else array)
        for name, array in arrays.items()
        if name in NAMES["top-k"]
    }


def statistics(logits: Tensor) -> dict[str, float]:
    """Return the means over rows that tell a sharp table from a soft one; nothing where there is no row.

    Args:
        logits: Corrected, (rows, outputs).

    Returns:
        `entropy` in nats, and `confidence`, the largest probability.
    """
    if not len(logits):
        return {}
    entropy = confidence = 0.0
    for block in _blocks(len(logits)):
        probs = logits[block].double().softmax(dim=1)
        entropy -= float(torch.special.xlogy(probs, probs).sum())
        confidence += float(probs.amax(dim=1).sum())
    return {"entropy": entropy / len(logits), "confidence": confidence / len(logits)}


def choose(
    logits: Tensor, *, k: int | None, temperatures: Sequence[float], max_kl: float
) -> tuple[dict[str, NDArray[np.generic]], dict[str, Json]]:
    """Return the arrays that keep logits, and facts that say how: as top-k only where that loses little enough.

    Args:
        logits: The exact ones, (rows, outputs).
        k: How many top-k is to keep; None for the dense encoding.
        temperatures: Those that the table will be read at.
        max_kl: The largest mean error at any of these, in nats.

    Returns:
        The arrays; and the facts `name`, of top-k also `k` and the errors `kl`, by temperature.

    Raises:
        StageError: The error of top-k is larger; names it, and what it was at each temperature.
    """
    if k is None:
        return encode(logits), {"name": "dense"}
    arrays = encode_top_k(logits, k)
    errors = {f"{t:g}": kl_of_top_k(logits, arrays, t) if len(logits) else 0.0 for t in temperatures}
    if max(errors.values()) > max_kl:
        measured = ", ".join(f"{error:.2g} at temperature {t}" for t, error in errors.items())
        rule = f"lose at most KL {max_kl:g}, targets.max_kl, at the temperatures in use"
        raise StageError(
            f"top-k with k = {k} must {rule}; got {measured}: raise targets.bytes_per_row, or leave it out (dense)"
        )
    return arrays, {"name": "top-k", "k": k, "kl": errors}


def _blocks(n_rows: int) -> Iterator[slice]:
    yield from (slice(start, start + BLOCK_ROWS) for start in range(0, n_rows, BLOCK_ROWS))


def _tail_sum(tail: Tensor, power: float) -> Tensor:
    """Return the logarithm of the sum of exp(power z) over the left-out classes, (rows,).

    As a function of the power it is analytic and convex, and nearly a parabola where the logits are nearly normal: a
    polynomial through those that are kept is exact at temperatures 1, 2, 4 and 8, and close between and above them.
    """
    weights = [
        math.prod((power - other) / (node - other) for other in TAIL_POWERS if other != node) for node in TAIL_POWERS
    ]
    found = tail @ torch.tensor(weights, dtype=tail.dtype, device=tail.device)
    return torch.where(tail[:, 0] == -torch.inf, tail[:, 0], found)


def _finite_maximum(exact: Tensor) -> Tensor:
    """Return the maximum of each row, (rows, 1)."""
    largest = exact.amax(dim=1, keepdim=True)
    strange = torch.nonzero(~largest.squeeze(1).float().isfinite()).squeeze(1).tolist()  # NaN where a member is
    if strange:
        rule = "be a finite maximum and what is below it, in every row"
        raise StageError(f"logits must {rule}; got otherwise in {len(strange)} rows, the first {strange[:5]}")
    return largest


def _sums(exact: Tensor, largest: Tensor) -> dict[str, NDArray[np.generic]]:
    return {
        "maximum": largest.squeeze(1).float().numpy(force=True),
        "logsumexp": exact.logsumexp(dim=1).float().numpy(force=True),
    }


def _shifted(table: Artifact) -> Tensor:
    """Return the logits of a dense table less their row's maximum, float32: all that a softmax needs."""
    return as_tensor(table.arrays["logits"]).float()
