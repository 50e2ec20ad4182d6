"""Data sets that come with scikit-learn."""

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np

from stages.learning.origins.origin import Options, Origin, Raw
from stages.learning.source_names import SKLEARN_CLASSES
from stages.learning.split import split_holdout


def find(name: str, root: Path, options: Options) -> Origin:  # noqa: ARG001  # all kinds have one signature
    """Return where a set of scikit-learn comes from; its version stands for its content."""
    stamp = {"name": name, "version": metadata.version("scikit-learn")}
    digest = hashlib.sha256(f"{name} {stamp['version']}".encode()).hexdigest()
    return Origin(stamp, lambda: digest, lambda: SKLEARN_CLASSES[name], lambda _: _read_digits())


def _read_digits() -> Raw:
    from sklearn.datasets import load_digits  # noqa: PLC0415  # a second of import that a plan must not pay

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    test = split_holdout(labels, 0.2, seed=0)  # the split is part of the data set: no run's seed changes it
    return {
        "x_train": images[~test],
        "y_train": labels[~test],
        "x_test": images[test],
        "y_test": labels[test],
    }
