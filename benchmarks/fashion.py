"""Fashion-MNIST with few training images, on which much can be tried in little time."""

from pathlib import Path

import numpy as np
from torchvision.datasets import FashionMNIST

from benchmarks import harness

CONFIG = harness.ROOT / "benchmarks" / "configs" / "fashion_6000.yaml"
N_TRAIN = 6000


def write(folder: Path, root: Path) -> None:
    """Write the data set of the config into a folder: the first training images, and all of the test images.

    Args:
        folder: Is `data.root` then.
        root: Holds Fashion-MNIST as torchvision keeps it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train, test = (FashionMNIST(str(root), train=is_train) for is_train in (True, False))
    np.savez(
        folder / "fashion.npz",
        x_train=train.data[:N_TRAIN].numpy(),
        y_train=train.targets[:N_TRAIN].numpy(),
        x_test=test.data.numpy(),
        y_test=test.targets.numpy(),
        class_names=np.array(train.classes),
    )
