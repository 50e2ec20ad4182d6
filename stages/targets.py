"""Stage `targets`: one teacher's logits on one shard of the transfer set."""

import numpy as np
import torch

from pipeline.stage import Artifact, Work
from specialists.active import active_set
from stages import network, soft_targets
from stages.learning import training
from stages.shown import Ids, Pixels, replayed_view


def score(
    *,
    dataset: Artifact,
    view: Artifact,
    teacher: Artifact,
    rows: tuple[int, int],
    generalist: Artifact | None = None,
    active_classes: int = 0,
    work: Work,
) -> Artifact:
    """Score a shard: all of its rows by the generalist, by a specialist those where it is active.

    Args:
        dataset: The training half of the data set.
        view: The view that is shown.
        teacher: The generalist or a specialist.
        rows: First row of the view, and the row after the last.
        generalist: The generalist's table of the same shard, where the teacher is a specialist.
        active_classes: How many of the generalist's likeliest classes make a specialist active that holds one.
        work: Its threads.

    Returns:
        A table as `soft_targets.dense_shard` describes it; of a specialist with `rows`.

    Raises:
        StageError: The teacher's logits are not finite.
    """
    training.use_threads(work.threads)
    subset = teacher.facts.get("subset")
    start, stop = rows
    chosen: Ids | None = None  # rows of the shard; all of them
    if generalist is not None:
        active = active_set(soft_targets.decode(generalist), [torch.tensor(subset)], active_classes)
        chosen = torch.nonzero(active[:, 0]).squeeze(1).numpy()
    pixels = Pixels.of(dataset)
    shown = np.arange(start, stop) if chosen is None else start + chosen
    logits = network.predict(teacher, pixels.show(*replayed_view(view, shown)), warn=work.warn)
    return soft_targets.dense_shard(
        logits,
        teacher=teacher.facts.get("name", "generalist"),
        view=view.facts["view"],
        start=start,
        examples=stop - start,
        classes=len(dataset.facts["class_names"]),
        subset=subset,
        prior_correction=teacher.facts.get("prior_correction", 0.0),
        rows=chosen,
    )
