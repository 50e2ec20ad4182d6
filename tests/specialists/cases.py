"""Random problems, and what is known about their solution from formulas that share nothing with the solver."""

from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from specialists.combine import Combination, combine

probabilities = st.one_of(st.just(0.0), st.sampled_from([1e-300, 1e-40, 1e-20, 1e-8]), st.floats(1e-3, 1.0))


@dataclass(frozen=True)
class Case:
    generalist: Tensor
    specialists: list[Tensor]
    subsets: list[Tensor]
    active: Tensor

    def combine(self, divergence="forward") -> Combination:
        return combine(self.generalist, self.specialists, self.subsets, self.active, divergence=divergence)


def draw(  # noqa: PLR0917 - the positional ones read well in a table of cases
    seed, n_rows=8, n_classes=10, sizes=(4, 4, 4), scale=2.0, dustbin=0.0, dtype=torch.float64, share=1.0
):
    """Softmaxes of Gaussian logits; `dustbin` is added to the dustbins' logits."""
    generator = torch.Generator().manual_seed(seed)

    def probs(width, offset=0.0):
        logits = torch.randn(n_rows, width, generator=generator, dtype=torch.float64) * scale
        logits[:, -1] += offset
        return logits.to(dtype).softmax(1)

    return Case(
        probs(n_classes),
        [probs(size + 1, dustbin) for size in sizes],
        [torch.randperm(n_classes, generator=generator)[:size] for size in sizes],
        torch.rand(n_rows, len(sizes), generator=generator) < share,
    )


def teachers(case, row):
    """The row's normalised generalist, and for each active specialist its probabilities and a membership mask."""
    generalist = case.generalist[row].double().numpy()
    found = []
    for m in case.active[row].nonzero().squeeze(1).tolist():
        inside = np.zeros(len(generalist), dtype=bool)
        inside[case.subsets[m].numpy()] = True
        probs = case.specialists[m][row].double().numpy()
        expanded = np.zeros(len(generalist))
        expanded[case.subsets[m].numpy()] = probs[:-1] / probs.sum()
        found.append((expanded, probs[-1] / probs.sum(), inside))
    return generalist / generalist.sum(), found


def objective(q, generalist, found):
    """KL(p_g || q) + sum KL(p_m || q_m), term by term as it is defined."""
    value = kl(generalist, q)
    for probs, dustbin, inside in found:
        value += kl(probs[inside], q[inside]) + kl(np.array([dustbin]), q[~inside].sum(keepdims=True))
    return value


def reverse_objective(q, generalist, found):
    """KL(q || p_g) + sum KL(q_m || p_m), term by term as it is defined."""
    value = kl(q, generalist)
    for probs, dustbin, inside in found:
        value += kl(q[inside], probs[inside]) + kl(q[~inside].sum(keepdims=True), np.array([dustbin]))
    return value


def kl(p, q):
    positive = p > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(p[positive] * (np.log(p[positive]) - np.log(q[positive]))))


def expectation_maximisation(generalist, found, steps=20_000):
    """The fixed point of q <- (a + q * sum over outside of d_m / Q_m) / lambda, from the uniform distribution."""
    a = generalist + sum(probs for probs, _, _ in found)
    q = np.full(len(a), 1 / len(a))
    for _ in range(steps):
        pull = sum((dustbin / q[~inside].sum()) * ~inside for _, dustbin, inside in found)
        before, q = q, (a + q * pull) / (1 + len(found))
        if np.abs(q - before).max() < 1e-15:
            break
    return q


def stationarity(q, generalist, found):
    """The certificate, class by class."""
    a = generalist + sum(probs for probs, _, _ in found)
    pull = sum((dustbin / q[~inside].sum()) * ~inside for _, dustbin, inside in found if dustbin > 0)
    return max(abs(q.sum() - 1), np.abs((1 + len(found)) * q - a - q * pull).max() / (1 + len(found)))


def reverse_stationarity(q, generalist, found):
    """The reverse certificate, class by class, for teachers without zeros."""
    power = 1 + sum(inside for _, _, inside in found)
    logs = np.log(generalist)
    for probs, dustbin, inside in found:
        logs[inside] += np.log(probs[inside])
        logs[~inside] += np.log(dustbin / q[~inside].sum())
    log_c = (q * (power * np.log(q) - logs)).sum() / q.sum()
    return max(abs(q.sum() - 1), np.abs(q - np.exp((logs + log_c) / power)).max())
