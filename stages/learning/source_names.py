"""The names of data sources, `kind:name`, as far as they can be checked without looking for any file.

    sklearn:digits           a data set that comes with scikit-learn
    torchvision:CIFAR100     one of torchvision's classification sets, its files under `data.root`
    folder:PATH              image files in a folder for each class
    npz:PATH                 a numpy archive of x_train, y_train, x_test, y_test and perhaps class_names
    python:MODULE:FACTORY    a function without arguments that returns a mapping of the same arrays

Imports nothing heavy: reading a config needs it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stages.learning.errors import did_you_mean

KINDS = ("sklearn", "torchvision", "folder", "npz", "python")

SKLEARN_CLASSES = {"digits": 10}
"""Image sets that come with scikit-learn, and their number of classes."""


@dataclass(frozen=True)
class VisionSet:
    """A data set that torchvision reads.

    Attributes:
        classes: Number of classes.
        files: What it reads, relative to its root.
    """

    classes: int
    files: tuple[str, ...]


def _idx(folder: str, train: str, test: str) -> tuple[str, ...]:
    """Return the four files of a set in the layout of MNIST."""
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return tuple(f"{folder}/raw/{part}-{kind}" for part in (train, test) for kind in kinds)


def _emnist(split: str, classes: int) -> VisionSet:
    return VisionSet(classes, _idx("EMNIST", f"emnist-{split}-train", f"emnist-{split}-test"))


_CIFAR10 = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_STL10 = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")

VISION_SETS = {
    "MNIST": VisionSet(10, _idx("MNIST", "train", "t10k")),
    "FashionMNIST": VisionSet(10, _idx("FashionMNIST", "train", "t10k")),
    "KMNIST": VisionSet(10, _idx("KMNIST", "train", "t10k")),
    "EMNIST:balanced": _emnist("balanced", 47),
    "EMNIST:byclass": _emnist("byclass", 62),
    "EMNIST:bymerge": _emnist("bymerge", 47),
    "EMNIST:digits": _emnist("digits", 10),
    "EMNIST:letters": _emnist("letters", 26),
    "EMNIST:mnist": _emnist("mnist", 10),
    "USPS": VisionSet(10, ("usps.bz2", "usps.t.bz2")),
    "CIFAR10": VisionSet(10, tuple(f"cifar-10-batches-py/{name}" for name in _CIFAR10)),
    "CIFAR100": VisionSet(100, tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))),
    "SVHN": VisionSet(10, ("train_32x32.mat", "test_32x32.mat")),
    "STL10": VisionSet(10, tuple(f"stl10_binary/{name}" for name in _STL10)),
}
"""Torchvision's classification sets that have labels, a test split, and images of one size; EMNIST by its splits."""


_OTHERWISE = {"torchvision": "; pictures in other layouts or of several sizes are read by folder:PATH, with data.size"}
"""What to do with sets that a kind does not know."""


def parse(source: str) -> tuple[str, str]:
    """Return kind and name of a source.

    Args:
        source: As the config has it, such as `npz:cifar.npz`.

    Raises:
        ValueError: It is not of the right shape, or of a kind whose sets are known by name and not one of them.
    """
    kind, _, name = source.partition(":")
    if kind not in KINDS:
        raise ValueError(f"must start with one of {', '.join(KINDS)}, then a colon; got '{source}'{_meant(source)}")
    if not name:
        raise ValueError(f"must name something after '{kind}:'; got '{source}'")
    if kind == "python" and not is_function(name):
        raise ValueError(f"must be python:MODULE:FACTORY, such as python:my.data:load; got '{source}'")
    if kind in _KNOWN and name not in _KNOWN[kind]:
        known = _KNOWN[kind]
        hint = _plainly(name, {kind: known}) or did_you_mean(name, known) or _OTHERWISE.get(kind, "")
        raise ValueError(f"must name one of {', '.join(known)} after '{kind}:'; got '{name}'{hint}")
    return kind, name


def _meant(source: str) -> str:
    """Return which source is likely meant by a text that does not begin with a kind."""
    if source.endswith(".npz"):
        return f"; did you mean 'npz:{source}'?"
    return _plainly(source.rpartition(":")[2], _KNOWN) or did_you_mean(source.partition(":")[0], KINDS)


def _plainly(name: str, known: Mapping[str, Iterable[str]]) -> str:
    """Return the source whose name is the same but for capitals, hyphens and underscores, if there is one."""
    named = {name.lower(): f"{kind}:{name}" for kind, names in known.items() for name in names}
    plain = name.lower().replace("-", "").replace("_", "")
    return f"; did you mean '{named[plain]}'?" if plain in named else ""


def is_function(name: str) -> bool:
    """Return whether a name reads `module:function`."""
    module, _, function = name.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


_KNOWN: dict[str, Iterable[str]] = {"sklearn": SKLEARN_CLASSES, "torchvision": VISION_SETS}
