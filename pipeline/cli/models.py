"""What is known of a run's networks before any work: the files they are made of, from what was remembered of them."""

from pathlib import Path

from pipeline.cli.schema import Config
from pipeline.errors import Fault
from pipeline.stage import Facts
from pipeline.store import Store
from stages.learning import model_files
from stages.learning.errors import LearningError

SECTIONS = ("generalist", "student")
"""Sections of the config that have a network."""


def find(config: Config, store: Store) -> tuple[Facts, list[Fault]]:
    """Return what is known of the files of each network that has any, and what is wrong with the others.

    Args:
        config: The run's config.
        store: Where digests are remembered, while the files stay the same.

    Returns:
        By section `content`, a digest, and `weights`, the path of a file or None; and the faults.
    """
    facts: dict[str, Facts] = {}
    faults: list[Fault] = []
    for section in SECTIONS:
        model = getattr(config, section).model
        weights = Path(model.weights).absolute() if model.weights else None
        try:
            content = _content(model.name, weights, store)
        except LearningError as error:
            faults.append(((section, "model", "weights" if weights else "name"), str(error)))
            continue
        if content:
            facts[section] = {"content": content, "weights": str(weights) if weights else None}
    return facts, faults


def _content(name: str, weights: Path | None, store: Store) -> str | None:
    """Return the digest of the files of a network, read only when they are not those of the last time."""
    stamp = model_files.stamp(name, weights)
    if stamp is None:
        return None
    place = f"model {name} {weights}"
    known = store.recall(place)
    if known is None or known["stamp"] != stamp:
        known = {"stamp": stamp, "digest": model_files.digest(name, weights)}
        store.remember(place, known)
    digest: str = known["digest"]
    return digest
