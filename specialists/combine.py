"""The combination: the one distribution that agrees best with the generalist and the active specialists.

Per example, q minimises, over the active specialists m (Hinton, Vinyals, Dean 2015, section 5.3),

    forward:  KL(p_g || q) + sum of KL(p_m || q_m)
    reverse:  KL(q || p_g) + sum of KL(q_m || p_m)

where q_m is q with all classes outside the subset of m summed into one dustbin. `forward_kl` and `reverse_kl`
solve one example; `layouts`, `patterns` and `row_kernel` go from probabilities to that problem and back;
`forward_rows` and `reverse_rows` do so for a block of rows, and `blockwise` divides tables into blocks. This module
checks, and hands the blocks to as many threads as torch is set to use.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from specialists.block import INFINITE, NOT_A_DISTRIBUTION, NOT_CONVERGED
from specialists.blockwise import METHODS, Job, block_rows
from specialists.combine_checks import DIVERGENCES, active_faults, argument_faults
from specialists.compiled import is_kept
from specialists.errors import raise_all
from specialists.memory import is_in_the_way, mark_overwritten, overwrite
from specialists.subset_checks import subset_faults

__all__ = ["DIVERGENCES", "Combination", "combine", "combine_rows", "subset_faults"]


@dataclass(frozen=True)
class Combination:
    """Soft targets and the proof that they are the minimum.

    Attributes:
        probs: Soft targets q at temperature 1, (batch, classes), in the generalist's dtype and on its device.
        residual: Per row, the largest violation of the conditions for a minimum by q as returned (in half
            precision, by q before it is rounded to that), from q alone, float64 (batch,): the largest of
            |sum q - 1| and, over the classes i, of

                forward:  |q_i - a_i / lambda - q_i sum_{m: i outside m} d_m / (lambda Q_m)|
                reverse:  |q_i - [C p_g[i] prod_{m: i in m} p_m[i] prod_{m: i outside m} d_m / Q_m]^(1/(1+c_i))|

            with a_i the sum of all teachers' probabilities of class i, lambda the number of teachers, d_m the
            dustbin of m, Q_m the sum of q over the classes that it stands for, c_i the number of active
            specialists around i, and C the one number that fits best. At most 1e-12 for float64 probabilities
            and 1e-6 for all others; in the reverse direction |A|/8 times that where more than 8 specialists are
            active, because the roundings of as many factors add up.
        iterations: Newton steps per row, int64 (batch,); 0 where the closed form applies.
    """

    probs: Tensor
    residual: Tensor
    iterations: Tensor


def is_compiled(divergence: str) -> bool:
    """Return whether combining needs no compilation first, which takes tens of seconds, as `compiled.is_kept` sees it.

    Args:
        divergence: `forward` or `reverse`.
    """
    return is_kept(METHODS[divergence].combine_block)


def combine(
    generalist: Tensor,
    specialists: Sequence[Tensor],
    subsets: Sequence[Tensor],
    active: Tensor,
    *,
    divergence: str = "forward",
    out: Tensor | None = None,
) -> Combination:
    """Combine the generalist with the specialists that are active on each row.

    Args:
        generalist: Probabilities, float16, bfloat16, float32 or float64 (batch, classes). Rows may sum to 1 within
            1e-3 (1e-2 in half precision); they are renormalised in float64.
        specialists: By specialist, probabilities in any of these precisions, (batch, |S_m| + 1), dustbin last. Rows
            where it is not active are not read. They may sum to 1 within 1e-3 (1e-2 if one is in half precision).
        subsets: By specialist, its class ids, int64 (|S_m|,), in the order of its outputs.
        active: Which specialists count on which row, bool (batch, specialists).
        divergence: `forward`, KL(teacher || q), or `reverse`, KL(q || teacher).
        out: Where to write the soft targets; a new tensor by default. May be `generalist` or share memory with any
            other argument. Of its values nothing is sure where this raises. It gets no gradient.

    Returns:
        Soft targets, certificate and iterations; the first on the generalist's device, the others on the CPU.

    Where all that the teachers say of some classes together comes to less than 1e-306, which float64 cannot divide
    by, it counts as 0: the forward divergence divides what such classes must have evenly, the reverse takes them for
    ruled out.

    Raises:
        SpecialistsError: Something is no tensor, shapes, dtypes or subsets do not fit, more than 62 specialists are
            active on a row, a row is not a distribution or does not converge, or its reverse divergence is infinite
            whatever q is.
    """
    raise_all(active_faults(generalist, specialists, subsets, active))
    rows = [active[:, m].nonzero().squeeze(1) for m in range(len(subsets))]
    probs = [table[index] for table, index in zip(specialists, rows, strict=True)]
    return combine_rows(generalist, rows, probs, subsets, divergence=divergence, out=out)


def combine_rows(
    generalist: Tensor,
    rows: Sequence[Tensor],
    probs: Sequence[Tensor],
    subsets: Sequence[Tensor],
    *,
    divergence: str = "forward",
    out: Tensor | None = None,
) -> Combination:
    """Combine, given each specialist's probabilities only for the rows where it is active.

    The arithmetic is float64 on the CPU, row by row: the result is the same in its last bit for any number of
    threads and any other rows in the batch. Tensors on another device are copied block by block.

    Args:
        generalist: As in `combine`.
        rows: By specialist, the rows where it is active, int64 (active rows,), ascending.
        probs: By specialist, its probabilities on these rows, (active rows, |S_m| + 1), dustbin last.
        subsets: As in `combine`.
        divergence: As in `combine`.
        out: As in `combine`.

    Returns:
        As `combine`.

    Raises:
        SpecialistsError: As `combine`.
    """
    raise_all(argument_faults(generalist, rows, probs, subsets, divergence, out))
    n_rows = len(generalist)
    if out is None or is_in_the_way(out, generalist, probs):
        target = torch.empty_like(generalist, memory_format=torch.contiguous_format)
    else:
        target = out
    result = Combination(
        target if out is None else out,
        torch.empty(n_rows, dtype=torch.float64, device="cpu"),
        torch.empty(n_rows, dtype=torch.int64, device="cpu"),
    )
    n_blocks = -(-n_rows // block_rows(generalist.shape[1]))
    n_threads = max(1, min(torch.get_num_threads(), n_blocks))
    job = Job((generalist, rows, probs, subsets), divergence, (target, result.residual, result.iterations), n_threads)
    blocks = iter(range(n_blocks))  # each thread takes the next block when it is done with one
    if n_threads == 1:
        job.run(blocks)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(job.run, [blocks] * n_threads))
    mark_overwritten(target)
    _raise_unsolved(result.iterations)
    if target is not result.probs:
        overwrite(result.probs, target)
    return result


def _raise_unsolved(iterations: Tensor) -> None:
    """Raise for the rows that are no distributions or have not converged."""
    faults = []
    for code, rule in (
        (NOT_A_DISTRIBUTION, "probabilities must be non-negative and sum to 1 for every teacher"),
        (NOT_CONVERGED, "combination must converge"),
        (
            INFINITE,
            "the reverse divergence must be finite for some q: each row needs a class that no teacher rules out",
        ),
    ):
        bad = (iterations == code).nonzero().squeeze(1).tolist()
        if bad:
            faults.append(f"{rule}; got otherwise in {len(bad)} rows, the first {bad[:5]}")
    raise_all(faults)
